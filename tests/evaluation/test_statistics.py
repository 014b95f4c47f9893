from __future__ import annotations

import itertools
import re
import subprocess

import numpy as np
import pytest

from asr.evaluation.render.text_report import format_comparison
from asr.evaluation.scoring import score
from asr.evaluation.statistics import (
    bootstrap_interval,
    compare,
    compare_means,
    is_regression,
    mean_rate,
    rate_intervals,
    segment_errors,
)

from ..conftest import oracle


def test_an_interval_is_around_the_rate_and_narrows_with_the_square_root(rng):
    errors = rng.binomial(20, 0.3, 4000)
    lengths = np.full(4000, 20)
    wide, narrow = bootstrap_interval(errors[:40], lengths[:40]), bootstrap_interval(errors, lengths)
    assert wide.low < errors[:40].mean() / 20 < wide.high
    assert narrow.low < errors.mean() / 20 < narrow.high
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(10, rel=0.35)
    expected = 1.96 * np.sqrt(0.3 * 0.7 / 20 / 4000)
    assert (narrow.high - narrow.low) / 2 == pytest.approx(expected, rel=0.1)
    assert (narrow.unit, narrow.units) == ("utterances", 4000)


def test_intervals_hold_what_they_promise(rng):
    inside = 0
    for _ in range(200):
        lengths = rng.integers(5, 30, 100)
        errors = rng.binomial(lengths, 0.2)
        interval = bootstrap_interval(errors, lengths, seed=int(rng.integers(1000)), rounds=1000)
        inside += interval.low <= 0.2 <= interval.high
    assert 0.9 <= inside / 200 <= 0.99


def test_speakers_who_differ_make_the_interval_wider(rng):
    speakers = np.repeat([f"s{number}" for number in range(12)], 30)
    rates = np.repeat(rng.uniform(0.1, 0.6, 12), 30)
    errors = rng.binomial(10, rates)
    by_speaker = bootstrap_interval(errors, np.full(360, 10), speakers.tolist())
    by_utterance = bootstrap_interval(errors, np.full(360, 10))
    assert (by_speaker.unit, by_speaker.units) == ("speakers", 12)
    assert by_speaker.high - by_speaker.low > 2 * (by_utterance.high - by_utterance.low)


def test_the_same_seed_gives_the_same_interval():
    errors, lengths = list(range(50)), list(range(50, 100))
    assert bootstrap_interval(errors, lengths) == bootstrap_interval(errors, lengths)
    assert bootstrap_interval(errors, lengths, seed=2) != bootstrap_interval(errors, lengths)


def test_one_utterance_or_no_reference_has_no_interval():
    assert bootstrap_interval([1], [5]) is None
    assert bootstrap_interval([1, 2], [0, 0]) is None
    assert bootstrap_interval([1, 0], [0, 5]) is not None


def test_segments_are_parted_by_two_words_that_both_have_right():
    reference = "a b c d e f g h"
    (one,) = score([reference], ["x b c d e y g h"]).utterances
    (other,) = score([reference], ["a b c d e f g z"]).utterances
    # x | b c d e | y, g, z: one right word between f and h does not part them.
    assert segment_errors(one, other) == [(1, 0), (1, 1)]
    (inserting,) = score([reference], ["a b q r c d e f g h"]).utterances
    (right,) = score([reference], [reference]).utterances
    assert segment_errors(inserting, right) == [(2, 0)]
    assert segment_errors(right, right) == []


def corrupt(rng: np.random.Generator, text: str, rate: float) -> str:
    words = []
    for word in text.split():
        draw = rng.random()
        if draw < rate / 3:
            continue
        words.append("wrong" if draw < 2 * rate / 3 else word)
        if draw > 1 - rate / 3:
            words.append("extra")
    return " ".join(words)


def texts(rng: np.random.Generator, count: int) -> list[str]:
    vocabulary = [f"{first}{second}o" for first in "bdfgklm" for second in "aeiu"]
    return [" ".join(rng.choice(vocabulary, int(rng.integers(6, 20)))) for _ in range(count)]


def test_a_better_system_is_found_and_equal_ones_are_not_distinguished(rng):
    references = texts(rng, 400)
    good, bad, equal = (score(references, [corrupt(rng, one, rate) for one in references]) for rate in (0.2, 0.3, 0.2))
    found = compare(bad, good)
    assert found.difference == pytest.approx(bad.words.rate - good.words.rate)
    assert found.interval.low > 0
    assert found.p < 0.001
    assert found.matched_pairs.p < 0.001
    assert compare(good, bad).difference == -found.difference
    same = compare(good, equal)
    assert same.interval.low < 0 < same.interval.high
    assert min(same.p, same.matched_pairs.p) > 0.01


