"""Which utterances form a batch, how long its rows are, and how its arrays are filled.

Utterances are sorted into a few buckets of fixed shape, because compilers and fused kernels prepare separately for
every shape. Bounds and rows of the buckets are chosen so that little of a batch is padding.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asr.audio.features import Frames
from asr.settings.training import TrainingConfig

# A decoder may return a few samples more or fewer than the header states: so many frames are kept in reserve.
_RESERVE = 2
# Lengths among which the bounds of buckets are chosen.
_CANDIDATES = 128
# The share of padding up to which batches have as many rows as `batch_size` allows; with less data, they have fewer.
_PADDING_SHARE = 0.099
# Where no number of rows reaches it, fewer rows are not worth a smaller gain than this.
_PADDING_GAIN = 0.02
# How far the utterances of a batch may spread in length, as a share of the longest: the choices, until one fits.
_SPREADS = (1.0, 0.4, 0.3, 0.25, 0.2, 0.16, 0.13, 0.1, 0.08, 0.06, 0.04, 0.02, 0.0)
# With fewer utterances than this, compiling for many shapes takes longer than computing the padding of a few: there are
# as many as get two batches of the rows that were asked for.
_FEW, _BATCHES_OF_FEW = 20, 2
# The longest utterances of batches are worked out for this many epochs, and for no more than this many batches of each.
_EPOCHS, _BATCHES = 20, 1000


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
    teacher: npt.NDArray[np.float32] | None = None
    """probabilities of symbols by a teacher [shape=(batch, steps, total width)], past a row's end certain blanks"""


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


