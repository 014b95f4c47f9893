"""Trainings that a script starts: `asr train` as anyone would call it, its talk kept in a log beside the run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_training(run_dir: Path, *settings: str) -> None:
    """Train, or go on, or do nothing where the run has ended.

    Raises
    ------
    SystemExit
        If the training failed, with the name of its log.
    """
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    log = run_dir.with_name(f"{run_dir.name}.log")
    with log.open("a") as file:
        command = [sys.executable, "-m", "asr", "train", f"run_dir={run_dir}", *settings]
        if subprocess.run(command, stdout=file, stderr=file).returncode:
            sys.exit(f"{run_dir.name}: the training failed; {log} tells why")


def read_history(run_dir: Path) -> list[dict[str, Any]]:
    """The record of every epoch of a run."""
    return [json.loads(line) for line in (run_dir / "history.jsonl").read_text().splitlines()]
