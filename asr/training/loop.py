"""Trains an acoustic model: settings in, a run directory out.

A run directory holds

    config.yaml       the settings (written by the command)
    run.json          command, versions, hashes of the data, code and machine, for every start of the run
    history.jsonl     one record an epoch
    batches.csv       one line a batch: its loss, and the time it took
    curves.png        the learning curves
    tensorboard/      the same and more, for TensorBoard
    best/, last/      bundles: of the epoch with the lowest validation CER, and of the last one
    checkpoints/      the states from which an interrupted run goes on
    held_out.jsonl    what `data.hold_out` took from the training manifests, if it did
    non_finite/       batches that were passed over because their loss or gradients were no finite numbers
    validation/       the report of the best bundle on the validation set
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from asr.acoustic.denominator import Denominator, symbol_ngrams
from asr.acoustic.keras_model import read_weights
from asr.acoustic.outputs import CHARACTERS, CHARACTERS_MMI, PHONES
from asr.audio.augment import Augmenter
from asr.audio.features import LogMel
from asr.bundle import load_bundle
from asr.corpus.manifest import write_manifest
from asr.errors import AudioError, ConfigError, DivergenceError, TrainingError
from asr.evaluation.scoring import Score
from asr.files import clear_leftovers, write_atomically
from asr.settings.augment import AugmentConfig
from asr.settings.commands import TrainConfig
from asr.settings.features import Normalization
from asr.text.alphabet import BLANK
from asr.training.batch_log import Journal
from asr.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from asr.training.curves import draw_curves
from asr.training.engine import Engine
from asr.training.epoch_bar import EpochBar
from asr.training.examples import Examples, Prepared, corpus_statistics
from asr.training.feed import Feed
from asr.training.initial import check_fits, initial_weights
from asr.training.outcome import BEST, LAST, VALIDATION, report_best, save_trained
from asr.training.plan import TrainingPlan
from asr.training.preflight import Corpus, read_corpus
from asr.training.record import record_bundles, record_start
from asr.training.schedules import LearningRates, plateau_scale
from asr.training.stop import StopRequest
from asr.training.trackers import Tracker, start_trackers
from asr.training.validation import validate

_log = logging.getLogger(__name__)

# An all-blank model after so many batches is not merely young.
_PLATEAU_BATCHES = 2000


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How a run ended."""

    run_dir: Path
    history: list[dict[str, Any]]
    stopped_by: int | None
    """the signal that ended it early, None if it came to its end"""


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
        If a setting cannot be used, the checkpoint does not fit the settings, or another process trains in `run_dir`.
    AudioError
        If all recordings of a batch have become unreadable.
    DivergenceError
        If more than `training.skip_batches` batches gave no finite loss and gradients.
    TrainingError
        If the run directory can no longer be written to. What was saved stays, and the run can go on from it.
    """
    corpus = corpus or read_corpus(settings)
    if settings.training.overfit:
        settings, corpus = _overfit(settings, corpus)
    stop = StopRequest()
    with _owned(run_dir), _saving(run_dir), stop.listening(), _Run(settings, run_dir, corpus) as run:
        run.start()
        while not run.finished and stop.signal is None:
            run.epoch(stop)
        if stop.signal is None:
            run.conclude()
    return TrainingResult(run_dir, run.progress.history, stop.signal)


def _overfit(settings: TrainConfig, corpus: Corpus) -> tuple[TrainConfig, Corpus]:
    """The same few utterances of middling length over and over, nothing varied, to learn and to be tested on."""
    count = settings.training.overfit
    ordered = sorted(corpus.train, key=lambda one: one.duration or 0)
    start = max(0, (len(ordered) - count) // 2)
    chosen = ordered[start : start + count]
    plain = AugmentConfig(speeds=[1.0], mask_probability=0.0)
    settings = replace(
        settings,
        augment=plain,
        features=replace(settings.features, dither=0.0),
        model=replace(settings.model, dropout=0.0),
        training=replace(settings.training, batch_size=len(chosen), batch_seconds=1e6),
    )
    # Repeated, so that validation does not take most of the time.
    return settings, replace(corpus, train=chosen * _OVERFIT_REPEATS, valid=chosen)


_OVERFIT_REPEATS = 10
_HELD_OUT = "held_out.jsonl"


@contextmanager
def _owned(run_dir: Path) -> Iterator[None]:
    """Keep other processes out of a run directory; the lock goes with the process, however it ends."""
    import fcntl

    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"{run_dir}: another process is training here; wait for it, or stop it") from error
        for folder in (run_dir, run_dir / "checkpoints", run_dir / "non_finite", run_dir / VALIDATION):
            clear_leftovers(folder)
        yield


@contextmanager
def _saving(run_dir: Path) -> Iterator[None]:
    """A disk that is full, or a folder that may no longer be written to, is an error with advice."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{error.filename or run_dir}: {error.strerror or error}. What was saved before is kept: when there is "
            f"room to write again, the same command goes on from the last checkpoint in {run_dir}"
        ) from error


