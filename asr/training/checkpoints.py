"""The state of a training run in files written whole or not at all: weights, optimizer, seeds, position.

The newest two are kept: one that a failing disk has damaged is passed over for the one before.
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

_FORMAT = 2
_KEPT = 2
# Before 2.2, NumPy's savez took the keyword allow_pickle for an array: older checkpoints can hold one.
_NOT_VARIABLES = ("state", "allow_pickle")

_log = logging.getLogger(__name__)


@dataclass
class Progress:
    """Where a run is, and what it has seen."""

    epoch: int = 0
    """the epoch under way, from 0"""
    batch: int = 0
    """batches of it that are done"""
    batches: int = 0
    """batches of all epochs that are done"""
    nats: float = 0.0
    """CTC losses of the epoch under way, summed"""
    symbols: int = 0
    """label symbols that they belong to"""
    utterances: int = 0
    """of the batches that are done"""
    left_out: int = 0
    """utterances of the epoch under way that could no longer be read"""
    skipped: int = 0
    """batches of the whole run without a finite loss and gradient"""
    seconds: float = 0.0
    """time spent on the epoch under way"""
    waited: float = 0.0
    """of it, time spent waiting for batches"""
    best_cer: float | None = None
    """lowest validation character error rate"""
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)
    """one record an epoch"""

    @property
    def mean_loss(self) -> float | None:
        """Training loss of the epoch under way, in nats a symbol."""
        return self.nats / self.symbols if self.symbols else None

    def next_epoch(self) -> None:
        """Begin another epoch."""
        self.epoch += 1
        self.batch = self.symbols = self.utterances = self.left_out = 0
        self.nats = self.seconds = self.waited = 0.0


def save_checkpoint(folder: Path, variables: Mapping[str, Any], progress: Progress) -> None:
    """Write the state of a run, and drop all but the newest.

    Parameters
    ----------
    folder : Path
        Gets an `.npz` file of plain arrays, readable whatever the back end.
    variables : mapping of str to keras.Variable
    progress : Progress

    Raises
    ------
    OSError
        If it cannot be written; the ones before are kept then.
    """
    state = {"format": _FORMAT, "progress": asdict(progress)}
    arrays = {name: keras.ops.convert_to_numpy(variable) for name, variable in variables.items()}
    buffer = io.BytesIO()
    np.savez(buffer, state=np.array(json.dumps(state)), **arrays)
    write_atomically(folder / f"{progress.batches:09d}.npz", buffer.getvalue())
    for path in find_checkpoints(folder)[_KEPT:]:
        path.unlink()


def find_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first."""
    return sorted(folder.glob("[0-9]*.npz"), reverse=True)


def load_checkpoint(folder: Path, variables: Mapping[str, Any]) -> Progress | None:
    """Give variables the newest state that can be read.

    Returns
    -------
    Progress or None
        None if there is no checkpoint.

    Raises
    ------
    ConfigError
        If the checkpoint was written by another model, or none of several can be read.
    """
    paths = find_checkpoints(folder)
    for path in paths:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                state = json.loads(str(arrays["state"]))
                content = {name: arrays[name] for name in arrays.files if name not in _NOT_VARIABLES}
            progress = Progress(**state["progress"])
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            _log.warning("%s cannot be read (%s): going back to the checkpoint before it", path, error)
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
