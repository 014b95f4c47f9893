"""The state of a training run in one file, written whole or not at all: weights, optimizer, seeds, position."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from asr.errors import ConfigError
from asr.files import write_atomically

_FORMAT = 1


@dataclass
class Progress:
    """Where a run is, and what it has seen."""

    epoch: int = 0
    """the epoch under way, from 0"""
    batch: int = 0
    """batches of it that are done"""
    symbol_loss_sum: float = 0.0
    """of the batches that are done: their losses weighted by their utterances"""
    utterances: int = 0
    """of the batches that are done"""
    seconds: float = 0.0
    """time spent on the epoch under way"""
    best_cer: float | None = None
    """lowest validation character error rate"""
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)
    """one record an epoch"""

    @property
    def mean_loss(self) -> float | None:
        """Training loss of the epoch under way, in nats a symbol."""
        return self.symbol_loss_sum / self.utterances if self.utterances else None


def save_checkpoint(path: Path, model: keras.Model, progress: Progress) -> None:
    """Write the state of a run.

    Parameters
    ----------
    path : Path
        An `.npz` file of plain arrays, readable whatever the back end.
    model : keras.Model
        Compiled, its optimizer built.
    progress : Progress
    """
    state = {"format": _FORMAT, "progress": asdict(progress)}
    arrays = {name: keras.ops.convert_to_numpy(variable) for name, variable in _variables(model).items()}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, state=np.array(json.dumps(state)), **arrays)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path, model: keras.Model) -> Progress:
    """Give a model, built from the same settings, the state of a run.

    Raises
    ------
    ConfigError
        If the file is damaged or was written by another model.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            state = json.loads(str(arrays["state"]))
            variables = _variables(model)
            if set(arrays.files) != {"state", *variables}:
                raise ConfigError(f"{path}: the checkpoint is that of another model; start a new run_dir")
            for name, variable in variables.items():
                if arrays[name].shape != tuple(variable.shape):
                    raise ConfigError(f"{path}: {name} is that of another model; start a new run_dir")
                variable.assign(arrays[name])
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: the checkpoint cannot be read ({error})") from error
    return Progress(**state["progress"])


def _variables(model: keras.Model) -> dict[str, Any]:
    """Weights, seeds of dropout and the optimizer's variables; by number, for paths may change with the back end."""
    model_variables = [*model.trainable_variables, *model.non_trainable_variables]
    named = {f"model/{number}": variable for number, variable in enumerate(model_variables)}
    named |= {f"optimizer/{number}": variable for number, variable in enumerate(model.optimizer.variables)}
    return named
