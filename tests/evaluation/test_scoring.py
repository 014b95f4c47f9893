from __future__ import annotations

import re
import subprocess

import jiwer
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import asr
from asr.corpus.manifest import read_manifest
from asr.evaluation.scoring import ErrorCounts, score
from asr.settings.text import NormalizerConfig
from asr.text.normalize import normalize_text

from ..conftest import SAMPLES, oracle

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


@pytest.mark.parametrize(
    ("references", "hypotheses", "message"),
    [
        ("the cat", ["the bat"], "references must be a list of texts, not one text"),
        (["the cat"], "the bat", "hypotheses must be a list of texts, not one text"),
        (["the cat"], b"the bat", "hypotheses must be a list"),
        (["a", None], ["a", "b"], "references must be texts, not None"),
        (["a"], [1], "hypotheses must be texts, not 1"),
    ],
)
def test_anything_but_two_lists_of_texts_is_refused(references, hypotheses, message):
    with pytest.raises(TypeError, match=message):
        asr.score(references, hypotheses)


def test_the_normaliser_is_the_callers_choice_and_none_by_default():
    assert asr.score(["The cat."], ["the cat"]).words.errors == 2
    assert asr.score(["The cat."], ["the cat"], normalizer="none").words.errors == 2
    assert asr.score(["The cat."], ["the cat"], normalizer="standard").words.errors == 0
    assert asr.score(["The cat."], ["the cat"], normalizer=NormalizerConfig(lowercase=False)).words.errors == 1
    with pytest.raises(ValueError, match="normalizer='basic': a NormalizerConfig is wanted, or one of none, standard"):
        asr.score(["a"], ["a"], normalizer="basic")


def test_invisible_characters_are_no_errors_under_any_normaliser():
    for normalizer in ("none", "standard"):
        assert asr.score(["hello\u200b world"], ["hel\u00adlo world\ufeff"], normalizer=normalizer).words.errors == 0


@pytest.mark.parametrize("pairs", [5_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.thorough])])
def test_counts_of_random_pairs_are_jiwers(rng, pairs):
    vocabulary = np.array(["a", "b", "cc", "dd'e", "é", "漢", "ﬁ", "long-word", "x"])
    texts = [" ".join(rng.choice(vocabulary, length)) for length in rng.integers(1, 12, 2 * pairs)]
    references, hypotheses = texts[::2], texts[1::2]
    result = score(references, hypotheses)
    words, characters = jiwer.process_words(references, hypotheses), jiwer.process_characters(references, hypotheses)
    for ours, theirs in ((result.words, words), (result.characters, characters)):
        assert ours == ErrorCounts(theirs.hits, theirs.substitutions, theirs.deletions, theirs.insertions)


def test_counts_of_real_output_are_those_of_nists_sclite(tmp_path):
    """As many errors. Which kinds they are may differ: sclite weighs substitutions 4 and the others 3, and so takes
    another of the alignments with as many errors here and there."""
    sclite = oracle("sclite")
    utterances = read_manifest(SAMPLES / "samples.jsonl").utterances
    transcriber = asr.Transcriber(asr.load_bundle("en"))
    texts = [transcriber.transcribe(one.audio_path).text for one in utterances]
    references = [normalize_text(one.text or "", NormalizerConfig()) for one in utterances]
    for name, lines in (("ref", references), ("hyp", texts)):
        rows = [f"{text} (speaker_{number})\n" for number, text in enumerate(lines)]
        (tmp_path / f"{name}.trn").write_text("".join(rows), "utf-8")
    arguments = ["-r", "ref.trn", "trn", "-h", "hyp.trn", "trn", "-i", "spu_id", "-o", "rsum", "stdout"]
    done = subprocess.run([sclite, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
    told = re.search(r"\| Sum\s*\|\s*(\d+)\s+(\d+)\s*\|\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", done.stdout)
    assert told is not None, done.stdout
    _, words, hits, *_, errors = map(int, told.groups())
    ours = score(references, texts).words
    assert (ours.reference_length, ours.errors) == (words, errors)
    assert ours.hits == pytest.approx(hits, abs=0.05 * words)
