"""Groups words into subtitles: short enough to read, long enough to be seen, cut where the speaker pauses."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from asr.text.transcript import Word

LINE_CHARACTERS, LINES = 42, 2
"""characters of a line; one of Chinese, Japanese or Korean is as wide as two (see `display_width`)"""
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 7.0
CHARACTERS_A_SECOND = 20.0
# Between two subtitles: two frames of film.
_GAP_SECONDS = 0.08
# No subtitle goes on over a pause this long: the eye would read ahead of the ear.
_LONGEST_PAUSE = 2.0
# What a subtitle costs, and what cutting in a pause of a second is worth.
_COST, _PAUSE_WORTH = 1.0, 2.0
_TOO_SHORT_COST, _TOO_FAST_COST = 0.5, 0.05


@dataclass(frozen=True, slots=True)
class Segment:
    """A subtitle."""

    start: float
    """seconds"""
    end: float
    lines: tuple[str, ...]
    words: tuple[Word, ...]
    text: str
    """the lines as one"""


def display_width(text: str) -> int:
    """How many characters of a fixed width a text takes: two for a wide one, none for a mark on another one.

    Notes
    -----
    Source: Unicode Standard Annex 11, East Asian Width.
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(one) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def make_segments(words: Sequence[Word], *, separator: str | Sequence[str] = " ") -> list[Segment]:
    """Cut a transcript into subtitles.

    Parameters
    ----------
    words : sequence of Word
    separator : str or sequence of str
        What stands between two words, or what stands before each of them; "" where a script has no spaces.

    Returns
    -------
    list of Segment
        In order, never at the same time. Two lines of 42 characters at most (of 21 wide ones), 1 to 7 seconds, 20
        characters a second or fewer where the speaker leaves room for it; of all such divisions the one that cuts best
        in pauses. (A word that is longer than all of this is a subtitle of its own.)

    Notes
    -----
    The limits are those of Netflix's and the BBC's subtitle guidelines.
    """
    if not words:
        return []
    row = _Row(words, [separator] * len(words) if isinstance(separator, str) else separator)
    bounds = list(pairwise([0, *_best_ends(row)]))
    segments = []
    for (first, last), (after, _) in zip(bounds, [*bounds[1:], (len(words), 0)], strict=True):
        group = words[first:last]
        start, following = group[0].start, words[after].start if after < len(words) else float("inf")
        lines = row.lines(first, last)
        wanted = max(SHORTEST_SECONDS, sum(map(display_width, lines)) / CHARACTERS_A_SECOND)
        end = max(group[-1].end, min(start + wanted, following - _GAP_SECONDS))
        end = round(min(end, max(following, group[-1].start)), 3)
        segments.append(Segment(start, end, lines, tuple(group), row.text(first, last)))
    return segments


class _Row:
    """Words, what stands before each, and where they are if they are written in one line."""

    def __init__(self, words: Sequence[Word], before: Sequence[str]) -> None:
        self.words = words
        self._before = before
        widths = [display_width(word.text) for word in words]
        gaps = map(display_width, before)
        self.ends = list(accumulate(width + gap for width, gap in zip(widths, gaps, strict=True)))
        self.starts = [end - width for end, width in zip(self.ends, widths, strict=True)]
        # A line that begins with a word has room for all before this one: for none, if the word alone is too wide.
        self._room = [bisect_right(self.ends, start + LINE_CHARACTERS) for start in self.starts]

    def text(self, first: int, last: int) -> str:
        some = zip(self._before[first + 1 : last], self.words[first + 1 : last], strict=True)
        return self.words[first].text + "".join(before + word.text for before, word in some)

    def width(self, first: int, last: int) -> int:
        """Of the words `first` to `last - 1` on a line."""
        return self.ends[last - 1] - self.starts[first]

    def room(self, first: int) -> int:
        """The words from `first` on that a subtitle has room for end before this one."""
        for _ in range(LINES):
            if first < len(self.words):
                first = self._room[first]
        return first

    def lines(self, first: int, last: int) -> tuple[str, ...]:
        """One line if that is enough, else two of about one width, else as many as it takes."""
        if self.width(first, last) <= LINE_CHARACTERS or last - first == 1:
            return (self.text(first, last),)
        cut = min(range(first + 1, last), key=lambda cut: max(self.width(first, cut), self.width(cut, last)))
        return self.text(first, cut), self.text(cut, last)


def _best_ends(row: _Row) -> list[int]:
    """The ends of the cheapest division, by dynamic programming over where the last cut is."""
    words = row.words
    costs = [0.0] + [float("inf")] * len(words)
    previous = [0] * (len(words) + 1)
    room = [row.room(first) for first in range(len(words))]
    long_pause = [after.start - before.end >= _LONGEST_PAUSE for before, after in pairwise(words)]
    for end in range(1, len(words) + 1):
        until = words[end - 1].end
        pause = words[end].start - until if end < len(words) else _LONGEST_PAUSE
        worth = _PAUSE_WORTH * min(max(pause, 0.0), 1.0)
        for start in range(end - 1, -1, -1):
            seconds = until - words[start].start
            # A word alone is a subtitle, whatever its length.
            if start < end - 1 and (seconds > LONGEST_SECONDS or long_pause[start] or end > room[start]):
                break
            cost = costs[start] + _cost(seconds, row.width(start, end)) - worth
            if cost < costs[end]:
                costs[end], previous[end] = cost, start
    ends = []
    end = len(words)
    while end:
        ends.append(end)
        end = previous[end]
    return ends[::-1]


def _cost(seconds: float, width: int) -> float:
    long_enough = max(seconds, SHORTEST_SECONDS)
    too_fast = max(0.0, width / long_enough - CHARACTERS_A_SECOND)
    return _COST + _TOO_SHORT_COST * (long_enough - max(seconds, 0.1)) + _TOO_FAST_COST * too_fast
