"""The scripts that make manifests, on miniatures of the real layouts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from asr.corpus.manifest import read_manifest

from ..conftest import REPOSITORY


def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def texts(manifest: Path) -> dict[str, str | None]:
    reading = read_manifest(manifest)
    assert reading.problems == []
    assert all(one.audio_path.is_file() and one.duration == pytest.approx(0.5) for one in reading.utterances)
    return {one.id: one.text for one in reading.utterances}


def test_librispeech_as_distributed(tmp_path, write_audio):
    for name in ("84/1/84-1-0000.flac", "84/1/84-1-0001.flac", "19/7/19-7-0000.flac"):
        write_audio(f"dev/{name}")
    (tmp_path / "dev/84/1/84-1.trans.txt").write_text("84-1-0000 HE SAID\n84-1-0001 IT'S FINE\n84-1-0002 GONE\n")
    (tmp_path / "dev/19/7/19-7.trans.txt").write_text("19-7-0000 YES\n")
    manifest = tmp_path / "out" / "dev.jsonl"
    done = run("prepare_librispeech.py", tmp_path / "dev", manifest)
    assert done.returncode == 1
    assert "84-1-0002: no such recording" in done.stderr
    assert "3 utterances, 0.00 h, 2 speakers; 1 left out" in done.stdout
    assert texts(manifest) == {"19-7-0000": "yes", "84-1-0000": "he said", "84-1-0001": "it's fine"}
    assert {one.speaker for one in read_manifest(manifest).utterances} == {"84", "19"}
    only = tmp_path / "only.jsonl"
    assert run("prepare_librispeech.py", tmp_path / "dev", only, "--speakers", "19").returncode == 0
    assert texts(only) == {"19-7-0000": "yes"}
    done = run("prepare_librispeech.py", tmp_path / "dev", only, "--force", "--speakers", "5")
    assert "has no speaker 5" in done.stderr
    assert "--force" in run("prepare_librispeech.py", tmp_path / "dev", manifest).stderr
    assert run("prepare_librispeech.py", tmp_path / "dev", manifest, "--force").returncode == 1


def test_a_folder_that_is_not_librispeech_is_refused(tmp_path):
    done = run("prepare_librispeech.py", tmp_path, tmp_path / "m.jsonl")
    assert done.returncode == 2
    assert "is this a LibriSpeech folder?" in done.stderr


def test_a_folder_of_recordings_with_texts_beside_them(tmp_path, write_audio):
    for speaker in ("anna", "ben", "cleo"):
        for number in range(3):
            path = write_audio(f"all/{speaker}/{number}.wav")
            path.with_suffix(".txt").write_text(f"Hello, I'm {speaker}!\n")
    write_audio("all/anna/no text.wav")
    (tmp_path / "all/ben/broken.wav").write_text("not audio")
    (tmp_path / "all/ben/broken.txt").write_text("x")
    done = run("prepare_recordings.py", tmp_path / "all", tmp_path / "t.jsonl", "--split", "0.3", tmp_path / "v.jsonl")
    assert done.returncode == 1
    assert "no text.wav: there is no no text.txt beside it" in done.stderr
    assert "broken.wav: not audio" in done.stderr
    train, valid = (read_manifest(tmp_path / name).utterances for name in ("t.jsonl", "v.jsonl"))
    assert len(train) == 6
    assert len(valid) == 3
    assert not {one.speaker for one in train} & {one.speaker for one in valid}
    assert texts(tmp_path / "t.jsonl").keys() | texts(tmp_path / "v.jsonl").keys() == {
        f"{speaker}/{number}" for speaker in ("anna", "ben", "cleo") for number in range(3)
    }


def test_ljspeech(tmp_path, write_audio):
    write_audio("wavs/LJ001-0001.wav")
    write_audio("wavs/LJ001-0002.wav")
    (tmp_path / "metadata.csv").write_text(
        'LJ001-0001|In 1465, "so"|In fourteen sixty-five, "so"\nLJ001-0002|Dr. X|Doctor X\n'
    )
    assert run("prepare_recordings.py", tmp_path / "metadata.csv", tmp_path / "m.jsonl").returncode == 0
    assert texts(tmp_path / "m.jsonl") == {"LJ001-0001": "in fourteen sixty five so", "LJ001-0002": "doctor x"}


def test_common_voice(tmp_path, write_audio):
    write_audio("clips/cv_1.mp3")
    (tmp_path / "validated.tsv").write_text(
        'client_id\tpath\tsentence\nabc\tcv_1.mp3\t"Quoted" he said\nabc\tgone.mp3\tx\n'
    )
    done = run("prepare_recordings.py", tmp_path / "validated.tsv", tmp_path / "m.jsonl")
    assert done.returncode == 1
    assert "validated.tsv:3: there is no recording 'gone.mp3'" in done.stderr
    (utterance,) = read_manifest(tmp_path / "m.jsonl").utterances
    assert (utterance.text, utterance.speaker) == ("quoted he said", "abc")


def test_any_table_with_named_columns(tmp_path, write_audio):
    write_audio("a b.wav")
    (tmp_path / "list.csv").write_text('who,where,what\nanna,a b.wav,"Yes, indeed"\n')
    done = run("prepare_recordings.py", tmp_path / "list.csv", tmp_path / "m.jsonl")
    assert "--audio names one of: who, where, what" in done.stderr
    arguments = ["--audio", "where", "--text", "what", "--speaker", "who"]
    assert run("prepare_recordings.py", tmp_path / "list.csv", tmp_path / "m.jsonl", *arguments).returncode == 0
    assert texts(tmp_path / "m.jsonl") == {"a b": "yes indeed"}
