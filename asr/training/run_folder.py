"""The folder of a training run: the names in it, its settings, and its lock."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from asr.bundle import bundle_argument, check_bundle_output
from asr.errors import ConfigError, OutputError, TrainingError
from asr.evaluation.report_files import DATA_FILES, PAGE
from asr.files import OutputJournal, clear_leftovers, obstacle, output_error, write_atomically
from asr.settings.commands import TrainConfig
from asr.settings.yaml_text import from_yaml, to_yaml

CONFIG, PROVENANCE, HISTORY, BATCHES = "config.yaml", "run.json", "history.jsonl", "batches.csv"
CURVES, HELD_OUT = "curves.png", "held_out.jsonl"
BEST, LAST, VALIDATION = "best", "last", "validation"
CHECKPOINTS, NON_FINITE, TENSORBOARD = "checkpoints", "non_finite", "tensorboard"
EPOCHS, AVERAGE = "epochs", "average"
LR_FINDER_PICTURE, LR_FINDER_TABLE = "lr_finder.png", "lr_finder.csv"
SWEEP_OUTCOME = "sweep_run.json"
"""written by a sweep, for a run that failed too"""
_LOCK = ".lock"
_BEFORE_A_RUN = {SWEEP_OUTCOME, LR_FINDER_PICTURE, LR_FINDER_TABLE}
"""may be in a folder without a run"""
_MAY_CHANGE = {"log", "training.epochs", "training.processes", "lr_finder"}
_SHOWN = 10
"""of the settings that differ"""


def new_run_dir() -> str:
    """The folder of a run for which none is given."""
    return f"runs/{time.strftime('%Y-%m-%d_%H-%M-%S')}"


def check_place(run_dir: Path) -> None:
    """Refuse a path that is no folder, and in which none can be made.

    Raises
    ------
    OutputError
    """
    if os.path.lexists(run_dir) and not run_dir.is_dir():
        raise OutputError(run_dir, "is not a folder; choose another run_dir")
    problem = obstacle(run_dir / CONFIG)
    if problem:
        raise OutputError(run_dir, f"{problem}; choose another run_dir")


def check_run_folder(run_dir: Path) -> None:
    """Refuse, before anything is read or written, a folder in which a run cannot be written.

    Raises
    ------
    OutputError
        If there is no run in the folder but something else, or if other programs' files have the names of its outputs.
    """
    check_place(run_dir)
    if not (run_dir / CONFIG).exists() and not (run_dir / PROVENANCE).exists():
        # A run that was killed as it began leaves hidden, half-written files.
        entries = sorted(os.listdir(run_dir)) if run_dir.is_dir() else []
        others = [name for name in entries if not name.startswith(".") and name not in _BEFORE_A_RUN]
        if others:
            detail = f"{CONFIG} is missing, {others[0]!r} is there"
            raise OutputError(run_dir, f"the folder is not empty and holds no run ({detail}): choose another run_dir")
    for name in (BEST, LAST):  # beside a model there may be its card, of `asr card`
        advice = "move it out of there, or choose another run_dir"
        check_bundle_output(run_dir / name, overwrite=True, keep=OutputJournal().wrote, advice=advice)
    report = run_dir / VALIDATION
    if not (report / DATA_FILES[0]).exists():
        journal = OutputJournal(advice="move it away, or choose another run_dir")
        journal.check(report / name for name in (*DATA_FILES, PAGE))


def epoch_file(run_dir: Path, epoch: int) -> Path:
    """The weights of an epoch, where a run keeps them."""
    return run_dir / EPOCHS / f"{epoch:04d}.npz"


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


def flat_settings(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Every setting by its name on the command line (`training.epochs`)."""
    flat: dict[str, Any] = {}
    for one in fields(settings):
        value = getattr(settings, one.name)
        if is_dataclass(value):
            flat |= flat_settings(value, f"{prefix}{one.name}.")
        else:
            flat[prefix + one.name] = value
    return flat


def check_settings_unchanged(run_dir: Path, settings: TrainConfig, given: Collection[str] = ()) -> None:
    """Refuse to continue the run in a folder, if there is one, with other settings than it has.

    The style of messages, the number of epochs and that of processes may differ.

    Parameters
    ----------
    run_dir : Path
    settings : TrainConfig
    given : collection of str
        Names of settings and groups that the command line gave: the message lists those of them that differ.

    Raises
    ------
    ConfigError
        Naming the settings that differ.
    """
    earlier = read_settings(run_dir)
    changed = {} if earlier is None else changed_settings(earlier, replace(settings, run_dir=str(run_dir)))
    if not changed:
        return
    mine = {name: pair for name, pair in changed.items() if any(f"{name}.".startswith(f"{one}.") for one in given)}
    names = mine or changed
    shown = [f"{name} is {before} there and {now} here" for name, (before, now) in list(names.items())[:_SHOWN]]
    if len(names) > _SHOWN:
        shown.append(f"and {len(names) - _SHOWN} more")
    folder = shlex.quote(f"run_dir={run_dir}")
    start = shlex.quote(f"init={bundle_argument(run_dir / BEST)}")
    raise ConfigError(
        f"{run_dir} holds a run with other settings: {'; '.join(shown)}. `asr train {folder}` resumes it with its own; "
        f"`asr train {folder} training.epochs=N` extends it; with other settings, choose another run_dir"
        + (f", and {start} to start from its weights" if (run_dir / BEST).exists() else "")
    )


def changed_settings(
    earlier: Any, settings: Any, may_change: Collection[str] = _MAY_CHANGE
) -> dict[str, tuple[Any, Any]]:
    """The settings that differ from those of a run: name, value then, value now."""
    before, now = flat_settings(earlier), flat_settings(settings)
    return {name: (before[name], now[name]) for name in now if name not in may_change and before[name] != now[name]}


def write_settings(run_dir: Path, settings: TrainConfig) -> None:
    """Write the settings of a new run, or of one that continues with another number of epochs or processes."""
    earlier = read_settings(run_dir)
    if earlier is None:
        write_atomically(run_dir / CONFIG, to_yaml(settings).encode("utf-8"))
    elif earlier.training != settings.training:
        training = replace(earlier.training, epochs=settings.training.epochs, processes=settings.training.processes)
        write_atomically(run_dir / CONFIG, to_yaml(replace(earlier, training=training)).encode("utf-8"))


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Keep other processes out of the folder of a run; the lock ends with the process, however that ends.

    Raises
    ------
    ConfigError
        If another process holds the lock.
    OutputError
        If the folder cannot be made.
    """
    import fcntl

    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(run_dir, error) from error
    with (run_dir / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"{run_dir}: another process is training here; wait for it, or stop it") from error
        for folder in (run_dir, run_dir / CHECKPOINTS, run_dir / EPOCHS, run_dir / NON_FINITE, run_dir / VALIDATION):
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
