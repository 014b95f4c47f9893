"""Which utterances share a batch, and how their arrays are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.audio.features import Frames
from asr.config import TrainingConfig

# Durations are blurred by this share before sorting, so that the company of an utterance changes from epoch to epoch
# while its batch still holds little padding.
_BLUR = 0.08


@dataclass(frozen=True, slots=True)
class Batch:
    """Utterances padded to one length, with their true lengths."""

    frames: npt.NDArray[np.float32]
    """[shape=(batch, frames, mels)], 0 past an utterance's end"""
    frame_counts: npt.NDArray[np.int32]
    """[shape=(batch,)]"""
    labels: npt.NDArray[np.int32]
    """[shape=(batch, symbols)], 0 past a label's end"""
    label_counts: npt.NDArray[np.int32]
    """[shape=(batch,)]"""


def collate(frames: Sequence[Frames], labels: Sequence[Sequence[int]]) -> Batch:
    """Pad utterances to the longest.

    Parameters
    ----------
    frames : sequence of float32 [shape=(frames, mels)]
    labels : sequence of sequences of int
        One for each utterance; empty ones are allowed.

    Returns
    -------
    Batch
    """
    frame_counts = np.array([len(one) for one in frames], np.int32)
    label_counts = np.array([len(one) for one in labels], np.int32)
    padded_frames = np.zeros((len(frames), frame_counts.max(), frames[0].shape[1]), np.float32)
    padded_labels = np.zeros((len(labels), max(1, label_counts.max())), np.int32)
    for row, (one, label) in enumerate(zip(frames, labels, strict=True)):
        padded_frames[row, : len(one)] = one
        padded_labels[row, : len(label)] = label
    return Batch(padded_frames, frame_counts, padded_labels, label_counts)


def plan_batches(seconds: Sequence[float], settings: TrainingConfig) -> list[list[int]]:
    """Batches of utterances of similar length, from the shortest to the longest.

    Parameters
    ----------
    seconds : sequence of float
        Duration of each utterance.
    settings : TrainingConfig
        `batch_size` and `batch_seconds` bound every batch; an utterance longer than that is a batch of its own.

    Returns
    -------
    list of lists of int
        Indices into `seconds`, each in exactly one batch.
    """
    batches: list[list[int]] = []
    # Ascending, so that the newest member of a batch is its longest and sets the padded length.
    for index in np.argsort(np.asarray(seconds), kind="stable").tolist():
        full = not batches or (
            len(batches[-1]) == settings.batch_size or seconds[index] * (len(batches[-1]) + 1) > settings.batch_seconds
        )
        if full:
            batches.append([])
        batches[-1].append(index)
    return batches


def plan_epoch(seconds: Sequence[float], epoch: int, settings: TrainingConfig) -> list[list[int]]:
    """The batches of one epoch of training, in order; a function of its arguments alone.

    Parameters
    ----------
    seconds : sequence of float
        Duration of each utterance.
    epoch : int >= 0
    settings : TrainingConfig
        Its seed decides the company and the order; the first epoch runs from short to long if `sorted_first_epoch`.

    Returns
    -------
    list of lists of int
        Indices into `seconds`, each in exactly one batch.
    """
    rng = np.random.default_rng([settings.seed, epoch])
    blurred = np.asarray(seconds) * rng.uniform(1 - _BLUR, 1 + _BLUR, len(seconds))
    batches = plan_batches(blurred.tolist(), settings)
    if epoch > 0 or not settings.sorted_first_epoch:
        rng.shuffle(batches)
    return batches
