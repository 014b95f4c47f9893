"""The state of a training run in files that are written atomically: weights, optimizer, seeds, position.

The newest two are kept: if a failing disk has damaged one, the one before is used.
"""

from __future__ import annotations

import io
import json
import logging
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from asr.errors import ConfigError
from asr.files import write_atomically
from asr.training.epoch_record import EpochRecord

_FORMAT = 2
_KEPT = 2
# Before 2.2, NumPy's savez took the keyword allow_pickle for an array: older checkpoints can hold one.
_NOT_VARIABLES = ("state", "allow_pickle")

# Of a plan that began after the first epoch.
_OF_LEG = ("planned_epochs", "leg_epoch", "leg_batch")
# Errors of reading a damaged checkpoint.
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)

_log = logging.getLogger(__name__)


@dataclass
class Progress:
    """The position of a run, and its counts."""

    epoch: int = 0
    """the present epoch, from 0"""
    batch: int = 0
    """batches of it that are done"""
    batches: int = 0
    """batches of all epochs that are done"""
    nats: float = 0.0
    """sum of the losses of the present epoch"""
    symbols: int = 0
    """label symbols of its batches with a finite loss"""
    utterances: int = 0
    """utterances of its batches"""
    left_out: int = 0
    """utterances of the present epoch that could no longer be read"""
    skipped: int = 0
    """batches of the whole run without a finite loss and gradient"""
    seconds: float = 0.0
    """time spent on the present epoch"""
    waited: float = 0.0
    """the part of it spent waiting for batches"""
    best_cer: float | None = None
    """lowest validation character error rate"""
    best_epoch: int = -1
    planned_epochs: int = 0
    """`training.epochs` of the plan that its batches follow; 0 where an earlier version did not record it"""
    leg_epoch: int = 0
    """the epoch, from 0, at which that plan begins: the epochs before had been planned for a smaller total"""
    leg_batch: int = 0
    """batches of the epochs before that one"""
    history: list[EpochRecord] = field(default_factory=list)
    """a record of every epoch that is done"""

    @property
    def mean_loss(self) -> float | None:
        """Training loss of the present epoch in nats per symbol; None if no batch had a finite loss."""
        return self.nats / self.symbols if self.symbols else None

    def next_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch += 1
        self.batch = self.symbols = self.utterances = self.left_out = 0
        self.nats = self.seconds = self.waited = 0.0


def save_checkpoint(folder: Path, variables: Mapping[str, Any], progress: Progress) -> None:
    """Write the state of a run, and delete all checkpoints but the newest two.

    Parameters
    ----------
    folder : Path
        Gets an `.npz` file of plain arrays, which every back end can read.
    variables : mapping of str to keras.Variable
    progress : Progress

    Raises
    ------
    OSError
        If it cannot be written; the ones before are kept then.
    """
    position = asdict(progress)
    if not progress.planned_epochs:  # as the first version wrote it
        position = {name: value for name, value in position.items() if name not in _OF_LEG}
    state = {"format": _FORMAT, "progress": position}
    arrays = {name: keras.ops.convert_to_numpy(variable) for name, variable in variables.items()}
    buffer = io.BytesIO()
    np.savez(buffer, state=np.array(json.dumps(state)), **arrays)
    write_atomically(folder / f"{progress.batches:09d}.npz", buffer.getvalue())
    for path in find_checkpoints(folder)[_KEPT:]:
        path.unlink()


def find_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first."""
    return sorted(folder.glob("[0-9]*.npz"), reverse=True)


def read_progress(folder: Path) -> Progress | None:
    """The position in the newest checkpoint that can be read; None if there is none."""
    for path in find_checkpoints(folder):
        try:
            return _read(path)[0]
        except _UNREADABLE:
            continue
    return None


def _read(path: Path) -> tuple[Progress, dict[str, Any]]:
    """The position and the arrays of a checkpoint; errors are `_UNREADABLE`."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        state = json.loads(str(arrays["state"]))
        content = {name: arrays[name] for name in arrays.files if name not in _NOT_VARIABLES}
    records = [EpochRecord(**one) for one in state["progress"]["history"]]
    return Progress(**{**state["progress"], "history": records}), content


def load_checkpoint(folder: Path, variables: Mapping[str, Any]) -> Progress | None:
    """Assign the newest state that can be read to variables.

    Returns
    -------
    Progress or None
        None if there is no checkpoint.

    Raises
    ------
    ConfigError
        If the checkpoint is that of another model, or none of several can be read.
    """
    paths = find_checkpoints(folder)
    for path in paths:
        try:
            progress, content = _read(path)
        except _UNREADABLE as error:
            _log.warning("%s cannot be read (%s): using the checkpoint before it", path, error)
            continue
        if {name: array.shape for name, array in content.items()} != {
            name: tuple(variable.shape) for name, variable in variables.items()
        }:
            raise ConfigError(f"{path}: the checkpoint is that of another model; start a new run_dir")
        for name, variable in variables.items():
            variable.assign(content[name])
        return progress
    if paths:
        raise ConfigError(f"{folder}: none of the {len(paths)} checkpoints can be read; start a new run_dir")
    return None