def choose_buckets(
    epochs: Sequence[LengthCounts], *, frames_per_second: float, settings: TrainingConfig
) -> list[Shape]:
    """The shapes of the batches of a training, from the shortest to the longest.

    They have as many rows as `batch_size` and `batch_seconds` allow, unless the data is so little that batches of that
    size mix short and long utterances: then as many as keep the padding of every epoch below a tenth.

    Parameters
    ----------
    epochs : sequence of LengthCounts
        Of every epoch, in which the lengths may differ.
    frames_per_second : float
        Of the features.
    settings : TrainingConfig
    """
    pooled = sum(epochs[1:], start=epochs[0])
    found: list[tuple[float, list[Shape]]] = []
    count, most = int(epochs[0].utterances.sum()), settings.buckets
    if count < _FEW:
        most = max(1, min(most, count // (_BATCHES_OF_FEW * settings.batch_size)))
    for spread in _SPREADS if count >= _FEW else _SPREADS[:1]:
        rows = _row_counts(pooled, len(epochs), spread, frames_per_second=frames_per_second, settings=settings)
        longest = [_longest_of_batches(one, pooled, rows) for one in epochs[:_EPOCHS]]
        last = LengthCounts(pooled.frames[-1:], rows[-1:], pooled.symbols[-1:])
        shapes = make_buckets(sum(longest, start=last), pooled, rows, most)
        share = max(_padding_share(one, shapes) for one in epochs)
        found.append((share, shapes))
        if share <= _PADDING_SHARE:
            break
    least = min(share for share, _ in found)
    limit = _PADDING_SHARE if least <= _PADDING_SHARE else least + _PADDING_GAIN
    return next(shapes for share, shapes in found if share <= limit)


def _row_counts(
    pooled: LengthCounts, epochs: int, spread: float, *, frames_per_second: float, settings: TrainingConfig
) -> npt.NDArray[np.int64]:
    """The rows of a batch whose longest utterance has each length [shape=(lengths,)], a multiple of `devices`.

    At most as many as there are utterances in an epoch that are shorter by no more than a share of that length.
    """
    frames = pooled.frames + _RESERVE
    rows = np.minimum(settings.batch_size, settings.batch_seconds * frames_per_second // frames).astype(np.int64)
    if spread < 1:
        totals = np.concatenate([[0], np.cumsum(pooled.utterances)])
        near = totals[1:] - totals[np.searchsorted(pooled.frames, (1 - spread) * pooled.frames)]
        rows = np.minimum(rows, near // epochs)
    whole: npt.NDArray[np.int64] = np.maximum(1, rows // settings.devices) * settings.devices
    return whole


def _longest_of_batches(lengths: LengthCounts, pooled: LengthCounts, rows: npt.NDArray[np.int64]) -> LengthCounts:
    """The longest utterance of every batch of an epoch, counted once for every row, from the longest of all on.

    With many batches, those of a bucket differ little in length: then all utterances are counted.
    """
    totals = np.cumsum(lengths.utterances)
    if totals[-1] > _BATCHES * int(rows.max()):
        return lengths
    rows_of_each = rows[np.searchsorted(pooled.frames, lengths.frames)].tolist()
    weights = np.zeros_like(lengths.utterances)
    ranks, left = totals.tolist(), int(totals[-1])
    while left > 0:
        place = bisect.bisect_left(ranks, left)
        weights[place] += rows_of_each[place]
        left -= rows_of_each[place]
    kept = weights > 0
    return LengthCounts(lengths.frames[kept], weights[kept], lengths.symbols[kept])


def make_buckets(padded: LengthCounts, pooled: LengthCounts, rows: npt.NDArray[np.int64], most: int) -> list[Shape]:
    """The shapes of batches, from the shortest to the longest, for which utterances need the least padding.

    Parameters
    ----------
    padded : LengthCounts
        The lengths that are padded.
    pooled : LengthCounts
        Every length that an utterance may have, those of `padded` among them.
    rows : int array [shape=(lengths of `pooled`,)]
        The rows of a batch whose longest utterance has each length.
    most : int
        The largest number of shapes.

    Returns
    -------
    list of Shape
        A row of the last holds the longest utterance.
    """
    longest_labels = np.maximum.accumulate(pooled.symbols)
    shapes = []
    for last in _least_padding(padded, most):
        place = np.searchsorted(pooled.frames, padded.frames[last])
        frames = int(padded.frames[last]) + _RESERVE
        shapes.append(Shape(int(rows[place]), frames, max(1, int(longest_labels[place]))))
    return shapes


def _least_padding(lengths: LengthCounts, most: int) -> list[int]:
    """The longest length of each bucket, as positions in `lengths`, by dynamic programming over some candidates."""
    totals = np.cumsum(lengths.utterances)  # utterances up to each length
    last = np.arange(len(totals))  # utterances of equal length stay together
    if len(last) > _CANDIDATES:
        # As many frames between any two: quantiles of the utterances would be far apart among the few long ones.
        frames = np.cumsum(lengths.utterances * lengths.frames)
        last = np.unique(np.searchsorted(frames, np.linspace(0, frames[-1], _CANDIDATES + 1)[1:]))
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
    return sum(_batches_of_each(lengths, buckets))


def _batches_of_each(lengths: LengthCounts, buckets: Sequence[Shape]) -> list[int]:
    """The batches of each shape in an epoch."""
    in_bucket = np.zeros(len(buckets), np.int64)
    np.add.at(in_bucket, _bucket_of(lengths.frames, buckets), lengths.utterances)
    batches, free = [], 0
    for shape, utterances in zip(reversed(buckets), reversed(in_bucket.tolist()), strict=True):
        left = max(0, utterances - free)
        free -= utterances - left
        batches.append(-(-left // shape.rows))
        free += batches[-1] * shape.rows - left
    return batches[::-1]


def _padding_share(lengths: LengthCounts, buckets: Sequence[Shape]) -> float:
    """The share of the frames of an epoch that is padding."""
    counts = _batches_of_each(lengths, buckets)
    padded = sum(count * shape.rows * shape.frames for count, shape in zip(counts, buckets, strict=True))
    return 1 - float((lengths.frames * lengths.utterances).sum()) / padded


def plan_epoch(
    frame_counts: npt.ArrayLike, buckets: Sequence[Shape], epoch: int, settings: TrainingConfig
) -> list[PlannedBatch]:
    """The batches of one epoch of training, in order; a function of its arguments alone.

    Parameters
    ----------
    frame_counts : array of int [shape=(utterances,)]
        In this epoch.
    buckets : sequence of Shape
        From `choose_buckets`.
    epoch : int >= 0
    settings : TrainingConfig
        Its seed decides the composition and the order of the batches; the first epoch runs from short to long if
        `sorted_first_epoch`.

    Returns
    -------
    list of PlannedBatch
        Every utterance is in exactly one. All but one of the shortest are full: a batch that the utterances of a bucket
        do not fill takes the rest from the next shorter one.
    """
    rng = np.random.default_rng([settings.seed, epoch])
    lengths = np.asarray(frame_counts, np.int64)
    ascending = epoch == 0 and settings.sorted_first_epoch
    order = np.argsort(-lengths, kind="stable") if ascending else rng.permutation(len(lengths))
    places = _bucket_of(lengths[order], buckets)
    batches: list[PlannedBatch] = []
    for number in reversed(range(len(buckets))):
        waiting = order[places == number].tolist()
        if batches and (free := batches[-1].shape.rows - len(batches[-1].indices)):
            batches[-1] = replace(batches[-1], indices=(*batches[-1].indices, *waiting[:free]))
            waiting = waiting[free:]
        shape = buckets[number]
        starts = range(0, len(waiting), shape.rows)
        batches += [PlannedBatch(tuple(waiting[start : start + shape.rows]), shape) for start in starts]
    if ascending:
        batches.reverse()
    else:
        rng.shuffle(batches)
    return batches


def padding_share(batches: Sequence[PlannedBatch], frame_counts: npt.ArrayLike) -> float:
    """The share of the frames in planned batches that is padding."""
    lengths = np.asarray(frame_counts)
    padded = sum(batch.shape.rows * batch.shape.frames for batch in batches)
    return 1 - float(sum(lengths[list(batch.indices)].sum() for batch in batches)) / padded
