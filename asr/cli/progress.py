"""The progress of a long transcription: files, hours of audio, speed, time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any


def _byte_bar(total: int) -> Any:
    """A bar of tqdm, which is not imported where no bar is shown: None where stderr is no terminal."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    # Short work ends before a bar could be read.
    return tqdm(
        total=total,
        disable=None,
        leave=False,
        delay=1,
        bar_format="{percentage:3.0f}%|{bar}| {desc} [{elapsed}, {remaining} left]",
    )


class RecordingsBar:
    """A progress bar over bytes of files, the only size that is known before a file is read.

    Parameters
    ----------
    sizes : sequence of int
        Bytes of each recording, in order.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = [max(1, size) for size in sizes]
        self._before = [0]
        for size in self._sizes:
            self._before.append(self._before[-1] + size)
        self._number, self._seconds, self._seconds_before = 0, 0.0, 0.0
        self._started = time.monotonic()
        self._bar = _byte_bar(self._before[-1])

    def __enter__(self) -> RecordingsBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, number: int, seconds: float, share: float) -> None:
        """Progress within a recording; arguments as `Transcriber` passes them."""
        if number != self._number:
            self._seconds_before += self._seconds
            self._number = number
        self._seconds = seconds
        self._show(number, self._before[number] + int(share * self._sizes[number]))

    def finish(self, number: int) -> None:
        """A recording is finished."""
        self._show(number, self._before[number + 1])

    def _show(self, number: int, bytes_done: int) -> None:
        if self._bar is None:
            return
        hours = (self._seconds_before + self._seconds) / 3600
        speed = 3600 * hours / max(time.monotonic() - self._started, 1e-3)
        files = f"{number + 1} of {len(self._sizes)} files, " if len(self._sizes) > 1 else ""
        self._bar.set_description_str(f"{files}{hours:.2f} h of audio, {speed:.0f} times real time", refresh=False)
        self._bar.update(max(0, bytes_done - self._bar.n))


class ItemsBar:
    """A progress bar over items that finish in any order, by the bytes of their files.

    Parameters
    ----------
    sizes : sequence of int
        Bytes of each item.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = [max(1, size) for size in sizes]
        self._finished, self._seconds, self._started = 0, 0.0, time.monotonic()
        self._bar = _byte_bar(sum(self._sizes))

    def __enter__(self) -> ItemsBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def finish(self, number: int, seconds: float) -> None:
        """An item is finished, which has so many seconds of audio."""
        if self._bar is None:
            return
        self._finished += 1
        self._seconds += seconds
        speed = self._seconds / max(time.monotonic() - self._started, 1e-3)
        audio = f", {self._seconds / 3600:.2f} h of audio, {speed:.0f} times real time" if self._seconds else ""
        self._bar.set_description_str(f"{self._finished} of {len(self._sizes)} files{audio}", refresh=False)
        self._bar.update(self._sizes[number])
