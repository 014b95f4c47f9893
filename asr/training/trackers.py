"""Shows a run while it trains: in TensorBoard, and in MLflow and Weights & Biases if configured.

Trackers run on threads of their own: a slow or unreachable server neither delays nor ends a training.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.audio.features import Frames
from asr.errors import ConfigError
from asr.files import write_atomically
from asr.packages import require_packages
from asr.settings.commands import TrainConfig
from asr.training.run_folder import TENSORBOARD, flat_settings

_log = logging.getLogger(__name__)

_WANDB_ID, _WANDB_AXIS = "wandb.json", "batch"
# MLflow and Weights & Biases write every value to a file or send it over a network: one batch in this many is enough
# for a curve.
_SERVER_EVERY = 20
_MLFLOW_ID = "mlflow.json"
_LONGEST = 500
"""characters of a setting's value there"""
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

    def results(self, values: Mapping[str, float]) -> None:
        """Send the final error rates of a finished run, to be compared with other runs by their settings."""

    def conclude(self, artifacts: Sequence[Path]) -> None:
        """Mark the run as finished, and send these files."""

    def close(self) -> None:
        """Send what is still waiting."""


class BackgroundTracker(Tracker):
    """Forwards all calls to another tracker on a thread of its own, so that no call waits for it.

    Calls that the tracker has not made yet wait in a queue of bounded length. If the tracker is so slow that the queue
    is full, new values are left out, those of batches before those of epochs; so are those of a call that fails. The
    first loss of values is logged. `close` waits some time for the queue to empty, then discards the rest.

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

    def results(self, values: Mapping[str, float]) -> None:
        copied = dict(values)
        self._add(lambda: self._tracker.results(copied))

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
            except Exception as error:  # of any kind: no tracker may end a training
                self._leave_out(f"does not accept what is sent to it ({error})")

    def _leave_out(self, reason: str) -> None:
        with self._counting:
            self._left_out += 1
            first = self._left_out == 1
        if first:
            _log.warning("%s %s: training continues, and some of its values are missing there", self._name, reason)


def start_trackers(settings: TrainConfig, run_dir: Path, step: int) -> list[Tracker]:
    """The trackers of the settings, each on a thread of its own.

    Parameters
    ----------
    settings : TrainConfig
    run_dir : Path
    step : int
        Batches of the run that are done.

    Raises
    ------
    ConfigError
        If MLflow or Weights & Biases is configured and not installed, or its server does not answer.
    """
    trackers: list[Tracker] = []
    if settings.tracking.tensorboard:
        trackers.append(BackgroundTracker(TensorBoard(run_dir / TENSORBOARD, step, settings), name="TensorBoard"))
    if settings.tracking.mlflow:
        trackers.append(BackgroundTracker(MLflow(settings, run_dir), name="MLflow"))
    if settings.tracking.wandb:
        trackers.append(BackgroundTracker(WeightsAndBiases(settings, run_dir), name="Weights & Biases"))
    return trackers


class TensorBoard(Tracker):
    """Event files for `tensorboard --logdir`.

    Parameters
    ----------
    folder : Path
    step : int
        Batches that are done; what an interrupted run has sent of later ones is hidden.
    settings : TrainConfig, optional
        Shown beside the results of the run, in the tab of hyperparameters.
    """

    def __init__(self, folder: Path, step: int, settings: TrainConfig | None = None) -> None:
        from tensorboardX import SummaryWriter

        self._settings = settings
        self._step = step

        self._writer = SummaryWriter(
            str(folder), purge_step=step + 1 if step else None, flush_secs=20, filename_suffix=f".{step:09d}"
        )

    def scalars(self, step: int, values: Mapping[str, float], *, every_batch: bool = False) -> None:
        self._step = max(step, self._step)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def results(self, values: Mapping[str, float]) -> None:
        from tensorboardX.summary import hparams

        settings = flat_settings(self._settings) if self._settings else {}
        plain = {name: one if isinstance(one, bool | int | float) else str(one) for name, one in settings.items()}
        # Into this run's own file: `add_hparams` would make a run of its own for them.
        for summary in hparams(plain, dict(values)):
            self._writer.file_writer.add_summary(summary)
        for name, value in values.items():
            self._writer.add_scalar(name, value, self._step)

    def examples(self, step: int, rows: Sequence[tuple[str, str, str]]) -> None:
        lines = [f"    {name}\n    REF: {reference}\n    HYP: {hypothesis}\n" for name, reference, hypothesis in rows]
        self._writer.add_text("valid/examples", "\n".join(lines), step)

    def spectrogram(self, step: int, frames: Frames) -> None:
        self._writer.add_image("train/features", _picture(frames), step, dataformats="HWC")

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
        for key, value in flat_settings(settings).items():
            self._client.log_param(run_id, key, str(value)[:_LONGEST])
        write_atomically(run_dir / _MLFLOW_ID, (json.dumps({"run_id": run_id}) + "\n").encode())
        return run_id

    def scalars(self, step: int, values: Mapping[str, float], *, every_batch: bool = False) -> None:
        if every_batch and step % _SERVER_EVERY:
            return
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=step)

    def results(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._id, name, value)

    def conclude(self, artifacts: Sequence[Path]) -> None:
        for path in artifacts:
            if path.exists():
                self._client.log_artifact(self._id, str(path))
        self._client.set_terminated(self._id)


class WeightsAndBiases(Tracker):
    """A run of Weights & Biases; a run that is continued keeps its id there. `WANDB_MODE=offline` writes files only."""

    def __init__(self, settings: TrainConfig, run_dir: Path) -> None:
        require_packages("wandb", extra="wandb", purpose="tracking.wandb")
        import wandb

        self._wandb = wandb
        path = run_dir / _WANDB_ID
        known = str(json.loads(path.read_text())["run_id"]) if path.exists() else None
        try:
            self._run = wandb.init(
                project=settings.tracking.wandb,
                name=run_dir.name,
                id=known,
                resume="allow" if known else None,
                dir=str(run_dir),
                config={name: str(value)[:_LONGEST] for name, value in flat_settings(settings).items()},
                settings=wandb.Settings(silent=True, console="off"),
            )
        except (wandb.Error, OSError) as error:
            raise ConfigError(
                f"tracking.wandb={settings.tracking.wandb} cannot be used: {str(error).splitlines()[0]} "
                "(`wandb login` stores a key; WANDB_MODE=offline needs none)"
            ) from error
        write_atomically(path, (json.dumps({"run_id": self._run.id}) + "\n").encode())
        # Batches are the axis of all curves; the service's own steps may not repeat, as those of a resumed run do.
        self._run.define_metric("*", step_metric=_WANDB_AXIS)

    def scalars(self, step: int, values: Mapping[str, float], *, every_batch: bool = False) -> None:
        if every_batch and step % _SERVER_EVERY:
            return
        self._run.log({**values, _WANDB_AXIS: step})

    def examples(self, step: int, rows: Sequence[tuple[str, str, str]]) -> None:
        table = self._wandb.Table(columns=["id", "reference", "hypothesis"], data=[list(row) for row in rows])
        self._run.log({"valid/examples": table, _WANDB_AXIS: step})

    def spectrogram(self, step: int, frames: Frames) -> None:
        self._run.log({"train/features": self._wandb.Image(_picture(frames)), _WANDB_AXIS: step})

    def results(self, values: Mapping[str, float]) -> None:
        self._run.summary.update(dict(values))

    def conclude(self, artifacts: Sequence[Path]) -> None:
        for path in artifacts:
            if path.exists():
                self._run.save(str(path), base_path=str(path.parent), policy="now")

    def close(self) -> None:
        self._run.finish()


def _picture(frames: Frames) -> npt.NDArray[np.uint8]:
    """Normalised frames as colours [shape=(mels, frames, 3)], the lowest band at the bottom."""
    from matplotlib import colormaps

    shades = np.clip((frames.T[::-1] + 3) / 6, 0, 1)
    return np.asarray(255 * colormaps["magma"](shades)[..., :3], np.uint8)
