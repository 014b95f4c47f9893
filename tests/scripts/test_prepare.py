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
    assert "3 utterances, 0.00 h, 2 speakers\n1 left out" in done.stdout
    assert texts(manifest) == {"19-7-0000": "yes", "84-1-0000": "he said", "84-1-0001": "it's fine"}
    assert {one.speaker for one in read_manifest(manifest).utterances} == {"84", "19"}
    only = tmp_path / "only.jsonl"
    assert run("prepare_librispeech.py", tmp_path / "dev", only, "--speakers", "19").returncode == 0
    assert texts(only) == {"19-7-0000": "yes"}
    done = run("prepare_librispeech.py", tmp_path / "dev", only, "--force", "--speakers", "5")
    assert "has no speaker 5" in done.stderr
    assert "--force" in run("prepare_librispeech.py", tmp_path / "dev", manifest).stderr
    (tmp_path / "dev").rename(tmp_path / "dev-clean")
    assert (
        "2,703 utterances were expected, 4 are"
        in run("prepare_librispeech.py", tmp_path / "dev-clean", only, "--force").stderr
    )
    (tmp_path / "dev-clean").rename(tmp_path / "dev")
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


def test_a_folder_whose_folders_are_no_speakers(tmp_path, write_audio):
    for number in range(10):
        write_audio(f"all/day {number // 5}/{number}.wav").with_suffix(".txt").write_text("hello")
    done = run(
        "prepare_recordings.py", tmp_path / "all", tmp_path / "t.jsonl", "--no-speakers",
        "--split", "0.2", tmp_path / "v.jsonl",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "v.jsonl: 2 utterances, 0.00 h, unknown speakers" in done.stdout
    assert {one.speaker for one in read_manifest(tmp_path / "t.jsonl").utterances} == {None}


def test_ljspeech(tmp_path, write_audio):
    write_audio("LJSpeech-1.1/wavs/LJ001-0001.wav")
    write_audio("LJSpeech-1.1/wavs/LJ001-0002.wav")
    (tmp_path / "LJSpeech-1.1/metadata.csv").write_text(
        'LJ001-0001|In 1465, "so"|In fourteen sixty-five, "so"\nLJ001-0002|Dr. X|Doctor X\nLJ001-0003|Gone|Gone\n'
    )
    done = run("prepare_ljspeech.py", tmp_path / "LJSpeech-1.1", tmp_path / "m.jsonl")
    assert done.returncode == 1
    assert "metadata.csv:3" in done.stderr
    assert "13,100 utterances were expected, 3 are listed" in done.stderr
    assert texts(tmp_path / "m.jsonl") == {"LJ001-0001": "in fourteen sixty five so", "LJ001-0002": "doctor x"}
    (tmp_path / "LJSpeech-1.1").rename(tmp_path / "like it")
    again = [tmp_path / "like it", tmp_path / "raw.jsonl", "--raw-text"]
    assert "were expected" not in run("prepare_ljspeech.py", *again).stderr
    assert texts(tmp_path / "raw.jsonl")["LJ001-0001"] == 'In fourteen sixty-five, "so"'


def test_common_voice(tmp_path, write_audio):
    write_audio("clips/cv_1.mp3")
    (tmp_path / "validated.tsv").write_text(
        "client_id\tpath\tsentence\tage\tgender\n" + 'abc\tcv_1.mp3\t"Quoted" he said\tteens\t\nabc\tgone.mp3\tx\t\t\n'
    )
    done = run("prepare_common_voice.py", tmp_path / "validated.tsv", tmp_path / "m.jsonl")
    assert done.returncode == 1
    assert "validated.tsv:3: " in done.stderr
    assert "gone.mp3: no such recording" in done.stderr
    (utterance,) = read_manifest(tmp_path / "m.jsonl").utterances
    assert (utterance.text, utterance.speaker, utterance.other) == ("quoted he said", "abc", {"age": "teens"})
    assert "name one of its tables (validated.tsv)" in run("prepare_common_voice.py", tmp_path, "x.jsonl").stderr


def test_an4_as_distributed(tmp_path, write_audio):
    for name in ("an4_clstk/fash/an251-fash-b", "an4_clstk/mjgm/cen1-mjgm-b"):
        write_audio(f"an4/wav/{name}.sph", format="NIST", subtype="PCM_16")
    etc = tmp_path / "an4" / "etc"
    etc.mkdir()
    (etc / "an4_train.fileids").write_text(
        "an4_clstk/fash/an251-fash-b\nan4_clstk/mjgm/cen1-mjgm-b\nan4_clstk/mjgm/cen2-mjgm-b\n"
    )
    (etc / "an4_train.transcription").write_text(
        "<s> YES </s> (an251-fash-b)\n<s> G I B </s> (cen1-mjgm-b)\n<s> GONE </s> (cen2-mjgm-b)\nno id\n"
    )
    done = run("prepare_an4.py", tmp_path / "an4", tmp_path / "m.jsonl")
    assert done.returncode == 1
    assert "an4_train.transcription:3: " in done.stderr
    assert "an4_train.transcription:4: a text and an id in brackets are wanted" in done.stderr
    assert "948 utterances were expected, 4 are listed" in done.stderr
    assert texts(tmp_path / "m.jsonl") == {"an251-fash-b": "yes", "cen1-mjgm-b": "g i b"}
    assert {one.speaker for one in read_manifest(tmp_path / "m.jsonl").utterances} == {"fash", "mjgm"}
    done = run("prepare_an4.py", tmp_path / "an4", tmp_path / "test.jsonl", "--part", "test")
    assert "an4_test.transcription is missing: is this the folder an4?" in done.stderr


def test_speechocean762_as_distributed(tmp_path, write_audio):
    write_audio("speechocean762/WAVE/SPEAKER0001/000010011.WAV", format="WAV")
    train = tmp_path / "speechocean762" / "train"
    train.mkdir()
    (train / "wav.scp").write_text("000010011\tWAVE/SPEAKER0001/000010011.WAV\n000010035\tWAVE/none.WAV\n")
    (train / "text").write_text("000010011\tWE CALL IT BEAR\n000010035\tX\n000010099\tY\n")
    (train / "utt2spk").write_text("000010011\t0001\n")
    (train / "spk2gender").write_text("0001\tm\n")
    (train / "spk2age").write_text("0001\t6\n")
    done = run("prepare_speechocean762.py", train, tmp_path / "m.jsonl")
    assert done.returncode == 1
    assert "000010035: WAVE/none.WAV: no such recording" in done.stderr
    assert "000010099: has no line in" in done.stderr
    assert "2,500 utterances were expected" in done.stderr
    (utterance,) = read_manifest(tmp_path / "m.jsonl").utterances
    assert (utterance.text, utterance.speaker) == ("we call it bear", "0001")
    assert utterance.other == {"gender": "m", "age": "6"}


def test_any_table_with_named_columns(tmp_path, write_audio):
    write_audio("a b.wav")
    (tmp_path / "list.csv").write_text('who,where,what,mood\nanna,a b.wav,"Yes, indeed",good\n')
    done = run("prepare_recordings.py", tmp_path / "list.csv", tmp_path / "m.jsonl")
    assert "--audio names one of: who, where, what, mood" in done.stderr
    arguments = ["--audio", "where", "--text", "what", "--speaker", "who"]
    assert run("prepare_recordings.py", tmp_path / "list.csv", tmp_path / "m.jsonl", *arguments).returncode == 0
    assert texts(tmp_path / "m.jsonl") == {"a b": "yes indeed"}
    assert read_manifest(tmp_path / "m.jsonl").utterances[0].other == {"mood": "good"}
