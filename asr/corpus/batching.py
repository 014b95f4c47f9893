"""Which utterances form a batch, how long its rows are, and how its arrays are filled.

Utterances are sorted into a few buckets of fixed shape, because compilers and fused kernels prepare separately for
every shape. The bounds of the buckets are chosen to minimise the padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.audio.features import Frames
from asr.settings.training import TrainingConfig

# Lengths among which the bounds of buckets are chosen.
_CANDIDATES = 128
# A bucket holds at least this many full batches on average: with less data, more buckets mean more padding, not less.
_BATCHES_IN_BUCKET = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a batch's arrays."""

    rows: int
    frames: int
    symbols: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Utterances padded to one length, with their true lengths."""

    frames: npt.NDArray[np.float32]
    """[shape=(batch, frames, mels)], 0 past an utterance's end"""
    frame_counts: npt.NDArray[np.int32]
    """[shape=(batch,)], 0 in a row that holds no utterance"""
    labels: npt.NDArray[np.int32]
    """[shape=(batch, symbols)], 0 past a label's end"""
    label_counts: npt.NDArray[np.int32]
    """[shape=(batch,)]"""
    phones: npt.NDArray[np.int32] | None = None
    """labels in phones, for a model with an output layer over phones [shape=(batch, symbols)]"""
    phone_counts: npt.NDArray[np.int32] | None = None
    """[shape=(batch,)]"""


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """The utterances of a batch, by index, and the shape of its arrays."""

    indices: tuple[int, ...]
    shape: Shape


def collate(
    frames: Sequence[Frames],
    labels: Sequence[Sequence[int]],
    shape: Shape | None = None,
    *,
    phones: Sequence[Sequence[int]] | None = None,
) -> Batch:
    """Pad utterances to the longest, or to a given shape.

    Parameters
    ----------
    frames : sequence of float32 [shape=(frames, mels)]
    labels : sequence of sequences of int
        One for each utterance; empty ones are allowed.
    shape : Shape, optional
        Empty rows and padding are added up to it. Utterances and labels that are longer are kept whole.
    phones : sequence of sequences of int, optional
        The labels in phones. Both kinds of labels are padded to the same width.

    Returns
    -------
    Batch
    """
    rows = max(len(frames), shape.rows if shape else 0)
    longest = max(map(len, [*labels, *(phones or [])]))
    width = max(1, longest, shape.symbols if shape else 0)
    frame_counts = np.zeros(rows, np.int32)
    frame_counts[: len(frames)] = [len(one) for one in frames]
    padded_frames = np.zeros(
        (rows, max(frame_counts.max(), shape.frames if shape else 0), frames[0].shape[1]), np.float32
    )
    for row, one in enumerate(frames):
        padded_frames[row, : len(one)] = one
    padded_phones = (None, None) if phones is None else _pad_labels(phones, rows, width)
    return Batch(padded_frames, frame_counts, *_pad_labels(labels, rows, width), *padded_phones)


