"""Gives the batches of an epoch in order, prepared ahead of time by child processes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from asr.corpus.batching import PlannedBatch
from asr.errors import TrainingError
from asr.processes import ChildEndedError, Pool
from asr.training.examples import Examples, Prepared

_WORKER = "asr.training.worker:make_worker"
# Batches ready or under way for each process: enough to even out short and long ones.
_AHEAD = 3


class Feed:
    """A source of batches. Close it, or use it as a context.

    Parameters
    ----------
    examples : Examples
    workers : int >= 0
        Processes; with 0 every batch is prepared when it is asked for.
    fixed_shapes : bool
        Whether batches are padded to the shapes of the plan.
    may_be_empty : bool
        Whether a batch may have no utterance, as the part that one of several ranks gets.
    """

    def __init__(self, examples: Examples, *, workers: int, fixed_shapes: bool, may_be_empty: bool = False) -> None:
        self._examples = examples
        self._fixed_shapes = fixed_shapes
        self._may_be_empty = may_be_empty
        self._count = workers
        self._workers = Pool(_WORKER, examples)
        for _ in range(workers):
            self._workers.start()
        self._threads = ThreadPoolExecutor(max(1, workers), thread_name_prefix="feed")
        self.waited_seconds = 0.0
        """time that the consumer has spent waiting for batches"""

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._workers.close()
        self._threads.shutdown()

    def batches(self, jobs: Iterable[tuple[int, PlannedBatch]]) -> Iterator[Prepared]:
        """The batches of some pairs of epoch and plan, in their order.

        Raises
        ------
        AudioError
            If none of a batch's recordings can be read.
        TrainingError
            If a process has died.
        """
        if not self._count:
            for epoch, planned in jobs:
                started = time.monotonic()
                prepared = self._examples.prepare(
                    planned, epoch, fixed_shape=self._fixed_shapes, may_be_empty=self._may_be_empty
                )
                self.waited_seconds += time.monotonic() - started
                yield prepared
            return
        waiting: deque[Future[Prepared]] = deque()
        ahead = _AHEAD * self._count + 1
        try:
            for epoch, planned in jobs:
                waiting.append(self._threads.submit(self._prepare, planned, epoch))
                if len(waiting) == ahead:
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        finally:
            for future in waiting:
                future.cancel()

    def _next(self, waiting: deque[Future[Prepared]]) -> Prepared:
        started = time.monotonic()
        prepared = waiting.popleft().result()
        self.waited_seconds += time.monotonic() - started
        return prepared

    def _prepare(self, planned: PlannedBatch, epoch: int) -> Prepared:
        try:
            prepared: Prepared = self._workers.ask((planned, epoch, self._fixed_shapes, self._may_be_empty))
        except ChildEndedError as error:
            raise TrainingError(
                f"a process that prepares batches has ended ({error}): if memory ran out, lower training.workers; "
                "training.workers=0 prepares them in the training process"
            ) from error
        return prepared
