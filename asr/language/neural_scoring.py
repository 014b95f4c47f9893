"""How well an LSTM language model predicts whole sentences, alone and interpolated with an n-gram model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from asr.language.neural import Floats, NeuralLanguageModel, State
from asr.language.ngram import END, START, UNKNOWN, NgramModel

_ROWS = 128
_STEPS = 60


def score_sentences(
    model: NeuralLanguageModel,
    sentences: Sequence[Sequence[str]],
    *,
    watch: Callable[[int], object] = lambda _: None,
) -> list[Floats]:
    """The natural log-probabilities of the words of each sentence, and of its end.

    Parameters
    ----------
    model : NeuralLanguageModel
    sentences : sequence of sequences of str
    watch : callable
        Called with the number of sentences that were just scored.

    Returns
    -------
    list of float32 array [shape=(words + 1,)]
    """
    found = [np.zeros(len(words) + 1, np.float32) for words in sentences]
    order = sorted(range(len(sentences)), key=lambda place: len(sentences[place]))
    for start in range(0, len(order), _ROWS):
        some = order[start : start + _ROWS]
        states = model.initial_state().take([0] * len(some))
        for place in range(len(sentences[some[-1]])):
            rows = [row for row, number in enumerate(some) if place < len(sentences[number])]
            log_probs, after = model.advance(states.take(rows), [sentences[some[row]][place] for row in rows])
            layers = states.layers.copy()
            layers[rows] = after.layers
            states = State(layers)
            for row, log_prob in zip(rows, log_probs, strict=True):
                found[some[row]][place] = log_prob
        for number, log_prob in zip(some, model.end(states), strict=True):
            found[number][-1] = log_prob
        watch(len(some))
    return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """Perplexities, for each word and end of a sentence, of the words that an n-gram model knows."""

    words: int
    """without the ends of sentences"""
    unknown: int
    """words among them that the n-gram model does not know, and that are left out of all measures"""
    lstm: float
    ngram: float
    both: float
    """of the linear interpolation"""
    weight: float
    """of the LSTM in it: that of the lowest perplexity on these sentences"""


def compare_with_ngram(scores: Sequence[Floats], sentences: Sequence[Sequence[str]], ngram: NgramModel) -> Comparison:
    """Compare and interpolate the models on some sentences.

    Parameters
    ----------
    scores : list of float32 array [shape=(words + 1,)]
        As `score_sentences` gives them.
    sentences : sequence of sequences of str
    ngram : NgramModel
        Over words.
    """
    text = np.array(
        [number for words in sentences for number in (START, *(ngram.numbers.get(one, UNKNOWN) for one in words), END)],
        np.int64,
    )
    asked = np.flatnonzero(text != START)
    known = text[asked] != UNKNOWN
    left = np.concatenate(scores)[known].astype(np.float64)
    right = ngram.score_running(text)[asked][known]
    # The weight of the largest likelihood, by expectation maximisation: it has one maximum.
    weight, ones = 0.5, np.exp(np.minimum(right - left, 700.0))
    for _ in range(_STEPS):
        weight = float(np.mean(weight / (weight + (1 - weight) * ones)))
    both = left + np.log(weight + (1 - weight) * ones)
    words = sum(map(len, sentences))
    lstm, alone, mixed = (math.exp(-float(one.mean())) for one in (left, right, both))
    return Comparison(words, int(np.count_nonzero(~known)), lstm, alone, mixed, weight)
