"""Scores of hypotheses beyond the acoustic model: language models, word lists and hot words, behind one interface."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from asr.decoding.hotwords import HotWords
from asr.language.lexicon import Lexicon
from asr.language.ngram import END, UNKNOWN, NgramModel
from asr.language.trie import NOT_FOUND, ROOT

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]

# An odd number with well-mixed bits, and a shift.
_FACTOR, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)

IMPOSSIBLE = -1e30
"""stands for a log-probability of minus infinity in sums, which it keeps free of NaN"""


def mix(hashes: Hashes, numbers: Ints | Hashes) -> Hashes:
    """Hashes of 64 bits of sequences of numbers, each longer by one."""
    mixed = (hashes + numbers.astype(np.uint64) + np.uint64(1)) * _FACTOR
    return mixed ^ (mixed >> _SHIFT)


def mix_columns(numbers: Ints) -> Hashes:
    """Hashes of 64 bits of the rows of a matrix."""
    hashes = np.zeros(len(numbers), np.uint64)
    for column in numbers.T:
        hashes = mix(hashes, column)
    return hashes


class Scorer(Protocol):
    """Adds to the scores of hypotheses as they grow by a symbol. Its states are arrays, a row for each hypothesis."""

    @property
    def forgets(self) -> bool:
        """Whether the state depends on the last few symbols only, so that different texts reach the same state."""

    def begin(self, count: int) -> Any:
        """The states of that many empty hypotheses."""

    def extend(self, states: Any, slots: Ints, symbols: Ints, readings: Ints) -> tuple[Floats, Any]:
        """The scores of candidates: hypothesis `slots[i]` is extended by `symbols[i]`.

        Parameters
        ----------
        states : anything
        slots, symbols : int64 [shape=(candidates,)]
        readings : int64 [shape=(candidates,)]
            Which of the words with one pronunciation is meant, where a word ends; else 0.

        Returns
        -------
        gains : float64 [shape=(candidates,)]
            Natural log; `IMPOSSIBLE` for candidates that are not allowed.
        extension : anything
            For `select`.
        """

    def futures(self, states: Any, extension: Any, slots: Ints) -> tuple[Hashes, Hashes]:
        """Hashes of the states: different wherever later scores may differ.

        Parameters
        ----------
        states, extension, slots
            As `extend` took and gave them.

        Returns
        -------
        uint64 [shape=(hypotheses,)], uint64 [shape=(candidates,)]
        """

    def take(self, states: Any, slots: Ints) -> Any:
        """A copy of the states of some hypotheses."""

    def select(self, states: Any, extension: Any, slots: Ints, candidates: Ints) -> Any:
        """The states of the hypotheses that are kept after a step.

        Parameters
        ----------
        states, extension
            Of `begin` or `select`, and of `extend`.
        slots : int64 [shape=(kept,)]
            Which hypothesis each was.
        candidates : int64 [shape=(kept,)]
            Which candidate it has become, or `NOT_FOUND` if it did not grow.
        """

    def finish(self, states: Any) -> Floats:
        """The scores of hypotheses for ending here, float64 [shape=(hypotheses,)]."""


@dataclass
class _WordStates:
    node: Ints
    """of the lexicon: the word so far; `NOT_FOUND` in a word that is not in it"""
    partial: Floats
    """the look-ahead score of the word so far"""
    ngram: Ints
    """the language model's state before the word"""
    context: Hashes
    """a hash of that state"""
    gain: Floats
    """the score for ending the word here; NaN until it is computed"""
    after: Ints
    """the language model's state after the word, where that score is computed"""


