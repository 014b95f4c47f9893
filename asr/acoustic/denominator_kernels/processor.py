"""Forward-backward algorithm over pruned contexts, compiled by Numba.

A context is a tuple of the last symbols, numbered by reading them as digits: the last symbol is the remainder of the
division by the number of symbols, and the next context drops the first digit and appends one. Probabilities are divided
by their sum after every step; the logarithms of these sums add up to the result.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": {"reassoc", "contract", "nsz"}}
_ZERO, _ONE = np.float32(0), np.float32(1)
# Upper bound of backward variables.
_MOST = np.float32(1e30)


@numba.njit(**_OPTIONS)
def _forward(
    posteriors: npt.NDArray[np.float32], ngrams: npt.NDArray[np.float32], start: int, least_share: float
) -> tuple[Any, Any, Any, Any, Any]:
    """The contexts that are kept, one step after another.

    Returns
    -------
    ends : int64 [shape=(steps + 2,)]
        End of each step's contexts in the next three arrays; the first two are those of the start.
    kept : int32
        Numbers of the contexts.
    kept_spoken, kept_silent : float32
        Probability of the paths that emit the context's last symbol in that step, and of those that emit the blank.
    scales : float32 [shape=(steps,)]
        Divisor of each step.
    """
    steps, symbols = posteriors.shape
    width = symbols - 1
    rests = len(ngrams) // width
    ends = np.zeros(steps + 2, np.int64)
    kept = np.empty(128 * (steps + 1), np.int32)
    kept_spoken, kept_silent = np.empty(len(kept), np.float32), np.empty(len(kept), np.float32)
    # Every path comes from a blank before the first step.
    kept[0], kept_spoken[0], kept_silent[0], ends[1] = start, _ZERO, _ONE, 1
    scales = np.empty(steps, np.float32)
    # Contexts that differ only in their last symbol are neighbours; only those that a step reaches are visited.
    spoken, silent = np.empty((rests, width), np.float32), np.empty((rests, width), np.float32)
    touched_in, touched = np.full(rests, -1), np.empty(rests, np.int64)
    for step in range(steps):
        now, count = posteriors[step], 0
        for place in range(ends[step], ends[step + 1]):
            context = kept[place]
            own, rest, last = context // width, context % rests, context % width
            for family in (own, rest):
                if touched_in[family] != step:
                    touched_in[family], touched[count] = step, family
                    spoken[family], silent[family] = _ZERO, _ZERO
                    count += 1
            before = kept_spoken[place]
            both = before + kept_silent[place]
            following, entered = ngrams[context], spoken[rest]
            for symbol in range(width):
                entered[symbol] += both * following[symbol] * now[symbol + 1]
            # A symbol that follows itself without a blank is the same symbol, continued.
            entered[last] -= before * following[last] * now[last + 1]
            spoken[own, last] += before * now[last + 1]
            silent[own, last] += both * now[0]
        least = _ZERO
        for family in touched[:count]:
            least += spoken[family].sum() + silent[family].sum()
        least *= least_share
        end = ends[step + 1]
        if end + count * width > len(kept):
            room = len(kept) + count * width
            kept = np.concatenate((kept, np.empty(room, np.int32)))
            kept_spoken = np.concatenate((kept_spoken, np.empty(room, np.float32)))
            kept_silent = np.concatenate((kept_silent, np.empty(room, np.float32)))
        scale = _ZERO
        for family in touched[:count]:
            for symbol in range(width):
                both = spoken[family, symbol] + silent[family, symbol]
                if both > least:
                    kept[end] = family * width + symbol
                    kept_spoken[end], kept_silent[end] = max(spoken[family, symbol], _ZERO), silent[family, symbol]
                    scale += both
                    end += 1
        kept_spoken[ends[step + 1] : end] /= scale
        kept_silent[ends[step + 1] : end] /= scale
        ends[step + 2], scales[step] = end, scale
    return ends, kept, kept_spoken, kept_silent, scales


@numba.njit(**_OPTIONS)
def _log_total(
    posteriors: npt.NDArray[np.float32],
    ngrams: npt.NDArray[np.float32],
    start: int,
    least_share: float,
    occupied: npt.NDArray[np.float32],
) -> float:
    """The result of one row; its occupancies are added to `occupied`."""
    steps, symbols = posteriors.shape
    width, contexts = symbols - 1, len(ngrams)
    rests = contexts // width
    ends, kept, spoken, silent, scales = _forward(posteriors, ngrams, start, least_share)
    # Backward variables of every context after a step, relative to their mean; 0 where the context was pruned.
    later_spoken, later_silent = np.zeros(contexts, np.float32), np.zeros(contexts, np.float32)
    later_spoken[kept[ends[steps] : ends[steps + 1]]] = _ONE
    later_silent[kept[ends[steps] : ends[steps + 1]]] = _ONE
    earlier_spoken, earlier_silent = np.empty(contexts, np.float32), np.empty(contexts, np.float32)
    for step in range(steps - 1, -1, -1):
        for place in range(ends[step + 1], ends[step + 2]):
            context = kept[place]
            occupied[step, 0] += silent[place] * later_silent[context]
            occupied[step, context % width + 1] += spoken[place] * later_spoken[context]
        if step == 0:
            break
        now, scale, first = posteriors[step], scales[step], ends[step]
        for place in range(first, ends[step + 1]):
            context = kept[place]
            last, family = context % width, (context % rests) * width
            following, total = ngrams[context], _ZERO
            for symbol in range(width):
                total += following[symbol] * now[symbol + 1] * later_spoken[family + symbol]
            total += now[0] * later_silent[context]
            again = following[last] * now[last + 1] * later_spoken[family + last]
            held = now[last + 1] * later_spoken[context]
            # The backward variable of a context with a tiny forward variable can be arbitrarily large.
            earlier_silent[place - first] = min(total / scale, _MOST)
            earlier_spoken[place - first] = min((max(total - again, _ZERO) + held) / scale, _MOST)
        for place in range(first, ends[step + 2]):
            later_spoken[kept[place]] = later_silent[kept[place]] = _ZERO
        for place in range(first, ends[step + 1]):
            later_spoken[kept[place]] = earlier_spoken[place - first]
            later_silent[kept[place]] = earlier_silent[place - first]
    total_log: float = np.log(scales).sum()
    return total_log


@numba.njit(parallel=True, **_OPTIONS)
def log_totals(
    posteriors: npt.NDArray[np.float32],
    step_counts: npt.NDArray[np.int32],
    ngrams: npt.NDArray[np.float32],
    start: int,
    least_share: float,
    occupied: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """The logarithm of the sum over all paths of each row.

    Parameters
    ----------
    posteriors : float32 [shape=(batch, steps, symbols)]
        Blank is number 0.
    step_counts : int32 [shape=(batch,)]
    ngrams : float32 [shape=(contexts, symbols - 1)]
        Conditional probability of the next symbol.
    start : int
        The context before the first symbol.
    least_share : float32
        Contexts with a smaller share of a step's probability are pruned.
    occupied : float32 [shape=(batch, steps, symbols)]
        Zeros; receives the occupancy of each symbol at each step.

    Returns
    -------
    float32 [shape=(batch,)]
    """
    totals = np.empty(len(posteriors), np.float32)
    for row in numba.prange(len(posteriors)):
        steps = step_counts[row]
        totals[row] = _log_total(posteriors[row, :steps], ngrams, start, least_share, occupied[row, :steps])
    return totals
