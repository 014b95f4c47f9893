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
    sent: list[tuple[int, list[int], bool]] = field(default_factory=list)
    """worker, items, whether the first one is repeated"""
    inboxes: dict[int, deque] = field(default_factory=dict)
    most_ahead: int = 0

    @property
    def numbers(self) -> list[int]:
        """The items in the order in which they were sent."""
        return [number for _, numbers, _ in self.sent for number in numbers]

    @property
    def expected(self) -> int:
        return self.count

    def send(self, worker: int, group: int, attempts: Sequence[Attempt]) -> None:
        self.sent.append((worker, [attempt.request for attempt in attempts], attempts[0].is_repeat))
        self.inboxes[worker].append((group, attempts))
        self.most_ahead = max(self.most_ahead, len(self.inboxes[worker]))

    def events(self, seconds: float) -> Sequence[Event]:
        if len(self.inboxes) < self.count:
            worker = max([*self.inboxes, *getattr(self, "gone", [-1])]) + 1
            self.inboxes[worker] = deque()
            return [Started(worker, f"node-{worker % 2}")]
        for worker, inbox in self.inboxes.items():
            if inbox:
                group, attempts = inbox.popleft()
                lost = next((lost for one in attempts if (lost := self.is_lost(worker, one)) is not None), None)
                if lost is not None:
                    del self.inboxes[worker]
                    self.gone = [*getattr(self, "gone", []), worker]
                    return [Lost(worker, *lost)]
                self.inboxes[worker] = self.inboxes.pop(worker)  # the next in turn
                return [Answer(worker, group, [attempt.request * 10 for attempt in attempts])]
        return []

    def close(self) -> None:
        pass


def items(*sizes: int) -> list[Item]:
    return [Item(number, size) for number, size in enumerate(sizes)]


def test_every_item_is_done_once_and_the_largest_first():
    workers = Scripted(2)
    done = list(distribute(items(5, 900_000, 20, 700_000, 10), workers))
    assert sorted((one.number, one.result) for one in done) == [(number, 10 * number) for number in range(5)]
    assert workers.numbers == [1, 3, 2, 4, 0]


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
    repeated = {number for _, numbers, is_repeat in workers.sent if is_repeat for number in numbers}
    assert 2 in repeated
    assert repeated <= {number for worker, numbers, _ in workers.sent if worker == lost[0] for number in numbers}


def test_an_item_that_ends_every_worker_fails_alone_though_it_went_with_others():
    workers = Scripted(2, lambda worker, attempt: ("exit code 3",) if attempt.request == 4 else None)
    done = {one.number: one.result for one in distribute(items(*[100] * 60), workers)}
    assert any(4 in numbers and len(numbers) > 1 for _, numbers, _ in workers.sent)
    assert len(done) == 60
    assert isinstance(done.pop(4), WorkerEndedError)
    assert done == {number: 10 * number for number in done}
    assert workers.numbers.count(4) == ATTEMPTS


def test_an_item_is_not_blamed_for_a_node_that_is_gone():
    losses = iter(range(3 * ATTEMPTS))
    workers = Scripted(
        1, lambda worker, attempt: ("its node is gone", True) if next(losses, None) is not None else None
    )
    (done,) = distribute(items(1), workers)
    assert done.result == 0


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("largest", [100, 1_000_000, 30_000_000])
def test_random_losses_lose_and_double_nothing(seed, largest):
    draw = random.Random(seed)
    left = [60]

    def is_lost(worker, attempt):
        if left[0] and draw.random() < 0.3:
            left[0] -= 1
            return ("killed", True)
        return None

    sizes = [draw.randrange(largest) for _ in range(120)]
    done = [one.number for one in distribute(items(*sizes), Scripted(4, is_lost))]
    assert sorted(done) == list(range(120))


@pytest.mark.parametrize("size", [0, 100, 1 << 20, 10 << 20, 100 << 20])
def test_small_items_go_in_groups_large_ones_alone_and_the_last_ones_to_whoever_is_free(size):
    workers = Scripted(2)
    list(distribute(items(*[size] * 400), workers))
    groups = [len(numbers) for _, numbers, _ in workers.sent]
    largest = 1 if not size else min(32, max(1, (16 << 20) // size))  # no size: it may be large
    assert groups[0] == max(groups) == largest
    assert groups == sorted(groups, reverse=True)
    assert groups[-1] == 1
    assert workers.most_ahead == 2


def test_few_items_are_shared_out():
    workers = Scripted(3)
    list(distribute(items(100, 100, 100), workers))
    assert workers.most_ahead == 1
    assert sorted(worker for worker, _, _ in workers.sent) == [0, 1, 2]


def test_the_answer_of_a_worker_that_was_given_up_counts():
    class Late(Scripted):
        def events(self, seconds):
            found = super().events(seconds)
            if found and isinstance(found[0], Answer) and not getattr(self, "is_late", False):
                self.is_late = True
                del self.inboxes[found[0].worker]
                self.gone = [found[0].worker]
                return [Lost(found[0].worker, "the connection to it was lost", True), *found]
            return found

    workers = Late(2)
    done = [one.number for one in distribute(items(*[100] * 50), workers)]
    assert sorted(done) == list(range(50))
