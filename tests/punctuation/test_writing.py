"""Written text: the same words and times, whatever the tags."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from asr.punctuation.tagger import Tagger, Tags
from asr.punctuation.text_writer import TextWriter, make_text_writer
from asr.punctuation.writing import write_words
from asr.punctuation.written_tags import BREAKS, CAPITAL, CASES, LOWER, MARKS, UPPER
from asr.settings.text import NormalizerConfig
from asr.settings.transcripts import WrittenForm
from asr.text.normalize import normalize_text
from asr.text.transcript import Transcript, Word
from asr.writers.table import write

from .conftest import SPELLINGS
from .test_tagger import some_words


@dataclass
class Span:
    start: int
    end: int
    text: str


def tags(*rows: tuple[int, int, int]) -> Tags:
    return Tags(*np.array(rows).reshape(-1, 3).T)


def transcript(words: list[str]) -> Transcript:
    timed = tuple(Word(word, 0.5 * place, 0.5 * place + 0.3, 0.9) for place, word in enumerate(words))
    return Transcript("a.wav", " ".join(words), 0.5 * len(words), -1.0, timed, ())


def test_sentences_begin_with_capitals_and_the_text_ends_with_a_mark() -> None:
    rows = tags((1, 0, 0), (0, 0, 0), (2, 1, 1), (0, 3, 0), (0, 2, 0), (7, 0, 0), (1, 0, 0))
    found = write_words(["yes", "said", "ann", "mcdonald", "usa", "etc", "no"], rows, SPELLINGS)
    assert " ".join(one.text for one in found) == "Yes, said Ann. McDonald USA etc. \u2013 no."


def test_a_part_of_a_text_begins_and_ends_within_sentences() -> None:
    found = write_words(["and", "so"], tags((0, 0, 0), (1, 0, 0)), SPELLINGS, starts_sentence=False, ends_text=False)
    assert [one.text for one in found] == ["and", "so,"]


def test_numbers_take_the_place_of_words_and_keep_the_mark_of_the_last() -> None:
    found = write_words(
        ["it", "costs", "twenty", "five", "dollars", "ann", "said"],
        tags((0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 0)),
        SPELLINGS,
        numbers=[Span(2, 5, "$25")],
    )
    assert " ".join(one.text for one in found) == "It costs $25, Ann said."
    assert [(one.first, one.end) for one in found] == [(0, 1), (1, 2), (2, 5), (5, 6), (6, 7)]


def test_a_known_spelling_is_taken_wherever_a_word_has_a_capital() -> None:
    words = ["mcdonald", "usa", "usa", "yes"]
    marked = tags((0, CAPITAL, 0), (0, CAPITAL, 0), (0, LOWER, 0), (2, UPPER, 1))
    assert [one.text for one in write_words(words, marked, SPELLINGS)] == ["McDonald", "USA", "usa", "YES."]


def test_a_fixed_spelling_is_taken_wherever_the_word_occurs() -> None:
    fixed = replace(SPELLINGS, fixed={"iphone": "iPhone", "nato": "NATO"})
    marked = tags((0, LOWER, 0), (0, CAPITAL, 0), (0, LOWER, 0))
    assert [one.text for one in write_words(["iphone", "iphone", "nato"], marked, fixed)] == [
        "iPhone",
        "iPhone",
        "NATO.",
    ]


@pytest.mark.parametrize("word", ["stra\u00dfe", "\u0149", "\u01f0x", "i\u0307", "\u6f22", "x1"])
def test_capitals_never_change_the_word(word: str) -> None:
    for case in range(CASES):
        (found,) = write_words([word], tags((0, case, 0)), SPELLINGS)
        assert normalize_text(found.text, NormalizerConfig()) == normalize_text(word, NormalizerConfig())


def test_normalised_text_is_exactly_the_plain_one_whatever_the_tags() -> None:
    words, _ = some_words(3000)
    words = [word.lower() for word in words]
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, most, len(words)) for most in (len(MARKS), CASES, BREAKS)]
    written = " ".join(one.text for one in write_words(words, Tags(*columns), SPELLINGS))
    assert normalize_text(written, NormalizerConfig()) == " ".join(words)


def test_words_keep_their_times_and_confidences(tagger: Tagger) -> None:
    plain = transcript([word.lower() for word in some_words(200)[0]])
    written = TextWriter(tagger).write(plain).written
    assert written is not None
    assert [(one.start, one.end, one.confidence) for one in written.words] == [
        (one.start, one.end, one.confidence) for one in plain.words
    ]
    assert written.text == " ".join(one.text for one in written.words) != plain.text


def test_people_get_the_written_text_and_programs_the_plain_one(tagger: Tagger) -> None:
    plain = transcript(["yes", "he", "said", "and", "no"])
    both = TextWriter(tagger).write(plain)
    assert both.written is not None
    for name in ("txt", "srt", "vtt", "tsv"):
        assert write(both, name) == write(both.written, name) != write(plain, name)
    for name in ("ctm", "stm", "textgrid"):
        assert write(both, name) == write(plain, name)
    assert '"text": "yes he said and no"' in write(both, "json")
    assert f'"text": "{both.written.text}"' in write(both, "json")


def test_plain_text_and_models_without_punctuation_change_nothing(tagger: Tagger) -> None:
    assert make_text_writer(tagger, WrittenForm.plain) is None
    assert make_text_writer(None, WrittenForm.full) is None
    empty = Transcript("a.wav", "", 1.0, 0.0, (), ())
    assert TextWriter(tagger).write(empty).to_read.text == ""
