"""Which utterances share a batch, how long its rows are, and how its arrays are put together.

Utterances are sorted into a few buckets of fixed shape, so that compilers and fused kernels, which prepare themselves
for every shape anew, meet few. The bounds of the buckets are chosen to make the padding least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.audio.features import Frames
from asr.settings.training import TrainingConfig

# Lengths between which the bounds of buckets are sought.
_CANDIDATES = 128
# Full batches that a bucket holds on average, at least: of less data, more buckets would mean more padding, not less.
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
    """the same in phones, for a model that has an output layer over them [shape=(batch, symbols)]"""
    phone_counts: npt.NDArray[np.int32] | None = None
    """[shape=(batch,)]"""


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """Utterances that will share a batch."""

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
        Empty rows and padding are added up to it. What is longer stays whole.
    phones : sequence of sequences of int, optional
        The labels in phones. Both kinds of labels are padded to one width.

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


def make_buckets(
    frame_counts: npt.ArrayLike,
    symbol_counts: npt.ArrayLike,
    *,
    utterances: int,
    frames_per_second: float,
    settings: TrainingConfig,
) -> list[Shape]:
    """The shapes of batches, from the shortest to the longest, for which utterances need least padding.

    Parameters
    ----------
    frame_counts : array of int [shape=(lengths,)]
        Every length that an utterance may have, one entry for each utterance and speed.
    symbol_counts : array of int [shape=(lengths,)]
        The label symbols that belong to them.
    utterances : int
        Among which there will be that many buckets at most as fill with batches.
    frames_per_second : float
        Of the features.
    settings : TrainingConfig
        `batch_size` and `batch_seconds` bound every shape, `buckets` their number; rows are a multiple of `devices`.

    Returns
    -------
    list of Shape
        A row of the last holds the longest utterance, whatever `batch_seconds`.
    """
    order = np.argsort(np.asarray(frame_counts), kind="stable")
    lengths = np.asarray(frame_counts)[order]
    longest_labels = np.maximum.accumulate(np.asarray(symbol_counts)[order])
    shapes = []
    most = max(1, min(settings.buckets, utterances // (_BATCHES_IN_BUCKET * settings.batch_size)))
    for last in _least_padding(lengths, most):
        # A decoder may give a few samples more or less than a header promises: two frames to spare.
        frames = int(lengths[last]) + 2
        rows = min(settings.batch_size, int(settings.batch_seconds * frames_per_second / frames))
        rows = max(1, rows // settings.devices) * settings.devices
        shapes.append(Shape(rows, frames, max(1, int(longest_labels[last]))))
    return shapes


def _least_padding(lengths: npt.NDArray[np.int_], most: int) -> list[int]:
    """Positions in sorted lengths of the last member of each bucket, by dynamic programming over some candidates."""
    count = len(lengths)
    ends = np.unique(np.linspace(0, count, min(count, _CANDIDATES) + 1).astype(int))[1:] - 1
    ends = np.unique(np.searchsorted(lengths, lengths[ends], side="right") - 1)  # equal lengths stay together
    starts = np.concatenate([[0], ends + 1])
    # cost[i, j]: frames of candidates i to j padded to the length of j
    cost = (ends[None, :] + 1 - starts[:-1, None]) * lengths[ends][None, :].astype(float)
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
        bounds.append(int(ends[position]))
        position = first[position] - 1
        if position < 0:
            break
    return bounds[::-1]


def plan_epoch(
    frame_counts: npt.ArrayLike, buckets: Sequence[Shape], epoch: int, settings: TrainingConfig
) -> list[PlannedBatch]:
    """The batches of one epoch of training, in order; a function of its arguments alone.

    Parameters
    ----------
    frame_counts : array of int [shape=(utterances,)]
        As they are in this epoch.
    buckets : sequence of Shape
        From `make_buckets`.
    epoch : int >= 0
    settings : TrainingConfig
        Its seed decides the company and the order; the first epoch runs from short to long if `sorted_first_epoch`.

    Returns
    -------
    list of PlannedBatch
        Every utterance is in exactly one. All are full, but for one at most: what is left over in a bucket goes up to
        the next.
    """
    rng = np.random.default_rng([settings.seed, epoch])
    lengths = np.asarray(frame_counts)
    ascending = epoch == 0 and settings.sorted_first_epoch
    order = np.argsort(lengths, kind="stable") if ascending else rng.permutation(len(lengths))
    places = np.minimum(np.searchsorted([shape.frames for shape in buckets], lengths[order]), len(buckets) - 1)
    batches: list[PlannedBatch] = []
    waiting: list[int] = []
    for number, shape in enumerate(buckets):
        waiting += order[places == number].tolist()
        last = number == len(buckets) - 1
        while len(waiting) >= shape.rows or (last and waiting):
            batches.append(PlannedBatch(tuple(waiting[: shape.rows]), shape))
            waiting = waiting[shape.rows :]
    if not ascending:
        rng.shuffle(batches)
    return batches


def padding_share(batches: Sequence[PlannedBatch], frame_counts: npt.ArrayLike) -> float:
    """The share of the frames in planned batches that is padding."""
    lengths = np.asarray(frame_counts)
    padded = sum(batch.shape.rows * batch.shape.frames for batch in batches)
    return 1 - float(sum(lengths[list(batch.indices)].sum() for batch in batches)) / padded
