"""Sweeps over trainings: what their jobs are, studies that go on and stop bad trials early, refusals."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from asr.errors import TrainingError
from asr.training.epoch_record import EpochRecord
from asr.training.run_folder import check_run_folder, check_settings_unchanged, write_settings

from ..conftest import QUICK_BACKEND, oracle_module, smoke_manifests

SMALL = [
    "model=small", "model.depth=1", "model.units=8", "model.projection=8", "model.channels=2", "features.mels=16",
    "augment=none", "training.batch_size=2", "training.buckets=1", "training.workers=0",
]  # fmt: skip
RATE = "optimizer.learning_rate=tag(log,interval(1e-5,1e-1))"


@pytest.fixture
def data(tmp_path, monkeypatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    manifests = smoke_manifests(tmp_path, train=4, valid=2, name="{part}.jsonl", shortest=False)
    return [f"data.{part}={path}" for part, path in manifests.items()]


def start(arguments: list[str], folder: Path, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "asr", "train", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | (environment or {}),
    )  # fmt: skip


def shown_jobs(outcome) -> list[dict]:
    assert outcome.code == 0, outcome.err
    return list(yaml.safe_load_all(outcome.out))


def test_show_config_shows_the_settings_of_every_job_and_writes_nothing(asr_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep = [
        "model.depth=1,2",
        "training.seed=range(1,3)",
        "hydra.sweep.dir=s",
        "hydra.sweep.subdir=n${hydra.job.num}",
        "optimizer.learning_rate=${oc.env:R,1e-2}",
    ]
    outcome = asr_command("train", "experiment=smoke", "--multirun", *sweep, "--show-config")
    jobs = shown_jobs(outcome)
    assert [(one["model"]["depth"], one["training"]["seed"], one["run_dir"]) for one in jobs] == [
        (1, 1, "s/n0"), (1, 2, "s/n1"), (2, 1, "s/n2"), (2, 2, "s/n3"),
    ]  # fmt: skip
    assert {one["optimizer"]["learning_rate"] for one in jobs} == {0.01}
    assert "# run 3: model.depth=2, training.seed=2\n" in outcome.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("swept", "expected"),
    [
        (["model=lstm,gru"], ["lstm", "gru"]),
        (["model=choice(lstm,gru)"], ["lstm", "gru"]),
        (["model.cell=choice(gru,lstm)"], ["gru", "lstm"]),
        (["sweep=seeds", "training.seed=7,8"], ["lstm", "lstm"]),
        (["init=${model.cell},b", "training.seed=1"], ["lstm", "lstm"]),
        (["experiment=smoke,[smoke,finetune]"], ["lstm", "lstm"]),
        (["data.train=[a.jsonl,b.jsonl],[c.jsonl]"], ["lstm", "lstm"]),
        (["init=null,'a,b'"], ["lstm", "lstm"]),
    ],
)
def test_values_to_try_are_written_in_every_way_of_hydra(asr_command, swept, expected):
    jobs = shown_jobs(asr_command("train", "--multirun", *swept, "--show-config"))
    assert [one["model"]["cell"] for one in jobs] == expected


STUDY = ["hydra/sweeper=optuna"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.depth=0,2"], "run 0 (model.depth=0): model.depth must be at least 1, not 0"),
        (["model.depth=1,x"], "model.depth must be a whole number, not 'x'"),
        (["model.dropout=interval(0,0.3)"], "let a study choose: hydra/sweeper=optuna"),
        (["model.depth=1,2", "--cfg", "job"], "for those of a sweep, type --multirun --show-config"),
        (["hydra.sweeper.params.x=3", "model.depth=1,2"], "hydra.sweeper.params"),
        (["model=glob(x*)"], "no run is left"),
        (["run_dir=x", "model.depth=1,2"], "run_dir is for a single run"),
        (["run_dir=x,y"], "each run has one, is hydra.sweep.dir=FOLDER"),
        (["model.depth=1,2", "hydra.sweep.subdir=x"], "hydra.sweep.subdir gives several runs the same folder"),
        (["hydra.run.dir=x"], "the folder of a sweep is hydra.sweep.dir=x"),
        (["hydra.job.chdir=true"], "never changes the working directory"),
        (["hydra.sweep.dri=x"], "did you mean 'hydra.sweep.dir'"),
        (["hydra/launcher=jobli"], "hydra/launcher has no option 'jobli'; did you mean 'joblib'"),
        (["hydra/launcher=submitit_slurm"], "pip install hydra-submitit-launcher"),
        (["hydra/sweeper=ax"], "pip install hydra-ax-sweeper"),
        (["hydra/sweeper=nevergrad"], "pip install hydra-nevergrad-sweeper"),
        (["hydra/sweeper=optun"], "did you mean 'optuna'"),
        (["sweep=seed"], "sweep has no option 'seed'; did you mean 'seeds'"),
        (STUDY, "a study needs values to try"),
        ([*STUDY, "model.depth=1,2", "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials must be at least 1, not 0"),
        ([*STUDY, "model.depth=1,2", "hydra.sweeper.n_trails=3"], "did you mean 'hydra.sweeper.n_trials'"),
        ([*STUDY, "model.depth=1,2", "hydra.sweeper.metric=acc"], "hydra.sweeper.metric=acc"),
        ([*STUDY, "model.dropout=interval(0.3,0.1)"], "interval(LOW, HIGH), LOW below HIGH"),
        ([*STUDY, "model.dropout=interval(0,3)"], "model.dropout must be at least 0 and below 1, not 3.0"),
        ([*STUDY, "model.dropout=tag(lgo,interval(0.1,0.3))"], "the only tag is `log`"),
        ([*STUDY, "model.depth=interval(1.2,x)"], "model.depth=interval(1.2,x)"),
    ],
)
def test_a_mistake_in_a_sweep_is_one_line_before_any_training(asr_command, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    outcome = asr_command("train", "--multirun", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1, outcome.err
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def trained(monkeypatch):
    """The folders of the runs that are trained, in no time."""
    folders = []

    def train_run(settings, watch):
        folder = Path(settings.run_dir)
        check_run_folder(folder)
        check_settings_unchanged(folder, settings)
        if settings.training.seed == 9:
            raise TrainingError("diverged")
        folder.mkdir(parents=True, exist_ok=True)
        write_settings(folder, settings)
        folders.append(folder.name)
        record = EpochRecord(epoch=1, train_loss=1.0, learning_rate=0.1, valid_cer=settings.training.seed / 10)
        return SimpleNamespace(history=(record,), stopped_by=None)

    monkeypatch.setattr("asr.cli.sweep_jobs.train_run", train_run)
    # Hydra closes the handlers of logging, which pytest holds.
    for module in ("hydra.core.utils", "hydra._internal.core_plugins.basic_launcher"):
        monkeypatch.setattr(import_module(module), "configure_log", lambda *_: None)
    return folders


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SWEEP = ["train", "experiment=smoke", "hydra.sweep.dir=s", "--multirun"]


def test_a_sweep_in_the_folder_of_another_is_refused_before_anything_is_written(
    asr_command, tmp_path, monkeypatch, trained
):
    monkeypatch.chdir(tmp_path)
    assert asr_command(*SWEEP, "training.seed=1,2").code == 0
    before = files(tmp_path)
    for other in (["training.seed=5"], ["training.seed=1,3"]):
        outcome = asr_command(*SWEEP, *other)
        assert outcome.code == 2, outcome.err
        assert "name another hydra.sweep.dir" in outcome.err
        assert "holds a run with other settings" in outcome.err
        assert outcome.out == ""
    pytest.importorskip("optuna")
    outcome = asr_command(*SWEEP, *STUDY, "training.seed=1,2")
    assert (outcome.code, "holds a sweep that is no study" in outcome.err) == (2, True)
    assert trained == ["0", "1"]
    assert files(tmp_path) == before


def test_the_table_is_of_the_runs_of_this_sweep_and_a_sweep_resumes_and_grows(
    asr_command, tmp_path, monkeypatch, trained
):
    monkeypatch.chdir(tmp_path)
    for seeds in ("2", "2,1", "2"):
        outcome = asr_command(*SWEEP, f"training.seed={seeds}")
        assert outcome.code == 0, outcome.err
        rows = list(csv.DictReader((tmp_path / "s/sweep.csv").read_text().splitlines()))
        assert [row["training.seed"] for row in rows] == sorted(seeds.split(","))
    assert trained == ["0", "0", "1", "0"]


def test_a_failure_does_not_replace_the_result_of_a_run(asr_command, tmp_path, monkeypatch, trained):
    monkeypatch.chdir(tmp_path)
    outcome = asr_command(*SWEEP, "training.seed=1,9")
    assert outcome.code == 1
    assert "failed: diverged" in outcome.out
    result, failure = ((tmp_path / f"s/{number}/sweep_run.json").read_text() for number in (0, 1))
    assert "diverged" in failure

    def fail(*_):
        raise TrainingError("the disk is gone")

    monkeypatch.setattr("asr.cli.sweep_jobs.train_run", fail)
    outcome = asr_command(*SWEEP, "training.seed=1,9")
    assert outcome.code == 1
    assert "run 0: the disk is gone" in outcome.err
    assert (tmp_path / "s/0/sweep_run.json").read_text() == result
    assert "the disk is gone" in (tmp_path / "s/1/sweep_run.json").read_text()
    assert asr_command(*SWEEP, "training.seed=1").code == 1  # although its earlier result is shown


def test_a_study_shows_what_it_tries(asr_command):
    outcome = asr_command(
        "train", "experiment=smoke", "--multirun", "sweep=study", "model.depth=interval(1,3)", "--show-config"
    )
    assert outcome.code == 0, outcome.err
    for line in (
        "# a study of 20 trainings; values to try:",
        "#   optimizer.learning_rate: 0.0001 to 0.01, logarithmic",
        "#   model.depth: 1 to 3",
        "#   augment: none, standard",
    ):
        assert line in outcome.out.splitlines()


@pytest.mark.slow
def test_a_study_goes_on_stops_bad_trials_early_and_draws_a_picture(data, tmp_path):
    command = [*data, *SMALL, "training.epochs=3", "--multirun", *STUDY, RATE, "model.cell=lstm,gru"]
    command += ["hydra.sweeper.pruner_trials=1", "hydra.sweeper.pruner_epochs=0"]
    process = start([*command, "hydra.sweeper.n_trials=3"], tmp_path)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("runs/study-*/1/history.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "resumes" in err
    (folder,) = tmp_path.glob("runs/study-*")
    before = json.loads((folder / "0" / "sweep_run.json").read_text())
    assert not (folder / "1" / "sweep_run.json").exists()
    assert (folder / "study.png").read_bytes().startswith(b"\x89PNG")

    process = start([*command, "hydra.sweeper.n_trials=4"], tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "the study resumes after 1 trials" in err
    assert "resuming from epoch" in err
    assert json.loads((folder / "0" / "sweep_run.json").read_text()) == before
    assert list(tmp_path.glob("runs/*")) == [folder]
    rows = list(csv.DictReader((folder / "sweep.csv").read_text().splitlines()))
    assert sorted(Path(row["run_dir"]).name for row in rows) == ["0", "1", "2", "3"]
    assert any(row["stopped_early"] for row in rows)
    assert out.startswith("best of 4 trials: optimizer.learning_rate=")
    for row in rows:
        epochs = (folder / Path(row["run_dir"]).name / "history.jsonl").read_text().count("\n")
        assert epochs < 3 if row["stopped_early"] else epochs == 3

    other = start(
        [*command, "hydra.sweeper.n_trials=4", f"hydra.sweep.dir={folder}", "training.seed=2"], tmp_path, QUICK_BACKEND
    )
    _, err = other.communicate(timeout=120)
    assert other.returncode == 2
    assert "holds a study of other settings" in err


@pytest.mark.slow
@pytest.mark.thorough
def test_a_study_trains_side_by_side(data, tmp_path):
    oracle_module("hydra_plugins.hydra_joblib_launcher")
    command = [*data, *SMALL, "training.epochs=1", "--multirun", *STUDY, RATE, "hydra.sweeper.n_trials=2"]
    command += ["hydra.sweeper.n_jobs=2", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=s"]
    process = start(command, tmp_path, QUICK_BACKEND)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.startswith("best of 2 trials")
    assert {path.parent.name for path in tmp_path.glob("s/*/best")} == {"0", "1"}
