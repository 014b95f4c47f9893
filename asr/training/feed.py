"""Hands out the batches of an epoch in order, prepared ahead of time by other processes."""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from asr.corpus.batching import PlannedBatch
from asr.errors import TrainingError
from asr.training.examples import Examples, Prepared

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
    """

    def __init__(self, examples: Examples, *, workers: int, fixed_shapes: bool) -> None:
        self._examples = examples
        self._fixed_shapes = fixed_shapes
        self._workers = [_Worker(examples) for _ in range(workers)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
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
        for worker in self._workers:
            worker.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def batches(self, jobs: Iterable[tuple[int, PlannedBatch]]) -> Iterator[Prepared]:
        """The batches of some pairs of epoch and plan, in their order.

        Raises
        ------
        AudioError
            If none of a batch's recordings can be read.
        TrainingError
            If a process has died.
        """
        if not self._workers:
            for epoch, planned in jobs:
                started = time.monotonic()
                prepared = self._examples.prepare(planned, epoch, fixed_shape=self._fixed_shapes)
                self.waited_seconds += time.monotonic() - started
                yield prepared
            return
        waiting: deque[Future[Prepared]] = deque()
        ahead = _AHEAD * len(self._workers) + 1
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
        worker = self._idle.get()
        try:
            return worker.prepare(planned, epoch, self._fixed_shapes)
        finally:
            self._idle.put(worker)


class _Worker:
    """The near end of a worker process; see `asr.training.worker` for the far one."""

    def __init__(self, examples: Examples) -> None:
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "asr.training.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | one_thread | {"PYTHONPATH": path},
            process_group=0,  # a Ctrl-C at the terminal is for the training alone
        )
        self._to_send: Examples | None = examples

    def prepare(self, planned: PlannedBatch, epoch: int, fixed_shape: bool) -> Prepared:
        """Have a batch prepared, and wait for it."""
        jobs, results = self._process.stdin, self._process.stdout
        assert jobs is not None
        assert results is not None
        try:
            if self._to_send is not None:
                pickle.dump(self._to_send, jobs)
                self._to_send = None
            pickle.dump((planned, epoch, fixed_shape), jobs)
            jobs.flush()
            result = pickle.load(results)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            self._process.kill()  # in case it goes on, out of step
            raise TrainingError(
                f"a process that prepares batches has ended (exit code {self._process.wait()}): if memory ran out, "
                "lower training.workers; training.workers=0 prepares them in the training process"
            ) from error
        if isinstance(result, Exception):
            raise result
        prepared: Prepared = result
        return prepared

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            try:
                if stream:
                    stream.close()
            except OSError:  # what was not sent yet
                pass
