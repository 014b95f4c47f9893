"""A run that is killed by kill -9 again and again equals an uninterrupted run."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from asr.bundle import load_bundle

from ..conftest import QUICK_BACKEND, smoke_manifests
from .test_run import VOLATILE, losses


def start(settings: list[str], run_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "asr", "train", *settings, f"run_dir={run_dir}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=os.environ | QUICK_BACKEND | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip


def finish(settings: list[str], run_dir: Path) -> str:
    process = start(settings, run_dir)
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return err


def half_written(run_dir: Path) -> bool:
    with contextlib.suppress(FileNotFoundError), os.scandir(run_dir / "checkpoints") as entries:
        return any(entry.name.endswith(".part") for entry in entries)
    return False


def kill_while_saving(process: subprocess.Popen[str], run_dir: Path) -> bool:
    """Kill when half a checkpoint lies in the folder; whether it still does then."""
    while process.poll() is None:
        if half_written(run_dir):
            process.kill()
            process.wait()
            return half_written(run_dir)
    return False


def worker_count(run_dir: Path) -> int:
    """Processes of ours that prepare batches and outlive their training."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            here = (folder / "environ").read_bytes()
            count += b"asr.training.worker" in command and os.fsencode(str(run_dir.parent)) in here
    return count


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("least", "epochs"), [(3, 12), pytest.param(10, 25, marks=pytest.mark.thorough)])
def test_kills_leave_no_trace_in_the_losses_and_weights(tmp_path, monkeypatch, least, epochs):
    """At random moments, one of them while a checkpoint is written, with worker processes on."""
    monkeypatch.setenv("TEST_MARK", str(tmp_path))  # inherited by the workers, who are counted by it
    manifests = [f"data.{part}={path}" for part, path in smoke_manifests(tmp_path, train=12, valid=2).items()]
    settings = [
        *manifests, "model.depth=1", "model.units=32", "model.projection=8", "model.channels=2", "features.mels=16",
        "model.dropout=0.2", f"training.epochs={epochs}", "training.patience=0", "training.batch_size=2",
        "training.workers=2", "training.checkpoint_minutes=0", "training.accumulate=2", "training.average_epochs=1",
        "training.mmi_weight=0.5", "augment=robust", "optimizer.schedule=plateau", "optimizer.plateau_epochs=1",
    ]  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(settings, whole)

    seed = random.randrange(2**32)
    print(f"moments drawn from seed {seed}")
    moments = random.Random(seed)
    kills, caught = 0, False
    while kills < least or not caught:
        before = len(losses(killed)) if (killed / "batches.csv").exists() else 0
        process = start(settings, killed)
        if not caught and kills >= 2:
            caught = kill_while_saving(process, killed)
        elif kills % 3 == 0:
            time.sleep(moments.uniform(0, 6))  # perhaps before the first batch
        else:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and process.poll() is None:
                with contextlib.suppress(FileNotFoundError):
                    if len((killed / "batches.csv").read_text().splitlines()) - 1 != before:
                        break
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.8))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        assert process.returncode == -signal.SIGKILL, "the run came to its end before it was killed often enough"
        deadline = time.monotonic() + 20
        while worker_count(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert worker_count(tmp_path) == 0, "worker processes outlive a killed training"

    err = finish(settings, killed)
    assert "resuming from epoch" in err
    assert losses(killed) == losses(whole)
    histories = []
    for run_dir in (whole, killed):
        records = [json.loads(line) for line in (run_dir / "history.jsonl").read_text().splitlines()]
        histories.append([{key: one[key] for key in one.keys() - VOLATILE} for one in records])
    assert histories[0] == histories[1]
    for name in ("best", "last"):
        weights = load_bundle(whole / name).weights()
        for key, array in load_bundle(killed / name).weights().items():
            np.testing.assert_array_equal(array, weights[key])
    assert not list(killed.rglob("*.part"))
    assert len(json.loads((killed / "run.json").read_text())["starts"]) > 1
