"""Text that grows in a terminal: text that may still change is dim, and replaced in place."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from typing import TextIO

from asr.text.segments import display_width
from asr.text.words import cut_words

_DIM, _NORMAL = "\x1b[2m", "\x1b[0m"
_UP, _ERASE_BELOW = "\x1b[{}A", "\r\x1b[J"
Size = Callable[[], Sequence[int]]
"""returns columns and lines"""


def is_capable(file: TextIO) -> bool:
    """Whether a file is a terminal that can replace what it shows."""
    return file.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


class GrowingText:
    """Shows growing text below final lines.

    Parameters
    ----------
    file : text file
        A terminal.
    size : callable, optional
        The size of another window than that of the file.

    Notes
    -----
    Lines are broken between words, one column before the right edge, so that the terminal itself never wraps them. If
    the window became narrower since the last text, the terminal has wrapped it again, into a number of rows that is
    computed from the widths of the old ones.
    """

    def __init__(self, file: TextIO, size: Size | None = None) -> None:
        self._file = file
        self._size = size or (lambda: os.get_terminal_size(file.fileno()))
        self._widths: list[int] = []  # of the rows that may be replaced
        self._shown: tuple[str, int] = ("", 0)

    def show(self, text: str, settled: int = 0) -> None:
        """Replace the text that may change.

        Parameters
        ----------
        text : str
        settled : int >= 0
            Characters at its beginning that will not change.
        """
        columns, lines = self._window()
        text = _printable(text)
        rows = wrap(text, max(1, columns - 1))[-max(1, lines - 1) :]  # more could not be replaced
        content = "\n".join(_styled(text, start, end, settled) for start, end in rows)
        self._write(self._erasing() + content)
        self._widths = [display_width(text[start:end]) for start, end in rows]
        self._shown = text, settled

    def finish(self, text: str) -> None:
        """Replace it by final text."""
        columns, _ = self._window()
        text = _printable(text)
        rows = wrap(text, max(1, columns - 1))
        self._write(self._erasing() + "".join(f"{text[start:end]}\n" for start, end in rows))
        self._widths, self._shown = [], ("", 0)

    def hide(self) -> None:
        """Remove the text that may change, to write something else to the terminal; `redraw` brings it back."""
        self._write(self._erasing())
        self._widths = []

    def redraw(self) -> None:
        """Show what `hide` removed."""
        self.show(*self._shown)

    def _window(self) -> tuple[int, int]:
        columns, lines = self._size()
        return columns or 80, lines or 24  # some terminals report no size

    def _erasing(self) -> str:
        """Removes the text that may change; the cursor is at its end."""
        if not self._widths:
            return ""
        columns, lines = self._window()
        rows = sum(max(1, -(-width // columns)) for width in self._widths)
        up = min(rows, lines) - 1
        return (_UP.format(up) if up else "") + _ERASE_BELOW

    def _write(self, content: str) -> None:
        self._file.write(content)
        self._file.flush()


def _printable(text: str) -> str:
    """Without control characters, which would move the cursor; of the same length."""
    return "".join(" " if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one for one in text)


def _styled(text: str, start: int, end: int, settled: int) -> str:
    cut = min(max(start, settled), end)
    return text[start:cut] + (f"{_DIM}{text[cut:end]}{_NORMAL}" if cut < end else "")


def wrap(text: str, columns: int) -> list[tuple[int, int]]:
    """Start and end of each row of a text: as many words as fit, and at least a character.

    A character of Chinese, Japanese or Korean has two columns, a combining mark none. Characters of scripts without
    spaces are words.
    """
    rows: list[tuple[int, int]] = []
    for start, end in cut_words(text):
        for first, last in _pieces(text, start, end, columns):
            if rows and display_width(text[rows[-1][0] : last]) <= columns:
                rows[-1] = rows[-1][0], last
            else:
                rows.append((first, last))
    return rows


def _pieces(text: str, start: int, end: int, columns: int) -> list[tuple[int, int]]:
    """A word in pieces that are no wider than a row."""
    pieces, first, width = [], start, 0
    for place in range(start, end):
        more = display_width(text[place])
        if width + more > columns and place > first:
            pieces.append((first, place))
            first, width = place, 0
        width += more
    return [*pieces, (first, end)]
