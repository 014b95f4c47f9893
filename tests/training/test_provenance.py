"""What a run records of its origin."""

from __future__ import annotations

import json
import subprocess
from hashlib import sha256

from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.training.provenance import git_state, record_start

from ..conftest import SMOKE


def test_the_record_of_a_run_has_the_hashes_of_the_bundle_that_it_starts_from(tiny_bundle, tmp_path):
    settings = TrainConfig(data=DataConfig(train=[str(SMOKE / "train.jsonl")]), init=str(tiny_bundle))
    record_start(tmp_path / "run.json", settings)
    (start,) = json.loads((tmp_path / "run.json").read_text())["starts"]
    assert start["init"] == {
        "bundle": str(tiny_bundle),
        "files": {file.name: sha256(file.read_bytes()).hexdigest() for file in tiny_bundle.iterdir()},
    }


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
