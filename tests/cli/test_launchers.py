"""Sweeps by the launchers of Hydra that are installed, each on this machine; joblib's is in test_train.py."""

from __future__ import annotations

import csv

import pytest

from ..conftest import QUICK_BACKEND
from .test_sweep import SMALL, data, start  # noqa: F401

LAUNCHERS = {
    "submitit_local": ("hydra_submitit_launcher", ["hydra.launcher.cpus_per_task=1"]),
    "ray": ("hydra_ray_launcher", []),
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_trains_the_runs_of_a_sweep(data, tmp_path, launcher):  # noqa: F811
    package, settings = LAUNCHERS[launcher]
    pytest.importorskip(f"hydra_plugins.{package}")
    command = [*data, *SMALL, "training.epochs=1", "--multirun", "training.seed=1,2", f"hydra/launcher={launcher}"]
    process = start([*command, *settings, "hydra.sweep.dir=s"], tmp_path, QUICK_BACKEND)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    with (tmp_path / "s" / "sweep.csv").open() as file:
        assert sorted(row["training.seed"] for row in csv.DictReader(file)) == ["1", "2"]
    assert {path.parent.name for path in tmp_path.glob("s/*/best")} == {"0", "1"}
