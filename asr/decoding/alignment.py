"""Forced alignment: the likeliest CTC alignment of a known text, for an utterance or for hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.decoding.hypothesis import LogProbs
from asr.errors import AlignmentError
from asr.text.alphabet import BLANK

Ints = npt.NDArray[np.int64]

# States farther behind the best one are dropped. A path at a wrong place of the text falls behind much farther.
_BEAMS = (300.0, 3000.0)
# A trellis up to this size is searched in full if the beam fails.
_FEW_CELLS = 50_000_000
# Steps between two searches for states that can be dropped.
_TRIM_STEPS = 4
_LOWEST = float(np.finfo(np.float64).min)
# Steps between two searches for the common beginning of all paths, which is then settled.
_SETTLE_STEPS = 500
_NEVER = np.int64(-1)


@dataclass(frozen=True, slots=True)
class Alignment:
    """The steps of each symbol of a text."""

    first: Ints
    """the first step of each symbol [shape=(symbols,)]"""
    last: Ints
    """its last step [shape=(symbols,)]"""
    score: float
    """natural log-probability of the alignment"""


def align_symbols(log_probs: LogProbs | Sequence[LogProbs], numbers: Sequence[int]) -> Alignment:
    """The likeliest alignment of a text to a recording.

    Parameters
    ----------
    log_probs : float [shape=(steps, symbols)], or a sequence of such
        Natural log-probabilities; consecutive blocks of a long recording need not be joined.
    numbers : sequence of int
        The numbers of the text's symbols, without blanks.

    Returns
    -------
    Alignment

    Raises
    ------
    AlignmentError
        If the text needs more steps than there are, or does not fit.

    Notes
    -----
    Source: Viterbi's algorithm over the trellis of A. Graves et al., ICML 2006, section 4.1. States far behind the
    best are dropped, and the common beginning of all remaining paths is settled on the way: time and memory grow with
    the length of the recording, not with its square.
    """
    labels = np.asarray(numbers, np.int64)
    repeats = int((labels[1:] == labels[:-1]).sum())
    needed = len(labels) + repeats
    blocks = [log_probs] if isinstance(log_probs, np.ndarray) else log_probs
    count = sum(map(len, blocks))
    if needed > count:
        raise AlignmentError(f"the text is too long: it needs {needed} steps, the recording has {count}")
    exhaustive = count * len(labels) < _FEW_CELLS
    for beam in (*_BEAMS, *([np.inf] if exhaustive else [])):
        states, score = _best_path(blocks, labels, beam)
        if states is not None:
            break
    else:
        raise AlignmentError("the text does not fit the recording: is it the text of another one?")
    # Symbols are the odd states.
    steps = np.flatnonzero(states % 2)
    which = states[steps] // 2
    first = np.full(len(labels), _NEVER)
    last = np.full(len(labels), _NEVER)
    first[which[::-1]] = steps[::-1]
    last[which] = steps
    return Alignment(first, last, score)


def _best_path(blocks: Sequence[LogProbs], labels: Ints, beam: float) -> tuple[Ints | None, float]:
    """The state at every step, and the score of the path; no path if the beam has dropped the end of the text."""
    count = 2 * len(labels) + 1
    symbols = np.full(count, BLANK)
    symbols[1::2] = labels
    skip = np.full(count, -np.inf)  # the cost of advancing by two states, where no blank is needed between
    skip[3::2] = np.where(labels[1:] != labels[:-1], 0.0, -np.inf)
    # The score of state i is at i + 2. States from `low` to `high` - 1 are searched, all others are impossible. Before
    # the first step, all is at the first blank.
    scores = np.full(count + 2, -np.inf)
    scores[2] = 0.0
    low, high = 0, 1
    remaining = sum(map(len, blocks))
    path = _Path()
    for block in blocks:
        for now in block:
            high = min(high + 2, count)
            best = scores[low + 2 : high + 2].copy()
            # Of equal scores, the path that advances least is taken.
            one_on, two_on = scores[low + 1 : high + 1], scores[low:high] + skip[low:high]
            came_from = (one_on > best).view(np.uint8)
            np.maximum(best, one_on, out=best)
            came_from[two_on > best] = 2
            np.maximum(best, two_on, out=best)
            best += now[symbols[low:high]]
            remaining -= 1
            scores[low + 2 : high + 2] = best
            path.steps.append((low, came_from))
            if remaining % _TRIM_STEPS:
                continue
            kept = best >= max(best.max() - beam, _LOWEST)
            first, last = int(kept.argmax()), len(kept) - int(kept[::-1].argmax())
            scores[low + 2 : low + 2 + first] = scores[low + 2 + last : high + 2] = -np.inf
            low, high = low + first, low + last
            # No step advances by more than two states: from here, the end cannot be reached.
            if not kept.any() or high - 1 + 2 * remaining < count - 2:
                return None, -np.inf
            path.settle(low, high - 1)
    state = count - 1 if count == 1 or scores[count + 1] >= scores[count] else count - 2
    score = float(scores[state + 2])
    return (path.trace(state), score) if score > -np.inf else (None, score)


class _Path:
    """The predecessor of each state, step by step, as long as it is not settled."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, npt.NDArray[np.uint8]]] = []
        """of each step that is not settled the lowest state, and by how much each state from there on advanced"""
        self._settled: list[Ints] = []
        self._enough = _SETTLE_STEPS

    def settle(self, low: int, high: int) -> None:
        """Settle the common beginning of the paths to two states. Paths do not cross, so all paths between share it."""
        if len(self.steps) < self._enough:
            return
        lowest, highest = self._back(low), self._back(high)
        together = np.flatnonzero(lowest == highest)
        if len(together):
            end = int(together[-1]) + 1
            self._settled.append(lowest[:end])
            del self.steps[:end]
        # Where little is settled, searching every time would take time with the square of the length.
        self._enough = 2 * len(self.steps) + _SETTLE_STEPS

    def _back(self, state: int) -> Ints:
        """The states of unsettled steps on the way to a state of the last one."""
        states = np.empty(len(self.steps), np.int64)
        for place in range(len(self.steps) - 1, -1, -1):
            states[place] = state
            low, came_from = self.steps[place]
            state -= int(came_from[state - low])
        return states

    def trace(self, state: int) -> Ints:
        return np.concatenate([*self._settled, self._back(state)]) if self.steps else np.concatenate(self._settled)
