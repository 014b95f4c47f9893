"""Scores words that are decoded as phones or pieces: by a lexicon of their sequences and a language model over words.

A word ends where the next word-initial symbol begins. Of words that are pronounced alike, each is a hypothesis of its
own from there on: the language model chooses among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from asr.decoding.context import IMPOSSIBLE, Floats, Hashes, Ints, mix, mix_columns
from asr.decoding.history import History, Path
from asr.decoding.hotwords import HotWords
from asr.decoding.hypothesis import Hypothesis
from asr.decoding.pronunciation_lexicon import PronunciationLexicon
from asr.language.ngram import END, UNKNOWN, NgramModel
from asr.language.trie import NOT_FOUND, ROOT
from asr.runs import distinct

# A symbol and a reading as one number, as histories keep them: more symbols than any alphabet has.
_SYMBOLS = 1 << 24


def with_reading(symbols: Ints, readings: Ints) -> Ints:
    """Symbols, each with the reading of the word before it, as single numbers."""
    return symbols + readings * _SYMBOLS


def without_reading(numbers: Ints) -> tuple[Ints, Ints]:
    """The symbols and the readings of numbers that `with_reading` made."""
    return numbers % _SYMBOLS, numbers // _SYMBOLS


@dataclass
class _States:
    node: Ints
    """of the lexicon: the phones of the word so far"""
    partial: Floats
    """the look-ahead score of the word so far"""
    ngram: Ints
    """the language model's state before the word"""
    hot: Ints
    """of the hot words, before the word"""
    context: Hashes
    """distinguishes the states before the word"""


@dataclass
class _Extension:
    node: Ints
    partial: Floats
    ending: Ints
    """[shape=(candidates,)] row of `after`, or `NOT_FOUND` for a candidate that ends no word"""
    after: Ints
    """[shape=(endings, order - 1)] the language model's state after a word that ends"""
    hot: Ints
    """[shape=(endings,)] the state of the hot words after it"""
    context: Hashes
    """[shape=(endings,)] a hash of both"""


