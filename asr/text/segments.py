"""Cuts words into subtitles: short enough to read, shown long enough, cut where sentences end or the speaker pauses."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

from asr.text.words import one_line

LINE_CHARACTERS, LINES = 42, 2
"""characters of a line; one of Chinese, Japanese or Korean is as wide as two (see `display_width`)"""
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 7.0
CHARACTERS_A_SECOND = 20.0
# Between two subtitles: two frames of film.
_GAP_SECONDS = 0.08
# No subtitle continues over a pause this long: it would show words long before they are spoken.
_LONGEST_PAUSE = 2.0
# The cost of a subtitle, and the gain of a cut in a pause of one second.
_COST, _PAUSE_GAIN = 1.0, 2.0
_TOO_SHORT_COST, _TOO_FAST_COST = 0.5, 0.05
# The gain of a cut behind a punctuation mark: that of a pause of 0.6 s at the end of a sentence, of 0.3 s elsewhere.
_SENTENCE_GAIN, _CLAUSE_GAIN = 1.2, 0.6
_SENTENCE_ENDS = (".", "?", "!", "\u2026", "\u3002", "\uff1f", "\uff01")
_CLAUSE_ENDS = (",", ";", ":", "\u2013", "\u2014")
_OPENING = "\"'([\u201c\u2018\u00ab\u201e"
# A full stop behind these belongs to the word: a name follows. "a.m." and "I." are not among them: they end sentences.
_TITLES = frozenset(
    (
        "mr", "mrs", "ms", "mx", "messrs", "dr", "prof", "rev", "fr", "st", "ste", "hon", "gov", "sen", "rep",
        "gen", "col", "lt", "capt", "cpt", "maj", "sgt", "cpl", "hr", "sra", "srta", "sig", "mme", "mlle", "dipl",
    )
)  # fmt: skip
_INITIALS = re.compile(r"(?!I\.$)(?:[^\W\d_]\.)+")
_CLOSING = "\"')]\u201d\u2019\u00bb"
"""may follow a punctuation mark"""
_BEFORE_MARKS = re.compile(f"(.*?)([{re.escape(''.join((*_SENTENCE_ENDS, *_CLAUSE_ENDS)) + _CLOSING)}]*)", re.DOTALL)
_DOUBTFUL = re.compile(r"\[(.*)\?\]", re.DOTALL)


class TimedWord(Protocol):
    """A word with its time in seconds, such as a `Word` of a transcript."""

    @property
    def text(self) -> str: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Cue:
    """A subtitle, and which words it shows."""

    first: int
    """index of its first word"""
    last: int
    """index after its last word"""
    start: float
    """seconds, to the millisecond"""
    end: float
    lines: tuple[str, ...]
    text: str
    """the lines as one"""


def doubtful(word: str) -> str:
    """A word that is marked as perhaps wrong.

    Examples
    --------
    >>> doubtful("night"), doubtful("night,"), doubtful("night?")
    ('[night?]', '[night?],', '[night?]?')
    """
    match = _BEFORE_MARKS.fullmatch(word)
    bare, marks = (word, "") if match is None or not match[1] else (match[1], match[2])
    return f"[{bare}?]{marks}"


def display_width(text: str) -> int:
    """Width of a text in characters of a fixed width: a wide character counts as two, a combining mark as none.

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


def cut_cues(words: Sequence[TimedWord], spaces: Sequence[str], until: float = float("inf")) -> list[Cue]:
    """Cut a transcript into subtitles.

    Parameters
    ----------
    words : sequence of TimedWord
    spaces : sequence of str
        What precedes each word: a space, or "" in scripts without spaces. Of the same length; the first is ignored.
    until : float
        Seconds at which the recording ends: the last subtitle is not shown longer, but as long as its words are.

    Returns
    -------
    list of Cue
        In order, without overlap. Two lines of 42 characters at most (of 21 wide ones), 1 to 7 seconds, 20 characters a
        second or fewer if the pauses leave time for it; of all such divisions, the one with the best cuts: at ends of
        sentences, at other punctuation marks, and in pauses. A word that exceeds these limits is a subtitle of its own.
        Words that show nothing make no subtitle.

    Notes
    -----
    The limits are those of Netflix's and the BBC's subtitle guidelines.
    """
    if not words:
        return []
    row = _Row(words, spaces)
    bounds = list(pairwise([0, *_best_ends(row)]))
    cues = []
    for (first, last), (after, _) in zip(bounds, [*bounds[1:], (len(words), 0)], strict=True):
        start, following = words[first].start, words[after].start if after < len(words) else until + _GAP_SECONDS
        lines = row.lines(first, last)
        wanted = max(SHORTEST_SECONDS, sum(map(display_width, lines)) / CHARACTERS_A_SECOND)
        end = max(words[last - 1].end, min(start + wanted, following - _GAP_SECONDS))
        if after < len(words):
            end = min(end, max(following, words[last - 1].start))
        shown = tuple(line for one in lines if (line := one_line(one)))
        if shown:
            cues.append(Cue(first, last, round(start, 3), round(end, 3), shown, one_line(row.text(first, last))))
    return cues


