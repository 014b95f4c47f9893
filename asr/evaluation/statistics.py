"""Confidence intervals of error rates, and significance of their differences: bootstrap and matched-pairs test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.evaluation.scoring import Score, Unit, UtteranceScore

Floats = npt.NDArray[np.float64]

ENOUGH_SPEAKERS = 8
"""with fewer, resampling speakers says too little about other speakers"""
SIGNIFICANT = 0.05
"""a difference is significant if its p is below this"""
ROUNDS = 10_000
"""bootstrap draws of a test set"""
_LEVEL = 0.95
# Draws that are summed at once: a few MB.
_DRAWN_AT_ONCE = 1 << 19
# Consecutive words that both systems have right, which separate two segments, as in NIST's scoring program.
_BUFFER_WORDS = 2


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval: 95 of 100 test sets drawn like this one have a figure in it."""

    low: float
    high: float
    unit: str
    """what was drawn: speakers or utterances"""
    units: int
    """how many of them there are"""


@dataclass(frozen=True, slots=True)
class MatchedPairs:
    """The matched-pairs sentence-segment word error test (MAPSSWE)."""

    segments: int
    """stretches with an error of at least one system, separated by words that both have right"""
    mean: float
    """errors of the first system minus those of the second, per segment"""
    z: float
    p: float
    """probability of such a difference, or a larger one, if the systems were equally good; two-sided"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference between two systems on the same references."""

    difference: float
    """of the word error rates, first minus second; NaN if there are no reference words"""
    interval: Interval | None
    """of the difference"""
    p: float | None
    """by the paired bootstrap, two-sided"""
    matched_pairs: MatchedPairs | None
    """None where no segment has an error"""


def bootstrap_interval(
    errors: Sequence[float],
    lengths: Sequence[float],
    groups: Sequence[str] | None = None,
    *,
    seed: int = 1,
    rounds: int = ROUNDS,
) -> Interval | None:
    """The 95 % interval of a pooled error rate, by the percentile bootstrap.

    Parameters
    ----------
    errors, lengths : sequences of float >= 0
        Errors of each utterance, and words of its reference.
    groups : sequence of str, optional
        The speaker of each utterance: then whole speakers are drawn. The errors of one speaker's utterances are
        correlated, so that an interval over utterances is too narrow for other speakers.
    seed, rounds : int

    Returns
    -------
    Interval or None
        None with fewer than two units, or without reference words.

    Notes
    -----
    Source: M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", 2004.
    """
    summed, unit = _by_group(np.stack([errors, lengths], axis=1).astype(np.float64), groups)
    if len(summed) < 2 or summed[:, 1].sum() == 0:
        return None
    return _interval(_draw_rates(summed, seed, rounds), unit, len(summed))


def is_regression(comparison: Comparison, most_points: float) -> bool:
    """Whether the first system is significantly worse than the second, and by more than some points of WER."""
    return comparison.p is not None and comparison.p < SIGNIFICANT and 100 * comparison.difference > most_points


def rate_intervals(
    result: Score,
    speakers: Sequence[str | None],
    *,
    unit: Unit = Unit.word,
    seed: int = 1,
    rounds: int = ROUNDS,
) -> list[Interval]:
    """The intervals of an error rate: over speakers, if all are known and there are enough, and over utterances.

    Parameters
    ----------
    result : Score
    speakers : sequence of str or None
        Of each utterance.
    unit : Unit
        Words or characters.
    seed, rounds : int
    """
    counts = [one.words if unit is Unit.word else one.characters for one in result.utterances]
    errors, lengths = [one.errors for one in counts], [one.reference_length for one in counts]
    known = enough_speakers(speakers)
    found = [bootstrap_interval(errors, lengths, known, seed=seed, rounds=rounds)] if known else []
    found.append(bootstrap_interval(errors, lengths, seed=seed, rounds=rounds))
    return [one for one in found if one is not None]


def enough_speakers(speakers: Sequence[str | None]) -> list[str] | None:
    """The speakers of utterances, if all are known and there are at least `ENOUGH_SPEAKERS`; else None."""
    known = [one for one in speakers if one is not None]
    return known if len(known) == len(speakers) and len(set(known)) >= ENOUGH_SPEAKERS else None


