"""What trainings of networks over text share: one loop with checkpoints, from which it resumes exactly."""

from __future__ import annotations

import json
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
from keras import ops

from asr.errors import ConfigError, OutputError
from asr.files import write_atomically
from asr.settings.language import LstmTrainingConfig
from asr.settings.tagger import TaggerTrainingConfig
from asr.settings.yaml_text import from_yaml, to_yaml
from asr.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from asr.training.devices import set_seeds
from asr.training.epoch_record import EpochRecord
from asr.training.language_data import PieceBatch
from asr.training.provenance import check_inputs, record_start
from asr.training.run_folder import CHECKPOINTS, CONFIG, HISTORY, PROVENANCE, changed_settings, check_place
from asr.training.schedules import WARMUP_SHARE, warmup_length
from asr.training.stop import StopRequest
from asr.training.tagger_data import TextBatch

Batch = PieceBatch | TextBatch
OnStep = Callable[[int, float, float], None]
"""called with the number of the step, the share of the training that is done, and the loss in nats per symbol"""


class TextTraining(ABC):
    """A network in training.

    Parameters
    ----------
    run_dir : Path
        Gets checkpoints and the history; an earlier run there is resumed.
    training : TaggerTrainingConfig or LstmTrainingConfig
    build : callable
        Makes the network.
    loss : callable
        From targets and outputs to nats per symbol.
    steps : int
        Batches of all epochs.
    lowest_rate : float
        The share of the highest learning rate under which it does not fall but in the warm-up.
    """

    def __init__(
        self,
        run_dir: Path,
        training: TaggerTrainingConfig | LstmTrainingConfig,
        *,
        build: Callable[[], keras.Model],
        loss: Callable[[Any, Any], Any],
        steps: int,
        lowest_rate: float,
    ) -> None:
        self.run_dir, self._training, self._steps, self._lowest_rate = run_dir, training, steps, lowest_rate
        keras.utils.clear_session()
        set_seeds(training.seed)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16" if training.bfloat16 else "float32")
        try:
            self.network = build()
        finally:
            keras.config.set_dtype_policy(before)
        self._adam = keras.optimizers.AdamW(
            training.learning_rate,
            weight_decay=training.weight_decay,
            global_clipnorm=training.clip_norm,
            beta_2=0.98,
        )
        self._adam.build(self.network.trainable_variables)
        self.network.compile(optimizer=self._adam, loss=loss, jit_compile=False)
        checkpoints = run_dir / CHECKPOINTS
        checkpoints.mkdir(parents=True, exist_ok=True)
        self.progress = load_checkpoint(checkpoints, self._variables) or Progress()

    @abstractmethod
    def _plan(self, epoch: int) -> Sequence[Callable[[], Batch]]:
        """Functions that make the batches of an epoch, the same for the same seed; called on another thread."""

    @abstractmethod
    def _measure(self) -> tuple[float, dict[str, float]]:
        """On held-out texts: the loss in nats per symbol, and other measures by their names in the history."""

    @abstractmethod
    def _report(self, lines: Sequence[dict[str, float]]) -> None:
        """Show how the training goes, after an epoch; `lines` are those of the history."""

    @property
    def _variables(self) -> dict[str, Any]:
        parts = {
            "model": [*self.network.trainable_variables, *self.network.non_trainable_variables],
            "optimizer": self._adam.variables,
        }
        return {f"{part}/{number}": one for part, variables in parts.items() for number, one in enumerate(variables)}

    @property
    def finished(self) -> bool:
        if self._training.minutes is not None:
            return self._share >= 1
        return self.progress.epoch >= self._training.epochs

    @property
    def _share(self) -> float:
        """The share of the training that is done."""
        if self._training.minutes is None:
            return self.progress.batches / max(1, self._steps)
        seconds = self.progress.seconds + sum(one.train_seconds for one in self.progress.history)
        return seconds / (60 * self._training.minutes)

    def _rate(self) -> float:
        """The learning rate: a linear warm-up, a tenth of the training at most, then half a cosine over all of it."""
        steps = self.progress.batches + 1
        if self._training.minutes is None:
            warm_up = steps / warmup_length(self._training.warmup_steps, self._steps)
        else:  # how many steps there will be is not known
            warm_up = max(steps / max(1, self._training.warmup_steps), self._share / WARMUP_SHARE)
        cosine = max(self._lowest_rate, 0.5 + 0.5 * math.cos(math.pi * min(1.0, self._share)))
        return self._training.learning_rate * cosine * min(1.0, warm_up)

    def run(self, stop: StopRequest, on_step: OnStep) -> None:
        """Train until the end, or until a signal arrives; what was done is in a checkpoint then."""
        timed, epochs = self._training.minutes is not None, self._training.epochs
        with ThreadPoolExecutor(2) as pool:
            plan = pool.submit(self._plan, self.progress.epoch)
            while not self.finished and stop.signal is None:
                makers = plan.result()[self.progress.batch :]
                if timed or self.progress.epoch + 1 < epochs:
                    plan = pool.submit(self._plan, self.progress.epoch + 1)
                self._run_epoch(_prepared(pool, makers), stop, on_step)
                if stop.signal is None:
                    self._end_epoch()
                self._save()
            plan.cancel()

    def _run_epoch(self, batches: Iterator[Batch], stop: StopRequest, on_step: OnStep) -> None:
        progress = self.progress
        saved = started = time.monotonic()
        before = progress.seconds
        for batch in batches:
            self._adam.learning_rate = self._rate()
            self.network.reset_metrics()  # before Keras 3.15, the loss would be the mean over all batches so far
            loss = float(self.network.train_on_batch(batch.network_inputs, batch.targets))
            count = int(batch.counts.sum())
            progress.batch, progress.batches = progress.batch + 1, progress.batches + 1
            progress.nats, progress.symbols = progress.nats + loss * count, progress.symbols + count
            progress.utterances += len(batch.counts)
            progress.seconds = before + time.monotonic() - started
            on_step(progress.batches, self._share, loss)
            if stop.signal is not None or (self._training.minutes is not None and self.finished):
                return
            if time.monotonic() - saved > 60 * self._training.checkpoint_minutes:
                self._save()
                saved = time.monotonic()

    def _end_epoch(self) -> None:
        progress, started = self.progress, time.monotonic()
        loss, measures = self._measure()
        record = EpochRecord(
            epoch=progress.epoch + 1,
            train_loss=progress.mean_loss,
            valid_loss=loss,
            learning_rate=float(ops.convert_to_numpy(self._adam.learning_rate)),
            batches=progress.batch,
            utterances=progress.utterances,
            train_seconds=progress.seconds,
            valid_seconds=time.monotonic() - started,
        )
        history = self.run_dir / HISTORY
        earlier = [json.loads(line) for line in history.read_text("utf-8").splitlines()] if history.exists() else []
        line = {name: value for name, value in record.as_dict().items() if value is not None}
        lines = [*earlier[: len(progress.history)], line | measures]
        progress.history.append(record)
        write_atomically(history, "".join(json.dumps(one) + "\n" for one in lines).encode("utf-8"))
        self._report(lines)
        progress.next_epoch()

    def _save(self) -> None:
        save_checkpoint(self.run_dir / CHECKPOINTS, self._variables, self.progress)


