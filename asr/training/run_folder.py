"""The folder of a training run: the names in it, its settings, and its lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from asr.bundle import check_bundle_output
from asr.errors import ConfigError, OutputError, TrainingError
from asr.evaluation.report_files import DATA_FILES, PAGE
from asr.files import OutputJournal, clear_leftovers, write_atomically
from asr.settings.commands import TrainConfig
from asr.settings.yaml_text import from_yaml, to_yaml

CONFIG, PROVENANCE, HISTORY, BATCHES = "config.yaml", "run.json", "history.jsonl", "batches.csv"
CURVES, HELD_OUT = "curves.png", "held_out.jsonl"
BEST, LAST, VALIDATION = "best", "last", "validation"
CHECKPOINTS, NON_FINITE, TENSORBOARD = "checkpoints", "non_finite", "tensorboard"
SWEEP_OUTCOME = "sweep_run.json"
"""written by a sweep, for a run that failed too"""
_LOCK = ".lock"


def check_run_folder(run_dir: Path) -> None:
    """Refuse, before anything is read or written, a folder in which a run cannot be written.

    Raises
    ------
    OutputError
        If there is no run in the folder but something else, or if other programs' files have the names of its outputs.
    """
    if os.path.lexists(run_dir) and not run_dir.is_dir():
        raise OutputError(run_dir, "is not a folder; choose another run_dir")
    if not (run_dir / CONFIG).exists() and not (run_dir / PROVENANCE).exists():
        # A run that was killed as it began leaves hidden, half-written files.
        entries = sorted(os.listdir(run_dir)) if run_dir.is_dir() else []
        others = [name for name in entries if not name.startswith(".") and name != SWEEP_OUTCOME]
        if others:
            detail = f"{CONFIG} is missing, {others[0]!r} is there"
            raise OutputError(run_dir, f"the folder is not empty and holds no run ({detail}): choose another run_dir")
    for name in (BEST, LAST):
        check_bundle_output(run_dir / name, overwrite=True)
    report = run_dir / VALIDATION
    if not (report / DATA_FILES[0]).exists():
        journal = OutputJournal(advice="move it away, or choose another run_dir")
        journal.check(report / name for name in (*DATA_FILES, PAGE))


def read_settings(run_dir: Path) -> TrainConfig | None:
    """The settings of the run in a folder; None if there is none.

    Raises
    ------
    ConfigError
        If they cannot be read.
    """
    path = run_dir / CONFIG
    if not path.exists():
        return None
    return replace(from_yaml(TrainConfig, path.read_text("utf-8"), str(path)), run_dir=str(run_dir))


def check_settings_unchanged(run_dir: Path, settings: TrainConfig) -> None:
    """Refuse to resume the run in a folder, if there is one, with other settings than it began with.

    The style of messages may differ.

    Raises
    ------
    ConfigError
        Naming the settings that differ.
    """
    earlier = read_settings(run_dir)
    if earlier is None:
        return
    before = to_yaml(earlier).splitlines()
    now = to_yaml(replace(settings, run_dir=str(run_dir), log=earlier.log)).splitlines()
    if before != now:
        changed = [line.strip() for line in now if line not in before]
        raise ConfigError(
            f"{run_dir} holds a run with other settings (now: {'; '.join(changed) or 'some are missing'}): "
            "choose another run_dir, or give run_dir alone to resume that run"
        )


def write_settings(run_dir: Path, settings: TrainConfig) -> None:
    """Write the settings of a run that begins."""
    if not (run_dir / CONFIG).exists():
        write_atomically(run_dir / CONFIG, to_yaml(settings).encode("utf-8"))


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Keep other processes out of the folder of a run; the lock ends with the process, however that ends.

    Raises
    ------
    ConfigError
        If another process holds the lock.
    """
    import fcntl

    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"{run_dir}: another process is training here; wait for it, or stop it") from error
        for folder in (run_dir, run_dir / CHECKPOINTS, run_dir / NON_FINITE, run_dir / VALIDATION):
            clear_leftovers(folder)
        yield


@contextmanager
def disk_errors_explained(run_dir: Path) -> Iterator[None]:
    """Turn an `OSError`, such as that of a full disk, into a `TrainingError` that says how to continue."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{error.filename or run_dir}: {error.strerror or error}. What was saved before is kept: when there is "
            f"room to write again, the same command resumes from the last checkpoint in {run_dir}"
        ) from error
