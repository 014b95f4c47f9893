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
"""with fewer, resampled speakers represent other speakers badly"""
SIGNIFICANT = 0.05
"""a difference is significant if its p is below this"""
ROUNDS = 10_000
"""bootstrap draws of a test set"""
_LEVEL = 0.95
# A normal variable of this mean, in standard errors, is above 1.96 in 80 of 100 cases: p < 0.05 with a power of 0.8.
_DETECTABLE_ERRORS = 1.96 + 0.84
# Draws that are summed at once: a few MB.
_DRAWN_AT_ONCE = 1 << 19
# Consecutive words that both systems have correct, which separate two segments, as in NIST's scoring program.
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
    """segments with an error of at least one system, separated by words that both have correct"""
    mean: float
    """errors of the first system minus those of the second, per segment"""
    z: float
    """infinite if the difference is the same in all segments, and not 0"""
    p: float
    """probability of such a difference, or a larger one, if the systems were equally good; two-sided. With few
    segments it is that of an exact test of the signs, if that is larger: the normal distribution is for many"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference between two systems on the same references."""

    difference: float
    """of the word error rates, first minus second; NaN if there are no reference words"""
    interval: Interval | None
    """of the difference; None if it is the same in all units, and not 0: its variance is unknown then"""
    p: float | None
    """by the paired bootstrap, two-sided; at least that of an exact test of the signs, which matters for few units"""
    matched_pairs: MatchedPairs | None
    """None where no segment has an error"""
    detectable: float | None
    """the smallest true difference that four of five test sets like this one show to be significant; None where there
    is no interval"""


