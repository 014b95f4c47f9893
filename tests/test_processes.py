"""Child processes: what becomes of one never harms its parent, and nothing of one is left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from asr import processes
from asr.cli.training_run import stopped_code
from asr.processes import Child, ChildEndedError, Pool, StoppedError, stopping_signals
from asr.training.stop import StopRequest

from .conftest import REPOSITORY

ECHO = "tests.children:echo"


@pytest.fixture
def child():
    made = Child(ECHO, "hello")
    yield made
    made.close()


@pytest.fixture
def pool():
    made = Pool(ECHO)
    yield made
    made.close()


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process has ended with all its threads: until then, its descriptors are open."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        return len(threads) <= 1 and "(zombie)" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_requests_are_answered_in_another_process_that_got_a_first_message(child):
    assert child.ask("first") == "hello"
    assert child.ask("pid") == child.pid != os.getpid()
    assert child.usable


def test_arrays_travel_both_ways_whatever_their_size_and_layout():
    child = Child("tests.children:double")
    rng = np.random.default_rng(0)
    arrays = {
        "large": rng.random((1000, 700)),
        "empty": np.zeros((0, 3)),
        "scalar": np.float32(2),
        "strided": rng.random((30, 40))[::2, ::3],
        "columns": np.asfortranarray(rng.random((7, 5))),
        "read-only": np.broadcast_to(np.arange(3), (4, 3)),
    }
    doubled = child.ask(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(doubled[name], 2 * array)
    doubled["large"][0] = 0  # and can be written to
    child.close()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ("abort", "signal 6, Aborted"),
        ("kill", "signal 9, Killed"),
        (("leave", 3), "exit code 3"),
        (("leave", 0), "exit code 0"),
    ],
)
def test_a_child_that_ends_says_how(child, request_, reason):
    with pytest.raises(ChildEndedError, match=rf"^{reason}"):
        child.ask(request_)
    assert not child.usable
    with pytest.raises(ChildEndedError, match=rf"^{reason}"):
        child.ask("first")


def test_a_child_that_the_system_kills_for_lack_of_memory_is_reported_as_such(monkeypatch):
    counts = iter([7, 8])
    monkeypatch.setattr(processes, "_oom_kills", lambda: next(counts))
    child = Child(ECHO)
    with pytest.raises(ChildEndedError, match="signal 9, Killed: the system ran out of memory"):
        child.ask("kill")
    child.close()


@pytest.mark.skipif(not Path("/proc/vmstat").exists(), reason="needs the counters of Linux")
def test_the_systems_count_of_processes_ended_for_want_of_memory_is_read():
    lines = Path("/proc/vmstat").read_text().splitlines()
    assert processes._oom_kills() >= sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@pytest.mark.parametrize(
    ("request_", "kind", "message"),
    [
        ("fail", ValueError, "a bad request"),
        ("fail oddly", RuntimeError, "OddError: no twin"),
        ("end of file", EOFError, "of a recording"),
        ("memory", MemoryError, "^$"),
    ],
)
def test_an_error_of_the_handler_is_raised_here_and_the_child_lives_on(child, request_, kind, message):
    with pytest.raises(kind, match=message):
        child.ask(request_)
    assert child.ask("pid") == child.pid


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        ("tests.children:refuse", ValueError, "cannot start with x"),
        ("tests.children:nothing", AttributeError, "nothing"),
        ("tests.nowhere:echo", ModuleNotFoundError, "tests.nowhere"),
    ],
)
def test_a_child_that_cannot_start_says_why_at_its_first_request(function, kind, message):
    child = Child(function, "x")
    with pytest.raises(kind, match=message):
        child.ask("first")
    assert not child.usable
    child.close()


def test_the_time_of_starting_is_not_the_time_of_a_request():
    child = Child("tests.children:slow_start")
    assert child.ask(5, timeout=1.0) == 5
    child.close()


def test_an_answer_that_does_not_come_in_time_is_a_timeout(child):
    child.ask("pid")
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        child.ask(("sleep", 60.0), timeout=0.3)
    assert time.monotonic() - started < 10
    assert not child.usable


def test_nobody_waits_for_an_answer_that_is_not_wanted_any_more(child):
    stopped = threading.Event()
    threading.Timer(0.3, stopped.set).start()
    with pytest.raises(StoppedError):
        child.ask(("sleep", 60.0), stopped=stopped)


def test_a_large_first_message_does_not_delay_its_sender_and_arrives():
    first = np.arange(3_000_000)
    child = Child(ECHO, first)
    np.testing.assert_array_equal(child.ask("first"), first)
    child.close()


def test_a_child_has_the_module_path_of_its_parent_but_not_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the working directory')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    child = Child(ECHO)
    path, folder = child.ask("path")
    assert folder == str(tmp_path)
    assert path == [one for one in sys.path if one]
    child.close()


def test_what_a_child_prints_never_gets_into_its_parents_output(capfd):
    for quiet in (True, False):
        child = Child(ECHO, quiet=quiet)
        child.ask("print")
        child.close()
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == "to standard output\n"


def test_a_child_computes_in_one_thread(child):
    assert child.ask("threads") == "1"


def test_closing_ends_a_child_at_work_and_the_thread_that_waits_for_it(child):
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(child.ask, ("sleep", 60.0))
        wait_until(lambda: not child.usable)
        child.close()
        with pytest.raises(ChildEndedError, match="signal 9"):
            waiting.result(timeout=10)
    assert is_gone(child.pid)
    child.close()


def test_a_descriptor_is_closed_when_no_thread_waits_on_it_any_more(child, monkeypatch):
    """Else its number could be another file's by then, and the thread would read that."""
    child.ask("pid")
    events, begun = [], threading.Event()
    receive, close = child._channel._receive, child._channel.close

    def slow_receive(length, wait):
        begun.set()
        try:
            return receive(length, wait)
        finally:
            time.sleep(0.3)
            events.append("received")

    monkeypatch.setattr(child._channel, "_receive", slow_receive)
    monkeypatch.setattr(child._channel, "close", lambda: (events.append("closed"), close()))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(child.ask, ("sleep", 60.0))
        assert begun.wait(60)
        child.close()
        assert isinstance(waiting.exception(), ChildEndedError)
    assert events == ["received", "closed"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors by Linux's means")
def test_no_descriptor_and_no_process_is_left(pool):
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    pids = []
    for _ in range(3):
        with ThreadPoolExecutor(3) as threads:
            pids += list(threads.map(lambda _: pool.ask("pid"), range(3)))
        with pytest.raises(ChildEndedError):
            pool.ask("abort")
        child = Child(ECHO)
        pids.append(child.pid)
        child.close()
    pool.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert all(map(is_gone, pids))


def test_a_pool_uses_its_children_again_and_replaces_those_that_ended(pool):
    pids = {pool.ask("pid") for _ in range(5)}
    assert len(pids) == 1
    os.kill(*pids, signal.SIGKILL)
    wait_until(lambda: is_gone(*pids))
    assert pool.ask("pid") not in pids
    assert len(pool.pids) == 1


def test_as_many_children_work_as_threads_ask(pool):
    pool.start()
    with ThreadPoolExecutor(3) as threads:
        started = time.monotonic()
        list(threads.map(pool.ask, [("sleep", 0.1)] * 3))  # all are up
        list(threads.map(pool.ask, [("sleep", 1.0)] * 3))
    assert 1 <= len(pool.pids) <= 3
    assert time.monotonic() - started < 60


def test_a_closed_pool_starts_nothing(pool):
    pool.ask("pid")
    pool.close()
    assert pool.pids == []
    assert pool.closed
    with pytest.raises(RuntimeError, match="closed"):
        pool.ask("pid")


def test_children_of_a_pool_that_is_forgotten_end():
    pool = Pool(ECHO)
    pid = pool.ask("pid")
    del pool
    gc.collect()
    wait_until(lambda: is_gone(pid))


def test_children_end_with_a_parent_that_is_killed_even_at_work():
    code = """
import threading, time
from asr.processes import Pool
pool = Pool("tests.children:echo")
pids = [pool.ask("pid")]
threading.Thread(target=pool.ask, args=(("sleep", 1000.0),), daemon=True).start()
while pool._idle: time.sleep(0.01)
time.sleep(0.3)
print(*pool.pids, flush=True)
import os, signal; os.kill(os.getpid(), signal.SIGKILL)
"""
    done = run(code)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: is_gone(int(done.stdout)))


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        timeout=100,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )


