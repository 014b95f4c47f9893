"""What a run records of its origin."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from asr.errors import ConfigError
from asr.settings.commands import TrainConfig, TrainTextConfig
from asr.settings.corpus import DataConfig
from asr.settings.model import ModelConfig
from asr.settings.training import TrainingConfig
from asr.training.provenance import check_inputs, git_state, record_start, text_inputs, training_inputs

from ..conftest import SMOKE


def test_the_record_of_a_run_has_the_hashes_of_the_bundle_that_it_starts_from(tiny_bundle, tmp_path):
    settings = TrainConfig(data=DataConfig(train=[str(SMOKE / "train.jsonl")]), init=str(tiny_bundle))
    record_start(tmp_path / "run.json", training_inputs(settings))
    (start,) = json.loads((tmp_path / "run.json").read_text())["starts"]
    assert start["init"] == {
        "bundle": str(tiny_bundle),
        "files": {file.name: sha256(file.read_bytes()).hexdigest() for file in tiny_bundle.iterdir()},
    }


def test_a_run_does_not_go_on_with_another_lexicon_or_another_bundle_of_the_same_name(tiny_bundle, tmp_path):
    lexicon = tmp_path / "words.lex"
    lexicon.write_text("a AH\n")
    init, teacher = (Path(shutil.copytree(tiny_bundle, tmp_path / name)) for name in ("init", "teacher"))
    settings = TrainConfig(
        data=DataConfig(train=[str(SMOKE / "train.jsonl")], lexicon=str(lexicon)),
        model=ModelConfig(phone_output=True),
        training=TrainingConfig(teacher=str(teacher)),
        init=str(init),
    )
    record = tmp_path / "run.json"
    record_start(record, training_inputs(settings))
    (init / "README.md").write_text("a note that is no part of the bundle")
    check_inputs(record, training_inputs(settings))
    for changed, name in (
        (lexicon, f"data.lexicon={lexicon}"),
        (init / "bundle.json", f"init={init}"),
        (teacher / "model.onnx", f"training.teacher={teacher}"),
    ):
        content = changed.read_bytes()
        changed.write_bytes(content + b" ")
        with pytest.raises(ConfigError) as caught:
            record_start(record, training_inputs(settings))
        assert str(caught.value) == (
            f"{tmp_path}: {name} has changed since this run began: choose another run_dir, or restore it"
        )
        changed.write_bytes(content)
    record_start(record, training_inputs(settings))


def test_what_an_earlier_version_did_not_record_is_compared_once_it_is_recorded(tiny_bundle, tmp_path):
    teacher = Path(shutil.copytree(tiny_bundle, tmp_path / "teacher"))
    settings = TrainConfig(
        data=DataConfig(train=[str(SMOKE / "train.jsonl")]), training=TrainingConfig(teacher=str(teacher))
    )
    record = tmp_path / "run.json"
    earlier = {name: value for name, value in training_inputs(settings).items() if name in ("manifests", "init")}
    record_start(record, earlier)
    (teacher / "bundle.json").write_text("{}")
    record_start(record, training_inputs(settings))
    (teacher / "bundle.json").write_text("{ }")
    with pytest.raises(ConfigError, match=r"training\.teacher=.* has changed"):
        record_start(record, training_inputs(settings))


def test_texts_may_be_moved_but_not_changed_and_files_of_settings_are_compared_too(tmp_path):
    first, second, spellings = (tmp_path / name for name in ("first.txt", "second.txt", "spellings.txt"))
    for path in (first, second, spellings):
        path.write_text(path.name)
    settings, record = TrainTextConfig(spellings=str(spellings)), tmp_path / "run.json"
    record_start(record, text_inputs(settings, [first, second]))
    moved = Path(shutil.copy(first, tmp_path / "moved.txt"))
    check_inputs(record, text_inputs(settings, [moved, second]))
    for texts in ([second, first], [first], [first, second, second], [first, spellings]):
        with pytest.raises(ConfigError, match=r"the texts \(.*first\.txt, .*second\.txt then, .* now\) have changed"):
            check_inputs(record, text_inputs(settings, texts))
    second.write_text("other")
    with pytest.raises(ConfigError, match=r": \S*second\.txt has changed .* or restore it"):
        check_inputs(record, text_inputs(settings, [first, second]))
    spellings.write_text("NATO")
    with pytest.raises(ConfigError, match=r": spellings=\S*, \S*second\.txt have changed .* or restore them"):
        check_inputs(record, text_inputs(settings, [first, second]))
    check_inputs(tmp_path / "none.json", text_inputs(replace(settings, spellings=None), [first]))


def test_the_commit_is_that_of_the_code_or_else_of_the_working_directory(tmp_path, monkeypatch):
    """Installed outside of a checkout, the code has none; without any repository there is nothing to record."""
    git_state.cache_clear()
    monkeypatch.setattr("asr.training.provenance.__file__", str(tmp_path / "site-packages" / "provenance.py"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() is None
    for arguments in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *arguments], check=True, cwd=tmp_path)
    git_state.cache_clear()
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, cwd=tmp_path, capture_output=True, text=True)
    assert git_state() == {"of": "working directory", "commit": head.stdout.strip(), "changed": False}
    git_state.cache_clear()
