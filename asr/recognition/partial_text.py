"""Chooses the words of a growing text that are shown, so that few of them have to be withdrawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile


class PartialText:
    """The words of a segment that are shown.

    A word is shown when two results in a row have it in the same place after the same words. A shown word is replaced
    or withdrawn when two results in a row lack it there.

    Notes
    -----
    Source: local agreement as in D. Liu, G. Spanakis, J. Niehues, "Low-Latency Sequence-to-Sequence Speech Recognition
    and Translation by Partial Hypothesis Selection", Interspeech 2020.
    """

    def __init__(self) -> None:
        self.words: tuple[str, ...] = ()
        """those that are shown"""
        self._last: tuple[str, ...] = ()
        self._was_lacking = False

    def update(self, words: Sequence[str], *, growing: bool = False, settled: int = 0) -> None:
        """Take the next result.

        Parameters
        ----------
        words : sequence of str
            Those of the best text that are complete.
        growing : bool
            Whether an incomplete word follows: a shown word in its place stays.
        settled : int >= 0
            The number of words that cannot change: they are shown at once.
        """
        now = tuple(words)
        agreed = max(_common(self._last, now), settled)
        kept = _common(self.words, now)
        is_lacking = kept < len(self.words) and not (growing and kept == len(now) == len(self.words) - 1)
        if kept == len(self.words):
            self.words = now[: max(agreed, kept)]
        elif kept < settled or (is_lacking and self._was_lacking):
            self.words = now[:agreed]
        self._last, self._was_lacking = now, is_lacking


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the common beginning."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))))
