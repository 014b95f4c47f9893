"""The progress line of an epoch."""

from __future__ import annotations

import time

from tqdm import tqdm

from asr.training.checkpoints import Progress


class EpochBar:
    """Shows the progress of an epoch, if stderr is a terminal.

    Parameters
    ----------
    progress : Progress
    batches : int
        Of the whole epoch.
    batches_left : int
        Of this epoch and all later ones, to estimate the time left.
    epochs : int
    is_shown : bool
        False in a process that has nothing to show.
    """

    def __init__(
        self, progress: Progress, *, batches: int, batches_left: int, epochs: int, is_shown: bool = True
    ) -> None:
        self._progress = progress
        self._batches_left = batches_left
        self._done = 0
        self._started = time.monotonic()
        self._bar = tqdm(
            desc=f"epoch {progress.epoch + 1}/{epochs}",
            initial=progress.batch,
            total=batches,
            unit="batch",
            disable=None if is_shown else True,
            leave=False,
            bar_format="{desc} {percentage:3.0f}%|{bar:20}| {n_fmt}/{total_fmt}{postfix}",
        )

    def advance(self) -> None:
        """Count one more batch as done."""
        progress = self._progress
        self._done += 1
        seconds = time.monotonic() - self._started
        left = seconds / self._done * (self._batches_left - self._done)
        rates = [record.valid_cer for record in progress.history if record.valid_cer is not None]
        cer = f"{100 * rates[-1]:.1f}%" if rates else "-"
        waited = progress.waited / progress.seconds if progress.seconds else 0
        loss = "-" if progress.mean_loss is None else f"{progress.mean_loss:.3f}"
        self._bar.set_postfix_str(f"loss={loss} CER={cer} input wait={waited:.0%} left={_clock(left)}", refresh=False)
        self._bar.update()

    def close(self) -> None:
        """Remove the line."""
        self._bar.close()


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d} h" if minutes else f"{seconds:.0f} s"
