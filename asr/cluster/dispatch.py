"""Distributes items over workers in groups: the largest first, and again where a worker was lost.

A beam search takes half the time for each stretch of speech when it has many of them at once: so a worker gets several
small recordings together. Groups become smaller towards the end, so that all workers finish at the same time (guided
self-scheduling: Polychronopoulos and Kuck, 1987).
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from asr.errors import WorkerEndedError

_log = logging.getLogger(__name__)

ATTEMPTS = 4
"""An item that was being worked on when so many workers ended is not tried again: it may be what ends them."""
# A group of items: eight minutes of uncompressed speech, with which a beam search reaches its full speed.
_GROUP_BYTES, _GROUP_ITEMS = 16 << 20, 32
# A group of several is at most one part in so many of what each worker has still to do; but a small group, which still
# has most of the speed and takes a second or two, may be all of it.
_GROUP_PART, _SMALL_PART = 2, 2
# Groups that a worker has, so that it never waits: the one that it works on, and the next one.
_GROUPS_AHEAD = 2
_POLL_SECONDS = 1.0
# Without any worker for so long, the user should know what is waited for.
_SILENT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of work."""

    request: Any
    """anything that can be pickled"""
    size: int
    """to sort and group by: bytes of the recording; 0 if that is unknown"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a worker is asked to do."""

    request: Any
    is_repeat: bool
    """whether a worker was lost that had the item: some of it may be done"""


@dataclass(frozen=True, slots=True)
class Done:
    """An item that is finished."""

    number: int
    """its place in the sequence of items"""
    result: Any
    """what the worker returned, or the exception that it raised"""
    node: str


@dataclass(frozen=True, slots=True)
class Started:
    """A worker is ready."""

    worker: int
    node: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A worker has finished a group."""

    worker: int
    group: int
    results: Sequence[Any]
    """of its items in their order; an exception for one that failed"""


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker that had started has ended."""

    worker: int
    reason: str
    with_node: bool = False
    """whether its whole node is gone, so that no item can be the cause"""


Event = Started | Answer | Lost


class Workers(Protocol):
    """Processes that work on items, here or elsewhere; one that ends is replaced, under a new number."""

    @property
    def expected(self) -> int:
        """How many there are, with those that are starting."""

    def send(self, worker: int, group: int, attempts: Sequence[Attempt]) -> None:
        """Give a group of items to a worker. It works on one after the other, in the order in which they were sent."""

    def events(self, seconds: float) -> Sequence[Event]:
        """What has happened; waits so long if nothing has.

        Raises
        ------
        ClusterError
            If no worker can be started.
        """

    def close(self) -> None:
        """End all workers at once."""


def distribute(items: Sequence[Item], workers: Workers) -> Iterator[Done]:
    """Have workers do all items.

    Parameters
    ----------
    items : sequence of Item
    workers : Workers
        The caller closes them.

    Yields
    ------
    Done
        One for each item, as soon as it is finished. The result is a `WorkerEndedError` for an item that several
        workers were lost with.

    Raises
    ------
    ClusterError
        If no worker can be started.
    """
    return _Distribution(items, workers).run()


