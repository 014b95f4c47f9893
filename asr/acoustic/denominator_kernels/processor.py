"""Forward and backward over the few contexts that matter at every step, as machine code.

A context is the last symbols read as the digits of a number: its last symbol is the remainder by how many symbols there
are; what another symbol makes of it drops the first digit and adds one. Probabilities are divided by their sum after
every step; the logarithms of these sums add up to the result.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "fastmath": {"reassoc", "contract", "nsz"}}
_ZERO, _ONE = np.float32(0), np.float32(1)
# No backward variable is above this.
_MOST = np.float32(1e30)


@numba.njit(**_OPTIONS)
def _forward(
    posteriors: npt.NDArray[np.float32], ngrams: npt.NDArray[np.float32], start: int, least_share: float
) -> tuple[Any, Any, Any, Any, Any]:
    """The contexts that are kept, step after step: where each step's end, their numbers, the probability of the paths
    that emit their last symbol in that step and of those that emit the blank, and what each step was divided by."""
    steps, symbols = posteriors.shape
    width = symbols - 1
    rests = len(ngrams) // width
    ends = np.zeros(steps + 2, np.int64)
    kept = np.empty(128 * (steps + 1), np.int32)
    kept_spoken, kept_silent = np.empty(len(kept), np.float32), np.empty(len(kept), np.float32)
    # Every path comes from a blank before the first step.
    kept[0], kept_spoken[0], kept_silent[0], ends[1] = start, _ZERO, _ONE, 1
    scales = np.empty(steps, np.float32)
    # Contexts that differ in their last symbol alone lie side by side; only those touched in a step are looked at.
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
            # A symbol that follows itself without a blank is the same one, held.
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
    """Of one row; `occupied` is added to."""
    steps, symbols = posteriors.shape
    width, contexts = symbols - 1, len(ngrams)
    rests = contexts // width
    ends, kept, spoken, silent, scales = _forward(posteriors, ngrams, start, least_share)
    # What is still to come from every context after a step, as a multiple of what is to come on the whole; 0 where the
    # context was not kept.
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
            # A context that hardly a path has led to may be worth any number.
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
        Probability of the next symbol.
    start : int
        The context before the first symbol.
    least_share : float32
        Contexts with a smaller share of a step's probability are left out.
    occupied : float32 [shape=(batch, steps, symbols)]
        Of zeros; takes the share of all paths that is in each symbol at each step.

    Returns
    -------
    float32 [shape=(batch,)]
    """
    totals = np.empty(len(posteriors), np.float32)
    for row in numba.prange(len(posteriors)):
        steps = step_counts[row]
        totals[row] = _log_total(posteriors[row, :steps], ngrams, start, least_share, occupied[row, :steps])
    return totals
