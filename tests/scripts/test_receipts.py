"""Receipts of recipes, of runs that were never run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from asr.settings.commands import TrainConfig
from asr.settings.training import TrainingConfig
from asr.settings.yaml_text import to_yaml

from ..conftest import REPOSITORY


def fake_run(folder: Path, *, seed: int, rates: list[float | None], epochs: int | None = None) -> Path:
    folder.mkdir(parents=True)
    training = TrainingConfig(seed=seed, epochs=epochs or len(rates), patience=0)
    (folder / "config.yaml").write_text(to_yaml(TrainConfig(training=training)))
    start = {"command": ["asr", "train", f"training.seed={seed}"], "backend": "tensorflow", "machine": {"cores": 2}}
    (folder / "run.json").write_text(json.dumps({"starts": [start]}))
    records = [
        {
            "epoch": epoch, "train_loss": 1 / epoch, "valid_loss": rate, "valid_cer": rate,
            "valid_wer": None if rate is None else 2 * rate, "train_seconds": 60, "valid_seconds": 6,
        }
        for epoch, rate in enumerate(rates, start=1)
    ]  # fmt: skip
    (folder / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def summarize(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "research" / "summarize_recipe.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_mean_and_spread_are_over_the_best_epochs_of_all_seeds(tmp_path):
    runs = [
        fake_run(tmp_path / "a", seed=2, rates=[None, 0.4, 0.2]),
        fake_run(tmp_path / "b", seed=1, rates=[0.5, 0.1, 0.3]),
    ]
    done = summarize(tmp_path / "out" / "mine", *runs)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["seeds"] == [1, 2]
    assert summary["wer"] == {"mean": pytest.approx(0.3), "deviation": pytest.approx(0.2 / 2**0.5)}
    assert summary["minutes"]["mean"] == pytest.approx(3.3)
    assert (tmp_path / "out" / "mine.png").read_bytes().startswith(b"\x89PNG")
    more = summarize(tmp_path / "out" / "mine", fake_run(tmp_path / "c", seed=3, rates=[0.3, 0.3, 0.3]), "--add")
    assert json.loads(more.stdout.splitlines()[-1])["seeds"] == [1, 2, 3]
    assert [run["best_epoch"] for run in json.loads((tmp_path / "out" / "mine.json").read_text())["runs"]] == [2, 3, 1]


def test_a_run_that_has_not_come_to_its_end_is_refused(tmp_path):
    done = summarize(tmp_path / "mine", fake_run(tmp_path / "a", seed=1, rates=[0.5], epochs=9))
    assert done.returncode == 1
    assert "has not come to its end (epoch 1 of 9)" in done.stderr


def compare(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "research" / "compare_settings.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def measured(**rates: float) -> dict[str, object]:
    common = {"valid_loss": 1.0, "train_loss": 1.0, "epochs": 6, "train_minutes": 5.0}
    return {
        "runs": [{"seed": int(name[-1]), "cer": rate, "wer": 2 * rate, **common} for name, rate in rates.items()],
    }


def test_a_setting_is_compared_with_the_recipe_by_their_means(tmp_path):
    changes = {"": measured(seed1=0.30, seed2=0.32), "model.dropout=0": measured(seed1=0.34)}
    (tmp_path / "out.json").write_text(json.dumps({"experiment": "short", "changes": changes}))
    done = compare(tmp_path / "out", "model.dropout=0", "--runs", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["changes"]
    assert found["model.dropout=0"]["cer_difference"] == pytest.approx(0.03)
    assert found[""]["cer"]["deviation"] == pytest.approx(0.02 / 2**0.5)
    assert [line.split()[0] for line in done.stdout.splitlines()[1:3]] == ["as", "model.dropout=0"]
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "runs").exists(), "what was measured before is not run again"


def test_settings_of_two_recipes_are_not_put_into_one_file(tmp_path):
    (tmp_path / "out.json").write_text(json.dumps({"experiment": "an4", "changes": {}}))
    done = compare(tmp_path / "out", "model.dropout=0")
    assert done.returncode == 1
    assert "is of experiment=an4, not of short" in done.stderr
