"""The learning rate of every step of the optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from asr.settings.training import OptimizerConfig, Schedule
from asr.training.epoch_record import EpochRecord, error_rate

# Smith's one-cycle policy as it is commonly set: a rise over three tenths, from a twenty-fifth of the highest rate.
_RISE_SHARE, _FIRST_SHARE = 0.3, 0.04


WARMUP_SHARE = 0.1
"""of the training: the longest warm-up"""


def warmup_length(wanted: int, steps: int) -> int:
    """The steps of a warm-up in a training of so many steps, at least 1 and at most a tenth of them."""
    return max(1, min(wanted, int(steps * WARMUP_SHARE)))


@dataclass(frozen=True)
class LearningRates:
    """The learning rate of every step.

    Parameters
    ----------
    settings : OptimizerConfig
    steps : int
        Steps of the optimizer in the whole training.

    Notes
    -----
    Sources: cosine: I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, without restarts; one cycle: L. Smith, N. Topin,
    "Super-Convergence", 2019, with cosines for both slopes.
    """

    settings: OptimizerConfig
    steps: int

    def __call__(self, step: int, scale: float = 1.0) -> float:
        """The rate of a step.

        Parameters
        ----------
        step : int >= 0
        scale : float
            From `plateau_scale`; only the plateau schedule uses it.
        """
        settings = self.settings
        if settings.schedule is Schedule.one_cycle:
            return settings.learning_rate * self._one_cycle(step + 1)
        warmup = warmup_length(settings.warmup_steps, self.steps)
        if step + 1 < warmup:
            return settings.learning_rate * (step + 1) / warmup
        if settings.schedule is Schedule.cosine:
            share = (step + 1 - warmup) / max(1, self.steps - warmup)
            return settings.learning_rate * _cosine(1.0, settings.final_share, share)
        if settings.schedule is Schedule.plateau:
            return settings.learning_rate * scale
        return settings.learning_rate

    def _one_cycle(self, step: int) -> float:
        rise = max(1.0, _RISE_SHARE * self.steps)
        if step <= rise:
            return _cosine(_FIRST_SHARE, 1.0, step / rise)
        return _cosine(1.0, self.settings.final_share, (step - rise) / max(1.0, self.steps - rise))


def _cosine(start: float, end: float, share: float) -> float:
    """From one value to another by half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(max(share, 0.0), 1.0)))


def plateau_scale(history: Sequence[EpochRecord], settings: OptimizerConfig) -> float:
    """The factor of the plateau schedule after the epochs of a history.

    The rate falls by `plateau_factor` whenever the CER has not improved in `plateau_epochs` validations since its last
    improvement or the last fall of the rate; never below `final_share`. It depends on the history alone, so that a run
    that was interrupted continues with the same rate.
    """
    scale, best, waited = 1.0, math.inf, 0
    for record in history:
        if record.valid_loss is None:  # an epoch without validation
            continue
        cer = error_rate(record)
        if cer < best:
            best, waited = cer, 0
            continue
        waited += 1
        if waited >= settings.plateau_epochs:
            scale, waited = max(settings.final_share, scale * settings.plateau_factor), 0
    return scale
