"""The rows of a batch that each of several ranks computes, and what the ranks must know of each other's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asr.corpus.batching import PlannedBatch, collate
from asr.errors import TrainingError
from asr.training.distributed import Ranks
from asr.training.examples import Examples, Prepared


@dataclass(frozen=True, slots=True)
class BatchShare:
    """What a rank has of a batch."""

    rows: int
    """utterances of the whole batch, which are its rows on a single rank"""
    own_rows: npt.NDArray[np.int64]
    """numbers among these of the rank's rows [shape=(rows of the rank,)]"""
    symbols: int
    """label symbols of the whole batch"""
    left_out: tuple[str, ...]
    """why utterances are missing in it, on any rank"""
    notes: tuple[str, ...]
    """other messages of all ranks"""


def rows_of(planned: PlannedBatch, ranks: Ranks) -> PlannedBatch:
    """The utterances of a planned batch that this rank computes: of N ranks, every N-th.

    The rows of a batch are of similar length, so ranks get similar amounts of work.
    """
    if ranks.count == 1:
        return planned
    return replace(planned, indices=planned.indices[ranks.rank :: ranks.count])


def agree_on_batch(
    ranks: Ranks, planned: PlannedBatch, prepared: Prepared, examples: Examples
) -> tuple[Prepared, BatchShare]:
    """Exchange what the ranks have of a batch, and pad this rank's rows to the longest of all ranks.

    Parameters
    ----------
    ranks : Ranks
    planned : PlannedBatch
        The whole batch.
    prepared : Prepared
        This rank's part.
    examples : Examples
        That made it.

    Returns
    -------
    prepared : Prepared
    share : BatchShare

    Raises
    ------
    TrainingError
        If no recording of the whole batch can be read.
    """
    parts = ranks.gather(summary(prepared))
    present = {index for indices, *_ in parts for index in indices}
    places = {index: row for row, index in enumerate(one for one in planned.indices if one in present)}
    left_out = tuple(message for *_, messages, _ in parts for message in messages)
    if not places:
        raise TrainingError(f"no recording of a batch can be read: {left_out[-1]}")
    share = BatchShare(
        rows=len(places),
        # A rank without an utterance has one row that holds none, whose mask does not matter.
        own_rows=np.array([places[index] for index in prepared.indices] or [0]),
        symbols=sum(symbols for _, _, symbols, _, _ in parts),
        left_out=left_out,
        notes=tuple(message for *_, messages in parts for message in messages),
    )
    return replace(prepared, batch=examples.pad(prepared.batch, max(frames for _, frames, *_ in parts))), share


def summary(prepared: Prepared) -> tuple[tuple[int, ...], int, int, tuple[str, ...], tuple[str, ...]]:
    """What other ranks need to know of a part: utterances, frames of a row, label symbols, messages."""
    batch = prepared.batch
    symbols = int(batch.label_counts.sum())
    return prepared.indices, batch.frames.shape[1], symbols, prepared.left_out, prepared.notes


def join_parts(planned: PlannedBatch, parts: Sequence[Prepared]) -> Prepared:
    """The whole batch from the parts of all ranks."""
    rows = {}
    for part in parts:
        batch = part.batch
        for row, index in enumerate(part.indices):
            spoken = None
            if batch.phones is not None and batch.phone_counts is not None:
                spoken = batch.phones[row, : batch.phone_counts[row]].tolist()
            label = batch.labels[row, : batch.label_counts[row]].tolist()
            rows[index] = batch.frames[row, : batch.frame_counts[row]], label, spoken
    indices = tuple(index for index in planned.indices if index in rows)
    chosen = [rows[index] for index in indices]
    phones = [one for *_, one in chosen if one is not None]
    batch = collate([one for one, _, _ in chosen], [one for _, one, _ in chosen], phones=phones or None)
    return Prepared(batch, indices, tuple(message for part in parts for message in part.left_out))
