from __future__ import annotations

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.evaluation.scoring import ErrorCounts, score

TEXTS = st.lists(st.sampled_from(["a", "b", "cc", "dd'e", "é"]), max_size=8).map(" ".join)


def test_counts_are_those_of_the_minimal_alignment():
    result = score(["the cat sat on the mat"], ["the bat sat the mat there"])
    assert result.words == ErrorCounts(hits=4, substitutions=1, deletions=1, insertions=1)
    assert str(result.words) == "50.00 %"
    kinds = [edit.kind for edit in result.utterances[0].alignment]
    assert kinds == ["equal", "substitute", "equal", "delete", "equal", "insert"]


def test_errors_are_pooled_not_averaged():
    result = score(["a", "b c d e f g h i j"], ["x", "b c d e f g h i j"])
    assert result.words.rate == pytest.approx(1 / 10)
    assert result.wrong_utterances == 1


def test_an_empty_reference_counts_its_insertions_and_has_no_rate_of_its_own():
    result = score([""], ["two words"])
    assert result.words == ErrorCounts(insertions=2)
    assert result.characters == ErrorCounts(insertions=9)
    assert result.words.rate is None
    assert str(result.words) == "n/a (2 insertions)"
    assert score(["", "a b"], ["x", "a b"]).words.rate == pytest.approx(1 / 2)


def test_an_empty_hypothesis_is_all_deletions():
    assert score(["two words"], [""]).words == ErrorCounts(deletions=2)


def test_nothing_against_nothing_is_right():
    assert score([""], [""]).wrong_utterances == 0


def test_one_character_texts_are_counted():
    assert score(["a", "b"], ["a", "c"]).words == ErrorCounts(hits=1, substitutions=1)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_totals_agree_with_jiwer(pairs):
    pairs = [(reference or "a", hypothesis) for reference, hypothesis in pairs]
    references, hypotheses = map(list, zip(*pairs, strict=True))
    result = score(references, hypotheses)
    assert result.words.rate == pytest.approx(jiwer.wer(references, hypotheses))
    assert result.characters.rate == pytest.approx(jiwer.cer(references, hypotheses))


@given(TEXTS, TEXTS)
def test_an_alignment_spells_both_texts(reference, hypothesis):
    (one,) = score([reference], [hypothesis]).utterances
    assert " ".join(word for edit in one.alignment for word in edit.reference) == reference
    assert " ".join(word for edit in one.alignment for word in edit.hypothesis) == hypothesis
    assert one.words.reference_length == len(reference.split())


def test_unequal_numbers_of_texts_are_refused():
    with pytest.raises(ValueError, match="2 references and 1 hypotheses"):
        score(["a", "b"], ["a"])
