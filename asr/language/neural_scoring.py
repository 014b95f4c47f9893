"""Log-probabilities of the words of whole sentences by an LSTM language model, many sentences at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from asr.language.neural import Floats, NeuralLanguageModel, State

_ROWS = 128


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
