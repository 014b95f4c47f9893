"""The record of an epoch: a line of `history.jsonl`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """Measures of one epoch. Those of validation are None where `training.valid_every` leaves it out."""

    epoch: int
    """from 1; 0 is the starting model of a fine-tuning"""
    train_loss: float | None
    """nats per symbol, with augmentation and dropout; None if no batch had a finite loss, and in epoch 0"""
    valid_loss: float | None = None
    """CTC loss of the output over characters, nats per symbol"""
    valid_cer: float | None = None
    """character error rate, 0.1 for 10 %, with the decoder of the bundle (a beam of at most 8); None also where the
    references have no characters"""
    valid_wer: float | None = None
    """word error rate with that decoder"""
    blank_share: float | None = None
    """share of the steps in which the blank is the most likely symbol"""
    learning_rate: float
    """of the last step"""
    batches: int = 0
    utterances: int = 0
    left_out: int = 0
    """utterances that could no longer be read"""
    skipped_batches: int = 0
    """batches without a finite loss and gradient, in the whole run so far"""
    padding_share: float = 0.0
    """share of the frames that was padding"""
    train_seconds: float = 0.0
    input_wait_share: float = 0.0
    """share of `train_seconds` spent waiting for batches"""
    valid_seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """As `history.jsonl` and checkpoints hold it."""
        return asdict(self)


def error_rate(record: EpochRecord) -> float:
    """The character error rate by which epochs and runs are sorted; infinity where there is none."""
    return math.inf if record.valid_cer is None else record.valid_cer


def best_epoch(history: Sequence[EpochRecord]) -> EpochRecord:
    """The first epoch with the lowest character error rate on the validation set."""
    return min(history, key=error_rate)


def best_epochs(history: Sequence[EpochRecord], count: int) -> list[EpochRecord]:
    """The epochs with the lowest character error rates on the validation set, the best first, the earlier of equals."""
    return sorted((one for one in history if one.valid_cer is not None), key=error_rate)[:count]
