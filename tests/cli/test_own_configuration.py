"""Folders of one's own configuration, files of settings, and mistakes in them: refused with file and line."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
import yaml
from omegaconf import OmegaConf

from asr.cli.completion import suggestions
from asr.cli.composition import Composer
from asr.cli.roots import ROOTS, conf_dir
from asr.settings.commands import TrainConfig
from asr.settings.yaml_text import to_yaml

GLOBAL = "# @package _global_\n"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder of configuration, in the working directory."""
    monkeypatch.chdir(tmp_path)
    files = {
        "experiment/mine.yaml": GLOBAL + "defaults:\n  - smoke\ntraining:\n  epochs: 2\n",
        "model/tall.yaml": "depth: 7\n",
        "decoder/narrow.yaml": "defaults:\n  - beam_schema\nbeam_width: 3\n",
        "house/quiet.yaml": GLOBAL + "log: json\n",
        "mytrain.yaml": "defaults:\n  - train\n  - _self_\ntraining:\n  epochs: 3\n",
        "bare.yaml": "training:\n  epochs: 3\n",
    }
    for name, text in files.items():
        path = tmp_path / "own" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "own"


def composed(asr_command, *arguments):
    outcome = asr_command(*arguments, "--show-config")
    assert outcome.code == 0, outcome.err
    return yaml.safe_load(outcome.out)


@pytest.mark.parametrize("way", ["--config-dir", "--config-dir=", "-cd", "ASR_CONFIG_DIR", "searchpath", "file://"])
def test_a_folder_of_ones_own_reaches_the_command_in_every_way(asr_command, folder, monkeypatch, way):
    given = {
        "--config-dir": ["--config-dir", folder],
        "--config-dir=": ["--config-dir=own"],
        "-cd": ["-cd", "own"],
        "ASR_CONFIG_DIR": [],
        "searchpath": ["hydra.searchpath=[own]"],
        "file://": [f"hydra.searchpath=[file://{folder}]"],
    }[way]
    if way == "ASR_CONFIG_DIR":
        monkeypatch.setenv(way, f"{folder}{os.pathsep}")
    made = composed(asr_command, "train", *given, "experiment=mine", "model=tall", "+house=quiet")
    assert (made["training"]["epochs"], made["model"]["depth"], made["log"]) == (2, 7, "json")
    assert made["data"]["train"] == ["data/smoke/train.jsonl"]


def test_own_options_work_for_every_command_that_has_the_group(asr_command, folder):
    made = composed(asr_command, "transcribe", "--config-dir", "own", "decoder=narrow", "+house=quiet", "x.wav")
    assert (made["decoder"]["beam_width"], made["log"]) == (3, "json")


def test_own_primary_configurations_are_used_and_must_have_the_schema(asr_command, folder):
    start = ["train", "--config-dir", "own", "--config-name"]
    assert composed(asr_command, *start, "mytrain", "experiment=smoke", "training.seed=4")["training"]["seed"] == 4
    for name, message in (("bare", "defaults list must begin with train"), ("mytrian", "did you mean 'mytrain'")):
        outcome = asr_command(*start, name)
        assert outcome.code == 2
        assert message in outcome.err
        assert outcome.err.count("\n") == 1


def test_an_own_file_is_found_before_the_one_that_ships(asr_command, folder):
    (folder / "model" / "lstm.yaml").write_text("depth: 9\n")
    assert composed(asr_command, "train", "--config-dir", "own")["model"]["depth"] == 9


def test_own_groups_and_options_are_listed_and_completed(asr_command, folder, monkeypatch):
    text = asr_command("train", "--config-dir", "own", "--help").out
    assert re.search(r"experiment= [^=]*\bmine\b", text)
    assert re.search(r"model= .*\btall\b", text)
    assert re.search(r"\+house= +quiet +\[not used\]", text)
    for flag in ("--config-dir DIR", "--config-name NAME", "--cfg job|hydra|all", "--package SECTION", "--info [all|"):
        assert flag in text
    start = ["train", "--config-dir", "own"]
    assert suggestions([*start, "experiment=mine"]) == ["experiment=mine"]
    assert suggestions([*start, "hou"]) == ["+house="]
    assert suggestions([*start, "+house="]) == ["+house=quiet"]
    assert suggestions([*start, "--config-name", "my"]) == ["mytrain"]
    assert suggestions([*start, "experiment=[smoke,mine"]) == ["experiment=[smoke,mine"]
    assert suggestions(["train", "++model.dep"]) == ["++model.depth="]
    assert suggestions(["train", "~aug"]) == ["~augment"]
    assert suggestions(["train", "--cfg", "h"]) == ["hydra"]
    assert suggestions(["train", "--config-dir", "own/nowhere", "model=t"]) == []
    monkeypatch.setenv("ASR_CONFIG_DIR", "own")
    assert suggestions(["train", "model=ta"]) == ["model=tall"]