def compare(first: Score, second: Score, groups: Sequence[str] | None = None, *, seed: int = 1) -> Comparison:
    """Compare two systems on the same references.

    Parameters
    ----------
    first, second : Score
        Of the same utterances in the same order. Of a reference with alternatives, each system may have another one.
    groups : sequence of str, optional
        The speaker of each utterance, as in `bootstrap_interval`.
    seed : int

    Raises
    ------
    ValueError
        If the references differ.

    Notes
    -----
    Sources: Bisani and Ney, 2004, for the paired bootstrap; L. Gillick and S. Cox, "Some statistical issues in the
    comparison of speech recognition algorithms", 1989, and D. Pallett et al., 1990, for MAPSSWE as NIST's sc_stats
    has it.
    """
    if [one.allowed for one in first.utterances] != [one.allowed for one in second.utterances]:
        raise ValueError("the systems were scored on other references")
    pairs = list(zip(first.utterances, second.utterances, strict=True))
    table = [[count for one in pair for count in (one.words.errors, one.words.reference_length)] for pair in pairs]
    summed, unit = _by_group(np.array(table, np.float64).reshape(-1, 4), groups)
    whole = _rate_differences(summed.sum(axis=0, keepdims=True))
    difference = float(whole[0]) if len(whole) else math.nan
    interval = p = None
    if len(summed) >= 2 and (summed[:, [1, 3]].sum(axis=0) > 0).all():
        drawn = _rate_differences(_draw_sums(summed, seed))
        interval = _interval(drawn, unit, len(summed))
        # Draws on the other side of zero; at least one, so that p is never 0.
        tail = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
        p = min(1.0, 2 * (tail + 1) / (len(drawn) + 1))
    return Comparison(difference, interval, p, _matched_pairs(pairs))


def _by_group(values: Floats, groups: Sequence[str] | None) -> tuple[Floats, str]:
    """Rows summed by group if there are groups; and the unit of the rows."""
    if groups is None:
        return values, "utterances"
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    summed = np.zeros((len(numbers), values.shape[1]))
    np.add.at(summed, [numbers[name] for name in groups], values)
    return summed, "speakers"


def _rate_differences(sums: Floats) -> Floats:
    """Differences of two systems' error rates, from rows of errors and words of the first, then of the second.

    Rows in which a system has no reference words have no rate and are left out.
    """
    errors, lengths, other_errors, other_lengths = sums[(sums[:, 1] > 0) & (sums[:, 3] > 0)].T
    differences: Floats = errors / lengths - other_errors / other_lengths
    return differences


def _draw_rates(values: Floats, seed: int, rounds: int = ROUNDS) -> Floats:
    """Error rates of drawn test sets, from rows of errors and words; draws of empty references alone have none."""
    errors, lengths = _draw_sums(values, seed, rounds).T
    rates: Floats = errors[lengths > 0] / lengths[lengths > 0]
    return rates


def _draw_sums(values: Floats, seed: int, rounds: int = ROUNDS) -> Floats:
    """Sums of all columns, over rows drawn with replacement, as many as there are."""
    rng = np.random.default_rng(seed)
    count = len(values)
    at_once = max(1, _DRAWN_AT_ONCE // count)
    sums = [
        values[rng.integers(0, count, (min(at_once, rounds - start), count))].sum(axis=1)
        for start in range(0, rounds, at_once)
    ]
    return np.concatenate(sums)


def _interval(drawn: Floats, unit: str, units: int) -> Interval:
    low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(float(low), float(high), unit, units)


def _matched_pairs(pairs: Sequence[tuple[UtteranceScore, UtteranceScore]]) -> MatchedPairs | None:
    differences = np.array([one - other for pair in pairs for one, other in segment_errors(*pair)], np.float64)
    if len(differences) == 0:
        return None
    mean = float(differences.mean())
    deviation = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if deviation == 0:
        return MatchedPairs(
            len(differences), mean, 0.0 if mean == 0 else math.copysign(math.inf, mean), float(mean == 0)
        )
    z = mean / (deviation / math.sqrt(len(differences)))
    return MatchedPairs(len(differences), mean, z, math.erfc(abs(z) / math.sqrt(2)))


def segment_errors(first: UtteranceScore, second: UtteranceScore) -> list[tuple[int, int]]:
    """Errors of two systems in each segment of an utterance in which one of them has any.

    Segments are separated by two or more words in a row that both have right. Where the systems are scored against
    different alternatives of a reference, its words cannot be matched, and the utterance is one segment.
    """
    if first.reference != second.reference:
        errors = (first.words.errors, second.words.errors)
        return [errors] if any(errors) else []
    one, other = _errors_by_place(first), _errors_by_place(second)
    segments: list[tuple[int, int]] = []
    errors, right = (0, 0), _BUFFER_WORDS
    for mine, yours, is_word in ((*pair, place % 2 == 1) for place, pair in enumerate(zip(one, other, strict=True))):
        if mine or yours:
            if right >= _BUFFER_WORDS and any(errors):
                segments.append(errors)
                errors = (0, 0)
            errors, right = (errors[0] + mine, errors[1] + yours), 0
        elif is_word:
            right += 1
    return [*segments, errors] if any(errors) else segments


def _errors_by_place(utterance: UtteranceScore) -> list[int]:
    """Errors before the first reference word, at it, between it and the next, and so on."""
    errors = [0]
    for edit in utterance.alignment:
        if edit.kind == "insert":
            errors[-1] += len(edit.hypothesis)
        else:
            for _ in edit.reference:
                errors += [int(edit.kind != "equal"), 0]
    return errors
