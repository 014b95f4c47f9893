from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.evaluation.alternatives import Alternatives, Choice, Items, OptionalWord
from asr.evaluation.policy import ScoringPolicy
from asr.evaluation.report import make_report
from asr.evaluation.scoring import ErrorCounts, score
from asr.evaluation.sources import System, read_hypotheses, read_references
from asr.evaluation.statistics import compare
from asr.settings.text import NormalizerConfig

from .sclite import score_by_sclite

WORDS = "abcde"


def random_reference(rng: random.Random, *, longest: int = 10, depth: int = 0, optional: bool = False) -> str:
    words = []
    for _ in range(rng.randint(0, longest)):
        kind = rng.random()
        if kind < 0.25 and depth < 3:
            alternatives = [
                "@"
                if rng.random() < 0.2
                else random_reference(rng, longest=3, depth=depth + 1, optional=optional) or rng.choice(WORDS)
                for _ in range(rng.randint(1, 3))
            ]
            words.append(f"{{ {' / '.join(alternatives)} }}")
        elif kind < 0.35 and optional:
            words.append(f"({rng.choice(WORDS)})")
        else:
            words.append(rng.choice(WORDS))
    return " ".join(words)


def random_pairs(count: int, *, seed: int, optional: bool = False) -> tuple[list[str], list[str]]:
    rng = random.Random(seed)
    references = [random_reference(rng, optional=optional) for _ in range(count)]
    return references, [" ".join(rng.choices(WORDS, k=rng.randint(0, 10))) for _ in range(count)]


def texts(items: Items) -> set[str]:
    """Everything that a reference stands for, by enumeration."""
    choices: list[set[str]] = []
    for item in items:
        match item:
            case Choice():
                choices.append(set().union(*(texts(one) for one in item.alternatives)))
            case OptionalWord():
                choices.append({item.word, ""})
            case _:
                choices.append({"" if item == "@" else item})
    return {" ".join(" ".join(parts).split()) for parts in itertools.product(*choices)}


def parsed_score(reference: str, hypothesis: str) -> ErrorCounts:
    return score([Alternatives.parse(reference)], [hypothesis]).words


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "length"),
    [
        ("{ um / uh / @ } the owners", "the owners", 0, 2),
        ("{ um / uh / @ } the owners", "uh the owners", 0, 3),
        ("{ um / uh / @ } the owners", "oh the owners", 1, 2),
        ("he {recognizes/recognises} it", "he recognises it", 0, 3),
        ("{ going to / gonna { do / @ } } it", "gonna do it", 0, 3),
        ("{ going to / gonna { do / @ } } it", "going it", 1, 3),
        ("a (farmer) yes", "a yes", 0, 2),
        ("a (farmer) yes", "a farmer yes", 0, 3),
        ("a (farmer) yes", "a fireman yes", 1, 3),
        ("and/or @ not", "and/or not", 0, 2),
        ("", "a", 1, 0),
        ("{ a / @ }", "", 0, 0),
    ],
)
def test_a_reference_counts_as_the_alternative_that_fits_best(reference, hypothesis, errors, length):
    counts = parsed_score(reference, hypothesis)
    assert (counts.errors, counts.reference_length) == (errors, length)


@pytest.mark.parametrize("text", ["{ a / b", "a } b", "{ a / }", "{ / a }", "{}", "{ a / { b }"])
def test_what_makes_no_sense_is_refused(text):
    with pytest.raises(ValueError, match=r"brace|an empty alternative: @ stands for no word"):
        Alternatives.parse(text)


@given(st.integers(0, 2**32), st.booleans())
def test_what_is_printed_is_read_as_the_same(seed, optional):
    reference = Alternatives.parse(random_reference(random.Random(seed), optional=optional))
    assert Alternatives.parse(str(reference)) == reference
    assert reference.map(str) == reference


@given(st.integers(0, 2**32))
def test_the_chosen_text_is_one_of_those_it_stands_for_and_none_costs_less(seed):
    rng = random.Random(seed)
    reference = Alternatives.parse(random_reference(rng, longest=4, optional=True))
    hypothesis = " ".join(rng.choices(WORDS, k=rng.randint(0, 5)))

    def cost(counts: ErrorCounts) -> int:
        return 4 * counts.substitutions + 3 * (counts.deletions + counts.insertions)

    (result,) = score([reference], [hypothesis]).utterances
    allowed = texts(reference.items)
    assert result.reference in allowed
    if "(" not in str(reference):  # a left-out optional word costs something, though it is no error
        least = min(cost(score([Alternatives.parse(text)], [hypothesis]).words) for text in allowed)
        assert cost(result.words) == least
    assert " ".join(word for edit in result.alignment for word in edit.reference) == result.reference
    assert " ".join(word for edit in result.alignment for word in edit.hypothesis) == hypothesis


def test_every_alternative_is_brought_to_one_spelling():
    reference = Alternatives.parse("{ Um, / -- / @ } It-is (THE) { Colour! }")
    assert str(reference.map(lambda text: text.lower().strip(",-!"))) == "{ um / @ / @ } it-is (the) { colour }"


def test_systems_may_be_compared_by_different_alternatives():
    reference = [Alternatives.parse("{ going to / gonna } go"), Alternatives.parse("a b c")]
    first, second = score(reference, ["going to go", "a b c"]), score(reference, ["gonna go", "a x c"])
    result = compare(first, second)
    assert result.difference == pytest.approx(first.words.rate - second.words.rate) == pytest.approx(-1 / 5)
    assert result.matched_pairs.segments == 1
    with pytest.raises(ValueError, match="other references"):
        compare(first, score([Alternatives.parse("{ going to / gonna / @ } go"), *reference[1:]], ["go", "a"]))


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_hits_and_errors_of_each_kind_are_those_of_nists_sclite(tmp_path, count):
    references, hypotheses = random_pairs(count, seed=count)
    result = score([Alternatives.parse(one) for one in references], hypotheses)
    ours = [
        (one.words.hits, one.words.substitutions, one.words.deletions, one.words.insertions)
        for one in result.utterances
    ]
    assert ours == score_by_sclite(tmp_path, references, hypotheses)


def test_totals_of_trn_files_are_those_of_nists_sclite(tmp_path):
    texts = random_pairs(60, seed=60)
    theirs = score_by_sclite(tmp_path, *texts)
    references = read_references([str(tmp_path / "ref.trn")])
    outputs, _ = read_hypotheses(str(tmp_path / "hyp.trn"), references)
    words = make_report(references, [System("h", outputs)], ScoringPolicy(NormalizerConfig())).systems[0].words.counts
    counts = [words.hits, words.substitutions, words.deletions, words.insertions]
    assert counts == [sum(column) for column in zip(*theirs, strict=True)]


def test_errors_with_optional_words_are_those_of_sclite_d(tmp_path):
    """It counts a left-out optional word as right; here it is no word of the reference."""
    references, hypotheses = random_pairs(200, seed=7, optional=True)
    result = score([Alternatives.parse(one) for one in references], hypotheses)
    theirs = score_by_sclite(tmp_path, references, hypotheses, "-D")
    ours = [(one.words.substitutions, one.words.deletions, one.words.insertions) for one in result.utterances]
    assert ours == [one[1:] for one in theirs]