class WordScorer:
    """Scores words by a lexicon, a language model over words, or both, and partial words by their possible completions.

    Parameters
    ----------
    lexicon : Lexicon
        Made of `numbers`' words, weighted by their probability.
    numbers : int64 [shape=(words,)]
        The language model's number of each word of the lexicon; `UNKNOWN` for hot words that it lacks.
    model : NgramModel or None
    weight : float
        Of the language model.
    bonus : float
        Added for every word.
    unknown_score : float
        Added to the language model's log-probability of a word that the lexicon lacks.
    open_vocabulary : bool
        Whether there may be such words.
    space : int
        The number of the symbol between words.

    Notes
    -----
    The score of a partial word is the probability of all words that begin with it, by their unigram probabilities (the
    factored language model of S. Ortmanns, H. Ney, A. Eiden, "Language-Model Look-Ahead for Large Vocabulary Speech
    Recognition", ICSLP 1996, with a sum instead of the maximum); when the word ends, its own probability in its context
    replaces that score.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        numbers: Ints,
        model: NgramModel | None,
        *,
        weight: float,
        bonus: float,
        unknown_score: float,
        open_vocabulary: bool,
        space: int,
    ) -> None:
        self.lexicon, self._numbers, self._model = lexicon, numbers, model
        self._weight, self._bonus, self._unknown_score = weight, bonus, unknown_score
        self._open, self._space = open_vocabulary, space
        self._partial = np.zeros(len(lexicon.word))
        self._partial_unknown = 0.0
        if model is not None:
            unknown = float(model.log_probs[0][UNKNOWN]) + unknown_score
            total = np.logaddexp(np.log(np.maximum(lexicon.weight, 1e-300)), unknown if open_vocabulary else -np.inf)
            self._partial = weight * np.minimum(total, 0)
            self._partial[ROOT] = 0
            self._partial_unknown = weight * unknown

    forgets = True

    def number_at(self, node: int) -> int | None:
        """The language model's number of the word that ends at a node of the lexicon; None if none does."""
        word = NOT_FOUND if node == NOT_FOUND else int(self.lexicon.word[node])
        return None if word == NOT_FOUND else int(self._numbers[word])

    def begin(self, count: int) -> _WordStates:
        return _WordStates(
            np.full(count, ROOT, np.int64),
            np.zeros(count),
            np.zeros((count, 0), np.int64) if self._model is None else self._model.begin(count),
            np.zeros(count, np.uint64),
            np.full(count, np.nan),
            np.zeros((count, 0 if self._model is None else self._model.order - 1), np.int64),
        )

    def extend(
        self, states: _WordStates, slots: Ints, symbols: Ints, readings: Ints | None = None
    ) -> tuple[Floats, Any]:
        before = states.node[slots]
        nodes = self.lexicon.follow(before, symbols)
        partial = np.where(nodes == NOT_FOUND, self._partial_unknown, self._partial[nodes])
        gains = partial - states.partial[slots]
        if not self._open:
            gains[nodes == NOT_FOUND] = IMPOSSIBLE
        ended = symbols == self._space
        ends = ended.nonzero()[0]
        if len(ends):
            ending = slots[ends]
            self._end_words(states, ending)
            gains[ends] = states.gain[ending]
            nodes[ends], partial[ends] = ROOT, 0
        return gains, (nodes, partial, ended)

    def _end_words(self, states: _WordStates, slots: Ints) -> None:
        """Compute the scores for ending the words of some hypotheses, where they are not known yet."""
        new = slots[np.isnan(states.gain[slots])]
        if not len(new):
            return
        node = states.node[new]
        word = np.where(node == NOT_FOUND, NOT_FOUND, self.lexicon.word[node])
        gain = np.full(len(new), self._bonus, np.float64)
        if self._model is not None:
            number = np.where(word == NOT_FOUND, UNKNOWN, self._numbers[word])
            score, states.after[new] = self._model.score(states.ngram[new], number)
            score += np.where(word == NOT_FOUND, self._unknown_score, 0)
            gain += self._weight * score - states.partial[new]
        if not self._open:
            gain[word == NOT_FOUND] = IMPOSSIBLE
        gain[node == ROOT] = IMPOSSIBLE  # a space where no word has begun
        states.gain[new] = gain

    def futures(self, states: _WordStates, extension: Any, slots: Ints) -> tuple[Hashes, Hashes]:
        nodes, _, ended = extension
        context = states.context[slots]
        ends = ended.nonzero()[0]
        context[ends] = mix_columns(states.after[slots[ends]])
        return mix(states.context, states.node), mix(context, nodes)

    def take(self, states: _WordStates, slots: Ints) -> _WordStates:
        return _WordStates(
            states.node[slots],
            states.partial[slots],
            states.ngram[slots],
            states.context[slots],
            states.gain[slots],
            states.after[slots],
        )

    def select(self, states: _WordStates, extension: Any, slots: Ints, candidates: Ints) -> _WordStates:
        nodes, partial, ended = extension
        kept = self.take(states, slots)
        grown = (candidates != NOT_FOUND).nonzero()[0]
        chosen = candidates[grown]
        kept.node[grown], kept.partial[grown], kept.gain[grown] = nodes[chosen], partial[chosen], np.nan
        new_words = grown[ended[chosen]]
        kept.ngram[new_words] = kept.after[new_words]
        kept.context[new_words] = mix_columns(kept.ngram[new_words])
        return kept

    def finish(self, states: _WordStates) -> Floats:
        count = len(states.node)
        in_word = np.flatnonzero(states.node != ROOT)
        self._end_words(states, in_word)
        gains = np.zeros(count)
        gains[in_word] = states.gain[in_word]
        if self._model is not None:
            last = states.ngram.copy()
            last[in_word] = states.after[in_word]
            gains += self._weight * self._model.score(last, np.full(count, END))[0]
        return gains


