"""Workers that are processes of this machine."""

from __future__ import annotations

import itertools
import queue
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

from asr.cluster.dispatch import Answer, Attempt, Event, Lost, Started
from asr.cluster.worker_start import WorkerStart
from asr.errors import ClusterError, UnfitNodeError
from asr.processes import Child, ChildEndedError

STARTS = 3
"""A node on which so many workers ended before they were ready, one after the other, gets no more."""


class LocalWorkers:
    """Processes of this machine; see `asr.cluster.dispatch.Workers`.

    Parameters
    ----------
    start : WorkerStart
    count : int > 0
        Processes, each for one core.
    """

    def __init__(self, start: WorkerStart, count: int) -> None:
        self._start = start
        self.expected = count
        self._numbers = itertools.count()
        self._events: queue.SimpleQueue[Event | ClusterError] = queue.SimpleQueue()
        self._inboxes: dict[int, queue.SimpleQueue[tuple[int, Sequence[Attempt]] | None]] = {}
        self._children: set[Child] = set()
        self._lock = threading.Lock()
        self._is_closed = False
        for _ in range(count):
            threading.Thread(target=self._run, daemon=True).start()

    @property
    def pids(self) -> list[int]:
        """The processes that are there."""
        with self._lock:
            return [child.pid for child in self._children]

    def send(self, worker: int, group: int, attempts: Sequence[Attempt]) -> None:
        """See `Workers`."""
        self._inboxes[worker].put((group, attempts))

    def events(self, seconds: float) -> Sequence[Event]:
        """See `Workers`."""
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return []
        if isinstance(event, ClusterError):
            raise event
        return [event]

    def close(self) -> None:
        """See `Workers`."""
        with self._lock:
            self._is_closed = True
            children, self._children = self._children, set()
        for inbox in list(self._inboxes.values()):
            inbox.put(None)
        for child in children:
            child.close()

    def _run(self) -> None:
        """A worker after the other."""
        failures = 0
        while True:
            with self._lock:
                if self._is_closed:
                    return
                child = Child("asr.cluster.worker_start:make_worker", self._start)
                self._children.add(child)
            try:
                node = child.ask(None)
                failures = 0
                if not self._work(child, node):
                    return
            except UnfitNodeError as error:
                self._events.put(ClusterError(f"no worker can be started: {error}"))
                return
            except ChildEndedError as error:
                failures += 1
                if failures >= STARTS:
                    self._events.put(ClusterError(f"no worker can be started: {failures} of them ended ({error})"))
                    return
            except Exception as error:  # a defect of what was to be started
                self._events.put(ClusterError(f"no worker can be started: {type(error).__name__}: {error}"))
                return
            finally:
                with self._lock:
                    self._children.discard(child)
                with suppress(Exception):
                    child.close()

    def _work(self, child: Child, node: str) -> bool:
        """Work until there is no more; returns whether the process has ended before."""
        number = next(self._numbers)
        inbox = self._inboxes[number] = queue.SimpleQueue()
        self._events.put(Started(number, node or socket.gethostname()))
        while (message := inbox.get()) is not None:
            group, attempts = message
            try:
                results = child.ask(attempts)
            except ChildEndedError as error:
                if self._is_closed:
                    return False
                self._events.put(Lost(number, str(error)))
                return True
            except Exception as error:  # the results cannot be sent
                results = [error] * len(attempts)
            self._events.put(Answer(number, group, results))
        return False
