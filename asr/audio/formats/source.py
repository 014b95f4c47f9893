"""Random access to the bytes of a file, and to a range of them as a file of its own."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from asr.audio.formats import starts
from asr.errors import AudioError

_SEARCHED_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A file whose structure is inspected."""

    path: Path
    file: BinaryIO
    size: int

    def read(self, position: int, count: int) -> bytes:
        """The bytes at a position; fewer at the end of the file."""
        if position >= self.size or count <= 0:
            return b""
        self.file.seek(position)
        return self.file.read(count)

    def find(self, pattern: re.Pattern[bytes], start: int) -> int:
        """The first place of a pattern from `start` on; the file's size if there is none."""
        while start < self.size:
            block = self.read(start, _SEARCHED_AT_ONCE + starts.LONGEST)
            match = pattern.search(block)
            if match and match.start() < _SEARCHED_AT_ONCE:
                return start + match.start()
            start += _SEARCHED_AT_ONCE
        return self.size

    def is_zero(self, start: int, end: int) -> bool:
        """Whether a range holds zeros only."""
        while start < end:
            block = self.read(start, min(_SEARCHED_AT_ONCE, end - start))
            if not block or block.count(0) != len(block):
                return False
            start += len(block)
        return True

    def truncated(self, there: float, promised: float, *, per_second: float = 0) -> AudioError:
        """The error of a file that ends before its header says so.

        Parameters
        ----------
        there, promised : float
            Bytes, or any other unit.
        per_second : float >= 0
            How many of them are a second; 0 where that is unknown.
        """
        if per_second > 0:
            return AudioError(
                self.path,
                f"is truncated: its header promises {promised / per_second:.2f} s, "
                f"{max(0.0, there) / per_second:.2f} s are there",
            )
        return AudioError(
            self.path,
            f"is truncated: its header promises {promised:,.0f} bytes, {max(0.0, there):,.0f} are there "
            f"({max(0.0, there) / promised:.1%})",
        )


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a file for inspection.

    Raises
    ------
    AudioError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield Source(path, file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror or error})") from error


class FileRange(io.RawIOBase):
    """Some bytes, then a range of a file, as a file to be read.

    Parameters
    ----------
    path : Path
    start, end : int
        The range, in bytes.
    head : bytes
        What comes before it.
    """

    def __init__(self, path: Path, start: int, end: int, head: bytes = b"") -> None:
        super().__init__()
        self._file = path.open("rb")
        self._start, self._head, self._size = start, head, len(head) + max(0, end - start)
        self._position = 0
        self.name = "recording" + path.suffix
        """formats without a magic number are known by their suffix"""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        target = memoryview(buffer).cast("B")
        count = min(len(target), max(0, self._size - self._position))
        if not count:
            return 0
        if self._position < len(self._head):
            part = self._head[self._position : self._position + count]
            target[: len(part)] = part
            count = len(part)
        else:
            self._file.seek(self._start + self._position - len(self._head))
            count = self._file.readinto(target[:count])
        self._position += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
