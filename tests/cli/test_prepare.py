from __future__ import annotations

import json
from pathlib import Path

import pytest

from asr.cli.completion import suggestions
from asr.corpus.prepare import CORPORA
from asr.corpus.prepare.listing import Corpus, Listing, Row
from asr.settings.commands import PrepareConfig


@pytest.fixture
def folder(tmp_path, write_audio, monkeypatch):
    """Six recordings of three speakers, with texts; the working directory is beside them."""
    for number in range(6):
        path = write_audio(f"all/{'abc'[number % 3]}/{number}.wav")
        path.with_suffix(".txt").write_text("Hello!\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_paths_are_relative_to_the_manifest(asr_command, folder):
    outcome = asr_command("prepare", "recordings", "all", "output=lists/train.jsonl")
    assert outcome.code == 0, outcome.err
    assert outcome.out == "lists/train.jsonl: 6 utterances, 0.00 h, 3 speakers\n"
    rows = [json.loads(line) for line in (folder / "lists/train.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "audio_filepath": "../all/a/0.wav", "duration": 0.5, "text": "hello", "id": "a/0", "speaker": "a"
    }  # fmt: skip


def test_a_manifest_that_was_changed_is_not_replaced(asr_command, folder):
    command = ["prepare", "recordings", "all", "output=train.jsonl"]
    assert asr_command(*command).code == 0
    assert asr_command(*command).code == 0  # our own, as we left it
    (folder / "train.jsonl").write_text("{}\n")
    outcome = asr_command(*command)
    assert outcome.code == 2
    assert "train.jsonl: was not written by asr, or changed since; overwrite=true replaces it" in outcome.err
    assert (folder / "train.jsonl").read_text() == "{}\n"
    assert asr_command(*command, "overwrite=true").code == 0
    assert len((folder / "train.jsonl").read_text().splitlines()) == 6


def test_only_some_speakers(asr_command, folder):
    outcome = asr_command("prepare", "recordings", "all", "output=some.jsonl", "speakers=[a,c]")
    assert "some.jsonl: 4 utterances, 0.00 h, 2 speakers\n" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no corpus is named; choose one of recordings, an4"),
        (["librispech", "all", "output=m.jsonl"], "no corpus 'librispech'; did you mean 'librispeech'?"),
        (["all", "output=m.jsonl"], "did you mean `asr prepare recordings all output=MANIFEST`?"),
        (["nothing", "output=m.jsonl"], "there is no corpus 'nothing'; choose one of recordings"),
        (["recordings", "output=m.jsonl"], "nothing to read is named: asr prepare recordings FOLDER_OR_TABLE output="),
        (["recordings", "all", "m.jsonl"], "too many files are named: asr prepare recordings FOLDER_OR_TABLE output="),
        (["recordings", "all"], "name the manifest to write: asr prepare recordings all output=MANIFEST.jsonl"),
        (["recordings", "none", "output=m.jsonl"], "none: no such file or folder"),
        (["recordings", "all", "output=m.csv"], "m.csv: the name of a manifest ends in .json or .jsonl"),
        (["recordings", "all", "output=m.jsonl", "hold_out=0.1"], "give both"),
        (["recordings", "all", "output=m.jsonl", "held_out=v.jsonl"], "give both"),
        (["recordings", "all", "output=m.jsonl", "hold_out=1", "held_out=v.jsonl"], "hold_out must be"),
        (["recordings", "all", "output=m.jsonl", "hold_out=0.1", "held_out=./m.jsonl"], "name two manifests"),
        (["recordings", "all", "output=m.jsonl", "speakers=[z]"], "all has no speaker z"),
        (["recordings", "all", "output=m.jsonl", "part=test"], "part is a setting of an4: recordings does not take it"),
        (["recordings", "all", "output=m.jsonl", "text_column=x"], "text_column is for tables, and all is a folder"),
        (["librispeech", "all", "output=m.jsonl", "text_column=x"], "text_column is a setting of recordings"),
        (["an4", "all", "output=m.jsonl", "part=dev"], "AN4 has the parts train and test"),
        (["recordings", "all", "outptu=m.jsonl"], "did you mean 'output'"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(asr_command, folder, arguments, message):
    outcome = asr_command("prepare", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["all"]


def test_the_help_lists_every_corpus(asr_command):
    help_text = asr_command("prepare", "--help").out
    assert all(f"\n  {name} " in help_text for name in CORPORA)


def test_a_corpus_is_one_module_and_one_line_of_the_table(asr_command, folder, monkeypatch):
    def read(source: Path, settings: PrepareConfig) -> Listing:
        return Listing([Row("one", source / "a" / "0.wav", "One!", "me", "here")], expected=2)

    corpus = Corpus("a new corpus", "FOLDER", "FOLDER has everything.", "asr prepare new FOLDER output=m.jsonl", read)
    monkeypatch.setitem(CORPORA, "new", corpus)
    outcome = asr_command("prepare", "new", "all", "output=m.jsonl")
    assert outcome.code == 1
    assert outcome.out == "m.jsonl: 1 utterance, 0.00 h, 1 speaker\n"
    assert outcome.err == "error: all: 2 utterances were expected, 1 are listed\n"
    assert "\n  new " in asr_command("prepare", "--help").out
    assert "FOLDER has everything." in asr_command("prepare", "new", "--help").out
    assert suggestions(["prepare", "n"]) == ["new"]


def test_a_speaker_that_is_all_there_is_cannot_be_held_out(asr_command, folder):
    for path in (folder / "all").glob("[bc]/*"):
        path.unlink()
    (folder / "all/a/3.wav").unlink()
    (folder / "all/a/3.txt").unlink()
    outcome = asr_command("prepare", "recordings", "all", "output=t.jsonl", "hold_out=0.5", "held_out=v.jsonl")
    assert outcome.code == 2
    assert "1 recording leaves nothing to hold out" in outcome.err