class PronunciationScorer:
    """Scores hypotheses over phones or pieces of words.

    Parameters
    ----------
    lexicon : PronunciationLexicon
        Weighted by the words' unigram probabilities.
    numbers : int64 [shape=(words,)]
        The language model's number of each word; `UNKNOWN` for words that it lacks.
    model : NgramModel or None
    weight : float
        Of the language model.
    bonus : float
        Added for every word.
    unknown_score : float
        Added to the language model's log-probability of an unknown word for a word that is cut off by the end of the
        recording, which is left out of the text.
    hotwords : HotWords, optional
        Over `hot_numbers`.
    hot_numbers : int64 [shape=(words,)], optional
        The number of each word in `hotwords`, 0 for words of no phrase.
    hot_shares : float64 [shape=(words,)], optional
        What each word adds to the look-ahead score: its part of the largest weight of a phrase with it, or 0.
    open_vocabulary : bool
        Whether there may be words that the lexicon lacks, spelled by their symbols; each has `unknown_score`.

    Notes
    -----
    The score of a partial word is the summed unigram probability of all words that it may become, as in `WordScorer`,
    or that of the best hot word among them with its share, if that is more.
    """

    forgets = True

    def __init__(
        self,
        lexicon: PronunciationLexicon,
        numbers: Ints,
        model: NgramModel | None,
        *,
        weight: float,
        bonus: float,
        unknown_score: float,
        hotwords: HotWords | None = None,
        hot_numbers: Ints | None = None,
        hot_shares: Floats | None = None,
        open_vocabulary: bool = False,
    ) -> None:
        self.lexicon, self._numbers, self._model = lexicon, numbers, model
        self._weight, self._bonus, self._unknown_score = weight, bonus, unknown_score
        self._open = open_vocabulary
        # The last entry is that of `NOT_FOUND`: words that the lexicon lacks.
        self._partial = np.zeros(len(lexicon.weight) + 1)
        if model is not None:
            unknown = float(model.log_probs[0][UNKNOWN]) + unknown_score
            total = np.log(np.maximum(lexicon.weight, 1e-300))
            if open_vocabulary:
                total = np.logaddexp(total, unknown)
            self._partial[:-1] = weight * np.minimum(total, 0)
            self._partial[ROOT], self._partial[NOT_FOUND] = 0, weight * unknown
        self._counts = np.append(lexicon.counts, 0)
        self._hotwords = hotwords or HotWords.of_sequences([], symbols=1)
        self._hot_numbers = np.zeros(len(numbers), np.int64) if hot_numbers is None else hot_numbers
        if hot_shares is not None:
            self._look_ahead_to(hot_shares)

    def with_hotwords(self, hotwords: HotWords, hot_numbers: Ints, hot_shares: Floats) -> PronunciationScorer:
        """This scorer, which has no hot words, with some of its words as hot words: in a hundredth of the time that
        making it takes.

        Parameters
        ----------
        hotwords, hot_numbers, hot_shares
            As for the class.
        """
        other = copy(self)
        other._partial = self._partial.copy()
        other._hotwords, other._hot_numbers = hotwords, hot_numbers
        other._look_ahead_to(hot_shares)
        return other

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each word that has a pronunciation among `lexicon.spellings`."""
        return {self.lexicon.spellings[place]: place for place in distinct(self.lexicon.words)[0].tolist()}

    def word_at(self, node: int, reading: int) -> tuple[str, int] | None:
        """The word that ends at a node of the lexicon, and its number in the language model; None if none does."""
        if node == NOT_FOUND or not self._counts[node]:
            return None
        word = int(self.lexicon.word(np.array(node), np.array(reading)))
        return self.lexicon.spellings[word], int(self._numbers[word])

    def _look_ahead_to(self, shares: Floats) -> None:
        """Raise the look-ahead scores on the way to hot words."""
        scores = shares.copy()
        if self._model is not None:
            scores += self._weight * np.asarray(self._model.log_probs[0][self._numbers], np.float64)
        ends = np.repeat(np.arange(len(self.lexicon.counts)), self.lexicon.counts)
        hot = shares[self.lexicon.words] > 0
        nodes, best = ends[hot], scores[self.lexicon.words[hot]]
        while len(nodes):
            np.maximum.at(self._partial, nodes, best)
            nodes = self.lexicon.parents[nodes]
            nodes, best = nodes[nodes != ROOT], best[nodes != ROOT]

    def begin(self, count: int) -> _States:
        return _States(
            np.full(count, ROOT, np.int64),
            np.zeros(count),
            np.zeros((count, 0), np.int64) if self._model is None else self._model.begin(count),
            np.full(count, self._hotwords.start, np.int64),
            np.zeros(count, np.uint64),
        )

    def readings(self, states: _States, slots: Ints, symbols: Ints) -> Ints:
        """The number of readings of each candidate: of the words that end before a word-initial phone, else 1."""
        counts = np.ones(len(slots), np.int64)
        initial = np.flatnonzero(self.lexicon.initial[symbols])
        node = states.node[slots[initial]]
        counts[initial] = np.where(node == ROOT, 1, np.maximum(self._counts[node], int(self._open)))
        return counts

    def extend(
        self, states: _States, slots: Ints, symbols: Ints, readings: Ints | None = None
    ) -> tuple[Floats, _Extension]:
        before, initial = states.node[slots], self.lexicon.initial[symbols]
        start = np.where(initial, ROOT, before)
        node = np.where(start == NOT_FOUND, NOT_FOUND, self.lexicon.follow(start, symbols))
        partial = self._partial[node]
        gains = partial - states.partial[slots]
        ending = np.full(len(slots), NOT_FOUND, np.int64)
        ends = np.flatnonzero(initial & (before != ROOT))
        after, hot = states.ngram[:0], states.hot[:0]
        if len(ends):
            assert readings is not None
            most = self.lexicon.most_readings
            keys, ending[ends] = distinct(slots[ends] * most + readings[ends])
            word_gains, after, hot = self._end_words(states, keys // most, keys % most)
            gains[ends] += word_gains[ending[ends]]
        if not self._open:
            gains[node == NOT_FOUND] = IMPOSSIBLE
        return gains, _Extension(node, partial, ending, after, hot, mix(mix_columns(after), hot))

    def _end_words(self, states: _States, slots: Ints, readings: Ints) -> tuple[Floats, Ints, Ints]:
        """The scores for ending the words of some hypotheses, without their look-ahead scores, and the states after."""
        node = states.node[slots]
        known = self._counts[node] > 0
        words = np.zeros(len(slots), np.int64)
        words[known] = self.lexicon.word(node[known], readings[known])
        hot_numbers = np.zeros(len(slots), np.int64)
        hot_numbers[known] = self._hot_numbers[words[known]]
        hot, gains = self._hotwords.step(states.hot[slots], hot_numbers)
        gains = gains + self._bonus
        if self._model is None:
            return gains, states.ngram[slots], hot
        numbers = np.full(len(slots), UNKNOWN, np.int64)
        numbers[known] = self._numbers[words[known]]
        scores, after = self._model.score(states.ngram[slots], numbers)
        return gains + self._weight * (scores + np.where(known, 0, self._unknown_score)), after, hot

    def futures(self, states: _States, extension: _Extension, slots: Ints) -> tuple[Hashes, Hashes]:
        context = states.context[slots]
        ends = np.flatnonzero(extension.ending != NOT_FOUND)
        context[ends] = extension.context[extension.ending[ends]]
        return mix(states.context, states.node), mix(context, extension.node)

    def take(self, states: _States, slots: Ints) -> _States:
        return _States(
            states.node[slots], states.partial[slots], states.ngram[slots], states.hot[slots], states.context[slots]
        )

    def select(self, states: _States, extension: _Extension, slots: Ints, candidates: Ints) -> _States:
        kept = self.take(states, slots)
        grown = np.flatnonzero(candidates != NOT_FOUND)
        chosen = candidates[grown]
        kept.node[grown], kept.partial[grown] = extension.node[chosen], extension.partial[chosen]
        ends = np.flatnonzero(extension.ending[chosen] != NOT_FOUND)
        endings, places = extension.ending[chosen[ends]], grown[ends]
        kept.ngram[places], kept.hot[places] = extension.after[endings], extension.hot[endings]
        kept.context[places] = extension.context[endings]
        return kept

    def finish(self, states: _States) -> Floats:
        slots, _, gains = self.endings(states)
        best = np.full(len(states.node), -np.inf)
        np.maximum.at(best, slots, gains)
        return best

    def endings(self, states: _States) -> tuple[Ints, Ints, Floats]:
        """The readings with which hypotheses can end here.

        Returns
        -------
        slots : int64 [shape=(endings,)]
            Hypotheses: at least one ending for each.
        readings : int64 [shape=(endings,)]
            Of the last word; `NOT_FOUND` where it is cut off.
        gains : float64 [shape=(endings,)]
        """
        words = np.where(states.node == ROOT, 0, self._counts[states.node])
        if self._open:  # what is no word of the lexicon is a word of its own
            words = np.where(states.node == ROOT, 0, np.maximum(words, 1))
        ways = np.maximum(words, 1)
        slots = np.repeat(np.arange(len(ways)), ways)
        readings = np.arange(len(slots)) - np.repeat(np.cumsum(ways) - ways, ways)
        ended = words[slots] > 0
        gains, after, hot = np.zeros(len(slots)), states.ngram[slots], states.hot[slots]
        gains[ended], after[ended], hot[ended] = self._end_words(states, slots[ended], readings[ended])
        gains -= self._hotwords.earned[hot]  # of phrases that are not finished
        cut_off = ~ended & (states.node[slots] != ROOT)
        gains[cut_off], readings[cut_off] = self._cut_off, NOT_FOUND
        return slots, readings, gains + self._end(after) - states.partial[slots]

    @property
    def _cut_off(self) -> float:
        unknown = 0.0 if self._model is None else float(self._model.log_probs[0][UNKNOWN])
        return self._weight * (unknown + self._unknown_score)

    def _end(self, ngram: Ints) -> Floats:
        """The weighted log-probability of the sentence's end."""
        if self._model is None:
            return np.zeros(len(ngram))
        result: Any = self._weight * self._model.score(ngram, np.full(len(ngram), END))[0]
        return np.asarray(result, np.float64)


