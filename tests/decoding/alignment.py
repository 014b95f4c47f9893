"""Where in an utterance a known text is: the likeliest CTC alignment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asr.decoding.hypothesis import LogProbs
from asr.text.alphabet import BLANK


def align_symbols(log_probs: LogProbs, numbers: Sequence[int]) -> tuple[tuple[int, ...], float]:
    """The likeliest alignment of a text to an utterance.

    Parameters
    ----------
    log_probs : float [shape=(steps, symbols)]
        Natural log-probabilities.
    numbers : sequence of int
        The numbers of the text's symbols, without blanks.

    Returns
    -------
    steps : tuple of int
        The step at which each symbol first comes up, ascending.
    score : float
        Natural log-probability of the alignment.

    Raises
    ------
    ValueError
        If the text needs more steps than there are.

    Notes
    -----
    Source: Viterbi's algorithm over the trellis of A. Graves et al., ICML 2006, section 4.1.
    """
    if not numbers:
        return (), float(log_probs[:, BLANK].sum(dtype=np.float64))
    # States: a blank before, between and after the symbols. A symbol may follow its neighbour at once if they differ.
    states = np.full(2 * len(numbers) + 1, BLANK)
    states[1::2] = numbers
    may_skip = np.zeros(len(states), bool)
    may_skip[3::2] = states[3::2] != states[1:-2:2]
    best = np.full(len(states), -np.inf)
    came_from = np.zeros((len(log_probs), len(states)), np.int8)
    for step, now in enumerate(log_probs.astype(np.float64)):
        if step == 0:
            best[:2] = now[states[:2]]
            continue
        choices = np.full((3, len(states)), -np.inf)
        choices[0] = best
        choices[1, 1:] = best[:-1]
        choices[2, 2:] = np.where(may_skip[2:], best[:-2], -np.inf)
        came_from[step] = choices.argmax(axis=0)
        best = choices.max(axis=0) + now[states]
    last = len(states) - 1 if best[-1] >= best[-2] else len(states) - 2
    score = float(best[last]) if len(log_probs) else -np.inf
    if score == -np.inf:
        raise ValueError(f"a text of {len(numbers)} symbols does not fit into {len(log_probs)} steps")
    steps = [0] * len(numbers)
    state = last
    for step in range(len(log_probs) - 1, -1, -1):
        if state % 2:
            steps[state // 2] = step
        state -= int(came_from[step, state])
    return tuple(steps), score
