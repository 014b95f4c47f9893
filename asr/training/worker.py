"""The child process of `asr.training.feed`: prepares batches."""

from __future__ import annotations

from collections.abc import Callable

from asr.corpus.batching import PlannedBatch
from asr.training.examples import Examples, Prepared

Job = tuple[PlannedBatch, int, bool, bool]
"""the batch, its epoch, whether to pad it to the planned shape, whether it may be empty"""


def make_worker(examples: Examples) -> Callable[[Job], Prepared]:
    """The handler of a worker process."""

    def prepare(job: Job) -> Prepared:
        planned, epoch, fixed_shape, may_be_empty = job
        return examples.prepare(planned, epoch, fixed_shape=fixed_shape, may_be_empty=may_be_empty)

    return prepare
