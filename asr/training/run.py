"""Trains an acoustic model by its settings, and writes the folder of a run.

The folder holds

    config.yaml       the settings
    run.json          command, versions, hashes of the data, code and machine, for every start of the run
    history.jsonl     a record of every epoch
    batches.csv       a line for every batch: its loss and its time
    curves.png        the learning curves
    tensorboard/      the same and more, for TensorBoard
    best/, last/      bundles: of the epoch with the lowest validation CER, and of the last epoch
    epochs/           the weights of the best epochs, for `asr average`
    checkpoints/      the states from which an interrupted run continues
    held_out.jsonl    the utterances that `data.hold_out` took from the training manifests, if it did
    non_finite/       batches that were skipped because their loss or gradients were not finite
    validation/       the report of the best bundle on the validation set
"""

from __future__ import annotations

import itertools
import logging
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from asr.audio.features import Frames
from asr.bundle import Bundle, load_bundle
from asr.corpus.batching import PlannedBatch
from asr.corpus.manifest import write_manifest
from asr.errors import AudioError, ConfigError, DivergenceError, TrainingError
from asr.files import typed_path
from asr.settings.commands import TrainConfig
from asr.settings.training import Precision
from asr.training.batch_shares import BatchShare, agree_on_batch, join_parts, rows_of
from asr.training.checkpoints import Progress, read_progress
from asr.training.compilation import CompilationTimer
from asr.training.devices import precision_warning, resolve_precision
from asr.training.distributed import Ranks
from asr.training.engine import Engine, Step
from asr.training.epoch_bar import EpochBar
from asr.training.epoch_record import EpochRecord
from asr.training.examples import Prepared
from asr.training.feed import Feed
from asr.training.finetune import check_fits
from asr.training.plan import TrainingPlan
from asr.training.preflight import Corpus, read_corpus
from asr.training.provenance import record_bundles, record_start, training_inputs
from asr.training.rank_processes import launched_place, started_ranks
from asr.training.record import NoRecorder, Recorder, log_blank_plateau, log_data
from asr.training.run_folder import (
    BEST,
    CHECKPOINTS,
    CONFIG,
    CURVES,
    HELD_OUT,
    LAST,
    PROVENANCE,
    changed_settings,
    check_run_folder,
    check_settings_unchanged,
    disk_errors_explained,
    locked,
    new_run_dir,
    read_settings,
    write_settings,
)
from asr.training.save import NoSaver, Saver
from asr.training.schedules import LearningRates, plateau_scale
from asr.training.setup import make_engine
from asr.training.stop import StopRequest
from asr.training.teacher import load_teacher
from asr.training.training_data import TrainingData, choose_overfit, make_training_data
from asr.training.validation import Selection, Validated, make_selection, validate
from asr.training.validation_report import report_best

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What `train` made, and how it ended."""

    run_dir: Path
    """the folder of the run"""
    history: tuple[EpochRecord, ...]
    """a record of every epoch that is done"""
    best_bundle: Path | None
    """the bundle of the epoch with the lowest character error rate on the validation set; None before the first, and
    where the validation texts have no characters"""
    stopped_by: int | None
    """the number of the signal that stopped the run early (`signal.SIGINT` for Ctrl-C); None if the run is complete"""
    rank: int = 0
    """the number of this process among those that shared the training; 0 wrote the files"""


def train(
    settings: TrainConfig,
    run_dir: str | Path | None = None,
    *,
    watch: Callable[[EpochRecord], object] | None = None,
) -> TrainingResult:
    """Train a model, or continue a run that was interrupted.

    Ctrl-C (SIGINT), SIGTERM or SIGHUP stops after the present batch and saves a checkpoint; a second Ctrl-C stops at
    once.

    With `training.processes` above 1, this process is rank 0 and starts the others; in a process that torchrun, Slurm
    or Ray Train has started, it is the rank that the launcher gave it, and all ranks must make the same call.

    Parameters
    ----------
    settings : TrainConfig
        At least `data.train` and `data.valid` or `data.hold_out`. With `init`, features, model, normaliser and
        alphabet must be those of that bundle.
    run_dir : str or Path, optional
        The folder of the run, instead of `settings.run_dir`; by default a new one, `runs/<date>_<time>`. If it holds a
        run, that is continued from its newest checkpoint, which needs the same settings. `training.epochs` may differ,
        and extends a finished run, and so may `training.processes`.
    watch : callable, optional
        Called with the record of every epoch once it is saved, by rank 0 alone. An exception that it raises ends the
        training, which can be continued later.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ManifestError
        Before the first step, naming all problems of the data.
    ConfigError
        If a setting cannot be used, the folder holds something else or a run with other settings, or another process
        trains in it.
    AudioError
        If all recordings of a batch have become unreadable.
    DivergenceError
        If more than `training.skip_batches` batches had a loss or gradients that were not finite.
    TrainingError
        If the folder can no longer be written to. What was saved is kept, and the run can be continued.
    RankError
        If one of several ranks ends: it is named, and all others end too. The run can be continued.

    Examples
    --------
    >>> import asr
    >>> settings = asr.TrainConfig(
    ...     data=asr.DataConfig(train=["data/samples/samples.jsonl"], hold_out=0.3),
    ...     model=asr.ModelConfig(depth=1, units=32),
    ...     training=asr.TrainingConfig(epochs=2, batch_size=2),
    ...     run_dir="runs/example",
    ... )
    >>> result = asr.train(settings)  # doctest: +SKIP
    >>> [record.epoch for record in result.history]  # doctest: +SKIP
    [1, 2]
    >>> print(result.best_bundle)  # doctest: +SKIP
    runs/example/best
    """
    folder = typed_path(run_dir or settings.run_dir or new_run_dir())
    settings = replace(settings, run_dir=str(folder))
    place = launched_place(settings)
    if place is None:  # before other ranks are started
        _check_folder(folder, settings)
    with started_ranks(settings, place) as ranks:
        return train_on(ranks, settings, watch=watch)


def _check_folder(folder: Path, settings: TrainConfig) -> None:
    """Refuse a folder that holds something else, or a run with other settings."""
    check_run_folder(folder)
    if settings.lr_finder:
        raise ConfigError("lr_finder=true does not train: call asr.training.rate_finder.find_learning_rate")
    check_settings_unchanged(folder, settings)


def train_on(
    ranks: Ranks, settings: TrainConfig, *, watch: Callable[[EpochRecord], object] | None = None
) -> TrainingResult:
    """Train as one of some ranks that have joined; arguments, result and errors as of `train`."""
    settings = _common_settings(ranks, settings)
    folder, stop = typed_path(settings.run_dir or ""), StopRequest()

    def begin() -> Corpus:
        _check_folder(folder, settings)
        return read_corpus(settings)  # before the folder is made: bad data leaves nothing behind

    corpus = ranks.from_first(begin)
    lock = locked(folder) if ranks.is_first else nullcontext()
    with lock, disk_errors_explained(folder), stop.handling_signals():
        leg = ranks.from_first(lambda: _open_folder(folder, settings))
        if settings.training.overfit:
            settings, corpus = choose_overfit(settings, corpus)
        history, stopped_by = _train(settings, folder, corpus, stop, leg, watch, ranks)
    best = folder / BEST
    return TrainingResult(folder, tuple(history), best if best.is_dir() else None, stopped_by, ranks.rank)


def _common_settings(ranks: Ranks, settings: TrainConfig) -> TrainConfig:
    """The settings of rank 0, which those of all others must equal.

    Raises
    ------
    ConfigError
        Naming the rank and the settings that differ.
    """
    if ranks.count == 1:
        return settings
    every = ranks.gather(settings)
    for rank, other in enumerate(every):
        changed = changed_settings(every[0], replace(other, run_dir=every[0].run_dir))
        if changed:
            name, (before, now) = next(iter(changed.items()))
            raise ConfigError(
                f"rank {rank} ({ranks.places[rank]}) has other settings than rank 0: {name} is {now} there and "
                f"{before} on rank 0. Start the same command on all ranks"
            )
    return every[0]


def _open_folder(folder: Path, settings: TrainConfig) -> Progress:
    """Write the settings to the folder of a run; returns where its plan begins."""
    if (folder / CONFIG).exists() and not (folder / CHECKPOINTS).exists():
        _log.info("%s holds no checkpoint yet: starting from the beginning", folder)
    leg = _present_leg(folder, settings, read_settings(folder))
    write_settings(folder, settings)
    _log.info("run directory: %s", folder)
    return leg


def _present_leg(run_dir: Path, settings: TrainConfig, earlier: TrainConfig | None) -> Progress:
    """Where the plan of a run begins: at its start, or at the end of the epochs that it had been planned for.

    Raises
    ------
    ConfigError
        If the number of epochs changes within an epoch, or is no larger than that of the epochs that are done.
    """
    done, epochs = read_progress(run_dir / CHECKPOINTS), settings.training.epochs
    if done is None or earlier is None:
        return Progress(planned_epochs=epochs)
    leg = replace(done, planned_epochs=done.planned_epochs or earlier.training.epochs, history=[])
    if leg.planned_epochs == epochs:
        return leg
    folder = shlex.quote(f"run_dir={run_dir}")
    if done.batch:
        raise ConfigError(
            f"{run_dir}: training.epochs can be changed between two epochs, and this run was interrupted in epoch "
            f"{done.epoch + 1}: `asr train {folder}` completes its {leg.planned_epochs} epochs"
        )
    if epochs <= done.epoch:
        raise ConfigError(
            f"{run_dir}: {done.epoch} epochs are done, so training.epochs={epochs} changes nothing: "
            f"`asr train {folder} training.epochs={2 * done.epoch}` extends the run"
        )
    _log.info("continuing after epoch %d, to %d epochs instead of %d", done.epoch, epochs, leg.planned_epochs)
    return replace(leg, planned_epochs=epochs, leg_epoch=done.epoch, leg_batch=done.batches)


def _train(
    settings: TrainConfig,
    run_dir: Path,
    corpus: Corpus,
    stop: StopRequest,
    leg: Progress,
    watch: Callable[[EpochRecord], object] | None,
    ranks: Ranks,
) -> tuple[list[EpochRecord], int | None]:
    """Make what a run consists of, and train until it is complete or stopped.

    Returns
    -------
    history : list of EpochRecord
    stopped_by : int or None
        The signal that stopped it.
    """
    training = settings.training
    init = load_bundle(settings.init) if settings.init else None
    if init:
        check_fits(settings, init)
    teacher = load_teacher(settings)
    data = make_training_data(settings, corpus, init, teacher, ranks=ranks)
    frames_per_second = 1 / settings.features.hop_seconds
    plan = TrainingPlan(
        data.train,
        epochs=training.epochs,
        frames_per_second=frames_per_second,
        settings=training,
        first_epoch=leg.leg_epoch,
        first_batch=leg.leg_batch,
    )
    if plan.total // training.accumulate == leg.leg_batch // training.accumulate:
        raise ConfigError(
            f"training.accumulate={training.accumulate}: the optimizer takes a step after so many batches, and "
            f"training.epochs={training.epochs} has only {plan.total}: lower training.accumulate, or "
            "training.batch_size and training.batch_seconds for more batches, or raise training.epochs"
        )
    valid_plan = TrainingPlan(data.valid, epochs=1, frames_per_second=frames_per_second, settings=training)
    # TensorFlow and JAX compile something for every shape of a batch.
    fixed_shapes = keras.backend.backend() != "torch"
    precision = training.precision
    if message := precision_warning(precision):
        _log.warning("%s", message)
    if precision is Precision.auto:
        precision = ranks.from_first(lambda: resolve_precision(precision))
        _log.info("precision: %s, which is the faster one here (training.precision=auto)", precision)
    if ranks.count > 1:
        _log.info("%d processes share every batch: %s", ranks.count, _places(ranks.places))
        settings = replace(settings, training=replace(training, precision=precision))
    selection = make_selection(settings, corpus, init or teacher)
    # The feed is made before the engine, so that its processes start while the network is built.
    with (
        Feed(data.train, workers=training.workers, fixed_shapes=fixed_shapes, may_be_empty=ranks.count > 1) as feed,
        (Recorder if ranks.is_first else NoRecorder)(run_dir, settings, selection.label) as recorder,
    ):
        average_steps = training.average_epochs * plan.steps_per_epoch
        engine = make_engine(
            settings, corpus, data, average_steps=average_steps, init=init, teacher=teacher, ranks=ranks
        )
        run = _Run(
            settings, run_dir, corpus, data, plan, valid_plan.epoch(0),
            engine=engine, feed=feed, recorder=recorder, init=init, teacher=teacher, selection=selection, leg=leg,
            fixed_shapes=fixed_shapes, ranks=ranks,
        )  # fmt: skip
        run.start()
        run.agree_to_stop(stop)
        while not run.finished and run.stopped_by is None:
            run.epoch(stop)
            if watch is not None and ranks.is_first and run.progress.batch == 0:
                watch(run.progress.history[-1])
        if run.stopped_by is None and ranks.is_first:
            run.conclude()
    return run.progress.history, stop.signal if ranks.count == 1 else run.stopped_by


def _places(places: Sequence[str]) -> str:
    """Where ranks run, in a few words."""
    machines = Counter(place.rpartition(" on ")[2] for place in places)
    return ", ".join(f"{count} on {name}" for name, count in machines.items())


class _Run:
    """The state of one run, and its steps."""

    def __init__(
        self,
        settings: TrainConfig,
        run_dir: Path,
        corpus: Corpus,
        data: TrainingData,
        plan: TrainingPlan,
        valid_plan: list[PlannedBatch],
        *,
        engine: Engine,
        feed: Feed,
        recorder: Recorder,
        init: Bundle | None,
        teacher: Bundle | None,
        selection: Selection,
        leg: Progress,
        fixed_shapes: bool,
        ranks: Ranks,
    ) -> None:
        self._leg = leg
        self._ranks = ranks
        self.stopped_by: int | None = None
        """the signal that ends the run, which any rank may have got"""
        self.progress = Progress(planned_epochs=leg.planned_epochs)
        self._settings = settings
        self._run_dir = run_dir
        self._corpus = corpus
        self._data = data
        self._plan = plan
        self._valid_plan = valid_plan
        self._engine = engine
        self._feed = feed
        self._selection = selection
        self._is_fine_tuning = init is not None
        self._fixed_shapes = fixed_shapes
        self._recorder = recorder
        self._rates = LearningRates(settings.optimizer, plan.steps)
        self._held_out = bool(settings.data.hold_out) and not settings.training.overfit
        self._valid_names = [str(run_dir / HELD_OUT)] if self._held_out else list(settings.data.valid)
        self._saver = (Saver if ranks.is_first else NoSaver)(
            run_dir, engine, settings=settings, corpus=corpus, examples=data.train, log_mel=data.log_mel,
            valid_names=self._valid_names, init=init, teacher=teacher, decoder_label=selection.label,
        )  # fmt: skip
        self._batches: Iterator[Prepared] = iter(())
        self._compilation = CompilationTimer(compiles=fixed_shapes)
        self._first_batch = 0

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or `training.patience` or `training.overfit` ends the run before."""
        progress, training = self.progress, self._settings.training
        if training.overfit:
            return progress.best_cer == 0 or progress.epoch >= training.epochs
        if progress.epoch >= training.epochs or not training.patience:
            return progress.epoch >= training.epochs
        # Epochs without validation say nothing about a gain: the decision is made after one with it.
        is_validated = progress.batch == 0 and progress.history and progress.history[-1].valid_loss is not None
        without_gain = progress.epoch - 1 - max(progress.best_epoch, progress.leg_epoch - 1)
        return bool(is_validated) and without_gain >= training.patience

    def start(self) -> None:
        """Record the start, and continue from the newest checkpoint if there is one.

        Raises
        ------
        ConfigError
            If an input has changed, the checkpoints cannot be used, or a tracker cannot be reached.
        TrainingError
            If settings or data plan other batches than when the checkpoint was written.
        """
        if self._ranks.is_first:
            record_start(self._run_dir / PROVENANCE, training_inputs(self._settings), ranks=self._ranks.places)
            if self._held_out:
                write_manifest(self._run_dir / HELD_OUT, self._corpus.valid)
        log_data(
            self._corpus,
            self._settings,
            parameters=self._engine.model.count_params(),
            held_out=self._held_out,
            decoder_label=self._selection.label,
        )
        progress = self._restore()
        if progress:
            progress = replace(
                progress,
                planned_epochs=self._leg.planned_epochs,
                leg_epoch=self._leg.leg_epoch,
                leg_batch=self._leg.leg_batch,
            )
            planned = self._plan.batches_before(progress.epoch) + progress.batch
            if progress.batches != planned:
                raise TrainingError(
                    f"{self._run_dir}: the checkpoint was written after batch {progress.batches}, which these settings "
                    f"plan as batch {planned}: settings or data have changed. Choose another run_dir; "
                    f"init={self._run_dir / LAST} starts from its weights"
                )
            self.progress = progress
        self._first_batch = self.progress.batches
        self._recorder.begin(self.progress, finished=self.finished)
        if self._is_fine_tuning and not progress:
            self._record_starting_model()
        # One iterator for all epochs: the first batches of the next are prepared while this one is validated.
        self._batches = self._feed.batches(
            (epoch, rows_of(planned, self._ranks)) for epoch, planned in self._plan.batches_from(self.progress.batches)
        )

    def _restore(self) -> Progress | None:
        """The position of the newest checkpoint, whose state the engine gets on every rank."""
        if self._ranks.count == 1:
            return self._saver.restore()
        progress = self._ranks.from_first(lambda: (self._saver.restore(),))[0]
        if progress:
            self._share_state()
        return progress

    def _share_state(self) -> None:
        """Give every rank the state of the first."""
        self._engine.restore(self._ranks.from_first(self._engine.state))

    def _check_same_weights(self) -> None:
        """Give all ranks the state of the first where processors that round differently have let them drift apart."""
        if self._ranks.count > 1 and len(set(self._ranks.gather(self._engine.digest()))) > 1:
            _log.warning(
                "the ranks no longer have the same weights to the last bit, as on processors of different kinds: all "
                "continue with those of rank 0"
            )
            self._share_state()

    def _record_starting_model(self) -> None:
        """Validate the model before the first step, as epoch 0: the baseline of a fine-tuning."""
        started = time.monotonic()
        validated = self._measure()
        self._keep(validated, epoch=0)
        record = EpochRecord(epoch=0, train_loss=None, learning_rate=0.0)
        self.progress.history.append(_with_validation(record, validated, time.monotonic() - started))
        self._saver.epoch_weights(self.progress.history, 0)
        self._recorder.epoch(self.progress.history, batches=0, examples=validated.examples)
        self._save_checkpoint()

    def agree_to_stop(self, stop: StopRequest) -> None:
        """Stop on all ranks, after the same batch, if one has got a signal."""
        self.stopped_by = next((one for one in self._ranks.gather(stop.signal) if one is not None), None)

    def epoch(self, stop: StopRequest) -> None:
        """Train the rest of the present epoch; if that completes it, validate and record it."""
        progress = self.progress
        batches = self._plan.batches_in(progress.epoch)
        bar = EpochBar(
            progress,
            batches=batches,
            batches_left=self._plan.total - progress.batches,
            epochs=self._settings.training.epochs,
            is_shown=self._ranks.is_first,
        )
        try:
            self._train_batches(batches - progress.batch, bar, stop)
        finally:
            bar.close()
        if progress.batch == batches:
            self._check_same_weights()
            self._save_checkpoint()  # before validation, so that an error there does not lose the epoch
            self._end_epoch()
        self._save_checkpoint()
        self.agree_to_stop(stop)

    def _train_batches(self, count: int, bar: EpochBar, stop: StopRequest) -> None:
        progress = self.progress
        waited_before = self._feed.waited_seconds - progress.waited
        started = time.monotonic() - progress.seconds
        scale = plateau_scale(progress.history, self._settings.optimizer)
        if self._fixed_shapes and progress.batches == self._first_batch and count:
            _log.info(
                "compiling for %d shapes of batches as they come: this epoch takes longer than later ones",
                len(self._plan.buckets),
            )
        for prepared in itertools.islice(self._batches, count):
            prepared, share = self._share(prepared)
            for message in share.left_out:
                _log.warning("left out of a batch: %s", message)
            for message in share.notes:
                _log.warning("%s", message)
            step_started = time.monotonic()
            step, rate = self._step(prepared, share, scale)
            self._compilation.add(prepared.batch.frames.shape, time.monotonic() - step_started)
            seconds, waited = time.monotonic() - started, self._feed.waited_seconds - waited_before
            self._recorder.batch(
                progress,
                loss=step.loss,
                gradient_norm=step.gradient_norm,
                learning_rate=rate,
                seconds=seconds - progress.seconds,
                waited_seconds=waited - progress.waited,
            )
            progress.seconds, progress.waited = seconds, waited
            bar.advance()
            self.agree_to_stop(stop)
            if self.stopped_by is not None:
                break
            if self._saver.checkpoint_due:
                self._save_checkpoint()
        if report := self._compilation.report():
            _log.info("%s", report)

    @property
    def _planned(self) -> PlannedBatch:
        """The present batch."""
        return self._plan.epoch(self.progress.epoch)[self.progress.batch]

    def _share(self, prepared: Prepared) -> tuple[Prepared, BatchShare]:
        """A batch, or this rank's part of it, and what the ranks have of it together."""
        if self._ranks.count > 1:
            return agree_on_batch(self._ranks, self._planned, prepared, self._data.train)
        rows = len(prepared.batch.frames)
        symbols = int(prepared.batch.label_counts.sum())
        return prepared, BatchShare(
            len(set(prepared.indices)), np.arange(rows), symbols, prepared.left_out, prepared.notes
        )

    def _step(self, prepared: Prepared, share: BatchShare, scale: float) -> tuple[Step, float]:
        """Learn from a batch and count it; returns the step and its learning rate."""
        progress, accumulate = self.progress, self._settings.training.accumulate
        number = progress.batches // accumulate
        rate = self._rates(number, scale)
        self._engine.learning_rate = rate
        copies = self._settings.training.copies
        step_symbols = self._plan.step_symbols(number) * copies if accumulate > 1 else None
        if self._ranks.count > 1:
            step = self._engine.step(prepared.batch, step_symbols, share=share)
        else:
            step = self._engine.step(prepared.batch, step_symbols)
        if step.fault:
            self._skip(prepared)
        else:
            progress.nats += step.loss * share.symbols
            progress.symbols += share.symbols
        progress.batch += 1
        progress.batches += 1
        progress.utterances += share.rows
        progress.left_out += len(share.left_out)
        return step, rate

    def _skip(self, prepared: Prepared) -> None:
        """Save a batch without finite loss and gradients and name its utterances; too many of these end the run."""
        progress, allowed = self.progress, self._settings.training.skip_batches
        progress.skipped += 1
        nats = self._engine.nats(prepared.batch, self._engine.logits(prepared.batch))
        not_finite = {index for index, value in zip(prepared.indices, nats, strict=False) if not np.isfinite(value)}
        if self._ranks.count > 1:
            parts = self._ranks.gather((prepared, not_finite))
            prepared = join_parts(self._planned, [part for part, _ in parts])
            not_finite = set().union(*(one for _, one in parts))
        names = {index: self._data.train.utterances[index].id for index in prepared.indices}
        rows, bad = names.values(), [name for index, name in names.items() if index in not_finite]
        what = f"the loss of {', '.join(bad)}" if bad else f"a gradient of {', '.join(rows)}"
        path = self._saver.batch(prepared, progress)
        message = f"{what} is not finite (epoch {progress.epoch + 1}, batch {progress.batch + 1}); saved as {path}"
        if progress.skipped > allowed:
            raise DivergenceError(
                f"{message}. That is one more than training.skip_batches={allowed}: lower "
                "optimizer.learning_rate or optimizer.clip_norm, or check those recordings; "
                "the last checkpoint is kept"
            )
        _log.warning("%s; the batch is skipped", message)

    def _end_epoch(self) -> None:
        """Validate if it is time, save the bundles, record the epoch, and begin the next."""
        progress, training = self.progress, self._settings.training
        record = EpochRecord(
            epoch=progress.epoch + 1,
            train_loss=progress.mean_loss,
            learning_rate=self._engine.learning_rate,
            batches=progress.batch,
            utterances=progress.utterances,
            left_out=progress.left_out,
            skipped_batches=progress.skipped,
            padding_share=round(self._plan.padding_share(progress.epoch, fixed_shapes=self._fixed_shapes), 4),
            train_seconds=round(progress.seconds, 2),
            input_wait_share=round(progress.waited / max(progress.seconds, 1e-9), 4),
        )
        examples, spectrogram = [], None
        if record.epoch == training.epochs or record.epoch % training.valid_every == 0:
            started = time.monotonic()
            with self._engine.averaged():
                validated = self._validate()
                record = _with_validation(record, validated, time.monotonic() - started)
                self._saver.epoch_weights([*progress.history, record], record.epoch)
            examples, spectrogram = validated.examples, self._spectrogram()
        progress.history.append(record)
        progress.next_epoch()
        self._recorder.epoch(progress.history, batches=progress.batches, examples=examples, spectrogram=spectrogram)

    def _validate(self) -> Validated:
        """Measure the current weights on the validation set, and save them as bundles."""
        validated = self._measure()
        log_blank_plateau(validated.score, self.progress.history, batches=self.progress.batches)
        self._keep(validated, epoch=self.progress.epoch + 1)
        return validated

    def _measure(self) -> Validated:
        return validate(
            self._engine,
            self._data.valid,
            self._valid_plan,
            selection=self._selection,
            model=self._settings.model,
            fixed_shapes=self._fixed_shapes,
            shown=self._settings.tracking.examples,
            ranks=self._ranks,
        )

    def _keep(self, validated: Validated, *, epoch: int) -> None:
        """Save the current weights as the last bundle, and as the best one if they are."""
        progress, cer = self.progress, validated.score.characters.rate
        if cer is not None and (progress.best_cer is None or cer < progress.best_cer):
            progress.best_cer, progress.best_epoch = cer, epoch - 1
            self._saver.bundle(BEST, validated.score, epoch=epoch)
        self._saver.bundle(LAST, validated.score, epoch=epoch)

    def _spectrogram(self) -> Frames | None:
        """Features of the first utterance in this epoch, for TensorBoard; None if that is off or it is unreadable."""
        if not self._settings.tracking.tensorboard or not self._ranks.is_first:
            return None
        with suppress(AudioError):  # which was logged when the recording was needed
            return self._data.train.show(0, self.progress.epoch).after
        return None

    def _save_checkpoint(self) -> None:
        self._recorder.flush()
        self._saver.checkpoint(self.progress)

    def conclude(self) -> None:
        """Write the report of the best bundle, and send the trackers the files of the run."""
        record_bundles(self._run_dir / PROVENANCE, [self._run_dir / BEST, self._run_dir / LAST])
        progress = self.progress
        is_new = progress.batches > self._first_batch and progress.best_epoch >= progress.leg_epoch > 0
        written = report_best(
            self._run_dir, self._settings, self._corpus.valid, self._valid_names, replace_earlier=is_new
        )
        if written:
            self._recorder.results(progress.history)
            self._recorder.conclude([self._run_dir / CURVES, *written])


def _with_validation(record: EpochRecord, validated: Validated, seconds: float) -> EpochRecord:
    return replace(
        record,
        valid_loss=validated.loss,
        valid_cer=validated.score.characters.rate,
        valid_wer=validated.score.words.rate,
        blank_share=round(validated.blank_share, 4),
        valid_seconds=round(seconds, 2),
    )
