"""The result of every decoder, and the check of its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LogProbs = npt.NDArray[np.floating[Any]]

_LEAST_PRIOR = 1e-4


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A text that a decoder found."""

    text: str
    score: float
    """natural log-probability: of the best alignment (greedy), or of all alignments that were kept (beam)"""
    steps: tuple[int, ...]
    """the model step of each character of `text`, ascending"""
    log_probs: tuple[float, ...] = ()
    """the natural log-probability of each character at its step"""


def check_log_probs(log_probs: LogProbs, symbols: int) -> None:
    """Refuse arrays that are not matrices of log-probabilities.

    Raises
    ------
    ValueError
        Naming what is wrong: the shape, a value that is NaN or above 0, or a step whose probabilities do not add up
        to 1 (within 0.1 %).
    """
    if log_probs.ndim != 2 or log_probs.shape[1] != symbols:
        raise ValueError(f"log_probs must have shape (steps, {symbols}), not {log_probs.shape}")
    if np.isnan(log_probs).any():
        raise ValueError("log_probs holds NaN")
    sums = np.exp(log_probs.astype(np.float64)).sum(axis=1)
    if not np.allclose(sums, 1, rtol=0, atol=1e-3):
        worst = int(np.abs(sums - 1).argmax())
        raise ValueError(
            f"log_probs is not normalised: the probabilities of step {worst} add up to {sums[worst]:.4g} "
            "(are these logits, or probabilities?)"
        )


def divide_by_priors(log_probs: LogProbs, priors: npt.ArrayLike, weight: float) -> LogProbs:
    """Divide probabilities by the prior probabilities of the symbols, and normalise them again.

    Parameters
    ----------
    log_probs : float [shape=(steps, symbols)]
        Natural, normalised; not changed.
    priors : float [shape=(symbols,)]
        Mean probability of each symbol, the blank first; lower values than 1 in 10,000 count as that.
    weight : float >= 0
        Exponent of the priors; 0 changes nothing.

    Returns
    -------
    float32 [shape=(steps, symbols)]
        A symbol that was impossible stays so.

    Notes
    -----
    Source: Y. Miao, M. Gowayyed, F. Metze, "EESEN: End-to-End Speech Recognition using Deep RNN Models and WFST-based
    Decoding", ASRU 2015, section 3.3.
    """
    shifted = log_probs - weight * np.log(np.maximum(priors, _LEAST_PRIOR))
    divided: LogProbs = (shifted - np.logaddexp.reduce(shifted, axis=1, keepdims=True)).astype(np.float32)
    return divided
