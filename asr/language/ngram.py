"""A backoff n-gram model over words or characters, scored for many hypotheses in one call.

Training is in `ngram_training`, ARPA files in `arpa`, the layout of its own file in `ngram_file`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.errors import LanguageModelError
from asr.language.trie import NOT_FOUND, ROOT, IntArray, Trie
from asr.settings.language import LanguageUnit

UNKNOWN, START, END = 0, 1, 2
SPECIAL_WORDS = ("<unk>", "<s>", "</s>")
SPACE_WORD = "<space>"
"""the space in a model over characters"""

# Natural log-probabilities this far below the highest share the lowest bins when they are quantized.
_QUANTIZED_RANGE = 25.0

States = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Quantized:
    """Numbers stored in one byte each, and the table of their values."""

    codes: npt.NDArray[np.uint8]
    values: npt.NDArray[np.float32]
    """[shape=(at most 256,)]"""

    def __getitem__(self, index: Any) -> npt.NDArray[np.float32]:
        numbers: npt.NDArray[np.float32] = self.values[self.codes[index]]
        return numbers

    def __len__(self) -> int:
        return len(self.codes)


Numbers = npt.NDArray[np.float32] | Quantized


@dataclass(frozen=True)
class NgramModel:
    """An n-gram language model.

    Parameters
    ----------
    unit : LanguageUnit
        Whether its words are words or single characters.
    words : sequence of str
        The vocabulary by number; the first three are `SPECIAL_WORDS`.
    trie : Trie
        Every n-gram as a path of word numbers; node `1 + word` is the word alone.
    log_probs : float32 [shape=(nodes,)] or Quantized, per order
        Natural log-probability of the last word of each n-gram after the words before it.
    backoffs : the same, for every order but the highest
        Natural log of the backoff weight: added to the log-probability in the shorter context where the longer
        context has no n-gram with the word.

    Notes
    -----
    Source: S. Katz, "Estimation of Probabilities from Sparse Data", IEEE ASSP 35(3), 1987, equation 17.
    """

    unit: LanguageUnit
    words: Sequence[str]
    trie: Trie
    log_probs: tuple[Numbers, ...]
    backoffs: tuple[Numbers, ...]

    @property
    def order(self) -> int:
        """Words of the longest n-gram."""
        return len(self.log_probs)

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of n-grams of each order."""
        return tuple(len(level) for level in self.log_probs)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each word."""
        return dict(zip(self.words, range(len(self.words)), strict=True))

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        """The first node of each order, and the end."""
        return tuple(np.cumsum([ROOT + 1, *self.counts]).tolist())

    def begin(self, count: int) -> States:
        """The state at the start of a sentence, for that many hypotheses.

        Returns
        -------
        int64 [shape=(count, order - 1)]
            Column `k` is the node of the last `k + 1` words, or `NOT_FOUND` where the model knows no such n-gram.
        """
        states = np.full((count, self.order - 1), NOT_FOUND, np.int64)
        states[:, :1] = ROOT + 1 + START
        return states

    def score(self, states: States, words: IntArray) -> tuple[npt.NDArray[np.float64], States]:
        """The next word of some hypotheses.

        Parameters
        ----------
        states : int64 [shape=(hypotheses, order - 1)]
        words : int [shape=(hypotheses,)]
            Word numbers; `UNKNOWN` for any word that is not in the vocabulary.

        Returns
        -------
        log_probs : float64 [shape=(hypotheses,)]
            Natural log-probability of each word in its context.
        states : int64 [shape=(hypotheses, order - 1)]
            After that word.
        """
        words = np.asarray(words, np.int64)
        after = np.full_like(states, NOT_FOUND)
        found = ROOT + 1 + words
        after[:, :1] = found[:, None]
        log_probs = self.log_probs[0][words].astype(np.float64)
        penalty = np.zeros(len(words))
        for level in range(1, self.order):
            context = states[:, level - 1]
            found = self.trie.find(context, words)
            if level < self.order - 1:
                after[:, level] = found
            seen = np.flatnonzero(found != NOT_FOUND)
            log_probs[seen] = self.log_probs[level][found[seen] - self._starts[level]]
            penalty[seen] = 0
            unseen = np.flatnonzero((found == NOT_FOUND) & (context != NOT_FOUND))
            penalty[unseen] += self.backoffs[level - 1][context[unseen] - self._starts[level - 1]]
        return log_probs + penalty, after

    def score_running(self, numbers: IntArray) -> npt.NDArray[np.float64]:
        """Every word of a running text in its context, all at once.

        Parameters
        ----------
        numbers : int [shape=(words,)]
            Sentence after sentence, each from `START` to `END`.

        Returns
        -------
        float64 [shape=(words,)]
            Natural log-probabilities; 0 for `START`.
        """
        numbers = np.asarray(numbers, np.int64)
        # The states of all places at once: the node of the last word, of the last two, and so on.
        nodes = np.full((len(numbers), max(self.order - 1, 1)), NOT_FOUND, np.int64)
        nodes[:, 0] = ROOT + 1 + numbers
        for level in range(1, self.order - 1):
            before = np.where(numbers[1:] == START, NOT_FOUND, nodes[:-1, level - 1])
            nodes[1:, level] = self.trie.find(before, numbers[1:])
        asked = np.flatnonzero(numbers != START)
        scores = np.zeros(len(numbers))
        scores[asked] = self.score(nodes[asked - 1, : self.order - 1], numbers[asked])[0]
        return scores

    def score_text(self, words: Sequence[str]) -> npt.NDArray[np.float64]:
        """Natural log-probabilities of the words of a sentence one by one, and of its end.

        Examples
        --------
        >>> model.score_text("the cat sat".split()).sum()  # doctest: +SKIP
        -14.2
        """
        numbers = [START, *(self.numbers.get(word, UNKNOWN) for word in words), END]
        return self.score_running(np.array(numbers))[1:]


def check_words(path: str | Path, words: Iterable[str]) -> None:
    """Refuse a language model without words, which would score all words alike.

    Raises
    ------
    LanguageModelError
        If there is no word but the special ones.
    """
    if {*SPECIAL_WORDS, SPACE_WORD}.issuperset(words):  # which ends at the first other word
        raise LanguageModelError(
            path,
            f"has no words but {', '.join(SPECIAL_WORDS)}: make it again (`asr lm TEXT`; min_count=1 keeps rare words)",
        )


def quantize(numbers: npt.NDArray[np.float32]) -> Quantized:
    """Round numbers to 256 values, each the mean of a bin.

    Half of the bins follow how many numbers there are (M. Federico and N. Bertoldi, "How Many Bits Are Needed To Store
    Probabilities for Phrase-Based Translation?", WMT 2006, section 3: every bin has as many), half the range of the
    numbers. Equal shares alone would have few bins for the few n-grams of high probability, which a language model
    that is adapted to some commands is about.
    """
    distinct, codes, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    if len(distinct) <= 256:
        return Quantized(codes.astype(np.uint8), distinct.astype(np.float32))
    share = (np.cumsum(counts) - counts / 2) / len(numbers)
    value = np.maximum(distinct - distinct[-1], -_QUANTIZED_RANGE).astype(np.float64)
    value = 1 - value / value[0]
    bins = np.unique(((share + value) / 2 * 255.999).astype(np.int64), return_inverse=True)[1]
    weights = np.bincount(bins, weights=counts)
    values = np.bincount(bins, weights=counts * distinct.astype(np.float64)) / weights
    return Quantized(bins[codes].astype(np.uint8), values.astype(np.float32))
