"""TensorFlow, JAX and PyTorch train the same model: the same losses, bundles and checkpoints that all can read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from asr.bundle import load_bundle

from ..conftest import smoke_manifests
from .test_run import losses

BACKENDS = [name for name in ("tensorflow", "jax", "torch") if find_spec(name)]


# TensorFlow takes seconds to import: a training on another back end leaves it alone.
PROGRAM = """
import sys
from asr.cli.main import main
code = main(["train", *sys.argv[2:]])
assert sys.argv[1] == "tensorflow" or "tensorflow" not in sys.modules, "TensorFlow was imported"
sys.exit(code)
"""


def train(backend: str, compiled: Path, *settings: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, backend, *settings],
        capture_output=True, text=True, check=False,
        env=os.environ | {"KERAS_BACKEND": backend, "ASR_COMPILED_DIR": str(compiled)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs two of tensorflow, jax and torch")
def test_every_back_end_trains_the_same_model_and_goes_on_with_the_runs_of_the_others(tmp_path):
    manifests = [f"data.{part}={path}" for part, path in smoke_manifests(tmp_path, train=8, valid=2).items()]
    settings = [
        *manifests, "model.depth=2", "model.units=16", "model.projection=16", "model.channels=2", "model.dropout=0",
        "features.mels=16", "training.epochs=2", "training.batch_size=4", "training.buckets=1", "training.workers=0",
        "tracking.tensorboard=false",
    ]  # fmt: skip
    runs = {backend: tmp_path / backend for backend in BACKENDS}
    for backend, run_dir in runs.items():
        train(backend, tmp_path / "compiled", *settings, f"run_dir={run_dir}")
    first, *others = (np.array([float(row[2]) for row in losses(run_dir)]) for run_dir in runs.values())
    assert len(first) == 4
    for other in others:
        np.testing.assert_allclose(other, first, rtol=1e-3)
    first, *others = (load_bundle(run_dir / "last").weights() for run_dir in runs.values())
    for other in others:
        assert other.keys() == first.keys()
        for name, array in other.items():
            np.testing.assert_allclose(array, first[name], atol=2e-3, err_msg=name)

    # Each takes its neighbour's run back to the end of the first epoch, and does the second again.
    for backend, (owner, run_dir) in zip(BACKENDS[1:] + BACKENDS[:1], runs.items(), strict=True):
        before = losses(run_dir)
        sorted((run_dir / "checkpoints").iterdir())[-1].unlink()
        train(backend, tmp_path / "compiled", f"run_dir={run_dir}")
        after = losses(run_dir)
        assert after[:2] == before[:2]
        again, wanted = (np.array([float(row[2]) for row in rows]) for rows in (after, before))
        np.testing.assert_allclose(again, wanted, rtol=1e-3, err_msg=f"{owner} to {backend}")
        starts = json.loads((run_dir / "run.json").read_text())["starts"]
        assert [start["backend"] for start in starts] == [owner, backend]
