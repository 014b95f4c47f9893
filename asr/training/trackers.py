"""Shows a run while it lasts: TensorBoard, and MLflow where it is asked for. Neither has a part in the training."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asr.audio.features import Frames
from asr.errors import ConfigError
from asr.files import write_atomically
from asr.packages import require_packages
from asr.settings.commands import TrainConfig

_log = logging.getLogger(__name__)

# MLflow keeps every value in a file or behind a network: one batch in so many is plenty for a curve.
_MLFLOW_EVERY = 20
_MLFLOW_ID = "mlflow.json"


class Tracker:
    """Somewhere to send what a run measures; this one drops it. `step` counts the batches of the whole run."""

    def scalars(self, step: int, values: Mapping[str, float], *, every_batch: bool = False) -> None:
        """Send some numbers; `every_batch` marks those of which most may be left away."""

    def examples(self, step: int, rows: Sequence[tuple[str, str, str]]) -> None:
        """Send some utterances: id, reference, hypothesis."""

    def spectrogram(self, step: int, frames: Frames) -> None:
        """Send a picture of float32 frames [shape=(frames, mels)], normalised, as the network gets them."""

    def conclude(self, artifacts: Sequence[Path]) -> None:
        """The run has come to its end, and has made these files."""

    def close(self) -> None:
        """Send what is still waiting."""


def start_trackers(settings: TrainConfig, run_dir: Path, step: int) -> list[Tracker]:
    """Those that the settings ask for, for a run that is at some step.

    Raises
    ------
    ConfigError
        If MLflow is asked for and not installed, or its server does not answer.
    """
    trackers: list[Tracker] = []
    if settings.tracking.tensorboard:
        trackers.append(TensorBoard(run_dir / "tensorboard", step))
    if settings.tracking.mlflow:
        trackers.append(MLflow(settings, run_dir))
    return trackers


class TensorBoard(Tracker):
    """Event files for `tensorboard --logdir`.

    Parameters
    ----------
    folder : Path
    step : int
        What an interrupted run had already sent of later steps is hidden.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(
            str(folder), purge_step=step + 1 if step else None, flush_secs=20, filename_suffix=f".{step:09d}"
        )

    def scalars(self, step: int, values: Mapping[str, float], *, every_batch: bool = False) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def examples(self, step: int, rows: Sequence[tuple[str, str, str]]) -> None:
        lines = [f"    {name}\n    REF: {reference}\n    HYP: {hypothesis}\n" for name, reference, hypothesis in rows]
        self._writer.add_text("valid/examples", "\n".join(lines), step)

    def spectrogram(self, step: int, frames: Frames) -> None:
        from matplotlib import colormaps

        shades = np.clip((frames.T[::-1] + 3) / 6, 0, 1)
        self._writer.add_image("train/features", colormaps["magma"](shades)[..., :3], step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


class MLflow(Tracker):
    """A run on an MLflow server or in an MLflow folder; one that was interrupted goes on under its old id."""

    def __init__(self, settings: TrainConfig, run_dir: Path) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it looks when it is imported
        require_packages("mlflow", extra="mlflow", purpose="tracking.mlflow")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        uri = settings.tracking.mlflow
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self._id = self._find_run(run_dir) or self._create_run(settings, run_dir)
        except (MlflowException, OSError) as error:
            raise ConfigError(f"tracking.mlflow={uri} cannot be used: {str(error).splitlines()[0]}") from error
        self._failed = False

    def _find_run(self, run_dir: Path) -> str | None:
        path = run_dir / _MLFLOW_ID
        return str(json.loads(path.read_text())["run_id"]) if path.exists() else None

    def _create_run(self, settings: TrainConfig, run_dir: Path) -> str:
        name = settings.tracking.mlflow_experiment
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        run_id = str(self._client.create_run(number, run_name=run_dir.name).info.run_id)
        for key, value in _flat(settings).items():
            self._client.log_param(run_id, key, value)
        write_atomically(run_dir / _MLFLOW_ID, (json.dumps({"run_id": run_id}) + "\n").encode())
        return run_id

    def scalars(self, step: int, values: Mapping[str, float], *, every_batch: bool = False) -> None:
        if every_batch and step % _MLFLOW_EVERY:
            return
        for name, value in values.items():
            self._send(lambda name=name, value=value: self._client.log_metric(self._id, name, value, step=step))

    def conclude(self, artifacts: Sequence[Path]) -> None:
        for path in artifacts:
            if path.exists():
                self._send(lambda path=path: self._client.log_artifact(self._id, str(path)))
        self._send(lambda: self._client.set_terminated(self._id))

    def _send(self, call: Any) -> None:
        """A server that is gone must not end a training: it is said once."""
        if self._failed:
            return  # MLflow tries for minutes before it gives up
        try:
            call()
        except Exception as error:
            _log.warning("MLflow does not take what is sent to it (%s): going on without", error)
            self._failed = True


def _flat(settings: Any, prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for one in fields(settings):
        key, value = one.name, getattr(settings, one.name)
        if is_dataclass(value):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = str(value)[:500]
    return flat
