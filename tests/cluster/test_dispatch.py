"""The distribution of items, with workers that follow a script."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from asr.cluster.dispatch import ATTEMPTS, Answer, Attempt, Event, Item, Lost, Started, distribute
from asr.errors import WorkerEndedError


@dataclass
class Scripted:
    """Workers that answer, or are lost, as a function decides."""

    count: int
    is_lost: object = lambda worker, attempt: None
    """a `Lost` for an item that its worker does not survive"""
    sent: list[tuple[int, int, bool]] = field(default_factory=list)
    inboxes: dict[int, deque] = field(default_factory=dict)
    most_ahead: int = 0

    @property
    def expected(self) -> int:
        return self.count

    def send(self, worker: int, number: int, attempt: Attempt) -> None:
        self.sent.append((worker, number, attempt.is_repeat))
        self.inboxes[worker].append((number, attempt))
        self.most_ahead = max(self.most_ahead, len(self.inboxes[worker]))

    def events(self, seconds: float) -> Sequence[Event]:
        if len(self.inboxes) < self.count:
            worker = max([*self.inboxes, *getattr(self, "gone", [-1])]) + 1
            self.inboxes[worker] = deque()
            return [Started(worker, f"node-{worker % 2}")]
        for worker, inbox in self.inboxes.items():
            if inbox:
                number, attempt = inbox.popleft()
                lost = self.is_lost(worker, attempt)
                if lost is not None:
                    del self.inboxes[worker]
                    self.gone = [*getattr(self, "gone", []), worker]
                    return [Lost(worker, *lost)]
                self.inboxes[worker] = self.inboxes.pop(worker)  # the next in turn
                return [Answer(worker, number, attempt.request * 10)]
        return []

    def close(self) -> None:
        pass


def items(*sizes: int) -> list[Item]:
    return [Item(number, size) for number, size in enumerate(sizes)]


def test_every_item_is_done_once_and_the_largest_first():
    workers = Scripted(2)
    done = list(distribute(items(5, 900_000, 20, 700_000, 10), workers))
    assert sorted((one.number, one.result) for one in done) == [(number, 10 * number) for number in range(5)]
    assert [number for _, number, _ in workers.sent] == [1, 3, 2, 4, 0]


def test_no_items_need_no_workers():
    assert list(distribute([], Scripted(0))) == []


def test_the_items_of_a_lost_worker_are_done_by_others_and_marked_as_repeated():
    lost = []

    def is_lost(worker, attempt):
        if attempt.request == 2 and not lost:
            lost.append(worker)
            return ("signal 9",)
        return None

    workers = Scripted(2, is_lost)
    done = list(distribute(items(*range(100, 90, -1)), workers))
    assert sorted(one.number for one in done) == list(range(10))
    repeated = {number for _, number, is_repeat in workers.sent if is_repeat}
    assert 2 in repeated
    assert repeated == {number for worker, number, _ in workers.sent if worker == lost[0] and number >= 2}


def test_an_item_that_ends_every_worker_fails_alone():
    workers = Scripted(2, lambda worker, attempt: ("exit code 3",) if attempt.request == 4 else None)
    done = {one.number: one.result for one in distribute(items(*[100] * 8), workers)}
    assert len(done) == 8
    assert isinstance(done.pop(4), WorkerEndedError)
    assert done == {number: 10 * number for number in done}
    assert sum(number == 4 for _, number, _ in workers.sent) >= ATTEMPTS


def test_an_item_is_not_blamed_for_a_node_that_is_gone():
    losses = iter(range(3 * ATTEMPTS))
    workers = Scripted(
        1, lambda worker, attempt: ("its node is gone", True) if next(losses, None) is not None else None
    )
    (done,) = distribute(items(1), workers)
    assert done.result == 0


@pytest.mark.parametrize("seed", range(20))
def test_random_losses_lose_and_double_nothing(seed):
    draw = random.Random(seed)
    left = [60]

    def is_lost(worker, attempt):
        if left[0] and draw.random() < 0.3:
            left[0] -= 1
            return ("killed", True)
        return None

    sizes = [draw.randrange(1_000_000) for _ in range(120)]
    done = [one.number for one in distribute(items(*sizes), Scripted(4, is_lost))]
    assert sorted(done) == list(range(120))


def test_small_items_go_in_groups_and_the_last_ones_to_whoever_is_free():
    small, large = Scripted(2), Scripted(2)
    list(distribute(items(*[100] * 400), small))
    list(distribute(items(*[1 << 20] * 40), large))
    assert 2 < small.most_ahead <= 16
    assert large.most_ahead == 2
    workers = Scripted(3)
    list(distribute(items(1 << 20, 1 << 20, 1 << 20), workers))
    assert workers.most_ahead == 1
