"""Stops a training between two batches when a signal arrives."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from asr.processes import stopping_signals


class StopRequest:
    """Keeps the number of the first of `stopping_signals`; a second SIGINT raises KeyboardInterrupt at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Handle the signals in this block; only in the main thread, as Python does not allow it elsewhere."""
        try:
            before = {number: signal.signal(number, self._receive) for number in stopping_signals()}
        except ValueError:
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
