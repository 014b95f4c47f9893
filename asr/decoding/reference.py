"""Prefix beam search in its plainest form: read this before `beam`, which does the same for many utterances at once.

It is also the oracle of the tests: without language models and hot words, `beam` gives the same texts, scores and
times.
"""

from __future__ import annotations

import math

from asr.decoding.hypothesis import Hypothesis, LogProbs, check_log_probs
from asr.settings.decoding import BeamConfig
from asr.text.alphabet import BLANK, Alphabet

Prefix = tuple[int, ...]
Steps = tuple[int, ...]


def decode_beam(log_probs: LogProbs, alphabet: Alphabet, settings: BeamConfig) -> list[Hypothesis]:
    """The likeliest texts, each with the probability of all its alignments that the beam kept.

    Parameters
    ----------
    log_probs : float [shape=(steps, symbols)]
        Natural log-probabilities.
    alphabet : Alphabet
    settings : BeamConfig
        `beam_width`, `n_best`, `min_symbol_log_prob` and `score_margin` are used. With a beam that never overflows and
        no thresholds, the scores are the exact probabilities of the texts.

    Returns
    -------
    list of Hypothesis
        At most `n_best` distinct texts, best first; of equal ones, that with the lower symbol numbers. The last symbol
        of a text is at the last step at which the alignments that arrive by it outweigh those that were in it.

    Raises
    ------
    ValueError
        If `log_probs` is not a matrix of normalised log-probabilities as wide as the alphabet.

    Notes
    -----
    Source: A. Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional
    Recurrent DNNs", 2014, algorithm 1, in the log domain and without a language model.
    """
    check_log_probs(log_probs, alphabet.size)
    lowest = -math.inf if settings.min_symbol_log_prob is None else settings.min_symbol_log_prob
    margin = math.inf if settings.score_margin is None else settings.score_margin
    # For each prefix, the log-probability of its alignments that end in a blank, and of those that end in a symbol.
    beam: dict[Prefix, tuple[float, float]] = {(): (0.0, -math.inf)}
    steps: dict[Prefix, Steps] = {(): ()}
    for step, all_symbols in enumerate(log_probs.tolist()):
        now = [one if symbol == BLANK or one >= lowest else -math.inf for symbol, one in enumerate(all_symbols)]
        blank_mass: dict[Prefix, float] = {}
        held_mass: dict[Prefix, float] = {}
        grown_mass: dict[Prefix, float] = {}
        for prefix, (ended_blank, ended_symbol) in beam.items():
            total = _add(ended_blank, ended_symbol)
            blank_mass[prefix] = total + now[BLANK]
            if prefix:
                # The same symbol again, without a blank between, is the same symbol held longer.
                held_mass[prefix] = ended_symbol + now[prefix[-1]]
            for symbol in range(BLANK + 1, len(now)):
                before = ended_blank if prefix and symbol == prefix[-1] else total
                if before + now[symbol] > -math.inf:
                    grown_mass[(*prefix, symbol)] = before + now[symbol]
        masses: dict[Prefix, tuple[float, float]] = {}
        steps_now: dict[Prefix, Steps] = {}
        for prefix in blank_mass.keys() | grown_mass.keys():
            held, grown = held_mass.get(prefix, -math.inf), grown_mass.get(prefix, -math.inf)
            masses[prefix] = blank_mass.get(prefix, -math.inf), _add(held, grown)
            arrives = prefix not in beam or grown > _add(blank_mass[prefix], held)
            steps_now[prefix] = (*steps[prefix[:-1]], step) if arrives else steps[prefix]
        ranked = sorted(masses.items(), key=_rank)[: settings.beam_width]
        best = _add(*ranked[0][1])
        beam = {prefix: mass for prefix, mass in ranked if _add(*mass) >= best - margin}
        steps = {prefix: steps_now[prefix] for prefix in beam}
    hypotheses: list[Hypothesis] = []
    for prefix, masses_of_one in sorted(beam.items(), key=_rank)[: settings.n_best]:
        score = _add(*masses_of_one)
        if score == -math.inf:
            break
        at_steps = tuple(float(log_probs[step, symbol]) for step, symbol in zip(steps[prefix], prefix, strict=True))
        hypotheses.append(Hypothesis(alphabet.decode(prefix), score, steps[prefix], at_steps))
    return hypotheses


def _rank(item: tuple[Prefix, tuple[float, float]]) -> tuple[float, Prefix]:
    prefix, masses = item
    return -_add(*masses), prefix


def _add(left: float, right: float) -> float:
    """log(exp(left) + exp(right))."""
    low, high = (left, right) if left < right else (right, left)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
