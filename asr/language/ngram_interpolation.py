"""Interpolates n-gram models into one model, and finds the weights on a text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.language.ngram import SPECIAL_WORDS, START, UNKNOWN, NgramModel
from asr.language.trie import NOT_FOUND, ROOT, Trie

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# What ARPA files write for a probability of 0.
_LEAST_LOG_PROB = -99 * math.log(10)
_ROUNDS = 100


def interpolate_ngrams(models: Sequence[NgramModel], weights: Sequence[float]) -> NgramModel:
    """Mix n-gram models into one backoff model over the words of all of them.

    Parameters
    ----------
    models : sequence of NgramModel
        Of one unit.
    weights : sequence of float
        Of each model; above 0, with a sum of 1.

    Returns
    -------
    NgramModel
        Has the n-grams of all models and every suffix of them. The probability of each is the weighted mean of the
        probabilities that the models give, by their back-off where need be: 0 for a word that a model lacks, and such a
        word ends its context. Other n-grams back off, with weights that make the probabilities after every context add
        up to 1 if those of the models do.

    Notes
    -----
    Source: A. Stolcke, "SRILM - An Extensible Language Modeling Toolkit", ICSLP 2002 (static interpolation,
    `ngram -mix-lm`).
    """
    words = [*SPECIAL_WORDS, *sorted({word for model in models for word in model.words} - set(SPECIAL_WORDS))]
    numbers = {word: number for number, word in enumerate(words)}
    parts = [_Part(model, weight, words) for model, weight in zip(models, weights, strict=True)]
    levels = _levels([_rows(model, numbers) for model in models], len(words))
    placed = [(level.parents, level.labels) for level in levels]
    log_probs: list[npt.NDArray[np.float32]] = []
    backoffs: list[npt.NDArray[np.float32]] = []
    for position, level in enumerate(levels):
        if position:
            backoffs.append(_backoffs(parts, level, contexts=len(levels[position - 1].labels)))
        for part in parts:
            part.advance(level)
        mixed = sum(part.weight * part.probs for part in parts)
        with np.errstate(divide="ignore"):
            log_probs.append(np.maximum(np.log(mixed), _LEAST_LOG_PROB).astype(np.float32))
    return NgramModel(models[0].unit, words, Trie.from_levels(placed), tuple(log_probs), tuple(backoffs))


def find_weights(log_probs: npt.ArrayLike) -> list[float]:
    """The weights with which some models, interpolated, predict a text best.

    Parameters
    ----------
    log_probs : float [shape=(models, words)]
        Natural log-probability of each word of the text by each model.

    Returns
    -------
    list of float
        With a sum of 1. Each is above 0: one imagined word more for every model keeps it there.

    Notes
    -----
    Expectation maximisation, whose only maximum this is: F. Jelinek and R. Mercer, "Interpolated Estimation of Markov
    Source Parameters from Sparse Data", 1980.
    """
    probs = np.exp(np.asarray(log_probs, np.float64))
    probs = probs[:, probs.sum(axis=0) > 0]
    models, words = probs.shape
    weights = np.full(models, 1 / models)
    for _ in range(_ROUNDS):
        shares = weights[:, None] * probs
        weights = ((shares / shares.sum(axis=0)).sum(axis=1) + 1) / (words + models)
    return [float(weight) for weight in weights]


@dataclass
class _Level:
    """All n-grams of one order, sorted."""

    position: int
    """the order, less one"""
    parents: Ints
    """position of the context among the n-grams of the order below"""
    labels: Ints
    """the last word"""
    suffixes: Ints
    """position of the n-gram without its first word among those of the order below"""


class _Part:
    """One of the models, evaluated on all n-grams level by level."""

    def __init__(self, model: NgramModel, weight: float, words: Sequence[str]) -> None:
        self.model, self.weight = model, weight
        self.own = np.array([model.numbers.get(word, UNKNOWN) for word in words])
        self.lacking = self.own == UNKNOWN
        self.lacking[UNKNOWN] = False
        self.states = np.full((1, model.order - 1), NOT_FOUND, np.int64)
        """after each n-gram of the last level"""
        self.probs: Floats = np.zeros(0)
        """of each n-gram of the last level"""
        self.backoffs: Floats = np.ones(1)
        """of each n-gram of the last level as a context; 1 where the model does not have it"""

    def advance(self, level: _Level) -> None:
        """Advance to the next level."""
        log_probs, self.states = self.model.score(self.states[level.parents], self.own[level.labels])
        lacking = self.lacking[level.labels]
        self.states[lacking] = NOT_FOUND
        self.probs = np.where(lacking | (level.labels == START), 0, np.exp(log_probs))
        self.backoffs = np.ones(len(level.labels))
        if level.position < self.model.order - 1:
            nodes = self.states[:, level.position]
            known = nodes != NOT_FOUND
            first = ROOT + 1 + sum(self.model.counts[: level.position])
            self.backoffs[known] = np.exp(self.model.backoffs[level.position][nodes[known] - first])


def _backoffs(parts: Sequence[_Part], level: _Level, *, contexts: int) -> npt.NDArray[np.float32]:
    """The back-off weights of the contexts of a level: the mean of the models' own, each weighted by the probability
    that its shorter context leaves to the words that back off.
    """
    above, below = np.zeros(contexts), np.zeros(contexts)
    for part in parts:
        seen = np.bincount(level.parents, weights=part.probs[level.suffixes], minlength=contexts)
        left = part.weight * np.maximum(1 - seen, 1e-12)
        above += left * part.backoffs
        below += left
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(above / below), _LEAST_LOG_PROB).astype(np.float32)


def _rows(model: NgramModel, numbers: Mapping[str, int]) -> list[Ints]:
    """The n-grams of each order [shape=(n-grams, order)], as numbers of the words in `numbers`."""
    own = np.array([numbers[word] for word in model.words])
    parents = np.repeat(np.arange(len(model.trie.first) - 1), np.diff(model.trie.first))
    rows = [np.zeros((1, 0), np.int64)]
    first = ROOT + 1
    for count in model.counts:
        before = first - len(rows[-1])  # the first node of the order below
        nodes = slice(first, first + count)
        contexts = rows[-1][parents[first - 1 : first - 1 + count] - before]
        rows.append(np.column_stack([contexts, own[model.trie.labels[nodes]]]))
        first += count
    return rows[1:]


def _levels(rows: Sequence[Sequence[Ints]], words: int) -> list[_Level]:
    """The n-grams of all models and all their suffixes, level by level."""
    order = max(map(len, rows))
    united = [np.concatenate([one[position] for one in rows if position < len(one)]) for position in range(order)]
    for position in range(order - 1, 0, -1):
        united[position] = _distinct(united[position])
        united[position - 1] = np.concatenate([united[position - 1], united[position][:, 1:]])
    everything = np.arange(words)
    levels = [_Level(0, np.zeros(words, np.int64), everything, np.zeros(words, np.int64))]
    keys = [everything]
    for position in range(1, order):
        ngrams = united[position]
        parents = ngrams[:, 0]
        for place in range(1, position):
            parents = np.searchsorted(keys[place], parents * words + ngrams[:, place])
        labels = ngrams[:, -1]
        suffixes = labels
        if position > 1:
            suffixes = np.searchsorted(keys[-1], levels[-1].suffixes[parents] * words + labels)
        levels.append(_Level(position, parents, labels, suffixes))
        keys.append(parents * words + labels)
    return levels


def _distinct(rows: Ints) -> Ints:
    """Rows sorted, each once."""
    rows = rows[np.lexsort(rows.T[::-1])]
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    return rows[new]