def spell_words(path: Path, last_reading: int, lexicon: PronunciationLexicon, score: float) -> Hypothesis:
    """The text of a path of phones.

    Parameters
    ----------
    path : Path
        Symbols are those of `with_reading`.
    last_reading : int
        Of the last word; `NOT_FOUND` if it is cut off, and left out.
    lexicon : PronunciationLexicon
    score : float

    Returns
    -------
    Hypothesis
        The characters of a word share the steps of its phones, evenly; a space has that of the phone before it.
    """
    symbols, readings = without_reading(path.symbols)
    starts = np.flatnonzero(lexicon.initial[symbols])
    nodes = lexicon.read(symbols)
    ends = np.append(starts, len(symbols))[1:]
    words: list[str] = []
    steps: list[int] = []
    log_probs: list[float] = []
    for number, (start, end, node) in enumerate(zip(starts.tolist(), ends.tolist(), nodes.tolist(), strict=True)):
        reading = last_reading if number + 1 == len(starts) else int(readings[end])
        if reading == NOT_FOUND:
            break
        if words:
            steps.append(int(path.steps[start - 1]))
            log_probs.append(float(path.log_probs[start - 1]))
        word = lexicon.spellings[int(lexicon.word(np.array(node), np.array(reading)))]
        phones = start + np.arange(len(word)) * (end - start) // len(word)
        words.append(word)
        steps += path.steps[phones].tolist()
        log_probs += path.log_probs[phones].tolist()
    return Hypothesis(" ".join(words), score, tuple(steps), tuple(log_probs))


