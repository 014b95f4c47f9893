"""Shows a run while it lasts: in TensorBoard, and in MLflow if that is asked for.

Trackers run on threads of their own: neither a slow server nor one that is gone delays a training or ends it.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asr.audio.features import Frames
from asr.errors import ConfigError
from asr.files import write_atomically
from asr.packages import require_packages
from asr.settings.commands import TrainConfig
from asr.training.run_folder import TENSORBOARD

_log = logging.getLogger(__name__)

# MLflow writes every value to a file or sends it over a network: one batch in so many is enough for a curve.
_MLFLOW_EVERY = 20
_MLFLOW_ID = "mlflow.json"
# Calls that may wait for a tracker: values of batches, and everything.
_MOST_OF_BATCHES, _MOST = 1000, 1200
# How long a finished run and one that was stopped wait for a tracker, and after how long this is logged.
_FLUSH_SECONDS, _STOPPED_SECONDS, _SILENT_SECONDS = 60.0, 5.0, 2.0


class Tracker:
    """The interface of trackers, which does nothing. `step` counts the batches of the whole run."""

    def scalars(self, step: int, values: Mapping[str, float], *, every_batch: bool = False) -> None:
        """Send some numbers; those marked `every_batch` may be thinned out."""

    def examples(self, step: int, rows: Sequence[tuple[str, str, str]]) -> None:
        """Send some utterances: id, reference, hypothesis."""

    def spectrogram(self, step: int, frames: Frames) -> None:
        """Send a picture of float32 frames [shape=(frames, mels)], normalised, as the network gets them."""

    def conclude(self, artifacts: Sequence[Path]) -> None:
        """Mark the run as finished, and send these files."""

    def close(self) -> None:
        """Send what is still waiting."""


class BackgroundTracker(Tracker):
    """Passes everything on to another tracker, on a thread of its own: no call waits for that one.

    Calls that the tracker has not made yet wait in a queue of bounded length. If the tracker is so slow that the queue
    is full, new values are left out, those of batches before those of epochs. An error of the tracker leaves out what
    it could not send. The first of these is logged. `close` waits some time for the queue to empty, then discards the
    rest.

    Parameters
    ----------
    tracker : Tracker
    name : str
        For messages.
    flush_seconds : float > 0
        How long `close` waits after `conclude`; without it, as after Ctrl-C, 5 s at most.
    """

    def __init__(self, tracker: Tracker, *, name: str, flush_seconds: float = _FLUSH_SECONDS) -> None:
        self._tracker = tracker
        self._name = name
        self._flush_seconds = flush_seconds
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._concluded = False
        self._left_out = 0
        self._counting = threading.Lock()
        # A daemon, because a call to a server that does not answer must not keep the process alive.
        self._thread = threading.Thread(target=self._make_calls, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def scalars(self, step: int, values: Mapping[str, float], *, every_batch: bool = False) -> None:
        copied = dict(values)
        self._add(lambda: self._tracker.scalars(step, copied, every_batch=every_batch), of_batch=every_batch)

    def examples(self, step: int, rows: Sequence[tuple[str, str, str]]) -> None:
        self._add(lambda: self._tracker.examples(step, rows))

    def spectrogram(self, step: int, frames: Frames) -> None:
        self._add(lambda: self._tracker.spectrogram(step, frames))

    def conclude(self, artifacts: Sequence[Path]) -> None:
        self._concluded = True
        self._calls.put(lambda: self._tracker.conclude(artifacts))

    def close(self) -> None:
        """Wait until everything is sent, for a limited time; Ctrl-C ends the wait."""
        self._calls.put(self._tracker.close)
        self._calls.put(None)
        seconds = self._flush_seconds if self._concluded else min(self._flush_seconds, _STOPPED_SECONDS)
        self._thread.join(min(_SILENT_SECONDS, seconds))
        if self._thread.is_alive() and seconds > _SILENT_SECONDS:
            _log.info("waiting up to %.0f s for %s", seconds, self._name)
            self._thread.join(seconds - _SILENT_SECONDS)
        with self._counting:
            # The call that is being made, and those that wait, without the two that end the thread.
            unsent = max(1, self._calls.qsize() - 1) if self._thread.is_alive() else 0
            if self._left_out + unsent:
                _log.warning("%s has not received %d updates of this run", self._name, self._left_out + unsent)

    def _add(self, call: Callable[[], None], *, of_batch: bool = False) -> None:
        if self._calls.qsize() >= (_MOST_OF_BATCHES if of_batch else _MOST):
            self._leave_out("is slower than the training")
        else:
            self._calls.put(call)

    def _make_calls(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception as error:  # of any kind: none of them may end a training
                self._leave_out(f"does not accept what is sent to it ({error})")

    def _leave_out(self, reason: str) -> None:
        with self._counting:
            self._left_out += 1
            first = self._left_out == 1
        if first:
            _log.warning("%s %s: training continues, and some of its values are missing there", self._name, reason)


def start_trackers(settings: TrainConfig, run_dir: Path, step: int) -> list[Tracker]:
    """The trackers that the settings ask for, each on a thread of its own.

    Parameters
    ----------
    settings : TrainConfig
    run_dir : Path
    step : int
        Batches of the run that are done.

    Raises
    ------
    ConfigError
        If MLflow is asked for and not installed, or its server does not answer.
    """
    trackers: list[Tracker] = []
    if settings.tracking.tensorboard:
        trackers.append(BackgroundTracker(TensorBoard(run_dir / TENSORBOARD, step), name="TensorBoard"))
    if settings.tracking.mlflow:
        trackers.append(BackgroundTracker(MLflow(settings, run_dir), name="MLflow"))
    return trackers


class TensorBoard(Tracker):
    """Event files for `tensorboard --logdir`.

    Parameters
    ----------
    folder : Path
    step : int
        Batches that are done; what an interrupted run has sent of later ones is hidden.
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
    """A run on an MLflow server or in an MLflow folder; a run that is continued keeps its id there."""

    def __init__(self, settings: TrainConfig, run_dir: Path) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
        require_packages("mlflow", extra="mlflow", purpose="tracking.mlflow")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        uri = settings.tracking.mlflow
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self._id = self._find_run(run_dir) or self._create_run(settings, run_dir)
        except (MlflowException, OSError) as error:
            raise ConfigError(f"tracking.mlflow={uri} cannot be used: {str(error).splitlines()[0]}") from error

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
            self._client.log_metric(self._id, name, value, step=step)

    def conclude(self, artifacts: Sequence[Path]) -> None:
        for path in artifacts:
            if path.exists():
                self._client.log_artifact(self._id, str(path))
        self._client.set_terminated(self._id)


def _flat(settings: Any, prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for one in fields(settings):
        key, value = one.name, getattr(settings, one.name)
        if is_dataclass(value):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = str(value)[:500]
    return flat
