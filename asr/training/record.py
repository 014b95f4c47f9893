"""The records of a run: a line for every batch and epoch, curves, messages, and values for trackers."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import keras

from asr.audio.features import Frames
from asr.evaluation.scoring import Score
from asr.files import write_atomically
from asr.machine import usage
from asr.settings.commands import TrainConfig
from asr.training.batch_log import BatchLog
from asr.training.checkpoints import Progress
from asr.training.curves import draw_curves
from asr.training.epoch_record import EpochRecord, best_epoch
from asr.training.preflight import Corpus
from asr.training.run_folder import BATCHES, CURVES, HISTORY
from asr.training.trackers import Tracker, start_trackers
from asr.training.training_data import describe_loss

_log = logging.getLogger(__name__)

# After so many batches, a model whose output is all blank is no longer at the beginning of its training.
_PLATEAU_BATCHES = 2000


class Recorder:
    """Records one run. Used as a context, it closes its files and its trackers at the end.

    Parameters
    ----------
    run_dir : Path
    settings : TrainConfig
    decoder_label : str
        The decoder of validation, in a few words.
    """

    def __init__(self, run_dir: Path, settings: TrainConfig, decoder_label: str) -> None:
        self._run_dir = run_dir
        self._settings = settings
        self._decoder_label = decoder_label
        self._batch_log = BatchLog(run_dir / BATCHES)
        self._trackers: list[Tracker] = []

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._batch_log.close()
        for tracker in self._trackers:
            tracker.close()

    def begin(self, progress: Progress, *, finished: bool = False) -> None:
        """Open the files and the trackers of a run at a position; records of later batches are removed.

        Raises
        ------
        ConfigError
            If MLflow is configured and cannot be reached.
        """
        self._batch_log.begin(progress.batches)
        if progress.history:
            self._write_history(progress.history)
        if finished:
            _log.info("the run is complete: %d epochs; training.epochs=N extends it", progress.epoch)
        elif progress.batches:
            _log.info("resuming from epoch %d, batch %d", progress.epoch + 1, progress.batch + 1)
        self._trackers += start_trackers(self._settings, self._run_dir, progress.batches)

    def batch(
        self,
        progress: Progress,
        *,
        loss: float,
        learning_rate: float,
        seconds: float,
        waited_seconds: float,
        gradient_norm: float | None = None,
    ) -> None:
        """Record a batch that is done and counted in `progress`."""
        self._batch_log.add(progress.epoch + 1, progress.batch, loss, learning_rate, seconds, waited_seconds)
        values = {"train/batch_loss": loss, "train/learning_rate": learning_rate, "time/batch_seconds": seconds}
        if gradient_norm is not None and math.isfinite(gradient_norm):  # float16 may overflow now and then
            values["train/gradient_norm"] = gradient_norm
        for tracker in self._trackers:
            tracker.scalars(progress.batches, values, every_batch=True)

    def flush(self) -> None:
        """Flush the records of batches to the operating system."""
        self._batch_log.flush()

    def epoch(
        self,
        history: Sequence[EpochRecord],
        *,
        batches: int,
        examples: Sequence[tuple[str, str, str]] = (),
        spectrogram: Frames | None = None,
    ) -> None:
        """Record the last epoch of a history.

        Parameters
        ----------
        history : sequence of EpochRecord
        batches : int
            Batches of the whole run so far.
        examples : sequence of (id, reference, hypothesis)
            Of the validation set, if it was decoded.
        spectrogram : float32 [shape=(frames, mels)], optional
            Features of an utterance as the network gets them.
        """
        record = history[-1]
        _log.info("%s", epoch_message(record, self._settings.training.epochs))
        values = {
            "train/loss": record.train_loss,
            "valid/loss": record.valid_loss,
            "valid/cer": record.valid_cer,
            "valid/wer": record.valid_wer,
            "time/train_seconds": record.train_seconds,
            "time/valid_seconds": record.valid_seconds,
            "memory/peak_mb": usage().peak_memory_mb,
        }
        for tracker in self._trackers:
            tracker.scalars(batches, {name: float(value) for name, value in values.items() if value is not None})
            if examples:
                tracker.examples(batches, examples)
            if spectrogram is not None:
                tracker.spectrogram(batches, spectrogram)
        self._write_history(history)

    def _write_history(self, history: Sequence[EpochRecord]) -> None:
        lines = "".join(json.dumps(record.as_dict()) + "\n" for record in history)
        write_atomically(self._run_dir / HISTORY, lines.encode())
        draw_curves(
            self._run_dir / CURVES, history, loss_name=describe_loss(self._settings), decoder_label=self._decoder_label
        )

    def results(self, history: Sequence[EpochRecord]) -> None:
        """Send the trackers the final error rates, beside the settings."""
        best = best_epoch(history)
        rates = {"best/cer": best.valid_cer, "best/wer": best.valid_wer, "best/epoch": best.epoch}
        for tracker in self._trackers:
            tracker.results({name: float(value) for name, value in rates.items() if value is not None})

    def conclude(self, files: Sequence[Path]) -> None:
        """Send the trackers the files that a finished run has made."""
        for tracker in self._trackers:
            tracker.conclude(files)


class NoRecorder(Recorder):
    """Of a rank other than the first: it records nothing."""

    def begin(self, progress: Progress, *, finished: bool = False) -> None:
        pass

    def epoch(
        self,
        history: Sequence[EpochRecord],
        *,
        batches: int,
        examples: Sequence[tuple[str, str, str]] = (),
        spectrogram: Frames | None = None,
    ) -> None:
        pass


def epoch_message(record: EpochRecord, epochs: int) -> str:
    """A line on an epoch: losses, error rates, seconds."""
    is_start = record.epoch == 0
    parts = [] if is_start else [f"training loss {_number(record.train_loss, '.3f')}"]
    if record.valid_loss is not None:
        parts.append(f"validation loss {record.valid_loss:.3f}")
        parts += [f"CER {_number(record.valid_cer, '.2%')}", f"WER {_number(record.valid_wer, '.2%')}"]
    if is_start:
        return f"epoch 0, the starting model: {', '.join(parts)}"
    waited = f"{100 * record.input_wait_share:.1f} % waiting for input"
    return f"epoch {record.epoch}/{epochs}: {', '.join(parts)}, {record.train_seconds:.0f} s ({waited})"


def _number(value: float | None, form: str) -> str:
    return "n/a" if value is None else f"{value:{form}}".replace("%", " %")


def log_data(corpus: Corpus, settings: TrainConfig, *, parameters: int, held_out: bool, decoder_label: str) -> None:
    """Log what is trained on, and with how many parameters.

    Parameters
    ----------
    corpus : Corpus
    settings : TrainConfig
    parameters : int
        Of the model.
    held_out : bool
        Whether the validation set was held out of the training manifests.
    decoder_label : str
        The decoder of validation, in a few words.
    """
    train_hours, valid_hours = (sum(one.duration or 0 for one in part) / 3600 for part in (corpus.train, corpus.valid))
    _log.info(
        "training on %d utterances (%.2f h), validating on %d (%.2f h); %s parameters on Keras's %s back end",
        len(corpus.train),
        train_hours,
        len(corpus.valid),
        valid_hours,
        f"{parameters:,}",
        keras.backend.backend(),
    )
    _log.info("loss: %s; epochs are compared by CER, decoder: %s", describe_loss(settings), decoder_label)
    if held_out:
        speakers = {one.speaker for one in corpus.valid if one.speaker}
        by_speaker = bool(speakers) and speakers.isdisjoint(one.speaker for one in corpus.train)
        _log.info(
            "held out for validation: %d utterances of %s",
            len(corpus.valid),
            f"{len(speakers)} speaker{'s' if len(speakers) > 1 else ''}"
            if by_speaker
            else "the manifests, which name too few speakers to hold out whole ones",
        )
    if corpus.too_short or corpus.too_long:
        _log.warning(
            "left out of training: %d utterances shorter than data.min_seconds, %d longer than data.max_seconds",
            corpus.too_short,
            corpus.too_long,
        )


def log_blank_plateau(score: Score, history: Sequence[EpochRecord], *, batches: int) -> None:
    """Log whether the model's output is still all blank, as that of every CTC model is at first, and when that ends.

    Parameters
    ----------
    score : Score
        Of the validation that was just made.
    history : sequence of EpochRecord
        Of the epochs before.
    batches : int
        Of the whole run so far.
    """
    all_blank = score.characters.hits == 0
    validated = [one for one in history if one.valid_loss is not None]
    if all_blank and batches < _PLATEAU_BATCHES:
        _log.info(
            "the model's output is still empty: CTC begins with some hundred batches or more in which the blank is the "
            "most likely symbol everywhere (%d so far)",
            batches,
        )
    elif all_blank:
        _log.warning(
            "the model's output is still empty after %d batches. `training=overfit` shows whether it can learn from "
            "this data at all; if it can, try a higher or lower optimizer.learning_rate, a longer warm-up, "
            "or shorter utterances (data.max_seconds)",
            batches,
        )
    elif validated and validated[-1].valid_cer == 1.0:
        _log.info("the model's output is no longer empty")
