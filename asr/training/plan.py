"""The batches of a training: those of all epochs are counted ahead, one epoch at a time is planned."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from asr.corpus.batching import (
    LengthCounts,
    PlannedBatch,
    Shape,
    choose_buckets,
    count_batches,
    padding_share,
    plan_epoch,
)
from asr.settings.training import TrainingConfig

# The epoch in training, and the next, from which batches are prepared ahead.
_EPOCHS_KEPT = 2


class Lengths(Protocol):
    """The lengths of all utterances in each epoch, which depend on the augmentation."""

    def frame_counts(self, epoch: int) -> npt.NDArray[np.int64]:
        """[shape=(utterances,)]"""
        ...

    def symbol_counts(self, epoch: int) -> npt.NDArray[np.int64]:
        """[shape=(utterances,)]"""
        ...


@dataclass(frozen=True, slots=True)
class _EpochPlan:
    batches: list[PlannedBatch]
    symbols: list[int]
    """label symbols of each batch"""


class TrainingPlan:
    """The batches of all epochs, a function of lengths and settings alone.

    The learning rate needs the number of batches of all epochs before the first step. It follows from how many
    utterances have each length, so the memory taken grows with the utterances of one epoch, not with the epochs.

    Parameters
    ----------
    lengths : Lengths
    epochs : int >= 1
    frames_per_second : float
        Of the features.
    settings : TrainingConfig
    first_epoch, first_batch : int
        For a run that is extended to more epochs than it was planned for: the epoch, from 0, at which this plan
        begins, and the batches before it. Batches and epochs are numbered on; those before are not planned.
    """

    def __init__(
        self,
        lengths: Lengths,
        *,
        epochs: int,
        frames_per_second: float,
        settings: TrainingConfig,
        first_epoch: int = 0,
        first_batch: int = 0,
    ) -> None:
        self._lengths = lengths
        self._settings = settings
        self._first_epoch = first_epoch
        counted = [self._count(epoch) for epoch in range(first_epoch, epochs)]
        self.buckets = choose_buckets(counted, frames_per_second=frames_per_second, settings=settings)
        """the shapes of the batches, from the shortest to the longest"""
        in_epoch = [count_batches(one, self.buckets) for one in counted]
        # The number of batches before each epoch from the first on, and of all.
        self._starts = list(itertools.accumulate(in_epoch, initial=first_batch))
        self.steps_per_epoch = (self.total - first_batch) // settings.accumulate / (epochs - first_epoch)
        """full steps of the optimizer, on average"""
        self._kept: dict[int, _EpochPlan] = {}

    def _count(self, epoch: int) -> LengthCounts:
        return LengthCounts.of(self._lengths.frame_counts(epoch), self._lengths.symbol_counts(epoch))

    @property
    def total(self) -> int:
        """Batches of all epochs."""
        return self._starts[-1]

    @property
    def steps(self) -> int:
        """Full steps of the optimizer in all epochs: of `accumulate` batches each."""
        return self.total // self._settings.accumulate

    def batches_before(self, epoch: int) -> int:
        """Batches of the epochs before one."""
        return self._starts[epoch - self._first_epoch]

    def batches_in(self, epoch: int) -> int:
        """Batches of an epoch."""
        return self.batches_before(epoch + 1) - self.batches_before(epoch)

    def epoch(self, epoch: int) -> list[PlannedBatch]:
        """The batches of an epoch, in order."""
        return self._epoch(epoch).batches

    def _epoch(self, epoch: int) -> _EpochPlan:
        if epoch not in self._kept:
            batches = plan_epoch(self._lengths.frame_counts(epoch), self.buckets, epoch, self._settings)
            symbols = self._lengths.symbol_counts(epoch)
            while len(self._kept) >= _EPOCHS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[epoch] = _EpochPlan(batches, [int(symbols[list(one.indices)].sum()) for one in batches])
        return self._kept[epoch]

    def batches_from(self, first: int) -> Iterator[tuple[int, PlannedBatch]]:
        """The epoch and the plan of every batch of the training from a number on, counted from 0."""
        for epoch in range(self._epoch_of(first), self._first_epoch + len(self._starts) - 1):
            for planned in self.epoch(epoch)[max(0, first - self.batches_before(epoch)) :]:
                yield epoch, planned

    def _epoch_of(self, batch: int) -> int:
        """The epoch of a batch of the training; the number of epochs for those past the last."""
        return self._first_epoch + bisect.bisect_right(self._starts, batch) - 1

    def step_symbols(self, step: int) -> int:
        """Label symbols of all batches of a step of the optimizer that this plan has; they may belong to two epochs."""
        first = step * self._settings.accumulate
        total = 0
        for batch in range(max(first, self._starts[0]), min(first + self._settings.accumulate, self.total)):
            epoch = self._epoch_of(batch)
            total += self._epoch(epoch).symbols[batch - self.batches_before(epoch)]
        return total

    def padding_share(self, epoch: int, *, fixed_shapes: bool) -> float:
        """The share of an epoch's frames that is padding.

        Parameters
        ----------
        epoch : int
        fixed_shapes : bool
            Whether batches are padded to the planned shape; otherwise to their longest utterance.
        """
        batches, counts = self.epoch(epoch), self._lengths.frame_counts(epoch)
        if not fixed_shapes:
            batches = [
                PlannedBatch(one.indices, Shape(len(one.indices), int(counts[list(one.indices)].max()), 1))
                for one in batches
            ]
        return padding_share(batches, counts)