def test_a_fork_neither_uses_nor_ends_the_children_of_its_parent_and_has_its_own():
    code = """
import os, sys
from asr.processes import ChildEndedError, Pool
pool = Pool("tests.children:echo")
with pool.child() as child:
    pid = child.ask("pid")
    if not (forked := os.fork()):
        try:
            child.ask("pid")
        except ChildEndedError:
            pass
        else:
            os._exit(1)
        child.close()
        other = pool.ask("pid")
        pool.close()
        sys.exit(0 if other != pid else 2)  # through all that runs at exit
    _, status = os.waitpid(forked, 0)
    assert status == 0, status
    assert child.ask("pid") == pid
assert pool.ask("pid") == pid
print("ok")
"""
    done = run(code)
    assert (done.stdout, done.stderr) == ("ok\n", "")


def test_children_end_with_their_parent_though_a_fork_of_it_lives_on():
    code = """
import os, signal, sys, time
from asr.processes import Pool
pool = Pool("tests.children:echo")
pid = pool.ask("pid")
forked = os.fork()
if not forked:
    os.close(1); os.close(2)
    time.sleep(60)
print(pid, forked, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    pid, forked = map(int, run(code).stdout.split())
    try:
        wait_until(lambda: is_gone(pid))
        assert not is_gone(forked)
    finally:
        os.kill(forked, signal.SIGKILL)


def test_a_parent_without_standard_streams_has_children_all_the_same():
    code = f"""