class CharacterScorer:
    """Scores symbols by a language model over characters.

    Parameters
    ----------
    numbers : int64 [shape=(symbols,)]
        The language model's number of each symbol.
    model : NgramModel
    weight : float
        Of the language model.
    bonus : float
        Added for every symbol.
    """

    def __init__(self, numbers: Ints, model: NgramModel, *, weight: float, bonus: float) -> None:
        self._numbers, self._model, self._weight, self._bonus = numbers, model, weight, bonus

    forgets = True

    def begin(self, count: int) -> Ints:
        return self._model.begin(count)

    def extend(self, states: Ints, slots: Ints, symbols: Ints, readings: Ints | None = None) -> tuple[Floats, Ints]:
        scores, after = self._model.score(states[slots], self._numbers[symbols])
        return self._weight * scores + self._bonus, after

    def futures(self, states: Ints, extension: Ints, slots: Ints) -> tuple[Hashes, Hashes]:
        return mix_columns(states), mix_columns(extension)

    def take(self, states: Ints, slots: Ints) -> Ints:
        return states[slots]

    def select(self, states: Ints, extension: Ints, slots: Ints, candidates: Ints) -> Ints:
        return _select(states, extension, slots, candidates)

    def finish(self, states: Ints) -> Floats:
        return self._weight * self._model.score(states, np.full(len(states), END))[0]


class HotWordScorer:
    """Scores words and phrases that the user named.

    Parameters
    ----------
    hotwords : HotWords
    space : int or None
        The number of the symbol between words, if there is one.
    """

    def __init__(self, hotwords: HotWords, *, space: int | None) -> None:
        self._hotwords, self._space = hotwords, space

    forgets = False

    def begin(self, count: int) -> Ints:
        return np.full(count, self._hotwords.start, np.int64)

    def extend(self, states: Ints, slots: Ints, symbols: Ints, readings: Ints | None = None) -> tuple[Floats, Ints]:
        after, gains = self._hotwords.step(states[slots], symbols)
        return gains, after

    def futures(self, states: Ints, extension: Ints, slots: Ints) -> tuple[Hashes, Hashes]:
        return states.astype(np.uint64), extension.astype(np.uint64)

    def take(self, states: Ints, slots: Ints) -> Ints:
        return states[slots]

    def select(self, states: Ints, extension: Ints, slots: Ints, candidates: Ints) -> Ints:
        return _select(states, extension, slots, candidates)

    def finish(self, states: Ints) -> Floats:
        hotwords, gains = self._hotwords, np.zeros(len(states))
        if self._space is not None:  # the end of a recording is the end of a word
            states, gains = hotwords.step(states, np.full(len(states), self._space))
        return gains - hotwords.earned[states]


def _select(states: Ints, extension: Ints, slots: Ints, candidates: Ints) -> Ints:
    """See `Scorer.select`, of states and extensions that are one array each."""
    kept = states[slots]
    grown = (candidates != NOT_FOUND).nonzero()[0]
    kept[grown] = extension[candidates[grown]]
    return kept
