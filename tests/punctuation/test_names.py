"""Names that a user gives are written as they were given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asr.decoding.assembly import hot_phrases
from asr.errors import LanguageModelError
from asr.punctuation.names import Names
from asr.punctuation.tagger import Tagger, Tags
from asr.punctuation.text_writer import TextWriter, make_text_writer
from asr.punctuation.writing import write_words
from asr.punctuation.written_tags import CAPITAL, LOWER, Spellings
from asr.recognition.live_events import Final
from asr.recognition.live_writing import LiveWriter
from asr.settings.decoding import AutoConfig, BeamConfig, GreedyConfig
from asr.settings.transcripts import WrittenForm
from asr.text.transcript import Word

NONE = Spellings({}, frozenset(), frozenset())


@pytest.mark.parametrize(
    ("phrases", "text", "written"),
    [
        (["iPhone"], "my iphone", {1: "iPhone"}),
        (["iphone"], "my iphone", {}),
        (
            ["Bank of America", "America"],
            "bank of america or america",
            {0: "Bank", 1: "of", 2: "America", 4: "America"},
        ),
        (["New York", "York"], "new yorks york", {2: "York"}),
        (["Anna-Maria"], "anna maria and anna", {0: "Anna", 1: "Maria"}),
        (["Anna Anna Bert"], "anna anna anna bert", {1: "Anna", 2: "Anna", 3: "Bert"}),
        (["O'Hare"], "o'hare", {0: "O'Hare"}),
        (["  ", "-", "A"], "a b", {0: "A"}),
        ([], "a b", {}),
    ],
)
def test_places_of_phrases_with_capitals(phrases: list[str], text: str, written: dict[int, str]) -> None:
    assert Names(phrases).places(text.split()) == written


def test_a_name_is_written_as_given_also_where_a_sentence_begins() -> None:
    words = ["iphone", "and", "openai"]
    tags = Tags(np.array([0, 0, 2]), np.array([LOWER, LOWER, CAPITAL]), np.array([0, 0, 1]))
    written = write_words(words, tags, NONE, names=Names(["iPhone", "OpenAI"]).places(words))
    assert [one.text for one in written] == ["iPhone", "and", "OpenAI."]


def test_hot_words_are_read_as_they_were_typed(tmp_path) -> None:
    (tmp_path / "names.txt").write_text("Kathleen\nnew york:8\n")
    given = BeamConfig(hotwords=["OpenAI:3"], hotwords_file=str(tmp_path / "names.txt"))
    assert hot_phrases(given) == ["Kathleen", "new york", "OpenAI"]
    assert hot_phrases(AutoConfig(hotwords=["OpenAI"])) == ["OpenAI"]
    assert hot_phrases(AutoConfig()) == hot_phrases(GreedyConfig()) == []
    with pytest.raises(LanguageModelError, match="missing"):
        hot_phrases(replace(given, hotwords_file=str(tmp_path / "missing.txt")))


def test_live_segments_have_the_names_too(tagger: Tagger) -> None:
    writer = make_text_writer(tagger, WrittenForm.punctuated, ["SaId"])
    assert isinstance(writer, TextWriter)
    live = LiveWriter(writer)
    for number, begin in enumerate((0.0, 5.0)):
        words = tuple(Word(text, begin + place, begin + place + 0.5, 1.0) for place, text in enumerate(["he", "said"]))
        final = live.write(Final(number, "he said", begin, begin + 2, words))
        assert final.written is not None
        assert "SaId" in final.written.text
