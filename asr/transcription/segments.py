"""Groups words into subtitles: short enough to read, long enough to be seen, cut where the speaker pauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from asr.transcription.transcriber import Word

LINE_CHARACTERS, LINES = 42, 2
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

    @property
    def text(self) -> str:
        """The lines as one."""
        return " ".join(self.lines)


def make_segments(words: Sequence[Word], *, separator: str = " ") -> list[Segment]:
    """Cut a transcript into subtitles.

    Parameters
    ----------
    words : sequence of Word
    separator : str
        What stands between two words; "" for scripts written without spaces.

    Returns
    -------
    list of Segment
        In order, never at the same time. Two lines of 42 characters at most, 1 to 7 seconds, 20 characters a second or
        fewer where the speaker leaves room for it; of all such divisions the one that cuts best in pauses. (A word that
        is longer than all of this is a subtitle of its own.)

    Notes
    -----
    The limits are those of Netflix's and the BBC's subtitle guidelines.
    """
    if not words:
        return []
    ends = _best_ends(words, separator)
    groups = [words[start:end] for start, end in pairwise([0, *ends])]
    starts = [group[0].start for group in groups]
    segments = []
    for group, start, after in zip(groups, starts, [*starts[1:], float("inf")], strict=True):
        lines = _break_lines(group, separator)
        wanted = max(SHORTEST_SECONDS, sum(map(len, lines)) / CHARACTERS_A_SECOND)
        end = max(group[-1].end, min(start + wanted, after - _GAP_SECONDS))
        segments.append(Segment(start, round(min(end, max(after, group[-1].start)), 3), lines, tuple(group)))
    return segments


def _best_ends(words: Sequence[Word], separator: str) -> list[int]:
    """The ends of the cheapest division, by dynamic programming over where the last cut is."""
    costs = [0.0] + [float("inf")] * len(words)
    previous = [0] * (len(words) + 1)
    for end in range(1, len(words) + 1):
        pause = words[end].start - words[end - 1].end if end < len(words) else _LONGEST_PAUSE
        for start in range(end - 1, -1, -1):
            group = words[start:end]
            alone = end - start == 1
            if not alone and not _fits(group, separator):
                break
            cost = costs[start] + _cost(group, separator) - _PAUSE_WORTH * min(max(pause, 0.0), 1.0)
            if cost < costs[end]:
                costs[end], previous[end] = cost, start
    ends = []
    end = len(words)
    while end:
        ends.append(end)
        end = previous[end]
    return ends[::-1]


def _fits(group: Sequence[Word], separator: str) -> bool:
    return (
        group[-1].end - group[0].start <= LONGEST_SECONDS
        and group[1].start - group[0].end < _LONGEST_PAUSE
        and len(_break_lines(group, separator)) <= LINES
        and max(map(len, _break_lines(group, separator))) <= LINE_CHARACTERS
    )


def _cost(group: Sequence[Word], separator: str) -> float:
    seconds = max(group[-1].end - group[0].start, 0.1)
    characters = len(separator.join(word.text for word in group))
    too_fast = max(0.0, characters / max(seconds, SHORTEST_SECONDS) - CHARACTERS_A_SECOND)
    return _COST + _TOO_SHORT_COST * max(0.0, SHORTEST_SECONDS - seconds) + _TOO_FAST_COST * too_fast


def _break_lines(group: Sequence[Word], separator: str) -> tuple[str, ...]:
    """One line if that is enough, else two of about one length, else as many as it takes."""
    texts = [word.text for word in group]
    whole = separator.join(texts)
    if len(whole) <= LINE_CHARACTERS or len(texts) == 1:
        return (whole,)
    halves = [(separator.join(texts[:cut]), separator.join(texts[cut:])) for cut in range(1, len(texts))]
    best = min(halves, key=lambda lines: max(map(len, lines)))
    if max(map(len, best)) <= LINE_CHARACTERS:
        return best
    lines = [texts[0]]
    for text in texts[1:]:
        longer = lines[-1] + separator + text
        if len(longer) <= LINE_CHARACTERS:
            lines[-1] = longer
        else:
            lines.append(text)
    return tuple(lines)
