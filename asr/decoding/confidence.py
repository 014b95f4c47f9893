"""Confidences: for each decoded word, the share of such words that are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.decoding.hypothesis import Hypothesis, LogProbs
from asr.text.alphabet import BLANK
from asr.text.words import cut_words

Floats = npt.NDArray[np.float64]

FEATURES = (
    "constant",
    "mean",
    "least",
    "least_probability",
    "deficit",
    "log_deficit",
    "worst_deficit",
    "length",
    "pace",
    "utterance_mean",
    "language",
    "language_next",
)
_LOWEST = -8.0


def word_features(
    hypothesis: Hypothesis,
    log_probs: LogProbs,
    language: Floats | None = None,
    *,
    spans: Sequence[tuple[int, int]] | None = None,
) -> Floats:
    """The features from which the confidence of each word is computed.

    Parameters
    ----------
    hypothesis : Hypothesis
    log_probs : float [shape=(steps, symbols)]
        The log-probabilities that were decoded; steps as in the hypothesis.
    language : float [shape=(words + 1,)], optional
        Natural log-probability of each word between spaces after those before it, and of the end.
    spans : sequence of (start, end), optional
        The words, as the alphabet separates them; by default those between white space.

    Returns
    -------
    float64 [shape=(words, features)]
        In the order of `FEATURES`: 1; mean and minimum of the log-probabilities of the word's characters at their
        steps, and the minimum as a probability; the distance of the word's steps from the likeliest symbols, per
        character, as a logarithm, and its maximum; the logarithms of its length in characters and of its steps per
        character; the mean over all characters of the text; the log-probabilities of the word and of the following
        word in the language model.
    """
    spans = cut_words(hypothesis.text) if spans is None else spans
    if not spans:
        return np.zeros((0, len(FEATURES)))
    starts, ends = np.array(spans).T
    steps = np.array(hypothesis.steps)
    at_steps = np.maximum(np.array(hypothesis.log_probs), _LOWEST)
    # At a step without a new character, the blank is the symbol of the alignment.
    explained = np.maximum(log_probs[:, BLANK].astype(np.float64), _LOWEST)
    explained[steps] = at_steps
    behind = np.maximum(log_probs.max(axis=1) - explained, 0)
    summed = np.concatenate([[0.0], np.cumsum(behind)])
    first, last = steps[starts], steps[ends - 1] + 1
    length = (ends - starts).astype(np.float64)
    mean = np.add.reduceat(at_steps, np.stack([starts, ends], axis=1).ravel()[:-1])[::2] / length
    least = np.array([at_steps[start:end].min() for start, end in zip(starts, ends, strict=True)])
    deficit = (summed[last] - summed[first]) / length
    # The language model scores words between spaces; words that no space separates share such a score.
    spaced = np.concatenate([[0], np.cumsum(starts[1:] > ends[:-1])])
    if language is None:
        language = np.zeros(spaced[-1] + 2)
    return np.stack(
        [
            np.ones(len(starts)),
            mean,
            least,
            np.exp(least),
            deficit,
            np.log1p(deficit),
            np.array([behind[start:end].max() for start, end in zip(first, last, strict=True)]),
            np.log(length),
            np.log((last - first) / length),
            np.full(len(starts), mean.mean()),
            np.maximum(language[spaced], -20),
            np.maximum(language[spaced + 1], -20),
        ],
        axis=1,
    )


@dataclass(frozen=True)
class Calibration:
    """Weights of a logistic regression on `FEATURES`."""

    weights: tuple[float, ...]

    def confidences(self, features: Floats) -> Floats:
        """The probability that each word is right.

        Parameters
        ----------
        features : float64 [shape=(words, features)]

        Returns
        -------
        float64 [shape=(words,)]
        """
        result: Any = 1 / (1 + np.exp(-np.clip(features @ np.array(self.weights), -30, 30)))
        return np.asarray(result, np.float64)
