"""Prefix beam search, written to be read: the oracle that the decoder is held against."""

from __future__ import annotations

import math
from collections import defaultdict

from asr.config import BeamConfig
from asr.decoding.hypothesis import Hypothesis, LogProbs, check_log_probs
from asr.text.alphabet import BLANK, Alphabet

from .alignment import align_symbols

Prefix = tuple[int, ...]


def decode_beam(log_probs: LogProbs, alphabet: Alphabet, settings: BeamConfig) -> list[Hypothesis]:
    """The likeliest texts, each with the probability of all its alignments that the beam kept.

    Parameters
    ----------
    log_probs : float [shape=(steps, symbols)]
        Natural log-probabilities.
    alphabet : Alphabet
    settings : BeamConfig
        With a beam that never overflows, the scores are the exact probabilities of the texts.

    Returns
    -------
    list of Hypothesis
        At most `n_best` distinct texts, best first; of equal ones, that with the lower symbol numbers.

    Raises
    ------
    ValueError
        If `log_probs` is not a matrix of normalised log-probabilities as wide as the alphabet.

    Notes
    -----
    Source: A. Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional
    Recurrent DNNs", 2014, algorithm 1, in the log domain and without a language model.
    """
    check_log_probs(log_probs, alphabet)
    # For each prefix, the log-probability of its alignments that end in a blank, and of those that end in a symbol.
    beam: dict[Prefix, tuple[float, float]] = {(): (0.0, -math.inf)}
    for now in log_probs.tolist():
        blank_mass: defaultdict[Prefix, float] = defaultdict(lambda: -math.inf)
        symbol_mass: defaultdict[Prefix, float] = defaultdict(lambda: -math.inf)
        for prefix, (ended_blank, ended_symbol) in beam.items():
            total = _add(ended_blank, ended_symbol)
            blank_mass[prefix] = total + now[BLANK]
            if prefix:
                # The same symbol again, without a blank between, is the same symbol held longer.
                symbol_mass[prefix] = _add(symbol_mass[prefix], ended_symbol + now[prefix[-1]])
            for symbol in range(BLANK + 1, len(now)):
                before = ended_blank if prefix and symbol == prefix[-1] else total
                if before + now[symbol] > -math.inf:
                    longer = (*prefix, symbol)
                    symbol_mass[longer] = _add(symbol_mass[longer], before + now[symbol])
        masses = {
            prefix: (blank_mass.get(prefix, -math.inf), symbol_mass.get(prefix, -math.inf))
            for prefix in blank_mass.keys() | symbol_mass.keys()
        }
        beam = dict(sorted(masses.items(), key=_rank)[: settings.beam_width])
    hypotheses: list[Hypothesis] = []
    for prefix, (ended_blank, ended_symbol) in sorted(beam.items(), key=_rank):
        score = _add(ended_blank, ended_symbol)
        if score == -math.inf or len(hypotheses) == settings.n_best:
            break
        steps, _ = align_symbols(log_probs, prefix)
        hypotheses.append(Hypothesis(alphabet.decode(prefix), score, steps))
    return hypotheses


def _rank(item: tuple[Prefix, tuple[float, float]]) -> tuple[float, Prefix]:
    prefix, masses = item
    return -_add(*masses), prefix


def _add(left: float, right: float) -> float:
    """log(exp(left) + exp(right))."""
    low, high = (left, right) if left < right else (right, left)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
