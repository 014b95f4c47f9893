"""What the page on training over machines prints and shows is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from asr.bundle import load_bundle
from scripts.bench import training_plan

from ..conftest import REPOSITORY, smoke_manifests

PAGE = (REPOSITORY / "docs" / "many-machines-training.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_plan_is_what_its_command_prints(capsys, monkeypatch):
    (command,) = (one.split() for one in blocks("sh") if "training_plan.py" in one)
    monkeypatch.setattr(sys, "argv", command[1:])
    training_plan.main()
    assert capsys.readouterr().out in blocks("text")


def test_a_plan_for_one_rank_has_no_exchange():
    plan = training_plan.plan_training(hours=1, epochs=2, ranks=1, batch_seconds=72, times_real_time=100)
    assert (plan.steps, plan.reduce_seconds, plan.exchange_seconds, plan.mask_seconds) == (100, 0, 0, 0)
    assert plan.efficiency == 1
    assert plan.hours == pytest.approx(2 / 100)


@pytest.mark.slow
@pytest.mark.thorough
def test_the_recipe_of_ray_trains(tmp_path):
    """With two workers on this machine."""
    if not find_spec("ray") or not find_spec("pyarrow") or not find_spec("torch"):
        pytest.skip("ray[train] or torch is not installed")
    manifests = smoke_manifests(tmp_path, train=6, valid=2)
    (recipe,) = (one for one in blocks("python") if "TorchTrainer" in one)
    assert recipe.count("/shared/") == 4
    small = 'model=asr.ModelConfig(depth=1, units=8, projection=8, channels=2), run_dir="/shared/runs/first"'
    for before, after in (
        ("/shared/train.jsonl", str(manifests["train"])),
        ("/shared/valid.jsonl", str(manifests["valid"])),
        ("epochs=30", "epochs=1, workers=0, batch_size=3"),
        ('run_dir="/shared/runs/first"', small),
        ("/shared/", f"{tmp_path}/"),
    ):
        assert before in recipe
        recipe = recipe.replace(before, after)
    (tmp_path / "recipe.py").write_text(recipe)
    done = subprocess.run(
        [sys.executable, tmp_path / "recipe.py"],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert load_bundle(tmp_path / "runs" / "first" / "last").weights()