def _epoch_message(record: dict[str, Any], epochs: int) -> str:
    parts = [f"epoch {record['epoch']}/{epochs}: training loss {_number(record['train_loss'], '.3f')}"]
    if record["valid_loss"] is not None:
        parts.append(f"validation loss {record['valid_loss']:.3f}")
        parts += [f"{name.upper()} {_number(record[f'valid_{name}'], '.2%')}" for name in ("cer", "wer")]
    waited = f"{100 * record['input_wait_share']:.1f} % waiting for input"
    return f"{', '.join(parts)}, {record['train_seconds']:.0f} s ({waited})"


def _number(value: float | None, form: str) -> str:
    return "n/a" if value is None else f"{value:{form}}".replace("%", " %")


class _Run:
    """The state of one training run."""

    def __init__(self, settings: TrainConfig, run_dir: Path, corpus: Corpus) -> None:
        self.settings = settings
        self.run_dir = run_dir
        self.corpus = corpus
        self.progress = Progress()
        self.log_mel = LogMel.from_librosa(settings.features)
        training = settings.training
        self.init = load_bundle(settings.init) if settings.init else None
        if self.init:
            check_fits(settings, self.init)
            self.log_mel = replace(self.init.log_mel, settings=settings.features)
        elif settings.features.normalization is Normalization.corpus:
            mean, deviation = corpus_statistics(self._examples(corpus.train), seed=training.seed)
            self.log_mel = replace(self.log_mel, mean=mean, deviation=deviation)
        augmenter = Augmenter(settings.augment, settings.features.sample_rate, corpus.noises, corpus.rooms)
        self.train_examples = self._examples(corpus.train, augmenter)
        self.valid_examples = self._examples(corpus.valid)
        self.plan = self._plan(self.train_examples, training.epochs)
        self.valid_plan = self._plan(self.valid_examples, 1).epoch(0)
        steps = self.plan.steps
        self.learning_rates = LearningRates(settings.optimizer, steps)
        # TensorFlow and JAX compile something for every shape that a batch has.
        self.fixed_shapes = keras.backend.backend() != "torch"
        # Before the engine, so that the processes start while it is built.
        self.feed = Feed(self.train_examples, workers=training.workers, fixed_shapes=self.fixed_shapes)
        try:
            self.engine = Engine(
                settings,
                symbols=corpus.alphabet.size,
                phones=corpus.phones.size if corpus.phones else 0,
                average_steps=training.average_epochs * steps / training.epochs,
                denominators=self._denominators() if settings.mmi_weight else None,
            )
            if self.init:
                weights, message = initial_weights(
                    self.init, read_weights(self.engine.model), corpus.alphabet, corpus.phones
                )
                self.engine.load(weights)
                _log.info("starting from %s: %s", self.init.path, message)
        except BaseException:
            self.feed.close()
            raise
        self.journal = Journal(run_dir / "batches.csv")
        self.trackers: list[Tracker] = []
        self._decoded: list[tuple[str, str, str]] = []
        self._last_saved = time.monotonic()

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.feed.close()
        self.journal.close()
        for tracker in self.trackers:
            tracker.close()

    def _examples(self, utterances: Any, augmenter: Augmenter | None = None) -> Examples:
        return Examples(
            utterances,
            self.corpus.alphabet,
            self.log_mel,
            self.settings.model,
            augmenter=augmenter,
            cache_dir=self.settings.data.cache_dir,
            seed=self.settings.training.seed,
            phone_labels=self.corpus.phone_labels(utterances),
        )

    def _denominators(self) -> dict[str, Denominator]:
        """Of each output trained by MMI: all sequences, as likely as the n-grams of the transcripts make them."""
        corpus, order, found = self.corpus, self.settings.training.mmi_order, {}
        if self.settings.model.mmi_output or not corpus.phones:
            start = corpus.alphabet.separator_number or BLANK + 1
            ngrams = symbol_ngrams(
                map(self.train_examples.own_label, range(len(corpus.train))),
                symbols=corpus.alphabet.size,
                start=start,
                order=order,
            )
            name = CHARACTERS_MMI if self.settings.model.mmi_output else CHARACTERS
            found[name] = Denominator(ngrams, start=start)
        if corpus.phones and self.train_examples.phone_labels:
            # Any phone inside a word can stand for the beginning: repeated, it is a context of its own.
            start = corpus.phones.size - 1
            labels = self.train_examples.phone_labels
            ngrams = symbol_ngrams(labels, symbols=corpus.phones.size, start=start, order=order)
            found[PHONES] = Denominator(ngrams, start=start)
        return found

    def _plan(self, examples: Examples, epochs: int) -> TrainingPlan:
        rate = 1 / self.settings.features.hop_seconds
        return TrainingPlan(examples, epochs=epochs, frames_per_second=rate, settings=self.settings.training)

    @property
    def finished(self) -> bool:
        progress, training = self.progress, self.settings.training
        if training.overfit and progress.best_cer == 0:
            return True
        without_gain = progress.epoch - 1 - progress.best_epoch
        stopped_early = bool(training.patience) and progress.batch == 0 and without_gain >= training.patience
        return progress.epoch >= training.epochs or (stopped_early and not training.overfit)

    def start(self) -> None:
        """Say what will be done, and go on from the newest checkpoint, if there is one."""
        record_start(self.run_dir / "run.json", self.settings)
        if self._held_out:
            write_manifest(self.run_dir / _HELD_OUT, self.corpus.valid)
        self._describe()
        progress = load_checkpoint(self.run_dir / "checkpoints", self.engine.variables)
        if progress and progress.batches != self._planned_batches(progress):
            raise TrainingError(
                f"{self.run_dir}: the checkpoint was written after batch {progress.batches}, which these settings plan "
                f"as batch {self._planned_batches(progress)}: settings or data are others now. Take another run_dir; "
                f"init={self.run_dir / LAST} starts from its weights"
            )
        self.journal.begin(progress.batches if progress else 0)
        if progress:
            self.progress = progress
            self._write_history()
            _log.info("going on from epoch %d, batch %d", progress.epoch + 1, progress.batch + 1)
        self.trackers = start_trackers(self.settings, self.run_dir, self.progress.batches)
        # Across the ends of epochs, so that the next one's first batches are made while this one is validated.
        self.batches = self.feed.batches(self.plan.batches_from(self.progress.batches))

    def _planned_batches(self, progress: Progress) -> int:
        """Batches up to an epoch and batch."""
        return self.plan.batches_before(progress.epoch) + progress.batch

    @property
    def _held_out(self) -> bool:
        """Whether the validation set was held out of the training manifests."""
        return bool(self.settings.data.hold_out) and not self.settings.training.overfit

    @property
    def _valid_names(self) -> list[str]:
        return [str(self.run_dir / _HELD_OUT)] if self._held_out else list(self.settings.data.valid)

    def _describe(self) -> None:
        corpus = self.corpus
        hours = [sum(one.duration or 0 for one in part) / 3600 for part in (corpus.train, corpus.valid)]
        parameters = f"{self.engine.model.count_params():,}"
        _log.info(
            "training on %d utterances (%.2f h), validating on %d (%.2f h); %s parameters on Keras's %s back end",
            len(corpus.train),
            hours[0],
            len(corpus.valid),
            hours[1],
            parameters,
            keras.backend.backend(),
        )
        if self._held_out:
            speakers = {one.speaker for one in corpus.valid if one.speaker}
            whole = speakers and speakers.isdisjoint(one.speaker for one in corpus.train)
            _log.info(
                "held out for validation: %d utterances of %s",
                len(corpus.valid),
                f"{len(speakers)} speaker{'s' if len(speakers) > 1 else ''}"
                if whole
                else "the manifests, for want of speakers' names",
            )
        if corpus.too_short or corpus.too_long:
            _log.warning(
                "left out of training: %d utterances shorter than data.min_seconds, %d longer than data.max_seconds",
                corpus.too_short,
                corpus.too_long,
            )

    def epoch(self, stop: StopRequest) -> None:
        """Train the rest of the epoch under way; if it came to its end, validate and record it."""
        progress = self.progress
        batches = self.plan.batches_in(progress.epoch)
        bar = EpochBar(
            progress,
            batches=batches,
            batches_left=self.plan.total - progress.batches,
            epochs=self.settings.training.epochs,
        )
        try:
            self._train_on(batches - progress.batch, bar, stop)
        finally:
            bar.close()
        if progress.batch == batches:
            self._save_checkpoint()  # whatever goes wrong with validation or a tracker, the epoch is not lost
            self._end_epoch()
        self._save_checkpoint()

    def _train_on(self, batches: int, bar: EpochBar, stop: StopRequest) -> None:
        progress = self.progress
        before = self.feed.waited_seconds - progress.waited
        started = time.monotonic() - progress.seconds
        scale = plateau_scale(progress.history, self.settings.optimizer)
        for prepared in itertools.islice(self.batches, batches):
            for message in prepared.left_out:
                _log.warning("left out of a batch: %s", message)
            for message in prepared.notes:
                _log.warning("%s", message)
            accumulate = self.settings.training.accumulate
            number = progress.batches // accumulate
            step_symbols = self.plan.step_symbols(number) if accumulate > 1 else None
            rate = self.learning_rates(number, scale)
            self.engine.learning_rate = rate
            step = self.engine.step(prepared.batch, step_symbols)
            if step.fault:
                self._pass_over(prepared)
            else:
                symbols = int(prepared.batch.label_counts.sum())
                progress.nats += step.loss * symbols
                progress.symbols += symbols
            progress.batch += 1
            progress.batches += 1
            progress.utterances += len(prepared.indices)
            progress.left_out += len(prepared.left_out)
            now = time.monotonic()
            waited = self.feed.waited_seconds - before
            self.journal.add(
                progress.epoch + 1, progress.batch, step.loss, rate, now - started - progress.seconds,
                waited - progress.waited,
            )  # fmt: skip
            for tracker in self.trackers:
                values = {"train/batch_loss": step.loss, "train/learning_rate": rate}
                tracker.scalars(progress.batches, values, every_batch=True)
            progress.seconds, progress.waited = now - started, waited
            bar.advance()
            if stop.signal is not None:
                break
            if now - self._last_saved >= 60 * self.settings.training.checkpoint_minutes:
                self._save_checkpoint()

    def _pass_over(self, prepared: Prepared) -> None:
        """Name the utterances of a batch without finite loss and gradients, save it, and go on while that may be."""
        progress, training = self.progress, self.settings.training
        progress.skipped += 1
        nats = self.engine.nats(prepared.batch, self.engine.logits(prepared.batch))
        rows = [self.train_examples.utterances[index] for index in prepared.indices]
        bad = [one.id for one, value in zip(rows, nats, strict=False) if not np.isfinite(value)]
        culprits = f"the loss of {', '.join(bad)}" if bad else f"a gradient of {', '.join(one.id for one in rows)}"
        path = self.run_dir / "non_finite" / f"epoch{progress.epoch + 1}-batch{progress.batch + 1}.npz"
        self._save_replay(path, prepared)
        message = (
            f"{culprits} is no longer a finite number (epoch {progress.epoch + 1}, batch {progress.batch + 1}); "
            f"saved as {path}"
        )
        if progress.skipped > training.skip_batches:
            raise DivergenceError(
                f"{message}. That is one more than training.skip_batches={training.skip_batches}: lower "
                "optimizer.learning_rate or optimizer.clip_norm, or look at those recordings; "
                "the last checkpoint is kept"
            )
        _log.warning("%s; the batch is passed over", message)

    def _save_replay(self, path: Path, prepared: Prepared) -> None:
        buffer = io.BytesIO()
        batch = prepared.batch
        weights: dict[str, Any] = {f"weights/{name}": array for name, array in read_weights(self.engine.model).items()}
        ids = np.array([self.train_examples.utterances[index].id for index in prepared.indices])
        np.savez_compressed(
            buffer,
            ids=ids,
            frames=batch.frames,
            frame_counts=batch.frame_counts,
            labels=batch.labels,
            label_counts=batch.label_counts,
            **weights,
        )
        write_atomically(path, buffer.getvalue())

    def _end_epoch(self) -> None:
        progress, training = self.progress, self.settings.training
        last = progress.epoch + 1 == training.epochs
        record = {
            "epoch": progress.epoch + 1,
            "train_loss": progress.mean_loss,
            "valid_loss": None,
            "valid_cer": None,
            "valid_wer": None,
            "blank_share": None,
            "learning_rate": self.engine.learning_rate,
            "batches": progress.batch,
            "utterances": progress.utterances,
            "left_out": progress.left_out,
            "skipped_batches": progress.skipped,
            "padding_share": round(self.plan.padding_share(progress.epoch, fixed_shapes=self.fixed_shapes), 4),
            "train_seconds": round(progress.seconds, 2),
            "input_wait_share": round(progress.waited / max(progress.seconds, 1e-9), 4),
            "valid_seconds": 0.0,
        }
        if last or (progress.epoch + 1) % training.valid_every == 0:
            started = time.monotonic()
            with self.engine.averaged():
                self._validate_into(record)
            record["valid_seconds"] = round(time.monotonic() - started, 2)
        _log.info("%s", _epoch_message(record, training.epochs))
        self._track(record)
        progress.history.append(record)
        progress.next_epoch()
        self._write_history()

    def _track(self, record: dict[str, Any]) -> None:
        values = {
            f"{part}/{name}": float(record[f"{part}_{name}"])
            for part, name in (("train", "loss"), ("valid", "loss"), ("valid", "cer"), ("valid", "wer"))
            if record[f"{part}_{name}"] is not None
        }
        step = self.progress.batches
        for tracker in self.trackers:
            tracker.scalars(step, values)
            if record["valid_loss"] is not None:
                tracker.examples(step, self._decoded)
                with suppress(AudioError):  # a recording that is gone was named where it was needed
                    tracker.spectrogram(step, self.train_examples.show(0, self.progress.epoch).after)

    def _validate_into(self, record: dict[str, Any]) -> None:
        """Add the errors on the validation set to an epoch's record, and save the bundles."""
        progress = self.progress
        found = validate(
            self.engine,
            self.valid_examples,
            self.valid_plan,
            alphabet=self.corpus.alphabet,
            model=self.settings.model,
            fixed_shapes=self.fixed_shapes,
            shown=self.settings.tracking.examples,
        )
        self._decoded = found.examples
        cer = found.score.characters.rate
        record |= {
            "valid_loss": found.loss,
            "valid_cer": cer,
            "valid_wer": found.score.words.rate,
            "blank_share": round(found.blank_share, 4),
        }
        self._watch_plateau(found.score)
        if cer is not None and (progress.best_cer is None or cer < progress.best_cer):
            progress.best_cer, progress.best_epoch = cer, progress.epoch
            self._save_bundle(BEST, found.score)
        self._save_bundle(LAST, found.score)

    def _watch_plateau(self, result: Score) -> None:
        """Say whether the model still writes nothing, as every CTC model does at first, and when it begins."""
        progress = self.progress
        silent = result.characters.hits == 0
        validated = [one for one in progress.history if one["valid_loss"] is not None]
        was_silent = bool(validated) and validated[-1]["valid_cer"] == 1.0
        if silent and progress.batches < _PLATEAU_BATCHES:
            _log.info(
                "the model writes nothing yet: CTC begins with a plateau of blanks, of some hundred batches or more "
                "(%d so far)",
                progress.batches,
            )
        elif silent:
            _log.warning(
                "the model still writes nothing after %d batches. `training=overfit` tells whether it can learn from "
                "this data at all; if so, try a higher or lower optimizer.learning_rate, a longer warm-up, "
                "or shorter utterances (data.max_seconds)",
                progress.batches,
            )
        elif was_silent:
            _log.info("the model has left the plateau of blanks: it writes")

    def _save_bundle(self, name: str, result: Score) -> None:
        save_trained(
            self.run_dir / name,
            self.engine,
            result,
            settings=self.settings,
            corpus=self.corpus,
            log_mel=self.log_mel,
            valid_names=self._valid_names,
            init=self.init,
            train_hours=float(self.train_examples.seconds.sum()) / 3600,
            epoch=self.progress.epoch + 1,
        )

    def _save_checkpoint(self) -> None:
        self.journal.flush()
        save_checkpoint(self.run_dir / "checkpoints", self.engine.variables, self.progress)
        self._last_saved = time.monotonic()

    def _write_history(self) -> None:
        history = self.progress.history
        lines = "".join(json.dumps(record) + "\n" for record in history)
        write_atomically(self.run_dir / "history.jsonl", lines.encode())
        draw_curves(self.run_dir / "curves.png", history)

    def conclude(self) -> None:
        """Report the best bundle's errors, and tell the trackers where everything is."""
        record_bundles(self.run_dir / "run.json", [self.run_dir / BEST, self.run_dir / LAST])
        written = report_best(self.run_dir, self.settings, self.corpus.valid, self._valid_names)
        if written:
            for tracker in self.trackers:
                tracker.conclude([self.run_dir / "curves.png", *written])
