"""How well confidences predict which words are correct."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_BINS = 10
# The cross entropy of a wrong word with confidence 1 would be infinite.
_SUREST = 1e-6


@dataclass(frozen=True, slots=True)
class Bin:
    """Words of about the same confidence."""

    confidence: float
    """mean"""
    right: float
    """share"""
    words: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well confidences predict which words are correct."""

    words: int
    right: float
    """share"""
    expected_calibration_error: float
    """mean distance between confidence and share of correct words, over the bins"""
    normalized_cross_entropy: float
    """1 for perfect confidences, 0 for a constant one; the measure of the NIST evaluations"""
    bins: tuple[Bin, ...]
    """ten with the same number of words each, by increasing confidence"""


def measure(confidences: Floats, right: Floats) -> Reliability:
    """Compare confidences with the correctness of words.

    Parameters
    ----------
    confidences : float64 [shape=(words,)]
        From 0 to 1.
    right : float64 [shape=(words,)]
        1 for a correct word, 0 for a wrong one.

    Notes
    -----
    Source: M. Siu, H. Gish, F. Richardson, "Improved estimation, evaluation and applications of confidence measures",
    Eurospeech 1997, for the normalised cross entropy.
    """
    bins = tuple(
        Bin(float(confidences[part].mean()), float(right[part].mean()), len(part))
        for part in np.array_split(np.argsort(confidences, kind="stable"), _BINS)
        if len(part)
    )
    share = float(right.mean())
    entropy = -np.log(np.where(right > 0, share, 1 - share)).mean()
    clipped = np.clip(confidences, _SUREST, 1 - _SUREST)
    cross_entropy = -np.log(np.where(right > 0, clipped, 1 - clipped)).mean()
    return Reliability(
        words=len(right),
        right=share,
        expected_calibration_error=sum(one.words * abs(one.confidence - one.right) for one in bins) / len(right),
        normalized_cross_entropy=float(1 - cross_entropy / entropy) if entropy > 0 else 0.0,
        bins=bins,
    )
