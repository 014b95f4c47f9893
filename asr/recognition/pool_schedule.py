"""Which job a worker of `asr.recognition.pool` advances next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

from asr.processes import Child
from asr.recognition.pool_jobs import Job, PlannedWindow, RecordingJob
from asr.recognition.pool_session import PooledSession

# One slice of recordings in so many goes to the recording that came first: a long one is not held up for ever.
_SLICES_PER_TURN = 8
# Recordings that a worker has begun: each has a process that reads it. Short ones, which are done at once, may be more.
_MOST_BEGUN, _SHORT_SECONDS, _MOST_SHORT_BEGUN = 4, 60.0, 16


class PoolWorker:
    """A worker process and its jobs."""

    def __init__(self) -> None:
        self.child: Child | None = None
        self.is_ready = False
        self.sessions: dict[int, PooledSession] = {}
        self.files: dict[int, RecordingJob] = {}
        """recordings that it has begun"""
        self.dropped: list[int] = []
        """jobs that have ended, which the process does not know yet"""
        self.wake = asyncio.Event()
        self._slices = 1
        """of recordings"""
        self._is_turn_of_files = True

    @property
    def delay(self) -> float:
        """For how long the oldest audio of its streams waits, in seconds."""
        return max((session.delay for session in self.sessions.values()), default=0.0)

    def next_job(self, files: Iterable[RecordingJob], workers: Sequence[PoolWorker]) -> Job | None:
        """The job that is advanced next: a stream whose audio is due, or else a recording. Streams whose audio came
        faster than real time take turns with recordings.

        Parameters
        ----------
        files : iterable of RecordingJob
            All recordings of the pool.
        workers : sequence of PoolWorker
            All its workers.
        """
        ready = (session for session in self.sessions.values() if session.is_ready)
        session = min(ready, key=lambda session: session.due, default=None)
        if session is not None and (session.due <= time.monotonic() or not self._is_turn_of_files):
            self._is_turn_of_files = True
            return session
        self._is_turn_of_files = False
        return self._next_file(files, workers) or session

    def next_window(self, files: Iterable[RecordingJob]) -> tuple[RecordingJob, PlannedWindow] | None:
        """A window of a recording that this worker, which has nothing else to do, can process for the one that has the
        recording: of the recording with the shortest rest. A worker with live streams waits for their audio instead.

        Parameters
        ----------
        files : iterable of RecordingJob
            All recordings of the pool.
        """
        if self.sessions:
            return None
        for job in sorted(files, key=lambda job: (job.remaining_seconds, job.number)):
            if (window := job.window_to_help()) is not None:
                return job, window
        return None

    def _next_file(self, files: Iterable[RecordingJob], workers: Sequence[PoolWorker]) -> RecordingJob | None:
        """The recording with the shortest rest, or the oldest one; begins another one where that is better."""
        is_turn = self._slices % _SLICES_PER_TURN == 0

        def order(job: RecordingJob) -> tuple[float, int]:
            return (0.0 if is_turn else job.remaining_seconds, job.number)

        ready = [job for job in self.files.values() if job.is_ready]
        waiting = [job for job in files if job.is_known and not job.is_begun]
        if waiting:
            first = min(waiting, key=order)
            most = _MOST_BEGUN if first.remaining_seconds > _SHORT_SECONDS else _MOST_SHORT_BEGUN
            # A worker that has none takes it. If all have some: one is read while another one is transcribed, and a
            # short one interrupts a long one.
            is_free = all(one.files or not one.is_ready for one in workers)
            is_better = not ready or len(self.files) < 2 or order(first) < min(map(order, ready))
            if not self.files or (is_free and is_better and len(self.files) < most):
                self.files[first.number], first.is_begun = first, True
        for job in self.files.values():
            if job.wants_reading:
                job.read()
        if not ready:
            return None
        self._slices += 1
        return min(ready, key=order)

    def forget_session(self, session: Job) -> None:
        """A stream has ended."""
        if self.sessions.pop(session.number, None) is not None and session.is_started:
            self._drop(session)

    def forget_file(self, job: Job) -> None:
        """A recording has ended, which this worker may have begun."""
        if self.files.pop(job.number, None) is not None and job.is_started:
            self._drop(job)

    def _drop(self, job: Job) -> None:
        self.dropped.append(job.number)
        self.wake.set()
