"""What the tagger reads of each word: its number in a vocabulary, and hashed pieces, so that any spelling works."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]

PAUSES = (0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.1)
"""limits in seconds between the classes of pauses"""
PAUSE_CLASSES = len(PAUSES) + 2
"""with class 0, an unknown pause"""
SLOTS = 6
"""numbers of a word: its own, and those of its pieces"""
UNKNOWN = 0


class Features:
    """Numbers of words.

    Parameters
    ----------
    vocabulary : sequence of str
        Distinct words in lower case; their numbers begin at 1, 0 is any other word.
    buckets : int > 0
        Pieces are hashed into so many numbers behind the vocabulary's.
    """

    def __init__(self, vocabulary: Sequence[str], buckets: int) -> None:
        self.vocabulary = tuple(vocabulary)
        self.buckets = buckets
        self._known: dict[str, tuple[int, ...]] = {}

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return 1 + len(self.vocabulary) + self.buckets

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """Of the words of the vocabulary."""
        return {word: number for number, word in enumerate(self.vocabulary, start=1)}

    def of_word(self, word: str) -> tuple[int, ...]:
        """The word's number, then those of its first three and four, last two and three letters, and all of them."""
        pieces = (f"<{word[:3]}", f"<{word[:4]}", f"{word[-2:]}>", f"{word[-3:]}>", f"<{word}>")
        first = 1 + len(self.vocabulary)
        return (
            self.numbers.get(word, UNKNOWN),
            *(first + zlib.crc32(piece.encode("utf-8")) % self.buckets for piece in pieces),
        )

    def of_words(self, words: Iterable[str]) -> Ints:
        """Numbers [shape=(words, SLOTS)]."""
        known, rows = self._known, []
        for word in words:
            row = known.get(word)
            if row is None:
                if len(known) >= 1 << 18:  # a bound on memory
                    known.clear()
                row = known[word] = self.of_word(word)
            rows.append(row)
        return np.array(rows, np.int32).reshape(len(rows), SLOTS)


def pause_classes(seconds: npt.ArrayLike) -> Ints:
    """Classes of pauses [shape=(words,)]; NaN, an unknown pause, is class 0."""
    values = np.asarray(seconds, np.float64)
    classes = np.searchsorted(np.array(PAUSES), values, side="right").astype(np.int32) + 1
    return np.where(np.isnan(values), 0, classes).astype(np.int32)
