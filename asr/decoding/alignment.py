"""Where in a recording a known text is said: the likeliest CTC alignment, for an utterance or for hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.decoding.hypothesis import LogProbs
from asr.errors import AsrError
from asr.text.alphabet import BLANK

Ints = npt.NDArray[np.int64]

# States farther behind the best one are dropped. Wrong guesses of where one is in a text cost far more in the end.
_BEAMS = (300.0, 3000.0)
# Up to this size of the trellis all of it is searched, if need be.
_FEW_CELLS = 50_000_000
# Steps between two looks for what all paths have in common, which is then settled.
_SETTLE_STEPS = 500
_NEVER = np.int64(-1)


class AlignmentError(AsrError):
    """A text that does not fit its recording."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where each symbol of a text is."""

    first: Ints
    """the step at which each symbol comes up [shape=(symbols,)]"""
    last: Ints
    """the last step at which it is held [shape=(symbols,)]"""
    score: float
    """natural log-probability of the alignment"""


def align_symbols(log_probs: LogProbs, numbers: Sequence[int]) -> Alignment:
    """The likeliest alignment of a text to a recording.

    Parameters
    ----------
    log_probs : float [shape=(steps, symbols)]
        Natural log-probabilities.
    numbers : sequence of int
        The numbers of the text's symbols, without blanks.

    Returns
    -------
    Alignment

    Raises
    ------
    AlignmentError
        If the text needs more steps than there are, or is another one.

    Notes
    -----
    Source: Viterbi's algorithm over the trellis of A. Graves et al., ICML 2006, section 4.1. States that are far behind
    the best are dropped, and what all paths that are left have in common is settled on the way: time and memory go with
    the length of the recording, not with its square.
    """
    labels = np.asarray(numbers, np.int64)
    repeats = int((labels[1:] == labels[:-1]).sum())
    needed = len(labels) + repeats
    if needed > len(log_probs):
        raise AlignmentError(f"the text is too long: it needs {needed} steps, the recording has {len(log_probs)}")
    exhaustive = len(log_probs) * len(labels) < _FEW_CELLS
    for beam in (*_BEAMS, *([np.inf] if exhaustive else [])):
        states, score = _best_path(log_probs, labels, beam)
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


def _best_path(log_probs: LogProbs, labels: Ints, beam: float) -> tuple[Ints | None, float]:
    """The state at every step, and the score of the path; no path if the beam has lost the text's end."""
    count = 2 * len(labels) + 1
    symbols = np.full(count, BLANK)
    symbols[1::2] = labels
    may_skip = np.zeros(count, bool)
    may_skip[3::2] = labels[1:] != labels[:-1]
    low, best = 0, np.zeros(1)  # the scores of states from `low` on, before the first step: all is at the first blank
    path = _Path()
    for now in log_probs.astype(np.float64):
        # One may stay, go on by one state, or by two where no blank is needed between.
        size = min(len(best) + 2, count - low)
        choices = np.full((3, size), -np.inf)
        choices[0, : min(len(best), size)] = best[:size]
        choices[1, 1 : len(best) + 1] = best[: size - 1]
        choices[2, 2 : len(best) + 2] = best[: size - 2] if size >= 2 else best[:0]
        choices[2, ~may_skip[low : low + size]] = -np.inf
        came_from = choices.argmax(axis=0)
        scores = choices[came_from, np.arange(size)] + now[symbols[low : low + size]]
        kept = np.flatnonzero(scores >= max(scores.max() - beam, np.finfo(np.float64).min))
        path.add(low + int(kept[0]), came_from[kept[0] : kept[-1] + 1].astype(np.uint8))
        low, best = low + int(kept[0]), scores[kept[0] : kept[-1] + 1]
    ends = [(float(best[state - low]), state) for state in (count - 1, count - 2) if 0 <= state - low < len(best)]
    score, state = max(ends, default=(-np.inf, 0))
    return (path.trace(state), score) if score > -np.inf else (None, score)


class _Path:
    """Where each state came from, step by step, as long as it is not settled."""

    def __init__(self) -> None:
        self._settled: list[Ints] = []
        self._steps: list[tuple[int, npt.NDArray[np.uint8]]] = []

    def add(self, low: int, came_from: npt.NDArray[np.uint8]) -> None:
        self._steps.append((low, came_from))
        if len(self._steps) % _SETTLE_STEPS == 0:
            self._settle()

    def _settle(self) -> None:
        """Paths do not cross: where the lowest and the highest meet, all do."""
        low, came_from = self._steps[-1]
        lowest, highest = self._back(low), self._back(low + len(came_from) - 1)
        together = np.flatnonzero(lowest == highest)
        if len(together):
            end = int(together[-1]) + 1
            self._settled.append(lowest[:end])
            del self._steps[:end]

    def _back(self, state: int) -> Ints:
        """The states of unsettled steps on the way to a state of the last one."""
        states = np.empty(len(self._steps), np.int64)
        for place in range(len(self._steps) - 1, -1, -1):
            states[place] = state
            low, came_from = self._steps[place]
            state -= int(came_from[state - low])
        return states

    def trace(self, state: int) -> Ints:
        return np.concatenate([*self._settled, self._back(state)]) if self._steps else np.concatenate(self._settled)
