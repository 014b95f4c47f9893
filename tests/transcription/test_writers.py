from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from asr.config import TranscribeConfig, TranscriptFormat
from asr.errors import ConfigError
from asr.transcription.transcriber import Transcript, Word
from asr.transcription.writers import format_transcript, output_paths, transcript_object

ONE = Transcript("a.wav", "hé there", 1.23456, -2.5, (Word("hé", 0.0, 0.3), Word("there", 0.4, 0.9)), ("he there",))
SETTINGS = TranscribeConfig(output_dir="out")


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


def test_outputs_keep_folders_and_tell_suffixes_apart():
    names = [Path("x/talk.wav"), Path("y/talk.wav"), Path("z.wav"), Path("z.mp3")]
    assert output_paths(names, SETTINGS) == [
        Path("out/x/talk.txt"), Path("out/y/talk.txt"), Path("out/z.wav.txt"), Path("out/z.mp3.txt"),
    ]  # fmt: skip


def test_two_recordings_never_share_an_output():
    with pytest.raises(ConfigError, match=r"out/a\.wav\.txt"):
        output_paths([Path("a.wav"), Path("a.wav")], SETTINGS)