def _prepared(pool: ThreadPoolExecutor, makers: Sequence[Callable[[], Batch]]) -> Iterator[Batch]:
    """The batches that functions make; the next is made while the present one is trained on."""
    if not makers:
        return
    following = pool.submit(makers[0])
    for maker in makers[1:]:
        batch = following.result()
        following = pool.submit(maker)
        yield batch
    yield following.result()


def check_text_run(
    run_dir: Path, settings: Any, *, may_change: Collection[str], inputs: Mapping[str, Any] | None = None
) -> None:
    """Refuse the folder of something else, and that of a run with other settings or of other texts.

    Parameters
    ----------
    run_dir : Path
    settings : dataclass
    may_change : collection of str
        Names of settings.
    inputs : mapping, optional
        As `asr.training.provenance` describes them.

    Raises
    ------
    ConfigError
        If settings differ from those of the run, but for those that `may_change` names, or inputs have changed.
    OutputError
        If the folder holds something else, or cannot be made.
    """
    check_place(run_dir)
    path = run_dir / CONFIG
    if path.exists():
        earlier = from_yaml(type(settings), path.read_text("utf-8"), str(path))
        changed = [
            f"{name} is {before} there and {now} here"
            for name, (before, now) in changed_settings(earlier, settings, may_change).items()
        ]
        if changed:
            raise ConfigError(
                f"{run_dir} holds a run with other settings: {'; '.join(changed)}; choose another run_dir"
            )
    elif run_dir.is_dir() and any(not name.startswith(".") and name != PROVENANCE for name in os.listdir(run_dir)):
        raise OutputError(run_dir, "the folder is not empty and holds no run: choose another run_dir")
    check_inputs(run_dir / PROVENANCE, inputs or {})


def is_without_record(run_dir: Path) -> bool:
    """Whether a folder holds a run of an earlier version, which kept no record of its texts."""
    return (run_dir / CONFIG).exists() and not (run_dir / PROVENANCE).exists()


def begin_text_run(run_dir: Path, settings: Any, inputs: Mapping[str, Any]) -> None:
    """Write the record of the inputs and the settings to the folder of a run."""
    if not is_without_record(run_dir):
        record_start(run_dir / PROVENANCE, inputs)
    write_atomically(run_dir / CONFIG, to_yaml(settings).encode("utf-8"))