import os
for number in range(3): os.close(number)
from asr.processes import Pool
os._exit(7 if Pool({ECHO!r}).ask("hello") == "hello" else 1)
"""
    assert run(code).returncode == 7


def test_a_child_outlives_the_keys_that_end_a_program_in_a_terminal(child):
    child.ask("pid")
    os.kill(child.pid, signal.SIGINT)
    assert child.ask("first") == "hello"
    assert os.getpgid(child.pid) != os.getpgid(0)


@pytest.fixture
def hang_up():
    """Lets a test choose how SIGHUP is handled: `nohup pytest` ignores it."""
    before = signal.getsignal(signal.SIGHUP)
    yield lambda handler: signal.signal(signal.SIGHUP, handler)
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_training_stops_at_every_signal_that_asks_to_end(hang_up, number):
    hang_up(signal.SIG_DFL)
    before, stop = signal.getsignal(number), StopRequest()
    with stop.handling_signals():
        signal.raise_signal(number)
    assert (stop.signal, stopped_code(stop.signal)) == (number, 128 + number)
    assert signal.getsignal(number) is before


def test_a_closed_terminal_ends_nothing_that_nohup_started(hang_up):
    hang_up(signal.SIG_IGN)
    assert stopping_signals() == (signal.SIGINT, signal.SIGTERM)
    stop = StopRequest()
    with stop.handling_signals():
        signal.raise_signal(signal.SIGHUP)
    assert stop.signal is None
    done = run("import os, signal, sys\nfrom asr.cli import main\nsys.argv[1:] = ['--version']\n"
               "main.main = lambda _: os.kill(os.getpid(), signal.SIGHUP) or 7\nmain.entry_point()")  # fmt: skip
    assert done.returncode == 7


def test_a_closed_terminal_ends_a_command_once(hang_up):
    hang_up(signal.SIG_DFL)
    done = run("""
import os, signal
from asr.cli import main
def work(_):
    try:
        os.kill(os.getpid(), signal.SIGHUP)
    finally:
        os.kill(os.getpid(), signal.SIGHUP)
        print("cleared")
main.main = work
main.entry_point()
""")
    assert (done.returncode, done.stdout) == (129, "cleared\n")
