"""Best-path decoding."""

from __future__ import annotations

import numpy as np

from asr.decoding.history import Path
from asr.decoding.hypothesis import Hypothesis, LogProbs, check_log_probs
from asr.text.alphabet import BLANK, Alphabet


def decode_greedy(log_probs: LogProbs, alphabet: Alphabet, *, last: int = BLANK) -> Hypothesis:
    """The text of the likeliest alignment: the best symbol of every step, repeats merged, blanks removed.

    Parameters
    ----------
    log_probs : float [shape=(steps, symbols)]
        Natural log-probabilities. Of symbols that tie, the one with the lower number wins.
    alphabet : Alphabet
    last : int
        The best symbol of the step before: it is not written again where it is held.

    Returns
    -------
    Hypothesis
        Its score is the log-probability of that alignment.

    Raises
    ------
    ValueError
        If `log_probs` is not a matrix of normalised log-probabilities as wide as the alphabet.

    Notes
    -----
    Source: A. Graves et al., "Connectionist Temporal Classification", ICML 2006, section 3.2.

    Examples
    --------
    >>> decode_greedy(np.log([[.1, .8, .1], [.1, .8, .1], [.8, .1, .1], [.1, .8, .1]]), Alphabet("ab")).text
    'aa'
    """
    path, score = best_path(log_probs, alphabet, last=last)
    return spell_path(path, alphabet, score)


def best_path(log_probs: LogProbs, alphabet: Alphabet, *, last: int = BLANK) -> tuple[Path, float]:
    """The symbols of the likeliest alignment, and its score; arguments and errors as in `decode_greedy`."""
    check_log_probs(log_probs, alphabet.size)
    path = log_probs.argmax(axis=1)
    changed = np.diff(path, prepend=last) != 0
    steps = np.flatnonzero(changed & (path != BLANK))
    score = float(log_probs.max(axis=1).sum(dtype=np.float64)) if len(log_probs) else 0.0
    return Path(path[steps], steps, log_probs[steps, path[steps]].astype(np.float64)), score


def spell_path(path: Path, alphabet: Alphabet, score: float, *, strip: bool = False) -> Hypothesis:
    """The text of a path of symbols, whose characters share its step; with `strip`, without spaces at its end."""
    text, owners = alphabet.spell(path.symbols.tolist())
    if strip:
        text = text.rstrip(" ")
    places = np.array(owners[: len(text)], np.int64)
    return Hypothesis(text, score, tuple(path.steps[places].tolist()), tuple(path.log_probs[places].tolist()))
