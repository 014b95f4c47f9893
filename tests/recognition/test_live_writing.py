"""Final texts of live recognition as people write them."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

from asr import Session, Transcriber, load_bundle
from asr.audio.load import load_audio
from asr.punctuation.tagger import CONTEXT, Tags
from asr.punctuation.text_writer import TextWriter
from asr.punctuation.written_tags import COMMA, FULL_STOP, SENTENCE, Spellings
from asr.recognition.live_events import Final
from asr.recognition.live_writing import LiveWriter
from asr.settings.decoding import AutoConfig
from asr.settings.transcripts import WrittenForm
from asr.text.normalize import normalize_text
from asr.text.transcript import Word

from ..conftest import RATE, SAMPLES


class WordTagger:
    """Marks follow from the words: `stop` ends a sentence, a comma is behind `comma`."""

    language = "en"
    header = SimpleNamespace(spellings=Spellings({}, frozenset(), frozenset()))

    def __init__(self) -> None:
        self.texts: list[list[str]] = []
        self.pauses: list[list[float]] = []

    def tag(self, words, pauses):
        self.texts.append(list(words))
        self.pauses.append(list(pauses))
        marks = np.array([{"stop": FULL_STOP, "comma": COMMA}.get(word, 0) for word in words])
        return Tags(marks, np.zeros_like(marks), np.where(marks == FULL_STOP, SENTENCE, 0))


def finals(texts: list[str]) -> list[Final]:
    """Segments of words of 0.2 s, 0.1 s apart, with a second between segments."""
    made, begin = [], 0.0
    for number, text in enumerate(texts):
        words = tuple(
            Word(word, begin + 0.3 * place, begin + 0.3 * place + 0.2) for place, word in enumerate(text.split())
        )
        made.append(Final(number, text, words[0].start, words[-1].end + 0.5, words))
        begin = words[-1].end + 1.0
    return made


def written(writer: LiveWriter, texts: list[str]) -> list[str]:
    shown = []
    for one in finals(texts):
        after = writer.write(one)
        assert after.written is not None
        assert (after.text, after.words) == (one.text, one.words)
        shown.append(after.written.text)
    return shown


def test_a_sentence_goes_on_in_the_next_segment():
    texts = ["it is comma", "so to say", "the stop", "next one"]
    writer = LiveWriter(TextWriter(WordTagger(), WrittenForm.punctuated))
    assert written(writer, texts) == ["It is comma,", "so to say", "the stop.", "Next one"]


def test_the_context_is_the_words_before_with_their_pauses():
    tagger = WordTagger()
    written(LiveWriter(TextWriter(tagger, WrittenForm.punctuated)), ["word " * 40, "more words"])
    assert tagger.texts[1] == ["word"] * CONTEXT + ["more", "words"]
    assert tagger.pauses[1] == pytest.approx([0.1] * (CONTEXT - 1) + [1.0, 0.1, 0.5])


def test_a_number_that_goes_on_behind_a_pause_is_not_read_as_two():
    writer = LiveWriter(TextWriter(WordTagger(), WrittenForm.full))
    assert written(writer, ["it cost twenty", "five dollars stop", "or may fourth"]) == [
        "It cost 20", "five dollars stop.", "Or May 4",
    ]  # fmt: skip


def test_the_words_of_a_written_number_have_its_time():
    (one,) = finals(["it cost twenty five dollars"])
    after = LiveWriter(TextWriter(WordTagger(), WrittenForm.full)).write(one)
    assert after.written is not None
    assert [(word.text, word.start, word.end) for word in after.written.words][-1] == ("$25", 0.6, pytest.approx(1.4))
    assert after.to_json()["written"]["text"] == "It cost $25"
    assert "written" not in one.to_json()


def test_the_cost_of_a_segment_is_small():
    """A bound far above what is measured, in seconds of this process."""
    tagger = load_bundle("en").tagger()
    assert tagger is not None
    live, segments = LiveWriter(TextWriter(tagger, WrittenForm.full)), finals(["it was the best of times " * 4] * 100)
    start = time.process_time()
    for one in segments:
        live.write(one)
    assert time.process_time() - start < 0.02 * len(segments)


def test_finals_of_a_session_are_written_and_blocks_change_nothing(rng):
    bundle = load_bundle("en")
    tagger = bundle.tagger()
    assert tagger is not None
    speech = load_audio(SAMPLES / "422-122949-0004.opus", sample_rate=RATE)
    with Transcriber(bundle, decoder=AutoConfig(beam_width=16)) as transcriber:

        def events(cuts, writer):
            session = Session(transcriber, writer=writer)
            found = [event for block in np.split(speech, cuts) for event in session.push(block)]
            return [*found, *session.finish()]

        plain, writer = events([], None), TextWriter(tagger, WrittenForm.full)
        whole = events([], writer)
        assert events(np.sort(rng.integers(0, len(speech), 50)), writer) == whole
    shown = [one for one in whole if isinstance(one, Final)]
    assert [one.text for one in plain if isinstance(one, Final)] == [one.text for one in shown]
    for one in shown:
        assert one.to_read.text[0].isupper()
        assert normalize_text(one.to_read.text, bundle.normalizer) == one.text