def ending_texts(
    history: History, nodes: Ints, last_readings: Ints, lexicon: PronunciationLexicon, before: Path | None
) -> list[str]:
    """The texts that `spell_words` gives for many endings of a search, whose ways are mostly the same: each place of
    the history is read once.

    Parameters
    ----------
    history : History
    nodes : int64 [shape=(endings,)]
        Of the history.
    last_readings : int64 [shape=(endings,)]
        As for `spell_words`.
    lexicon : PronunciationLexicon
    before : Path, optional
        What all ways begin with, before the root of the history.
    """
    text, word = _read(before, lexicon)
    order, parents, numbers = history.ancestry(nodes)
    symbols, readings = without_reading(numbers)
    # The last entry is that of the root, which the parent -1 then stands for.
    words = np.append(_word_nodes(parents, symbols, lexicon, word), word)
    ended = np.flatnonzero(lexicon.initial[symbols] & (words[parents] != ROOT))
    spelled = dict(zip(ended.tolist(), lexicon.word(words[parents[ended]], readings[ended]).tolist(), strict=True))
    texts = [""] * len(order) + [text]
    """of the words before the one at each place"""
    for place, parent in enumerate(parents.tolist()):
        ending = spelled.get(place)
        texts[place] = texts[parent] if ending is None else _joined(texts[parent], lexicon.spellings[ending])
    places = np.where(nodes == History.ROOT, len(order), np.searchsorted(order, nodes))
    complete = np.flatnonzero((words[places] != ROOT) & (last_readings != NOT_FOUND))
    last = dict(
        zip(complete.tolist(), lexicon.word(words[places[complete]], last_readings[complete]).tolist(), strict=True)
    )
    return [
        _joined(texts[place], lexicon.spellings[last[ending]]) if ending in last else texts[place]
        for ending, place in enumerate(places.tolist())
    ]


def _read(path: Path | None, lexicon: PronunciationLexicon) -> tuple[str, int]:
    """The words of a path but for the last one, and the node of the lexicon at which that one stands."""
    if path is None or not len(path.symbols):
        return "", ROOT
    symbols, readings = without_reading(path.symbols)
    nodes, starts = lexicon.read(symbols), np.flatnonzero(lexicon.initial[symbols])
    words = lexicon.word(nodes[:-1], readings[starts[1:]])
    return " ".join(lexicon.spellings[one] for one in words.tolist()), int(nodes[-1])


def _word_nodes(parents: Ints, symbols: Ints, lexicon: PronunciationLexicon, root: int) -> Ints:
    """The node of the lexicon at which the word of each place stands, level by level from its beginning."""
    nodes = np.append(np.full(len(symbols), NOT_FOUND), root)
    known = np.append(np.zeros(len(symbols), bool), True)
    now = np.flatnonzero(lexicon.initial[symbols])
    nodes[now], known[now] = lexicon.follow(np.full(len(now), ROOT), symbols[now]), True
    waiting = np.flatnonzero(~known)
    while len(waiting):
        ready = known[parents[waiting]]
        now, waiting = waiting[ready], waiting[~ready]
        nodes[now], known[now] = lexicon.follow(nodes[parents[now]], symbols[now]), True
    return nodes[:-1]


def _joined(text: str, word: str) -> str:
    return f"{text} {word}" if text else word
