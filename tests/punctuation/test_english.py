"""The model of punctuation that ships with `en`, on real texts."""

from __future__ import annotations

import json

import pytest

from asr import load_bundle
from asr.punctuation.tagger import Tagger
from asr.punctuation.text_writer import TextWriter
from asr.settings.transcripts import WrittenForm
from asr.text.normalize import normalize_text
from asr.text.transcript import Transcript, Word

from ..conftest import SAMPLES


@pytest.fixture(scope="module")
def english() -> Tagger:
    tagger = load_bundle("en").tagger()
    assert tagger is not None
    return tagger


def written(tagger: Tagger, text: str, form: WrittenForm = WrittenForm.punctuated) -> str:
    return " ".join(one.text for one in TextWriter(tagger, form).tokens(text.split()))


@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        ("what are you doing here", "What are you doing here?"),
        ("i thought you were in london", "I thought you were in London."),
        ("yes i know", "Yes, I know."),
        ("where have you been", "Where have you been?"),
    ],
)
def test_simple_sentences(english: Tagger, plain: str, expected: str) -> None:
    assert written(english, plain) == expected


def test_numbers_are_written_in_figures_where_wanted(english: Tagger) -> None:
    text = "it costs twenty five dollars he said"
    assert "$25" in written(english, text, WrittenForm.full)
    assert "twenty five dollars" in written(english, text)


def test_normalised_text_is_exactly_the_plain_one(english: Tagger) -> None:
    rows = [json.loads(line) for line in (SAMPLES / "samples.jsonl").read_text("utf-8").splitlines()]
    normalizer = load_bundle("en").normalizer
    text = " ".join(normalize_text(row["text"], normalizer) for row in rows)
    assert normalize_text(written(english, text), normalizer) == text


def test_the_file_is_small_and_tags_do_not_depend_on_the_cut(english: Tagger) -> None:
    path = load_bundle("en").path / "punctuation.onnx"
    assert path.stat().st_size < 6_000_000
    words = ("he said that he would come and so he did " * 60).split()
    timed = tuple(Word(word, 0.4 * place, 0.4 * place + 0.3) for place, word in enumerate(words))
    whole = TextWriter(english).write(Transcript("", " ".join(words), 300.0, 0.0, timed, ())).to_read
    assert [one.start for one in whole.words] == [one.start for one in timed]
    stream = english.stream()
    parts = [stream.push(words[start : start + 7]) for start in range(0, len(words), 7)] + [stream.push([], last=True)]
    tags = english.tag(words)
    assert [int(mark) for part in parts for mark in part.marks] == tags.marks.tolist()