@dataclass(frozen=True, slots=True)
class MeanRate:
    """The mean of the word error rates of several test sets."""

    rate: float | None
    interval: Interval | None


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
        None with fewer than two units, without reference words, or if all units have the same rate: nothing then
        shows how much that of others differs.

    Notes
    -----
    Source: M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", 2004.
    """
    summed, unit = _by_group(np.stack([errors, lengths], axis=1).astype(np.float64), groups)
    if len(summed) < 2 or summed[:, 1].sum() == 0:
        return None
    drawn = _draw_rates(summed, seed, rounds)
    return None if _is_constant(drawn) else _interval(drawn, unit, len(summed))


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


def mean_rate(results: Sequence[Score], speakers: Sequence[Sequence[str | None]], *, seed: int = 1) -> MeanRate:
    """The mean of the word error rates of several test sets, each with the same weight, as in leaderboards.

    Parameters
    ----------
    results : sequence of Score
        Of one system on each set.
    speakers : sequence of sequence of str or None
        Of each utterance of each set. Each set is drawn as in `rate_intervals`, independently of the others.
    seed : int

    Returns
    -------
    MeanRate
        Without a rate if a set has no reference words; without an interval if a set has none.
    """
    if any(one.words.rate is None for one in results):
        return MeanRate(None, None)
    rate = sum(one.words.rate or 0.0 for one in results) / len(results)
    drawn: list[Floats] = []
    units: list[tuple[str, int]] = []
    for number, (result, known) in enumerate(zip(results, speakers, strict=True)):
        values = [[one.words.errors, one.words.reference_length] for one in result.utterances]
        summed, unit = _by_group(np.array(values, np.float64).reshape(-1, 2), enough_speakers(known))
        rates = _draw_rates(summed, seed + number) if len(summed) >= 2 else np.empty(0)
        if len(rates) < ROUNDS:  # a draw without reference words has no rate
            return MeanRate(rate, None)
        drawn.append(rates)
        units.append((unit, len(summed)))
    means = np.mean(drawn, axis=0)
    return MeanRate(rate, None if _is_constant(means) else _interval(means, *_joined(units)))


def compare_means(
    first: Sequence[Score], second: Sequence[Score], speakers: Sequence[Sequence[str | None]], *, seed: int = 1
) -> Comparison:
    """Compare the mean word error rates of two systems on the same test sets, by the paired bootstrap.

    Parameters
    ----------
    first, second : sequence of Score
        Of each set.
    speakers : sequence of sequence of str or None
        As in `mean_rate`.
    seed : int

    Returns
    -------
    Comparison
        Without matched pairs, which have no mean over sets.
    """
    differences: list[float] = []
    drawn: list[Floats] = []
    units: list[tuple[str, int]] = []
    for number, (one, other, known) in enumerate(zip(first, second, speakers, strict=True)):
        table = _paired_counts(one, other)
        summed, unit = _by_group(table, enough_speakers(known))
        whole = _rate_differences(summed.sum(axis=0, keepdims=True))
        if not len(whole):
            return Comparison(math.nan, None, None, None, None)
        differences.append(float(whole[0]))
        drawn.append(_rate_differences(_draw_sums(summed, seed + number)) if len(summed) >= 2 else np.empty(0))
        units.append((unit, len(summed)))
    difference = sum(differences) / len(differences)
    if any(len(one) < ROUNDS for one in drawn):
        return Comparison(difference, None, None, None, None)
    return _comparison(difference, np.mean(drawn, axis=0), *_joined(units), matched_pairs=None)


def _joined(units: Sequence[tuple[str, int]]) -> tuple[str, int]:
    """The units that were drawn in all sets, and their number."""
    kinds = list(dict.fromkeys(unit for unit, _ in units))
    return " and ".join(kinds), sum(count for _, count in units)


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
    matched_pairs = _matched_pairs(pairs)
    summed, unit = _by_group(_paired_counts(first, second), groups)
    whole = _rate_differences(summed.sum(axis=0, keepdims=True))
    difference = float(whole[0]) if len(whole) else math.nan
    if len(summed) < 2 or not (summed[:, [1, 3]].sum(axis=0) > 0).all():
        return Comparison(difference, None, None, matched_pairs, None)
    drawn = _rate_differences(_draw_sums(summed, seed))
    return _comparison(difference, drawn, unit, len(summed), matched_pairs=matched_pairs)


def _paired_counts(first: Score, second: Score) -> Floats:
    """Errors and words of the first system, then of the second, of each utterance."""
    pairs = zip(first.utterances, second.utterances, strict=True)
    table = [[count for one in pair for count in (one.words.errors, one.words.reference_length)] for pair in pairs]
    return np.array(table, np.float64).reshape(-1, 4)


def _comparison(
    difference: float, drawn: Floats, unit: str, units: int, *, matched_pairs: MatchedPairs | None
) -> Comparison:
    # Draws on the other side of zero; at least one, so that p is never 0.
    tail = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    p = min(1.0, max(2 * (tail + 1) / (len(drawn) + 1), _least_p(units)))
    if difference != 0 and _is_constant(drawn):
        return Comparison(difference, None, p, matched_pairs, None)
    detectable = _DETECTABLE_ERRORS * float(drawn.std())
    return Comparison(difference, _interval(drawn, unit, units), p, matched_pairs, detectable)


def _least_p(count: int) -> float:
    """The least p, two-sided, of an exact test of so many signs: that all of them are the same by chance."""
    return 2.0 ** (1 - count)


def _is_constant(drawn: Floats) -> bool:
    return len(drawn) > 0 and bool(np.ptp(drawn) < 1e-12)


def times_as_much_speech(comparison: Comparison) -> float | None:
    """The multiple of this test set that shows its difference in four of five cases.

    The standard error of a difference falls with the square root of the number of utterances (or speakers).

    Returns
    -------
    float or None
        None where there is no difference, or no interval.
    """
    if comparison.detectable is None or math.isnan(comparison.difference) or comparison.difference == 0:
        return None
    return (comparison.detectable / comparison.difference) ** 2


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
    if mean == 0:
        return MatchedPairs(len(differences), mean, 0.0, 1.0)
    z = mean / (deviation / math.sqrt(len(differences))) if deviation else math.copysign(math.inf, mean)
    p = max(math.erfc(abs(z) / math.sqrt(2)), _least_p(int(np.count_nonzero(differences))))
    return MatchedPairs(len(differences), mean, z, p)


def segment_errors(first: UtteranceScore, second: UtteranceScore) -> list[tuple[int, int]]:
    """Errors of two systems in each segment of an utterance in which one of them has any.

    Segments are separated by two or more consecutive words that both have correct. Where the systems are scored against
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
