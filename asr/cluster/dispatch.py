"""Distributes items over workers: the largest first, and again where a worker was lost."""

from __future__ import annotations

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
# What a worker has ahead of it, so that it never waits: small items in a group, others one at a time.
_AHEAD, _MOST_AHEAD, _SMALL_BYTES = 2, 16, 1 << 18
_POLL_SECONDS = 1.0
# Without any worker for so long, the user should know what is waited for.
_SILENT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of work."""

    request: Any
    """anything that can be pickled"""
    size: int
    """to sort by: bytes of the recording"""


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
    """A worker has finished an item."""

    worker: int
    number: int
    result: Any


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

    def send(self, worker: int, number: int, attempt: Attempt) -> None:
        """Give an item to a worker. It works on one after the other, in the order in which they were sent."""

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
    begun: dict[int, deque[int]] = field(default_factory=dict)
    """the items of each worker; it works on the first"""
    nodes: dict[int, str] = field(default_factory=dict)
    losses: Counter[int] = field(default_factory=Counter)
    """how many workers ended with each item"""
    repeated: set[int] = field(default_factory=set)
    finished: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.waiting = deque(sorted(range(len(self.items)), key=lambda number: -self.items[number].size))

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
        """Give a worker its next items."""
        own = self.begun[worker]
        while self.waiting and self._may_have_more(own):
            number = self.waiting.popleft()
            if number in self.finished:  # the answer of a worker that was given up came late
                continue
            own.append(number)
            self.workers.send(worker, number, Attempt(self.items[number].request, number in self.repeated))

    def _may_have_more(self, own: deque[int]) -> bool:
        if not own:
            return True
        others = max(len(self.begun), self.workers.expected)
        if len(self.waiting) < others:  # the last items go to the workers that finish first
            return False
        if len(own) < _AHEAD:
            return True
        total = sum(self.items[number].size for number in own)
        return len(own) < _MOST_AHEAD and total < _SMALL_BYTES and len(self.waiting) > _MOST_AHEAD * others

    def _happened(self, event: Event) -> Iterator[Done]:
        match event:
            case Started():
                self.begun[event.worker] = deque()
                self.nodes[event.worker] = event.node
            case Answer():
                if event.worker in self.begun:
                    self.begun[event.worker].remove(event.number)
                yield from self._finish(event.number, event.result, self.nodes.get(event.worker, ""))
            case Lost():
                yield from self._lose(event)

    def _lose(self, event: Lost) -> Iterator[Done]:
        """Take back the items of a lost worker."""
        node = self.nodes[event.worker]
        _log.warning("a worker on %s ended (%s): its work is done again", node, event.reason)
        own = [number for number in self.begun.pop(event.worker, ()) if number not in self.finished]
        self.repeated.update(own)
        if own and not event.with_node:
            self.losses[own[0]] += 1
            if self.losses[own[0]] >= ATTEMPTS:
                reason = f"{ATTEMPTS} workers ended while they worked on it, the last one on {node} ({event.reason})"
                yield from self._finish(own.pop(0), WorkerEndedError(reason), node)
        self.waiting.extendleft(reversed(own))

    def _finish(self, number: int, result: Any, node: str) -> Iterator[Done]:
        if number not in self.finished:
            self.finished.add(number)
            yield Done(number, result, node)
