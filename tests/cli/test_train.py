"""`asr train` from outside: a process of its own, interrupted and taken up again; sweeps; refusals."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..conftest import QUICK_BACKEND, SMOKE, oracle_module, smoke_manifests, write_rows

SMALL = [
    "model=small", "model.depth=1", "model.units=8", "model.projection=8", "model.channels=2", "features.mels=16",
    "augment=none", "training.batch_size=2", "training.buckets=1", "training.workers=1",
]  # fmt: skip


@pytest.fixture
def data(tmp_path) -> list[str]:
    manifests = smoke_manifests(tmp_path, train=4, valid=2, name="it's {part}, ü (1).jsonl")
    return [f"data.{part}={path}" for part, path in manifests.items()]


def start(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "asr", "train", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=QUICK_BACKEND | os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_command_goes_on(data, tmp_path):
    run_dir = tmp_path / "my run"
    arguments = [*data, *SMALL, "training.epochs=400", f"run_dir={run_dir}"]
    process = start(arguments, tmp_path)
    history = run_dir / "history.jsonl"
    deadline = time.monotonic() + 300
    while not history.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "stopped and saved; to resume: asr train 'run_dir=" in err
    assert "Traceback" not in err
    assert out == ""
    epochs = len(history.read_text().splitlines())
    assert 1 <= epochs < 400

    process = start([f"run_dir={run_dir}"], tmp_path)
    while len(history.read_text().splitlines()) < epochs + 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143, err
    assert "resuming from epoch" in err
    numbers = [json.loads(line)["epoch"] for line in history.read_text().splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_run_that_was_killed_as_it_began_can_be_started_again(asr_command, data, tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / ".config.yaml.a1b2.part").write_text("half")
    outcome = asr_command("train", *data, *SMALL, "training.epochs=1", f"run_dir={run_dir}")
    assert outcome.code == 0, outcome.err
    assert not list(run_dir.glob("*.part"))


def test_settings_that_changed_are_named_when_a_run_is_taken_up(asr_command, data, tmp_path):
    arguments = ["train", *data, *SMALL, "training.epochs=1", f"run_dir={tmp_path / 'run'}"]
    assert asr_command(*arguments).code == 0
    outcome = asr_command(*arguments, "model.units=9")
    assert outcome.code == 2
    assert "other settings: model.units is 8 there and 9 here" in outcome.err
    outcome = asr_command(*arguments)
    assert outcome.code == 0
    assert "best epoch 1" in outcome.out


@pytest.mark.slow
@pytest.mark.thorough
def test_a_sweep_that_is_written_down_in_conf_trains_every_run_and_sorts_them(data, tmp_path):
    # In a process of its own: Hydra's logging closes handlers that pytest holds.
    arguments = [*data, *SMALL, "training.epochs=1", "training.workers=0", "--multirun", "sweep=seeds"]
    process = start(arguments, tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    head, *rows = out.splitlines()
    assert head.split() == ["CER", "WER", "epoch", "run"]
    assert len(rows) == 3
    assert {row.rpartition("  ")[2] for row in rows} == {f"training.seed={seed}" for seed in (1, 2, 3)}
    (folder,) = (tmp_path / "runs").iterdir()
    for number in ("0", "1", "2"):
        assert (folder / number / "best" / "bundle.json").exists()
        assert (folder / number / "config.yaml").exists()
    table = list(csv.DictReader((folder / "sweep.csv").read_text().splitlines()))
    assert {row["training.seed"] for row in table} == {"1", "2", "3"}
    assert [float(row["cer"]) for row in table] == sorted(float(row["cer"]) for row in table)
    assert not (tmp_path / "outputs").exists()
    assert not (tmp_path / "multirun").exists()


@pytest.mark.slow
def test_a_sweep_runs_side_by_side_and_a_failed_run_does_not_end_it(data, tmp_path):
    oracle_module("hydra_plugins.hydra_joblib_launcher")
    sweep = ["--multirun", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep"]
    process = start([*data, *SMALL, "training.epochs=1", "training.workers=0", "init=null,nothing", *sweep], tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    _, good, bad = out.splitlines()
    assert "sweep/0" in good
    assert "failed: nothing: no such bundle" in bad
    assert (tmp_path / "sweep" / "0" / "best" / "bundle.json").exists()


def test_a_run_without_a_best_model_fails_and_says_why(asr_command, data, tmp_path):
    """Where all validation texts are empty, no epoch has a character error rate."""
    valid = Path(data[1].partition("=")[2])
    write_rows(valid, [json.loads(line) | {"text": ""} for line in valid.read_text().splitlines()])
    run_dir = tmp_path / "run"
    arguments = ["train", *data, *SMALL, "training.epochs=2", "training.patience=1", f"run_dir={run_dir}"]
    outcome = asr_command(*arguments)
    assert (outcome.code, outcome.out) == (1, "")
    assert "no epoch is the best one, since the validation texts have no characters" in outcome.err
    assert f"{run_dir / 'last'} is the model of the last epoch" in outcome.err
    assert (run_dir / "last").is_dir()
    assert not (run_dir / "best").exists()
    outcome = asr_command("average", run_dir)
    assert outcome.code == 2
    assert "those of epochs that have a CER on the validation set (training.keep_epochs=5)" in outcome.err


def test_bad_data_is_reported_before_anything_is_written(asr_command, tmp_path):
    train = write_rows(
        tmp_path / "t.jsonl",
        [
            {"audio_filepath": "gone.wav", "text": "x"},
            {"audio_filepath": str(SMOKE / "train" / "none.opus"), "text": "ß"},
        ],
    )
    outcome = asr_command(
        "train", f"data.train={train}", f"data.valid={SMOKE / 'valid.jsonl'}", f"run_dir={tmp_path / 'r'}"
    )
    assert outcome.code == 2
    assert "asr: error: 2 problems" in outcome.err
    assert f"{train}:1: " in outcome.err
    assert f"{train}:2: " in outcome.err
    assert not (tmp_path / "r").exists()


def test_of_very_many_problems_the_first_are_shown_and_all_are_counted(asr_command, tmp_path):
    rows = [{"audio_filepath": f"{number}.wav", "text": "x"} for number in range(200)]
    manifest = write_rows(tmp_path / "m.jsonl", rows)
    outcome = asr_command("train", f"data.train={manifest}", "data.hold_out=0.1", f"run_dir={tmp_path / 'run'}")
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    assert lines[0] == "asr: error: 200 problems"
    assert lines[1] == "  200 of 200 utterances: recording missing: correct audio_filepath, or delete the line"
    assert lines[2].startswith("  `asr doctor` with the same settings shows all")
    assert lines[-1] == "  ... and 150 more"
    assert len(lines) == 1 + 2 + 50 + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "data.train names no manifest"),
        (["train", "a.jsonl"], "asr train takes settings, not files: data.train=a.jsonl"),
        (["train", "experiment=smok"], "did you mean 'smoke'?"),
        (["train", "sweep=seeds"], "several values for a setting: add --multirun"),
        (["train", "--multirun", "model.depth=1,x"], "model.depth must be a whole number, not 'x'"),
        (["train", "--multirun", "model=lstm,gruu"], "model has no option 'gruu'; did you mean 'gru'?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(asr_command, arguments, message):
    outcome = asr_command(*arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_a_back_end_that_is_not_there_is_a_configuration_error(data, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    process = start(data, tmp_path)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "asr: error: KERAS_BACKEND=theano cannot be used" in err
    assert err.count("\n") == 1


def test_a_folder_of_something_else_is_not_trained_into(asr_command, data, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.doc").touch()
    outcome = asr_command("train", *data, f"run_dir={tmp_path / 'other'}")
    assert outcome.code == 2
    assert "not empty and holds no run" in outcome.err
