"""Queues of windows between the threads that read recordings and the one that decodes, with a common memory limit."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")

_WINDOWS_AHEAD = 32
"""windows of one recording that may wait"""


class WindowQueues(Generic[Item]):
    """One queue for each recording, emptied in the order of recordings.

    Parameters
    ----------
    most_bytes : int > 0
        The limit of all queues together. Windows of the recording that is taken from are always accepted: else later
        recordings could fill all queues while it waits for room.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._queues: defaultdict[int, deque[tuple[Item, int]]] = defaultdict(deque)
        self._bytes = self._current = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, number: int, item: Item, size: int = 0) -> bool:
        """Append to the queue of a recording as soon as there is room for its bytes; False if all are closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._has_room(number, size))
            if self._is_closed:
                return False
            self._queues[number].append((item, size))
            self._bytes += size
            self._changed.notify_all()
            return True

    def _has_room(self, number: int, size: int) -> bool:
        if len(self._queues[number]) >= _WINDOWS_AHEAD:
            return False
        return number == self._current or self._bytes + size <= self._most_bytes

    def get(self, number: int) -> Item:
        """Wait for the next item of a recording; earlier recordings are not asked for again."""
        with self._changed:
            if number != self._current:
                self._queues.pop(self._current, None)
                self._current = number
                self._changed.notify_all()
            self._changed.wait_for(lambda: bool(self._queues[number]))
            item, size = self._queues[number].popleft()
            self._bytes -= size
            self._changed.notify_all()
        return item

    def close(self) -> None:
        """Release all threads that wait for room."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
