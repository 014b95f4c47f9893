"""Trains the LSTM language model: one loop with checkpoints, from which it resumes exactly."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.errors import ConfigError, OutputError
from asr.files import typed_path, write_atomically
from asr.language.neural import NeuralHeader
from asr.language.piece_text import PieceText
from asr.settings.commands import LmConfig
from asr.settings.language import LstmTrainingConfig
from asr.settings.yaml_text import from_yaml, to_yaml
from asr.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from asr.training.devices import set_seeds
from asr.training.epoch_record import EpochRecord
from asr.training.language_data import PieceBatch, PieceFeed, first_sentences, sentence_batches
from asr.training.language_network import build_language_model, language_model_weights, piece_loss
from asr.training.run_folder import CHECKPOINTS, CONFIG, HISTORY, disk_errors_explained, flat_settings, locked
from asr.training.stop import StopRequest

_log = logging.getLogger(__name__)

WEIGHTS, GRAPH = "weights.npz", "language_model.onnx"
"""of a finished run: its weights in float32, and the file that `NeuralLanguageModel` loads"""
_VALIDATION_PIECES = 16_384
_MAY_CHANGE = ("run_dir", "log", "output", "overwrite", "valid")


@dataclass(frozen=True, slots=True)
class Prediction:
    """How well sentences are predicted, each from the state of a new sentence."""

    nats: float
    """sum over all pieces and ends of sentences"""
    words: int
    sentences: int

    @property
    def perplexity(self) -> float:
        """Of a word, where the end of a sentence counts as one; as of n-gram models."""
        return math.exp(self.nats / max(1, self.words + self.sentences))


class LanguageModelTraining:
    """A network in training.

    Parameters
    ----------
    run_dir : Path
        Gets checkpoints and the history; an earlier run there is resumed.
    text : PieceText
    settings : LmConfig
    """

    def __init__(self, run_dir: Path, text: PieceText, settings: LmConfig) -> None:
        training: LstmTrainingConfig = settings.training
        self.run_dir, self._training, self._text = run_dir, training, text
        self._feed = PieceFeed(text.part(held_out=False), text.pieces, training)
        self._valid = first_sentences(text.part(held_out=True), text.pieces, words=training.valid_words)
        keras.utils.clear_session()
        set_seeds(training.seed)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16" if training.bfloat16 else "float32")
        try:
            self.network = build_language_model(settings.network, count=text.pieces.count, dropout=training.dropout)
        finally:
            keras.config.set_dtype_policy(before)
        self._adam = keras.optimizers.AdamW(
            training.learning_rate,
            weight_decay=training.weight_decay,
            global_clipnorm=training.clip_norm,
            beta_2=0.98,
        )
        self._adam.build(self.network.trainable_variables)
        self.network.compile(optimizer=self._adam, loss=piece_loss, jit_compile=False)
        self.steps = self._feed.batches * training.epochs
        checkpoints = run_dir / CHECKPOINTS
        checkpoints.mkdir(parents=True, exist_ok=True)
        self.progress = load_checkpoint(checkpoints, self._variables) or Progress()

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
            return self.progress.batches / max(1, self.steps)
        seconds = self.progress.seconds + sum(one.train_seconds for one in self.progress.history)
        return seconds / (60 * self._training.minutes)

    def _rate(self) -> float:
        """A linear warm-up, then half a cosine over the whole training."""
        settings = self._training
        warm_up = min(1.0, (self.progress.batches + 1) / max(1, settings.warmup_steps))
        cosine = max(0.005, 0.5 + 0.5 * math.cos(math.pi * min(1.0, self._share)))
        return settings.learning_rate * cosine * warm_up

    def run(
        self, stop: StopRequest, *, on_step: Callable[[int, float, float], None] = lambda step, share, loss: None
    ) -> None:
        """Train until the end, or until a signal arrives; what was done is in a checkpoint then."""
        with ThreadPoolExecutor(2) as pool:
            plan = pool.submit(self._feed.epoch, self.progress.epoch)
            while not self.finished and stop.signal is None:
                text, starts = plan.result()
                plan = pool.submit(self._feed.epoch, self.progress.epoch + 1)
                batches = self._prepared(pool, text, starts[self.progress.batch :])
                self._run_epoch(batches, stop, on_step)
                if stop.signal is None:
                    self._end_epoch()
                self._save()
            plan.cancel()

    def _run_epoch(
        self, batches: Iterator[PieceBatch], stop: StopRequest, on_step: Callable[[int, float, float], None]
    ) -> None:
        progress = self.progress
        saved = started = time.monotonic()
        before = progress.seconds
        for batch in batches:
            self._adam.learning_rate = self._rate()
            self.network.reset_metrics()  # before Keras 3.15, the loss would be the mean over all batches so far
            loss = float(self.network.train_on_batch([batch.inputs, batch.counts], batch.targets))
            count = batch.targets.size
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

    def _prepared(
        self, pool: ThreadPoolExecutor, text: npt.NDArray[np.uint16], starts: npt.NDArray[np.int64]
    ) -> Iterator[PieceBatch]:
        """The batches of an epoch; the next is made while the present one is trained on."""
        if not len(starts):
            return
        following = pool.submit(self._feed.batch, text, starts[0])
        for place in range(len(starts)):
            batch = following.result()
            if place + 1 < len(starts):
                following = pool.submit(self._feed.batch, text, starts[place + 1])
            yield batch

    def _end_epoch(self) -> None:
        progress, started = self.progress, time.monotonic()
        found = self.validate()
        record = EpochRecord(
            epoch=progress.epoch + 1,
            train_loss=progress.mean_loss,
            valid_loss=found.nats / max(1, len(self._valid)),
            learning_rate=float(ops.convert_to_numpy(self._adam.learning_rate)),
            batches=progress.batch,
            utterances=progress.utterances,
            train_seconds=progress.seconds,
            valid_seconds=time.monotonic() - started,
        )
        earlier = read_history(self.run_dir)[: len(progress.history)]
        progress.history.append(record)
        line = {name: value for name, value in record.as_dict().items() if value is not None}
        lines = [*earlier, line | {"valid_perplexity": found.perplexity}]
        _log.info(
            "epoch %d: %d steps in %.0f s, %.3f nats a piece; held-out texts %.3f, perplexity of a word %.1f",
            *(record.epoch, record.batches, record.train_seconds, record.train_loss or math.nan),
            *(record.valid_loss, found.perplexity),
        )
        write_atomically(self.run_dir / HISTORY, "".join(json.dumps(one) + "\n" for one in lines).encode("utf-8"))
        progress.next_epoch()

    def _save(self) -> None:
        save_checkpoint(self.run_dir / CHECKPOINTS, self._variables, self.progress)

    def validate(self) -> Prediction:
        """Predict the held-out sentences."""
        nats = 0.0
        for batch in sentence_batches(self._valid, most=_VALIDATION_PIECES):
            self.network.reset_metrics()
            loss = float(self.network.test_on_batch([batch.inputs, batch.counts], batch.targets))
            nats += loss * int(batch.counts.sum())
        return Prediction(nats, self._text.words(self._valid), int(np.count_nonzero(self._valid == 0)))


def read_history(run_dir: Path) -> list[dict[str, float]]:
    """The epochs of a run, as its history has them."""
    path = run_dir / HISTORY
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def train_language_model(
    text: PieceText,
    settings: LmConfig,
    stop: StopRequest,
    *,
    on_step: Callable[[int, float, float], None] = lambda step, share, loss: None,
) -> Prediction | None:
    """Train an LSTM language model, or resume its training, and write it to the folder of the run.

    Parameters
    ----------
    text : PieceText
    settings : LmConfig
        With a `run_dir`.
    stop : StopRequest
    on_step : callable
        Called with the number of the step, the share of the training that is done, and the loss in nats per piece.

    Returns
    -------
    Prediction or None
        On the held-out sentences; None if a signal stopped the training.

    Raises
    ------
    ConfigError
        If the folder holds a run with other settings.
    OutputError
        If the folder holds something else.
    """
    run_dir = typed_path(settings.run_dir or "")
    _check_folder(run_dir, settings)
    with locked(run_dir), disk_errors_explained(run_dir):
        write_atomically(run_dir / CONFIG, to_yaml(settings).encode("utf-8"))
        training = LanguageModelTraining(run_dir, text, settings)
        training.run(stop, on_step=on_step)
        if not training.finished:
            return None
        found = training.validate()
        weights = language_model_weights(training.network)
        content = io.BytesIO()
        np.savez(content, **weights)  # type: ignore[arg-type]  # NumPy's stubs know no other names
        write_atomically(run_dir / WEIGHTS, content.getvalue())
        # Imported late: the weights are saved, whatever is missing here.
        from asr.language.neural_export import export_language_model

        provenance = dict(text.provenance) | {
            "words": text.words(text.numbers),
            "trained_pieces": sum(one.utterances for one in training.progress.history) * settings.training.window,
            "held_out_perplexity": round(found.perplexity, 3),
        }
        header = NeuralHeader(settings.network, text.pieces, provenance)
        write_atomically(run_dir / GRAPH, export_language_model(weights, header))
        return found


def _check_folder(run_dir: Path, settings: LmConfig) -> None:
    """Refuse the folder of something else, and that of a run with other settings."""
    path = run_dir / CONFIG
    if path.exists():
        earlier = from_yaml(LmConfig, path.read_text("utf-8"), str(path))
        kept = {name: getattr(settings, name) for name in _MAY_CHANGE}
        before, now = flat_settings(replace(earlier, **kept)), flat_settings(settings)
        changed = [f"{name} is {before[name]} there and {now[name]} here" for name in now if before[name] != now[name]]
        if changed:
            raise ConfigError(
                f"{run_dir} holds a run with other settings: {'; '.join(changed)}; choose another run_dir"
            )
    elif run_dir.is_dir() and any(not name.startswith(".") for name in os.listdir(run_dir)):
        raise OutputError(run_dir, "the folder is not empty and holds no run: choose another run_dir")
