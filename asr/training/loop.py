"""Trains an acoustic model: settings in, a run directory out.

A run directory holds

    config.yaml       the settings (written by the command)
    history.jsonl     one record an epoch
    curves.png        the learning curves
    best/, last/      bundles: of the epoch with the lowest validation CER, and of the last one
    checkpoint.npz    the state from which an interrupted run goes on
    validation/       the report of the best bundle on the validation set
"""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from asr.acoustic.loss import CtcLoss, ctc_nats, pack_targets
from asr.acoustic.model import build_model, log_softmax, read_weights
from asr.acoustic.steps import step_counts
from asr.audio.features import LogMel
from asr.bundle import load_bundle, save_bundle
from asr.config import Normalization, OptimizerConfig, TrainConfig
from asr.corpus.batching import collate, plan_batches, plan_epoch
from asr.decoding import decode_greedy
from asr.errors import AudioError
from asr.evaluation.report import write_report
from asr.evaluation.scoring import Score, score
from asr.files import write_atomically
from asr.training.callbacks import EpochWatch, StopRequest
from asr.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from asr.training.curves import draw_curves
from asr.training.examples import Examples, corpus_statistics
from asr.training.preflight import Corpus, read_corpus
from asr.transcription.transcriber import Transcriber

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How a run ended."""

    run_dir: Path
    history: list[dict[str, Any]]
    stopped_by: int | None
    """the signal that ended it early, None if it came to its end"""


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A linear rise from 0 to the highest rate, then half a cosine down to a share of it.

    Parameters
    ----------
    settings : OptimizerConfig
    steps : int
        Batches of the whole training.

    Notes
    -----
    Source of the cosine: I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, without restarts.
    """

    def __init__(self, settings: OptimizerConfig, steps: int) -> None:
        self._settings = settings
        self._warmup = max(1, min(settings.warmup_steps, steps // 10))
        self._steps = max(steps, self._warmup + 1)

    def __call__(self, step: Any) -> Any:
        ops, settings = keras.ops, self._settings
        step = ops.cast(step, "float32") + 1
        share = ops.clip((step - self._warmup) / (self._steps - self._warmup), 0.0, 1.0)
        low = settings.final_share
        decayed = low + (1 - low) * 0.5 * (1 + ops.cos(np.pi * share))
        return settings.learning_rate * ops.where(step < self._warmup, step / self._warmup, decayed)

    def get_config(self) -> dict[str, Any]:
        return {"settings": self._settings, "steps": self._steps}


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """The batches of one epoch from the first that is not done, prepared by threads, in order."""

    def __init__(
        self, examples: Examples, plan: Sequence[Sequence[int]], epoch: int, first: int, settings: TrainConfig
    ) -> None:
        super().__init__(workers=settings.training.workers, max_queue_size=4 * settings.training.workers)
        self._examples = examples
        self._plan = plan
        self._epoch = epoch
        self._first = first
        self._model = settings.model
        self.failure: AudioError | None = None

    @property
    def num_batches(self) -> int:
        return len(self._plan) - self._first

    def __getitem__(self, number: int) -> tuple[tuple[Any, Any], Any]:
        number += self._first
        try:
            batch = self._examples.batch(self._plan[number], self._epoch)
        except AudioError as error:
            self.failure = error  # back ends wrap what a thread raises in errors of their own
            raise
        # On TensorFlow, fit takes an axis on which the first two batches agree for one of fixed length, and fails on a
        # later one. One frame or label of padding, which is invisible, keeps neighbours apart on every axis.
        frames, targets = (_with_parity(array, number) for array in (batch.frames, pack_targets(batch, self._model)))
        return (frames, batch.frame_counts), targets


def _with_parity(array: npt.NDArray[Any], number: int) -> npt.NDArray[Any]:
    """Zeros at the end of the second axis, if it needs one to be odd or even as the number is."""
    padding = [(0, 0)] * array.ndim
    padding[1] = (0, (array.shape[1] - number) % 2)
    return np.pad(array, padding)


def train(settings: TrainConfig, run_dir: Path, corpus: Corpus | None = None) -> TrainingResult:
    """Train, or go on with a run that was interrupted.

    Parameters
    ----------
    settings : TrainConfig
    run_dir : Path
        If it holds a checkpoint the run goes on from there, which needs the same settings; else it starts.
    corpus : Corpus, optional
        What `read_corpus(settings)` gave, if it was called already.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ManifestError
        Before the first step, naming everything that is wrong with the data.
    ConfigError
        If a setting cannot be used, or the checkpoint does not fit the settings.
    AudioError
        If all recordings of a batch have become unreadable.
    AsrError
        If the loss is no longer a finite number.
    """
    corpus = corpus or read_corpus(settings)
    keras.utils.clear_session()
    keras.utils.set_random_seed(settings.training.seed)
    model = build_model(settings.model, mels=settings.features.mels, symbols=corpus.alphabet.size)
    run = _Run(settings, run_dir, corpus, model)
    _describe(corpus, model)
    stop = StopRequest()
    with stop.listening():
        run.resume()
        while not run.finished and stop.signal is None:
            run.epoch(stop)
    if stop.signal is None:
        run.conclude()
    return TrainingResult(run_dir, run.progress.history, stop.signal)


def _describe(corpus: Corpus, model: keras.Model) -> None:
    hours = [sum(one.duration or 0 for one in part) / 3600 for part in (corpus.train, corpus.valid)]
    _log.info(
        "training on %d utterances (%.2f h), validating on %d (%.2f h); %s parameters on Keras's %s back end",
        len(corpus.train),
        hours[0],
        len(corpus.valid),
        hours[1],
        f"{model.count_params():,}",
        keras.backend.backend(),
    )
    if corpus.too_short or corpus.too_long:
        _log.warning(
            "left out of training: %d utterances shorter than data.min_seconds, %d longer than data.max_seconds",
            corpus.too_short,
            corpus.too_long,
        )


class _Run:
    """The state of one training run."""

    def __init__(self, settings: TrainConfig, run_dir: Path, corpus: Corpus, model: keras.Model) -> None:
        self.settings = settings
        self.run_dir = run_dir
        self.corpus = corpus
        self.model = model
        self.progress = Progress()
        self.log_mel = LogMel.from_librosa(settings.features)
        data, seed = settings.data, settings.training.seed
        if settings.features.normalization is Normalization.corpus:
            clean = Examples(corpus.train, corpus.alphabet, self.log_mel, settings.model, cache_dir=data.cache_dir)
            mean, deviation = corpus_statistics(clean, seed=seed)
            self.log_mel = replace(self.log_mel, mean=mean, deviation=deviation)
        self.train_examples = Examples(
            corpus.train,
            corpus.alphabet,
            self.log_mel,
            settings.model,
            augment=settings.augment,
            cache_dir=data.cache_dir,
            seed=seed,
        )
        self.valid_examples = Examples(
            corpus.valid, corpus.alphabet, self.log_mel, settings.model, cache_dir=data.cache_dir
        )
        # Planned ahead: the schedule needs the number of batches in all epochs.
        self.plans = [
            plan_epoch(self.train_examples.seconds, epoch, settings.training)
            for epoch in range(settings.training.epochs)
        ]
        optimizer = keras.optimizers.AdamW(
            WarmupCosine(settings.optimizer, sum(map(len, self.plans))),
            weight_decay=settings.optimizer.weight_decay,
            global_clipnorm=settings.optimizer.clip_norm,
        )
        vectors = [one for one in model.trainable_variables if one.name in {"bias", "gamma", "beta"}]
        optimizer.exclude_from_weight_decay(var_list=vectors)
        optimizer.build(model.trainable_variables)
        model.compile(optimizer=optimizer, loss=CtcLoss(), jit_compile=_jit_compile(settings))
        if keras.backend.backend() != "tensorflow":
            # Elsewhere, fit builds loss and metrics on the first batch it is given and then takes that batch last: the
            # order would depend on where a run was interrupted. Build them on a batch of silence instead.
            silence = collate([np.zeros((4 * settings.model.subsampling, settings.features.mels), np.float32)], [[1]])
            model.test_on_batch([silence.frames, silence.frame_counts], pack_targets(silence, settings.model))
            model.reset_metrics()

    @property
    def checkpoint_path(self) -> Path:
        return self.run_dir / "checkpoint.npz"

    @property
    def finished(self) -> bool:
        progress, training = self.progress, self.settings.training
        without_gain = progress.epoch - 1 - progress.best_epoch
        stopped_early = bool(training.patience) and progress.batch == 0 and without_gain >= training.patience
        return progress.epoch >= training.epochs or stopped_early

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.checkpoint_path.exists():
            self.progress = load_checkpoint(self.checkpoint_path, self.model)
            self._write_history()
            _log.info("going on from epoch %d, batch %d", self.progress.epoch + 1, self.progress.batch + 1)

    def epoch(self, stop: StopRequest) -> None:
        """Train the rest of the epoch under way; if it came to its end, validate and record it."""
        progress, settings = self.progress, self.settings
        epoch_plan = self.plans[progress.epoch]
        plan = epoch_plan[progress.batch :]
        batches = _Batches(self.train_examples, epoch_plan, progress.epoch, progress.batch, settings)
        watch = EpochWatch(
            progress,
            [len(batch) for batch in plan],
            stop=stop,
            save=self._save_checkpoint,
            save_seconds=60 * settings.training.checkpoint_minutes,
            batches_left=len(plan) + sum(map(len, self.plans[progress.epoch + 1 :])),
            epochs=settings.training.epochs,
        )
        self.model.stop_training = False
        try:
            if plan:
                self.model.fit(batches, shuffle=False, verbose=0, callbacks=[watch])
        except Exception:
            if batches.failure is not None:
                raise batches.failure from None
            raise
        if progress.batch == len(self.plans[progress.epoch]):
            self._end_epoch()
        self._save_checkpoint()

    def _end_epoch(self) -> None:
        progress = self.progress
        started = time.monotonic()
        result, valid_loss = self._validate()
        cer, wer = result.characters.rate, result.words.rate
        record = {
            "epoch": progress.epoch + 1,
            "train_loss": progress.mean_loss,
            "valid_loss": valid_loss,
            "valid_cer": cer,
            "valid_wer": wer,
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "batches": progress.batch,
            "utterances": progress.utterances,
            "train_seconds": round(progress.seconds, 1),
            "valid_seconds": round(time.monotonic() - started, 1),
        }
        progress.history.append(record)
        _log.info(
            "epoch %d/%d: training loss %.3f, validation loss %.3f, CER %s, WER %s, %.0f s",
            record["epoch"],
            self.settings.training.epochs,
            progress.mean_loss,
            valid_loss,
            result.characters,
            result.words,
            progress.seconds,
        )
        if result.characters.hits == 0 and progress.epoch == 0:
            _log.info("the model writes nothing yet: the usual start of CTC, which lasts a few hundred batches or more")
        if cer is not None and (progress.best_cer is None or cer < progress.best_cer):
            progress.best_cer, progress.best_epoch = cer, progress.epoch
            self._save_bundle("best", result)
        self._save_bundle("last", result)
        progress.epoch += 1
        progress.batch = progress.utterances = 0
        progress.symbol_loss_sum = progress.seconds = 0.0
        self._write_history()

    def _validate(self) -> tuple[Score, float]:
        """Greedy error rates and nats a symbol on the validation set."""
        examples = self.valid_examples
        texts = [""] * len(examples.utterances)
        nats = symbols = 0.0
        plan = plan_batches(examples.seconds, self.settings.training)
        for indices in tqdm(plan, "validating", unit="batch", disable=None, leave=False):
            batch = examples.batch(indices, 0)
            if len(batch.frame_counts) != len(indices):
                raise AudioError(
                    examples.utterances[indices[0]].audio_path.parent, "validation recordings have become unreadable"
                )
            logits = np.asarray(self.model.predict_on_batch([batch.frames, batch.frame_counts]), np.float32)
            steps = step_counts(batch.frame_counts, self.settings.model)
            nats += float(np.sum(keras.ops.convert_to_numpy(ctc_nats(logits, steps, batch.labels, batch.label_counts))))
            symbols += float(batch.label_counts.sum())
            for index, one, count in zip(indices, log_softmax(logits), steps, strict=True):
                texts[index] = decode_greedy(one[:count], self.corpus.alphabet).text
        return score([one.text or "" for one in examples.utterances], texts), nats / max(symbols, 1)

    def _save_bundle(self, name: str, result: Score) -> None:
        valid = ", ".join(self.settings.data.valid)
        save_bundle(
            self.run_dir / name,
            weights=read_weights(self.model),
            log_mel=self.log_mel,
            normalizer=self.settings.normalizer,
            alphabet=self.corpus.alphabet,
            model=self.settings.model,
            provenance={
                "train": list(self.settings.data.train),
                "valid": list(self.settings.data.valid),
                "train_hours": round(sum(self.train_examples.seconds) / 3600, 3),
                "train_utterances": len(self.corpus.train),
                "epoch": self.progress.epoch + 1,
                "seed": self.settings.training.seed,
                "backend": keras.backend.backend(),
                "versions": {package: metadata.version(package) for package in ("asr", "keras", "numpy")},
                "python": platform.python_version(),
            },
            error_rates={
                valid: {
                    "decoder": "greedy",
                    "wer": result.words.rate,
                    "cer": result.characters.rate,
                    "utterances": len(result.utterances),
                    "note": "chosen on this set, so a little optimistic",
                }
            },
        )

    def _save_checkpoint(self) -> None:
        save_checkpoint(self.checkpoint_path, self.model, self.progress)

    def _write_history(self) -> None:
        history = self.progress.history
        lines = "".join(json.dumps(record) + "\n" for record in history)
        write_atomically(self.run_dir / "history.jsonl", lines.encode())
        draw_curves(self.run_dir / "curves.png", history)

    def conclude(self) -> None:
        """Report the best bundle's errors on the validation set, utterance by utterance."""
        best = self.run_dir / "best"
        if not best.exists() or (self.run_dir / "validation" / "report.json").exists():
            return
        transcriber = Transcriber(load_bundle(best))
        utterances = self.corpus.valid
        texts = []
        for transcript in tqdm(
            transcriber.transcribe_files([one.audio_path for one in utterances]),
            "reporting",
            len(utterances),
            unit="file",
            disable=None,
            leave=False,
        ):
            if isinstance(transcript, AudioError):
                raise transcript
            texts.append(transcript.text)
        result = score([one.text or "" for one in utterances], texts)
        about = {"manifests": list(self.settings.data.valid), "bundle": str(best), "decoder": "greedy"}
        write_report(self.run_dir / "validation", [one.id for one in utterances], result, about)


def _jit_compile(settings: TrainConfig) -> bool | str:
    return "auto" if keras.backend.backend() == "jax" else settings.training.jit_compile
