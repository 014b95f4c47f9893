from __future__ import annotations

import os
from pathlib import Path

import pytest

from asr.recognition.finished import Journal, Source


@pytest.fixture
def recording(tmp_path) -> Path:
    path = tmp_path / "in" / "a.wav"
    path.parent.mkdir()
    path.write_bytes(b"sound")
    return path


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "out" / "a.txt"


def test_a_finished_transcript_is_known_to_the_next_run(recording, output):
    source = Source.of(recording, "settings")
    assert not Journal().is_finished(output, source)
    Journal().write(output, b"text", source)
    assert output.read_bytes() == b"text"
    assert Journal().is_finished(output, source)
    assert Journal("2-of-3").is_finished(output, source)


def test_another_recording_or_other_settings_are_not_finished(recording, output):
    Journal().write(output, b"text", Source.of(recording, "settings"))
    assert not Journal().is_finished(output, Source.of(recording, "others"))
    before = recording.stat()
    recording.write_bytes(b"longer sound")  # of the same time, as some programs that copy files give it
    os.utime(recording, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not Journal().is_finished(output, Source.of(recording, "settings"))
    recording.write_bytes(b"other")  # of the same size
    os.utime(recording, (1, 1))
    assert not Journal().is_finished(output, Source.of(recording, "settings"))
    recording.unlink()
    assert not Journal().is_finished(output, Source.of(recording, "settings"))


def test_a_deleted_transcript_is_not_finished(recording, output):
    source = Source.of(recording, "settings")
    Journal().write(output, b"text", source)
    output.unlink()
    assert not Journal().is_finished(output, source)
    assert Journal().is_ours(output)


def test_a_transcript_that_was_corrected_is_finished_and_no_longer_ours(recording, output):
    source = Source.of(recording, "settings")
    Journal().write(output, b"text", source)
    output.write_bytes(b"text, corrected")
    assert Journal().is_finished(output, source)
    assert not Journal().is_ours(output)


def test_only_what_is_as_it_was_written_is_ours(recording, output):
    output.parent.mkdir()
    output.write_bytes(b"somebody's notes")
    assert not Journal().is_ours(output)
    Journal().write(output, b"text", Source.of(recording, "settings"))
    assert Journal().is_ours(output)
    output.write_bytes(b"text, corrected")
    assert not Journal().is_ours(output)


def test_a_run_that_is_killed_between_line_and_transcript_is_not_finished(recording, output, monkeypatch):
    source = Source.of(recording, "settings")
    Journal().write(output, b"old", Source.of(recording, "old settings"))

    def killed(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("asr.recognition.finished.write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        Journal().write(output, b"new", source)
    # The line is there, the old transcript too: it may be replaced.
    assert Journal().is_ours(output)
    assert not Journal().is_finished(output, source)


def test_a_line_that_broke_off_spoils_no_other(recording, output):
    source = Source.of(recording, "settings")
    Journal().write(output, b"text", source)
    journal = output.parent / ".asr-transcripts.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"output": "61')
    other = output.with_name("b.txt")
    Journal().write(other, b"more", source)
    assert Journal().is_finished(output, source)
    assert Journal().is_finished(other, source)


def test_a_name_that_is_no_text_is_remembered(recording, tmp_path):
    output = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt"))
    Journal().write(output, b"text", Source.of(recording, "settings"))
    assert Journal().is_finished(output, Source.of(recording, "settings"))


def test_segments_of_one_recording_are_different_sources(recording, output):
    Journal().write(output, b"text", Source.of(recording, "settings", "0 to 1 s"))
    assert Journal().is_finished(output, Source.of(recording, "settings", "0 to 1 s"))
    assert not Journal().is_finished(output, Source.of(recording, "settings", "1 to 2 s"))
    assert not Journal().is_finished(output, Source.of(recording, "settings"))