def _pad_labels(
    labels: Sequence[Sequence[int]], rows: int, width: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Labels [shape=(rows, width)], 0 past their ends, and how long each is [shape=(rows,)]."""
    padded, counts = np.zeros((rows, width), np.int32), np.zeros(rows, np.int32)
    for row, label in enumerate(labels):
        padded[row, : len(label)], counts[row] = label, len(label)
    return padded, counts


@dataclass(frozen=True, slots=True)
class LengthCounts:
    """How many utterances have each length: all that the shapes and the number of batches depend on.

    Its size is the number of distinct lengths, however many utterances and epochs are counted.
    """

    frames: npt.NDArray[np.int64]
    """distinct lengths, ascending [shape=(lengths,)]"""
    utterances: npt.NDArray[np.int64]
    """utterances of each length [shape=(lengths,)]"""
    symbols: npt.NDArray[np.int64]
    """label symbols of the longest label among them [shape=(lengths,)]"""

    @classmethod
    def of(cls, frame_counts: npt.ArrayLike, symbol_counts: npt.ArrayLike) -> LengthCounts:
        """Count utterances by length.

        Parameters
        ----------
        frame_counts : array of int [shape=(utterances,)]
        symbol_counts : array of int [shape=(utterances,)]
            The lengths of their labels.
        """
        frame_counts = np.asarray(frame_counts, np.int64)
        return cls._sum(frame_counts, np.ones_like(frame_counts), np.asarray(symbol_counts, np.int64))

    def __add__(self, other: LengthCounts) -> LengthCounts:
        """The counts of two sets of utterances together."""
        return self._sum(
            np.concatenate([self.frames, other.frames]),
            np.concatenate([self.utterances, other.utterances]),
            np.concatenate([self.symbols, other.symbols]),
        )

    @classmethod
    def _sum(
        cls, frames: npt.NDArray[np.int64], utterances: npt.NDArray[np.int64], symbols: npt.NDArray[np.int64]
    ) -> LengthCounts:
        distinct, places = np.unique(frames, return_inverse=True)
        total, longest = np.zeros_like(distinct), np.zeros_like(distinct)
        np.add.at(total, places, utterances)
        np.maximum.at(longest, places, symbols)
        return cls(distinct, total, longest)


def make_buckets(
    lengths: LengthCounts, *, utterances: int, frames_per_second: float, settings: TrainingConfig
) -> list[Shape]:
    """The shapes of batches, from the shortest to the longest, for which utterances need the least padding.

    Parameters
    ----------
    lengths : LengthCounts
        Every length that an utterance may have: each utterance counts once for every epoch.
    utterances : int
        Utterances of an epoch. There are at most as many buckets as they fill with batches.
    frames_per_second : float
        Of the features.
    settings : TrainingConfig
        `batch_size` and `batch_seconds` bound every shape, `buckets` their number; rows are a multiple of `devices`.

    Returns
    -------
    list of Shape
        A row of the last holds the longest utterance, whatever `batch_seconds` is.
    """
    longest_labels = np.maximum.accumulate(lengths.symbols)
    shapes = []
    most = max(1, min(settings.buckets, utterances // (_BATCHES_IN_BUCKET * settings.batch_size)))
    for last in _least_padding(lengths, most):
        # A decoder may return a few samples more or fewer than the header states: two frames are kept in reserve.
        frames = int(lengths.frames[last]) + 2
        rows = min(settings.batch_size, int(settings.batch_seconds * frames_per_second / frames))
        rows = max(1, rows // settings.devices) * settings.devices
        shapes.append(Shape(rows, frames, max(1, int(longest_labels[last]))))
    return shapes


def _least_padding(lengths: LengthCounts, most: int) -> list[int]:
    """The longest length of each bucket, as positions in `lengths`, by dynamic programming over some candidates."""
    totals = np.cumsum(lengths.utterances)  # utterances up to each length
    count = int(totals[-1])
    ends = np.unique(np.linspace(0, count, min(count, _CANDIDATES) + 1).astype(int))[1:] - 1
    last = np.unique(np.searchsorted(totals, ends, side="right"))  # utterances of equal length stay together
    ends = totals[last]
    starts = np.concatenate([[0], ends])
    # cost[i, j]: frames of candidates i to j padded to the length of j
    cost = (ends[None, :] - starts[:-1, None]) * lengths.frames[last][None, :].astype(float)
    cost[np.tril_indices(len(ends), -1)] = np.inf
    best, chosen = cost[0], [np.zeros(len(ends), int)]
    for _ in range(min(most, len(ends)) - 1):
        total = np.concatenate([[np.inf], best[:-1]])[:, None] + cost
        first = total.argmin(axis=0)
        fewer = best <= total[first, np.arange(len(ends))]
        best = np.where(fewer, best, total[first, np.arange(len(ends))])
        chosen.append(np.where(fewer, -1, first))
    bounds = []
    position = len(ends) - 1
    for first in reversed(chosen):
        if first[position] < 0:
            continue
        bounds.append(int(last[position]))
        position = first[position] - 1
        if position < 0:
            break
    return bounds[::-1]


def _bucket_of(frame_counts: npt.NDArray[np.int64], buckets: Sequence[Shape]) -> npt.NDArray[np.int64]:
    """The first bucket whose rows hold each length; the last for what is longer than all [same shape]."""
    places = np.searchsorted([shape.frames for shape in buckets], frame_counts)
    return np.minimum(places, len(buckets) - 1)


def count_batches(lengths: LengthCounts, buckets: Sequence[Shape]) -> int:
    """The number of batches of an epoch that `plan_epoch` makes of utterances of these lengths."""
    in_bucket = np.zeros(len(buckets), np.int64)
    np.add.at(in_bucket, _bucket_of(lengths.frames, buckets), lengths.utterances)
    batches = waiting = 0
    for shape, utterances in zip(buckets, in_bucket.tolist(), strict=True):
        full, waiting = divmod(waiting + utterances, shape.rows)
        batches += full
    return batches + bool(waiting)


def plan_epoch(
    frame_counts: npt.ArrayLike, buckets: Sequence[Shape], epoch: int, settings: TrainingConfig
) -> list[PlannedBatch]:
    """The batches of one epoch of training, in order; a function of its arguments alone.

    Parameters
    ----------
    frame_counts : array of int [shape=(utterances,)]
        In this epoch.
    buckets : sequence of Shape
        From `make_buckets`.
    epoch : int >= 0
    settings : TrainingConfig
        Its seed decides the composition and the order of the batches; the first epoch runs from short to long if
        `sorted_first_epoch`.

    Returns
    -------
    list of PlannedBatch
        Every utterance is in exactly one. All but at most one are full: what remains of a bucket moves to the next.
    """
    rng = np.random.default_rng([settings.seed, epoch])
    lengths = np.asarray(frame_counts, np.int64)
    ascending = epoch == 0 and settings.sorted_first_epoch
    order = np.argsort(lengths, kind="stable") if ascending else rng.permutation(len(lengths))
    places = _bucket_of(lengths[order], buckets)
    batches: list[PlannedBatch] = []
    waiting: list[int] = []
    for number, shape in enumerate(buckets):
        waiting += order[places == number].tolist()
        last = number == len(buckets) - 1
        planned = len(waiting) if last else len(waiting) - len(waiting) % shape.rows
        starts = range(0, planned, shape.rows)
        batches += [PlannedBatch(tuple(waiting[start : start + shape.rows]), shape) for start in starts]
        waiting = waiting[planned:]
    if not ascending:
        rng.shuffle(batches)
    return batches


def padding_share(batches: Sequence[PlannedBatch], frame_counts: npt.ArrayLike) -> float:
    """The share of the frames in planned batches that is padding."""
    lengths = np.asarray(frame_counts)
    padded = sum(batch.shape.rows * batch.shape.frames for batch in batches)
    return 1 - float(sum(lengths[list(batch.indices)].sum() for batch in batches)) / padded
