from __future__ import annotations

import os
import shutil
from dataclasses import replace
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


class TestOfAnotherRecording:
    """Two recordings of one name: the second run must not replace what the first one wrote."""

    @pytest.fixture
    def other(self, recording: Path) -> Path:
        path = recording.parent.parent / "other" / recording.name
        path.parent.mkdir()
        path.write_bytes(b"SOUND")
        os.utime(path, ns=(recording.stat().st_atime_ns, recording.stat().st_mtime_ns))
        return path

    @staticmethod
    def written(recording: Path, output: Path, text: bytes = b"text", settings: str = "settings") -> Journal:
        journal = Journal()
        journal.write(output, text, Source.of(recording, settings))
        return journal

    def test_its_transcript_is_not_replaced_and_it_is_named(self, recording, other, output):
        self.written(recording, output)
        source = Source.of(other, "settings")
        assert not Journal().is_finished(output, source)
        problem = Journal().problem(output, source)
        assert problem is not None
        assert f"holds the transcript of {recording}" in problem
        assert "overwrite=true" in problem
        assert not Journal().write_text(output, "other text", source)
        assert output.read_bytes() == b"text"
        assert Journal(overwrite=True).write_text(output, "other text", source)
        assert output.read_text() == "other text"

    def test_after_overwriting_the_first_is_the_other_one(self, recording, other, output):
        self.written(recording, output)
        assert Journal(overwrite=True).write_text(output, "other text", Source.of(other, "settings"))
        assert Journal().is_finished(output, Source.of(other, "settings"))
        assert not Journal().is_finished(output, Source.of(recording, "settings"))
        assert Journal().other_recording(output, Source.of(recording, "settings")) == str(other)

    def test_new_settings_replace_what_was_made_of_the_same_recording(self, recording, output):
        self.written(recording, output)
        assert Journal().problem(output, Source.of(recording, "other settings")) is None

    def test_a_changed_recording_replaces_its_transcript(self, recording, output):
        self.written(recording, output)
        recording.write_bytes(b"longer sound")
        assert Journal().problem(output, Source.of(recording, "settings")) is None

    def test_a_moved_folder_a_copy_and_a_link_are_the_same_recording(self, recording, output):
        self.written(recording, output)
        copy = recording.parent.parent / "copy" / "b.wav"
        copy.parent.mkdir()
        shutil.copy2(recording, copy)
        link = copy.with_name("link.wav")
        link.symlink_to(recording)
        assert Journal().is_finished(output, Source.of(copy, "settings"))
        assert Journal().is_finished(output, Source.of(link, "settings"))
        moved = recording.parent.rename(recording.parent.with_name("archive")) / recording.name
        assert Journal().is_finished(output, Source.of(moved, "settings"))
        assert Journal().problem(output, Source.of(moved, "other settings")) is None

    def test_another_name_is_another_recording_even_if_the_first_is_gone(self, recording, output):
        self.written(recording, output)
        other = recording.rename(recording.with_suffix(".flac"))
        other.write_bytes(b"of another evening")
        assert "a.wav" in str(Journal().problem(output, Source.of(other, "settings")))

    def test_records_of_earlier_versions_name_no_recording_and_mean_any(self, recording, other, output):
        journal = Journal()
        source = Source.of(recording, "settings")
        assert source is not None
        journal.write(output, b"text", replace(source, recording=""))
        assert Journal().is_finished(output, Source.of(other, "settings"))