def test_equal_systems_are_called_different_or_a_regression_no_more_often_than_promised(rng):
    """In one of twenty comparisons; a regression, which goes one way, in one of forty."""
    # Scoring texts costs most: each system is compared with all others.
    references = texts(rng, 60)
    systems = [score(references, [corrupt(rng, text, 0.25) for text in references]) for _ in range(20)]
    called = []
    for number, (one, other) in enumerate(itertools.combinations(systems, 2)):
        result = compare(one, other, seed=number)
        called.append([result.p < 0.05, result.matched_pairs.p < 0.05, is_regression(result, 0.0)])
    different, by_segments, worse = np.mean(called, axis=0)
    assert max(different, by_segments) <= 0.09
    assert worse <= 0.05


def test_systems_on_other_references_are_not_compared():
    with pytest.raises(ValueError, match="other references"):
        compare(score(["a"], ["a"]), score(["b"], ["a"]))


def test_matched_pairs_are_those_of_nists_sc_stats(rng, tmp_path):
    sclite, sc_stats = oracle("sclite"), oracle("sc_stats")
    references = texts(rng, 300)
    systems = {name: [corrupt(rng, one, rate) for one in references] for name, rate in (("one", 0.25), ("two", 0.3))}
    ids = [f"(spk{number % 10}_{number:04d})" for number in range(300)]
    for name, lines in {"ref": references, **systems}.items():
        content = "".join(f"{text} {one}\n" for text, one in zip(lines, ids, strict=True))
        (tmp_path / f"{name}.trn").write_text(content)
    piped = b""
    for name in systems:
        arguments = ["-r", "ref.trn", "trn", "-h", f"{name}.trn", "trn", "-i", "spu_id", "-o", "sgml", "stdout"]
        piped += subprocess.run([sclite, *arguments], cwd=tmp_path, capture_output=True, check=True).stdout
    command = [sc_stats, "-p", "-t", "mapsswe", "-v", "-n", "result"]
    subprocess.run(command, cwd=tmp_path, input=piped, capture_output=True, check=True)
    report = (tmp_path / "result.stats.mapsswe").read_text(errors="replace")
    told = re.search(r"# segs: (\d+)\).*\(mean: (\S+)\) \(std dev: \S+\) \(Z Stat: (\S+)\)", report)
    assert told is not None
    first, second = (score(references, systems[name]) for name in ("one", "two"))
    found = compare(first, second).matched_pairs
    # Of alignments with as many errors sclite may choose another one, which parts a segment here and there.
    assert found.segments == pytest.approx(int(told[1]), rel=0.01)
    assert found.mean == pytest.approx(float(told[2]), abs=0.005)
    assert found.z == pytest.approx(float(told[3]), abs=0.1)
    assert np.sign(found.z) == -1


@pytest.mark.parametrize(("worse", "exact", "regression"), [(3, 2 * 0.85**20, False), (4, 2 * 0.8**20, True)])
def test_a_regression_is_what_has_a_p_below_a_twentieth(worse, exact, regression):
    """Of twenty utterances, some have one word more wrong: only draws without any of them speak against it."""
    references = ["a b c d"] * 20
    baseline, now = score(references, references), score(references, ["a b c"] * worse + references[worse:])
    found = compare(now, baseline)
    assert found.p == pytest.approx(exact, abs=0.012)
    assert is_regression(found, 0.0) == regression


def test_a_worsening_within_the_limit_is_no_regression(rng):
    references = texts(rng, 400)
    good, bad = (score(references, [corrupt(rng, one, rate) for one in references]) for rate in (0.2, 0.3))
    worse = compare(bad, good)
    assert is_regression(worse, 0.5)
    assert not is_regression(worse, 100 * worse.difference + 0.1)
    assert not is_regression(compare(good, bad), 0.0)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_few_utterances_prove_nothing(count):
    """Of n signs that are equally likely, all are the same in one of 2^(n-1) cases: an exact test shows no less."""
    references = ["a b"] * count
    found = compare(score(references, ["a x"] * count), score(references, references))
    assert found.matched_pairs.p == 2.0 ** (1 - count)
    assert found.p == (None if count == 1 else 2.0 ** (1 - count))
    assert not is_regression(found, 0.0)


def test_a_difference_that_never_varies_has_no_power_and_a_rate_that_never_varies_has_no_interval():
    references = ["a b"] * 6
    right, wrong = score(references, references), score(references, ["a x"] * 6)
    found = compare(wrong, right)
    assert (found.interval, found.detectable) == (None, None)
    assert f"paired bootstrap: p = {found.p:.4f}" in format_comparison(found, "a", "b")
    assert compare_means([wrong, wrong], [right, right], [[None] * 6] * 2).interval is None
    assert mean_rate([wrong, wrong], [[None] * 6] * 2).interval is None
    assert compare(right, right).detectable == 0
    assert rate_intervals(wrong, [None] * 6) == []
