"""Keras callbacks: the progress line, and a stop between two batches."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import keras
from tqdm import tqdm

from asr.errors import AsrError
from asr.training.checkpoints import Progress


class StopRequest:
    """Remembers the first SIGINT or SIGTERM; the second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the two signals in this block; only the main thread may, elsewhere nothing changes."""
        try:
            before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


class EpochWatch(keras.callbacks.Callback):  # type: ignore[misc]
    """Follows one epoch batch by batch: keeps `progress` true, shows it, saves it now and then, stops when asked.

    Parameters
    ----------
    progress : Progress
        Of the run; what it holds of the epoch already is added to.
    batch_sizes : list of int
        Utterances of the batches to come.
    stop : StopRequest
    save : callable
        Writes a checkpoint.
    save_seconds : float
        Time between two of them.
    batches_left : int
        In all epochs to come, these included: for the time left.
    epochs : int
    """

    def __init__(
        self,
        progress: Progress,
        batch_sizes: list[int],
        *,
        stop: StopRequest,
        save: Callable[[], None],
        save_seconds: float,
        batches_left: int,
        epochs: int,
    ) -> None:
        super().__init__()
        self._progress = progress
        self._batch_sizes = batch_sizes
        self._stop = stop
        self._save = save
        self._save_seconds = save_seconds
        self._batches_left = batches_left
        self._epochs = epochs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        progress = self._progress
        self._earlier = (progress.symbol_loss_sum, progress.utterances, progress.seconds)
        self._seen = 0
        self._started = self._last_saved = time.monotonic()
        self._bar = tqdm(
            desc=f"epoch {progress.epoch + 1}/{self._epochs}",
            initial=progress.batch,
            total=progress.batch + len(self._batch_sizes),
            unit="batch",
            disable=None,
            leave=False,
            bar_format="{desc} {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt}{postfix}",
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        progress, now = self._progress, time.monotonic()
        loss = float((logs or {})["loss"])  # the mean over the batches of this call so far, as Keras keeps it
        if not math.isfinite(loss):
            self._bar.close()
            raise AsrError(
                f"the loss is no longer a finite number (epoch {progress.epoch + 1}, batch {progress.batch + 1}): "
                "lower optimizer.learning_rate or optimizer.clip_norm; the last checkpoint is kept"
            )
        self._seen += self._batch_sizes[batch]
        progress.batch += 1
        progress.symbol_loss_sum = self._earlier[0] + loss * self._seen
        progress.utterances = self._earlier[1] + self._seen
        progress.seconds = self._earlier[2] + now - self._started
        left = (now - self._started) / (batch + 1) * (self._batches_left - batch - 1)
        cer = f"{100 * progress.history[-1]['valid_cer']:.1f}%" if progress.history else "-"
        self._bar.set_postfix_str(f"loss={progress.mean_loss:.3f} CER={cer} left={_clock(left)}", refresh=False)
        self._bar.update()
        if self._stop.signal is not None:
            self.model.stop_training = True
        elif now - self._last_saved > self._save_seconds:
            self._save()
            self._last_saved = time.monotonic()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._bar.close()


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d} h" if minutes else f"{seconds:.0f} s"