MISTAKES = [
    ("training:\n  epoch: 2\n", 3, "`asr train` has no setting 'training.epoch'; did you mean 'training.epochs'?"),
    ("trainig:\n  epochs: 2\n", 2, "no setting 'trainig'"),
    ("training:\n  epochs: two\n", 3, "training.epochs must be a whole number, not 'two'"),
    ("training:\n  epochs: 0\n", 3, "training.epochs must be at least 1, not 0"),
    ("training:\n  epochs: ${a.b}\n", 3, "training.epochs: ${a.b} names no setting"),
    ("model:\n  cell: lstmm\n", 3, "model.cell must be one of lstm, gru, not 'lstmm'; did you mean 'lstm'?"),
    ("training: 3\n", 2, "training is a section of settings"),
    ("training:\n  epochs: [1\nlog: text\n", 3, "not YAML"),
    ("training:\n epochs: 1\n  seed: 1\n", 4, "not YAML"),
    ("a: 1\na: 2\n", 3, "not YAML"),
    ("a:\t- 1\n", 2, "not YAML"),
    ("a: 'x\n", 2, "not YAML"),
    ("defaults:\n  - nowhere\n", 2, "Could not load 'experiment/nowhere'"),
    ("defaults:\n  - smok\n", 2, "did you mean 'smoke'"),
    ("- a\n", None, "there must be `key: value` lines"),
]


@pytest.mark.parametrize(("text", "line", "message"), MISTAKES)
@pytest.mark.parametrize("where", ["experiment", "file"])
def test_a_mistake_in_a_file_is_one_line_with_file_and_line(asr_command, folder, text, line, message, where):
    if where == "experiment":
        path = folder / "experiment" / "wrong.yaml"
        path.write_text(GLOBAL + text)
        outcome = asr_command("train", "--config-dir", "own", "experiment=wrong")
    elif "defaults" in text:
        return
    else:
        path = folder / "wrong.yaml"
        path.write_text("#\n" + text)
        outcome = asr_command("train", "own/wrong.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1, outcome.err
    assert message in outcome.err
    place = str(path.relative_to(folder.parent)) + ("" if line is None else f":{line}")
    assert outcome.err.startswith(f"asr: error: {place}: "), outcome.err


@pytest.mark.parametrize("command", ROOTS)
def test_a_primary_configuration_that_is_no_yaml_is_one_line_for_every_command(asr_command, folder, command):
    (folder / f"{command}.yaml").write_text("defaults: [a\n")
    for arguments in ([], ["--help"], ["--cfg", "job"]):
        outcome = asr_command(command, "--config-dir", "own", *arguments)
        assert outcome.code == 2
        assert outcome.err.startswith(f"asr: error: own/{command}.yaml:1: not YAML")
        assert outcome.err.count("\n") == 1


def test_no_text_in_a_file_of_configuration_ends_in_a_stack_trace(asr_command, folder):
    rng = random.Random(4)
    whole = (conf_dir() / "experiment" / "smoke.yaml").read_bytes()
    path = folder / "experiment" / "wrong.yaml"
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.choice(b"\xff:[{'\"-\t\n &*!%@`#,${}")
        path.write_bytes(bytes(damaged))
        outcome = asr_command("train", "--config-dir", "own", "experiment=wrong", "--show-config")
        assert outcome.code == 0 or (outcome.code == 2 and outcome.err.count("\n") == 1), outcome.err
        assert "Traceback" not in outcome.err


def test_the_settings_of_a_run_start_the_same_run(asr_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = asr_command(
        "train", "experiment=smoke", "model=gru", "training.epochs=3", "run_dir=runs/a", "--show-config"
    )
    (tmp_path / "config.yaml").write_text(first.out)
    assert asr_command("train", "config.yaml", "--show-config").out == first.out
    again = asr_command("train", "config.yaml", "training.seed=5", "run_dir=b", "--show-config").out
    assert again == first.out.replace("seed: 1\n", "seed: 5\n").replace("run_dir: runs/a", "run_dir: b")
    for arguments, message in (
        (["model=lstm"], "model=lstm: config.yaml sets the values of this group itself"),
        (["experiment=smoke"], "config.yaml sets the values of this group itself"),
        (["config.yaml"], "takes one file of settings, not 2"),
    ):
        outcome = asr_command("train", "config.yaml", *arguments)
        assert outcome.code == 2
        assert message in outcome.err
    assert "there is no such file of settings" in asr_command("train", "none.yaml").err


def test_the_folder_of_a_run_is_no_file_of_settings_and_says_what_to_type(asr_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(to_yaml(TrainConfig()))
    outcome = asr_command("train", "run")
    assert outcome.code == 2
    assert "run_dir=run resumes it, and run/config.yaml starts the same run" in outcome.err


def test_a_program_that_uses_hydra_itself_can_compose_settings_too(tmp_path):
    (tmp_path / "app.yaml").write_text("a: 1\n")
    with hydra.initialize_config_dir(str(tmp_path), version_base="1.3"):
        with Composer("train") as composer:
            assert composer.compose(["training.epochs=4"]).training.epochs == 4
        assert OmegaConf.to_container(hydra.compose("app")) == {"a": 1}


def test_many_overrides_cost_little_processor_time(tmp_path):
    code = """
import time
from asr.cli.composition import Composer
values = ["model.depth=2", "model.units=32", "model.dropout=0.1", "training.epochs=3", "training.seed=1", "model=gru"]
values += ["optimizer.learning_rate=1e-3", "features.mels=40", "data.hold_out=0.1", "augment.speeds=[1.0]"]
for overrides in (values[:1], values[:1], values):
    started = time.process_time()
    with Composer("train") as composer:
        composer.compose(overrides)
    print(time.process_time() - started)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    _, one, ten = map(float, done.stdout.split())
    assert ten < 0.3
    assert ten < one + 0.1