class _Row:
    """Words in one line: what precedes each, and the columns where it starts and ends."""

    def __init__(self, words: Sequence[TimedWord], before: Sequence[str]) -> None:
        self.words = words
        self._before = before
        widths = [display_width(word.text) for word in words]
        gaps = map(display_width, before)
        self.ends = list(accumulate(width + gap for width, gap in zip(widths, gaps, strict=True)))
        self.starts = [end - width for end, width in zip(self.ends, widths, strict=True)]
        # Index after the last word that fits on a line that starts with each word; its own, if it is wider than a line.
        self._room = [bisect_right(self.ends, start + LINE_CHARACTERS) for start in self.starts]

    def text(self, first: int, last: int) -> str:
        some = zip(self._before[first + 1 : last], self.words[first + 1 : last], strict=True)
        return self.words[first].text + "".join(before + word.text for before, word in some)

    def width(self, first: int, last: int) -> int:
        """Width of the words `first` to `last - 1` on one line."""
        return self.ends[last - 1] - self.starts[first]

    def room(self, first: int) -> int:
        """Index after the last word that fits into a subtitle that starts with the word `first`."""
        for _ in range(LINES):
            if first < len(self.words):
                first = self._room[first]
        return first

    def lines(self, first: int, last: int) -> tuple[str, ...]:
        """One line if the words fit, else two of similar width."""
        if self.width(first, last) <= LINE_CHARACTERS or last - first == 1:
            return (self.text(first, last),)
        cut = min(range(first + 1, last), key=lambda cut: max(self.width(first, cut), self.width(cut, last)))
        return self.text(first, cut), self.text(cut, last)


def _best_ends(row: _Row) -> list[int]:
    """The ends of the division of lowest cost, by dynamic programming over the position of the last cut."""
    words = row.words
    costs = [0.0] + [float("inf")] * len(words)
    previous = [0] * (len(words) + 1)
    room = [row.room(first) for first in range(len(words))]
    long_pause = [after.start - before.end >= _LONGEST_PAUSE for before, after in pairwise(words)]
    for end in range(1, len(words) + 1):
        until = words[end - 1].end
        pause = words[end].start - until if end < len(words) else _LONGEST_PAUSE
        gain = _PAUSE_GAIN * min(max(pause, 0.0), 1.0) + _mark_gain(words[end - 1].text)
        for start in range(end - 1, -1, -1):
            seconds = until - words[start].start
            # A single word is always allowed, whatever its length.
            if start < end - 1 and (seconds > LONGEST_SECONDS or long_pause[start] or end > room[start]):
                break
            cost = costs[start] + _cost(seconds, row.width(start, end)) - gain
            if cost < costs[end]:
                costs[end], previous[end] = cost, start
    ends = []
    end = len(words)
    while end:
        ends.append(end)
        end = previous[end]
    return ends[::-1]


def _mark_gain(word: str) -> float:
    """The gain of a cut behind a word, by the punctuation mark at its end."""
    word = _DOUBTFUL.sub(r"\1", word).rstrip(_CLOSING)
    if _belongs_to_a_name(word.lstrip(_OPENING)):
        return 0.0
    return _SENTENCE_GAIN if word.endswith(_SENTENCE_ENDS) else _CLAUSE_GAIN if word.endswith(_CLAUSE_ENDS) else 0.0


def _belongs_to_a_name(word: str) -> bool:
    """Whether a word is a title or initials before a name, whose full stop ends no sentence."""
    is_initials = word.isupper() and _INITIALS.fullmatch(word) is not None
    return word.endswith(".") and (is_initials or word[:-1].lower() in _TITLES)


def _cost(seconds: float, width: int) -> float:
    long_enough = max(seconds, SHORTEST_SECONDS)
    too_fast = max(0.0, width / long_enough - CHARACTERS_A_SECOND)
    return _COST + _TOO_SHORT_COST * (long_enough - max(seconds, 0.1)) + _TOO_FAST_COST * too_fast
