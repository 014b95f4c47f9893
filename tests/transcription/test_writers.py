from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pysubs2
import pytest
from praatio import textgrid

from asr.config import TranscriptFormat
from asr.errors import ConfigError
from asr.transcription.transcriber import Transcript, Word
from asr.transcription.writers import format_transcript, mark_doubtful, output_paths, transcript_object

ONE = Transcript("a.wav", "hé there", 1.23456, -2.5, (Word("hé", 0.0, 0.3), Word("there", 0.4, 0.9)), ("he there",))
TWO = replace(
    ONE,
    path="x/my talk.wav",
    text="one two three",
    duration=3700.0,
    words=(Word("one", 0.5, 0.9, 0.9), Word("two", 1.0, 1.4, 0.2), Word("three", 3661.5, 3662.0, 0.7)),
    alternatives=(),
)
SILENT = Transcript("s.wav", "", 5.0, 0.0, (), ())


def test_text_is_the_text_and_a_line_feed():
    assert format_transcript(ONE, TranscriptFormat.txt) == "hé there\n"


@pytest.mark.parametrize("kind", [TranscriptFormat.json, TranscriptFormat.jsonl])
def test_json_holds_times_and_alternatives(kind):
    written = format_transcript(ONE, kind)
    assert (written.count("\n") == 1) is (kind is TranscriptFormat.jsonl)
    value = json.loads(written)
    assert value["words"][1] == {"text": "there", "start": 0.4, "end": 0.9}
    assert value["alternatives"] == ["he there"]
    assert value["duration"] == 1.235


def test_the_id_of_a_manifest_comes_first():
    assert next(iter(transcript_object(ONE, "x"))) == "id"
    assert "id" not in transcript_object(ONE)


def test_a_name_that_is_no_text_is_still_json():
    odd = replace(ONE, path="bad\udcff.wav")
    assert "bad" in json.loads(format_transcript(odd, TranscriptFormat.jsonl))["audio_filepath"]


@pytest.mark.parametrize(("kind", "format_"), [(TranscriptFormat.srt, "srt"), (TranscriptFormat.vtt, "vtt")])
def test_subtitles_are_read_by_an_independent_reader(kind, format_):
    events = pysubs2.SSAFile.from_string(format_transcript(TWO, kind), format_=format_).events
    assert [(one.start, one.end, one.plaintext) for one in events] == [
        (500, 1500, "one two"),
        (3_661_500, 3_662_500, "three"),
    ]


def test_subtitles_of_silence_are_an_empty_document():
    assert format_transcript(SILENT, TranscriptFormat.srt) == ""
    assert format_transcript(SILENT, TranscriptFormat.vtt) == "WEBVTT\n\n"


def test_a_table_has_milliseconds():
    assert format_transcript(TWO, TranscriptFormat.tsv).splitlines() == [
        "start\tend\ttext", "500\t1500\tone two", "3661500\t3662500\tthree",
    ]  # fmt: skip


def test_the_formats_of_scoring_programs_part_their_fields_by_spaces():
    assert format_transcript(TWO, TranscriptFormat.ctm).splitlines()[1] == "my_talk 1 1.000 0.400 two 0.200"
    assert format_transcript(ONE, TranscriptFormat.ctm, "utt 1", channel="2") == (
        "utt_1 2 0.000 0.300 hé\nutt_1 2 0.400 0.500 there\n"
    )
    assert format_transcript(TWO, TranscriptFormat.stm).splitlines()[0] == "my_talk 1 my_talk 0.500 1.500 one two"


@pytest.mark.parametrize("transcript", [TWO, SILENT, replace(TWO, words=(Word('say "x"', 0.0, 3700.0),))])
def test_a_text_grid_is_read_by_an_independent_reader(tmp_path, transcript):
    path = tmp_path / "talk.TextGrid"
    path.write_text(format_transcript(transcript, TranscriptFormat.textgrid), "utf-8")
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    assert grid.tierNames == ("words", "segments")
    assert [tuple(one) for one in grid.getTier("words").entries] == [
        (word.start, word.end, word.text) for word in transcript.words
    ]
    assert grid.maxTimestamp == transcript.duration


def test_doubtful_words_are_marked():
    marked = mark_doubtful(TWO, 0.5)
    assert marked.text == "one [two?] three"
    assert "[two?]" in format_transcript(marked, TranscriptFormat.srt)
    assert mark_doubtful(ONE, 1.0).text == ONE.text


def test_outputs_keep_folders_and_tell_suffixes_apart():
    names = [Path("x/talk.wav"), Path("y/talk.wav"), Path("z.wav"), Path("z.mp3")]
    assert output_paths(names, TranscriptFormat.txt, Path("out")) == [
        Path("out/x/talk.txt"), Path("out/y/talk.txt"), Path("out/z.wav.txt"), Path("out/z.mp3.txt"),
    ]  # fmt: skip
    assert output_paths([Path("a.wav")], TranscriptFormat.textgrid, Path()) == [Path("a.TextGrid")]


def test_two_recordings_never_share_an_output():
    with pytest.raises(ConfigError, match=r"out/a\.wav\.txt"):
        output_paths([Path("a.wav"), Path("a.wav")], TranscriptFormat.txt, Path("out"))
