"""Workers that are processes: the contract of a pool, without Ray."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from asr.cluster.dispatch import Item, distribute
from asr.cluster.local_workers import LocalWorkers
from asr.cluster.worker_start import WorkerStart, code_version, make_checked_worker, one_by_one
from asr.errors import AudioError, ClusterError, UnfitNodeError, WorkerEndedError

HERE = "tests.cluster.test_local_workers"


def make_doubling(folder):
    """Doubles numbers; -1 is an error, -2 ends the process, -3 does so at its first attempt."""

    def double(attempt):
        number = attempt.request
        if number == -1:
            raise AudioError("a.wav", "no samples")
        if number == -2 or (number == -3 and not attempt.is_repeat):
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * number

    return one_by_one(double)


def make_fragile(folder):
    """Doubles the numbers of a group; -1 is a defect at which the whole group stops."""

    def double(attempts):
        for place, attempt in enumerate(attempts):
            if attempt.request == -1:
                raise UnloadableError("two", "arguments")
            yield place, (2 * attempt.request, attempt.is_repeat)

    return double


class UnloadableError(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def make_nothing(_first):
    raise UnfitNodeError("it has no bundle")


def run(numbers, count=2, function="make_doubling", **options):
    workers = LocalWorkers(WorkerStart(f"{HERE}:{function}", None, **options), count)
    try:
        return {one.number: one.result for one in distribute([Item(number, 1) for number in numbers], workers)}
    finally:
        workers.close()


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2]), *sys.path])


def test_results_and_errors_come_back():
    found = run([1, 2, -1, 3])
    assert isinstance(found.pop(2), AudioError)
    assert found == {0: 2, 1: 4, 3: 6}


def test_one_defect_fails_one_item_of_a_group():
    found = run([1, 2, -1, *range(3, 40)], count=1, function="make_fragile")
    error = found.pop(2)
    assert isinstance(error, RuntimeError)
    assert str(error) == "UnloadableError: two arguments"
    assert [result for result, _ in found.values()] == [2, 4, *range(6, 80, 2)]
    assert any(is_repeat for _, is_repeat in found.values())


def test_a_worker_that_is_killed_is_replaced_and_its_item_tried_again():
    assert run([1, -3, 5]) == {0: 2, 1: -6, 2: 10}


def test_an_item_that_kills_its_workers_fails_alone():
    found = run([-2, 1, 2], count=1)
    assert isinstance(found.pop(0), WorkerEndedError)
    assert found == {1: 2, 2: 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"function": "make_nothing"}, "it has no bundle"),
        ({"paths": (Path("/nowhere/archive"),)}, "has no /nowhere/archive: every node needs"),
        ({"contents": ((Path("/nowhere/texts/.asr-folder"), b"1"),)}, "its folder /nowhere/texts is another one"),
        ({"function": "make_missing"}, "no worker can be started"),
    ],
)
def test_a_node_that_does_not_fit_is_one_message(options, message):
    with pytest.raises(ClusterError, match=message):
        run([1], **options)


def test_another_version_of_the_code_is_refused():
    assert "code" in code_version()
    with pytest.raises(UnfitNodeError, match="install the same on all"):
        make_checked_worker("0.0.1 (code 00000000)", b"")


def test_closing_ends_the_processes():
    workers = LocalWorkers(WorkerStart(f"{HERE}:make_doubling", None), 2)
    list(distribute([Item(1, 1)], workers))
    pids = workers.pids
    assert pids
    workers.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
