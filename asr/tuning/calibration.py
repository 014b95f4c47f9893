"""Calibrates confidences: fits them to the share of right words, and measures their calibration."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence

import numpy as np

from asr.decoding.confidence import Calibration, Floats
from asr.evaluation.reliability import Reliability, measure
from asr.evaluation.scoring import score
from asr.recognition.acoustic_output import AcousticOutput

_MOST_FOLDS = 10
_PENALTY = 1.0


def measure_priors(outputs: Sequence[AcousticOutput]) -> tuple[float, ...]:
    """The mean probability of each symbol, the blank first, over all steps.

    Empty without steps.
    """
    stretches = [stretch.log_probs for one in outputs for stretch in one.stretches]
    if not stretches:
        return ()
    steps = np.concatenate(stretches)
    return tuple(np.exp(steps.astype(np.float64)).mean(axis=0).tolist())


def right_words(reference: str, hypothesis: str, words: Sequence[str] | None = None) -> list[bool]:
    """Whether each word of a (normalised) hypothesis is right, by the alignment with its reference.

    Parameters
    ----------
    reference, hypothesis : str
    words : sequence of str, optional
        Of the hypothesis, as its alphabet separates them; by default those between spaces. Words that no space
        separates are right if all of their characters are.
    """
    (utterance,) = score([reference], [hypothesis]).utterances
    if words is None or list(words) == hypothesis.split():
        return [edit.kind == "equal" for edit in utterance.alignment for _ in edit.hypothesis]
    right = [
        edit.kind == "equal"
        for edit in utterance.character_alignment
        for character in edit.hypothesis
        if not character.isspace()
    ]
    ends = list(itertools.accumulate(map(len, words), initial=0))
    return [all(right[start:end]) for start, end in itertools.pairwise(ends)]


def fit_calibration(features: Floats, right: Floats) -> Calibration:
    """Fit a logistic regression with a slight penalty on large weights, by Newton's method.

    Parameters
    ----------
    features : float64 [shape=(words, features)]
        The first column is 1.
    right : float64 [shape=(words,)]
        1 for a right word, 0 for a wrong one.

    Notes
    -----
    Source: J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999, for calibrating scores by a logistic
    function.
    """
    center, scale = features.mean(axis=0), features.std(axis=0)
    center[0], scale[0] = 0, 1
    scale[scale < 1e-9] = np.inf  # a constant feature carries no information
    scaled = (features - center) / scale
    weights = np.zeros(features.shape[1])
    for _ in range(100):
        expected = 1 / (1 + np.exp(-np.clip(scaled @ weights, -30, 30)))
        slope = scaled.T @ (right - expected) - _PENALTY * weights
        curvature = (scaled.T * (expected * (1 - expected))) @ scaled + _PENALTY * np.eye(len(weights))
        step = np.linalg.solve(curvature, slope)
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    weights = weights / scale
    weights[0] -= weights[1:] @ center[1:]
    return Calibration(tuple(float(weight) for weight in weights))


def measure_reliability(
    features: Sequence[Floats], right: Sequence[Floats], speakers: Sequence[str]
) -> tuple[Reliability, int]:
    """Measure the calibration of confidences on speakers that they were not fitted on, by cross-validation.

    Parameters
    ----------
    features, right : sequences of arrays
        Of each recording, as `fit_calibration` takes them.
    speakers : sequence of str
        Of each recording.

    Returns
    -------
    Reliability
    folds : int
        The number of parts that the speakers (or, without any, the recordings) were split into.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(speakers))}
    folds = min(len(names), _MOST_FOLDS)
    fold = np.concatenate([np.full(len(one), names[name] % folds) for one, name in zip(right, speakers, strict=True)])
    everything, truth = np.concatenate(features), np.concatenate(right)
    confidences = np.zeros(len(truth))
    for number in range(folds):
        inside = fold == number
        fitted = fit_calibration(everything[~inside], truth[~inside]) if folds > 1 else None
        confidences[inside] = fitted.confidences(everything[inside]) if fitted else truth.mean()
    return measure(confidences, truth), folds


def draw_reliability(reliability: Reliability) -> bytes:
    """Draw the share of right words over the confidence (reliability diagram), as a PNG."""
    # Not pyplot: it would choose a window system and keep global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color="gray")
    axes.plot([one.confidence for one in reliability.bins], [one.right for one in reliability.bins], "o-")
    axes.set(
        title=f"{reliability.words:,} words, expected calibration error "
        f"{100 * reliability.expected_calibration_error:.1f} %",
        xlabel="confidence",
        ylabel="share of words that are right",
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