@dataclass
class _Distribution:
    items: Sequence[Item]
    workers: Workers
    waiting: deque[int] = field(init=False)
    """items that no worker has, the next one first"""
    waiting_bytes: int = field(init=False)
    groups: dict[int, list[int]] = field(default_factory=dict)
    """the items of each group that a worker got, by its number"""
    begun: dict[int, deque[int]] = field(default_factory=dict)
    """the groups of each worker; it works on the first"""
    nodes: dict[int, str] = field(default_factory=dict)
    losses: Counter[int] = field(default_factory=Counter)
    """how many workers ended with each item"""
    repeated: set[int] = field(default_factory=set)
    finished: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.waiting = deque(sorted(range(len(self.items)), key=lambda number: -self.items[number].size))
        self.waiting_bytes = sum(item.size for item in self.items)
        self._numbers = itertools.count()

    def run(self) -> Iterator[Done]:
        alive = time.monotonic()
        while len(self.finished) < len(self.items):
            for worker in self.begun:
                self._fill(worker)
            for event in self.workers.events(_POLL_SECONDS):
                yield from self._happened(event)
            if self.begun:
                alive = time.monotonic()
            elif time.monotonic() - alive > _SILENT_SECONDS:
                _log.warning("no worker is running: waiting until one can be started")
                alive = time.monotonic()

    def _fill(self, worker: int) -> None:
        """Give a worker its next groups."""
        own = self.begun[worker]
        while self._may_have_more(own) and (numbers := self._next_group()):
            group = next(self._numbers)
            self.groups[group] = numbers
            own.append(group)
            attempts = [Attempt(self.items[number].request, number in self.repeated) for number in numbers]
            self.workers.send(worker, group, attempts)

    def _may_have_more(self, own: deque[int]) -> bool:
        # The last items go to the workers that finish first.
        return not own or (len(own) < _GROUPS_AHEAD and len(self.waiting) >= self._present)

    @property
    def _present(self) -> int:
        return max(len(self.begun), self.workers.expected)

    def _next_group(self) -> list[int]:
        """Take items that a worker may work on together; none if none waits.

        An item that a worker was lost with goes alone: it may be what ends them. So does one of unknown size: it may
        be large.
        """
        most_bytes = _group_size(self.waiting_bytes // self._present, _GROUP_BYTES)
        most_items = max(1, _group_size(len(self.waiting) // self._present, _GROUP_ITEMS))
        group: list[int] = []
        total = 0
        while self.waiting and len(group) < most_items:
            number = self.waiting[0]
            size = self.items[number].size
            is_alone = size == 0 or number in self.losses
            if group and (is_alone or total + size > most_bytes):
                break
            self.waiting.popleft()
            self.waiting_bytes -= size
            if number in self.finished:  # the answer of a worker that was given up came late
                continue
            group.append(number)
            total += size
            if is_alone:
                break
        return group

    def _happened(self, event: Event) -> Iterator[Done]:
        match event:
            case Started():
                self.begun[event.worker] = deque()
                self.nodes[event.worker] = event.node
            case Answer():
                if event.worker in self.begun:
                    self.begun[event.worker].remove(event.group)
                node = self.nodes.get(event.worker, "")
                for number, result in zip(self.groups[event.group], event.results, strict=True):
                    yield from self._finish(number, result, node)
            case Lost():
                yield from self._lose(event)

    def _lose(self, event: Lost) -> Iterator[Done]:
        """Take back the items of a lost worker."""
        node = self.nodes[event.worker]
        _log.warning("a worker on %s ended (%s): its work is done again", node, event.reason)
        again: list[int] = []
        for place, group in enumerate(self.begun.pop(event.worker, ())):
            numbers = [number for number in self.groups[group] if number not in self.finished]
            self.repeated.update(numbers)
            if place == 0 and not event.with_node:
                self.losses.update(numbers)
                if len(numbers) == 1 and self.losses[numbers[0]] >= ATTEMPTS:
                    reason = (
                        f"{ATTEMPTS} workers ended while they worked on it, the last one on {node} ({event.reason})"
                    )
                    yield from self._finish(numbers.pop(), WorkerEndedError(reason), node)
            again += numbers
        self.waiting.extendleft(reversed(again))
        self.waiting_bytes += sum(self.items[number].size for number in again)

    def _finish(self, number: int, result: Any, node: str) -> Iterator[Done]:
        if number not in self.finished:
            self.finished.add(number)
            yield Done(number, result, node)


def _group_size(share: int, most: int) -> int:
    """How much of a worker's share of what waits goes into its next group."""
    return min(most, max(share // _GROUP_PART, min(share, most // _SMALL_PART)))
