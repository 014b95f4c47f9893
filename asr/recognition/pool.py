"""Many recordings and live streams at once on the cores of one machine, in bounded memory.

One worker process for each core answers requests of one small slice of work; this process chooses the next slice
whenever a worker is free. Live streams come first, the one whose audio has been due longest before the others. Then
come recordings, the one with the shortest rest first: a short recording overtakes a long one at once. A recording is
decoded by one worker; one that is idle runs the acoustic model over its next windows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from asr.audio.readers import Limits, Readers
from asr.audio.segment import AudioSource
from asr.bundle import Bundle, load_bundle
from asr.errors import AsrError, ConfigError, PoolClosedError, PoolFullError, WorkerEndedError
from asr.machine import available_cores
from asr.processes import Child, ChildEndedError
from asr.recognition.pool_jobs import Job, PlannedWindow, RecordingJob, RecordingOptions
from asr.recognition.pool_load import PoolLoad, RunningRatio, stream_capacity
from asr.recognition.pool_schedule import PoolWorker
from asr.recognition.pool_session import PooledSession, StreamOptions
from asr.recognition.pool_worker import (
    DecodedStretch,
    DropRequest,
    MeasureRequest,
    SliceAnswer,
    SliceRequest,
    WindowAnswer,
    WindowRequest,
    WorkerSettings,
)
from asr.recognition.windows import WindowCutter
from asr.settings.decoding import DecoderConfig
from asr.settings.live import LiveConfig
from asr.text.transcript import Transcript

_WORKER = "asr.recognition.pool_worker:make_worker"
# A slice takes a thirtieth of a second. A worker that takes so long is stuck, and is ended.
_STUCK_SECONDS = 120.0
# How soon the end of an idle worker is noticed, and how long a worker that cannot start is left alone.
_LOOK_SECONDS, _RETRY_SECONDS = 0.5, 1.0
# Reads and look-ups of lengths at once, each in a process. A decoder that hangs holds one until its timeout.
_READING_THREADS = 12
# Before anything was measured: a stream takes so many times what the acoustic model alone takes for noise, a recording
# this share of it. This counts for seconds of audio, and later the last seconds count.
_STREAM_FACTOR, _RECORDING_FACTOR = 3.0, 0.4
_PRIOR_SECONDS, _HORIZON_SECONDS = 10.0, 120.0
# A stream is late when its audio waits so long.
_LATE_SECONDS = 1.0
_RETRY_STREAM_SECONDS = 5.0


class Pool:
    """Recognises many recordings and live streams at once. Use it in an `async with` block, in one event loop.

    Parameters
    ----------
    bundle : Bundle, str or Path
        A loaded bundle, its folder, or the name of one that ships.
    decoder : DecoderConfig, optional
        The bundle's own by default.
    live : LiveConfig, optional
        Of streams that have none of their own.
    workers : int >= 0
        Processor cores to use; 0 for all.
    limits : Limits, optional
        What a recording may cost.
    max_streams : int >= 0, optional
        How many streams may be live; by default as many as the measured speed allows in real time.
    max_files : int > 0
        How many recordings may wait or be transcribed.
    max_waiting_seconds : float > 0
        How much audio of a stream may wait before `push` does.
    on_delay : callable, optional
        Called with the seconds from when audio of a stream came (or was due, if it came faster than real time) to when
        it was recognised, each time.

    Raises
    ------
    BundleError
        If the bundle cannot be loaded.
    ConfigError
        If an argument is out of its bounds.

    Examples
    --------
    >>> import asyncio
    >>> async def main() -> str:
    ...     async with Pool("en", workers=1) as pool:
    ...         return (await pool.transcribe("data/samples/422-122949-0004.opus")).text
    >>> asyncio.run(main())
    'he honours whatever he recognizes in himself such morality equals self glorification'
    """

    def __init__(
        self,
        bundle: str | Path | Bundle = "en",
        *,
        decoder: DecoderConfig | None = None,
        live: LiveConfig | None = None,
        workers: int = 0,
        limits: Limits | None = None,
        max_streams: int | None = None,
        max_files: int = 100,
        max_waiting_seconds: float = 5.0,
        on_delay: Callable[[float], object] | None = None,
    ) -> None:
        for name, value, least in (
            ("workers", workers, 0),
            ("max_streams", max_streams or 0, 0),
            ("max_files", max_files, 1),
            ("max_waiting_seconds", max_waiting_seconds, 0.1),
        ):
            if value < least:
                raise ConfigError(f"{name}={value}: it must be at least {least}")
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        self._rate = self.bundle.log_mel.settings.sample_rate
        self._live = live or LiveConfig()
        self._settings = WorkerSettings(str(self.bundle.path.absolute()), decoder)
        self._max_streams, self._max_files = max_streams, max_files
        self._max_waiting, self._on_delay = max_waiting_seconds, on_delay
        self._readers = Readers(limits)
        self._workers = [PoolWorker() for _ in range(workers or available_cores())]
        self._threads = ThreadPoolExecutor(len(self._workers), "asr-pool-worker")
        self._reading_threads = ThreadPoolExecutor(_READING_THREADS, "asr-pool-reader")
        self._files: dict[int, RecordingJob] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._is_accepting = False
        self._stream_cost = self._recording_cost = RunningRatio(1.0, weight=1.0, horizon=2.0)
        self._audio_seconds = self._computing_seconds = 0.0

    async def __aenter__(self) -> Pool:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close(finish=error is None)

    async def start(self) -> None:
        """Start the workers, and measure their speed.

        Raises
        ------
        AsrError
            If they cannot work with the bundle and the decoder.
        """
        for _ in range(len(self._workers) + 1):
            self._readers.start()  # which takes longer than to read a short recording
        try:
            costs = await asyncio.gather(*map(self._begin, self._workers))
        except BaseException:
            self._end_processes()
            raise
        cost = max(costs)
        prior = {"weight": _PRIOR_SECONDS, "horizon": _HORIZON_SECONDS}
        self._stream_cost = RunningRatio(_STREAM_FACTOR * cost, **prior)
        self._recording_cost = RunningRatio(_RECORDING_FACTOR * cost, **prior)
        self._tasks = [asyncio.create_task(self._serve(worker)) for worker in self._workers]
        self._is_accepting = True

    async def transcribe(
        self,
        path: AudioSource,
        options: RecordingOptions | None = None,
        *,
        progress: Callable[[float, float], object] | None = None,
        on_segment: Callable[[DecodedStretch], object] | None = None,
    ) -> Transcript:
        """Transcribe a recording, as `Transcriber.transcribe` does. To cancel it, cancel the task that waits.

        Parameters
        ----------
        path : str, Path or AudioSegment
        options : RecordingOptions, optional
        progress : callable, optional
            Called with the seconds that are done, and their share (0 if unknown).
        on_segment : callable, optional
            Called with the text and words of each stretch of the recording, in order, as soon as it is decoded. The
            text of the recording consists of theirs, with separators between those that are not empty.

        Raises
        ------
        AudioError
            If the recording cannot be read.
        ConfigError
            If a hot word cannot be spelled.
        PoolFullError
            If too many recordings wait already.
        PoolClosedError
            If the pool is closed, or is closed before the recording is done.
        WorkerEndedError
            If the worker process ends.
        """
        self._check_accepting()
        if len(self._files) >= self._max_files:
            raise PoolFullError(
                f"{len(self._files)} recordings wait or are transcribed, and max_files is {self._max_files}",
                self.load.wait_seconds,
            )
        job = RecordingJob(
            path,
            options or RecordingOptions(),
            self._readers,
            sample_rate=self._rate,
            cutter=WindowCutter(self._rate, self.bundle.log_mel.settings.hop_samples * self.bundle.model.subsampling),
            submit=partial(_submit, self._reading_threads),
            wake=self._wake_all,
            on_end=self._forget_file,
            progress=progress,
            on_segment=on_segment,
        )
        self._files[job.number] = job
        try:
            await job.probe()
            return await job.result
        finally:
            job.end()

    async def open_session(
        self, options: StreamOptions | None = None, *, instead_of: PooledSession | None = None
    ) -> PooledSession:
        """Begin a live stream.

        Parameters
        ----------
        options : StreamOptions, optional
        instead_of : PooledSession, optional
            A session that this one follows: it ends, if it has not, and its place is free for this one.

        Raises
        ------
        AudioError
            If the sample rate is too low for speech.
        ConfigError
            If a hot word cannot be spelled.
        PoolFullError
            If the stream could not be kept in real time.
        PoolClosedError
            If the pool is closed.
        WorkerEndedError
            If the worker process ends.
        """
        self._check_accepting()
        if instead_of is not None:
            instead_of.cancel()
        worker = min(self._workers, key=lambda one: len(one.sessions))
        if instead_of is None:
            self._check_room(worker)
        options = options or StreamOptions()
        session = PooledSession(
            options,
            options.live or self._live,
            sample_rate=options.sample_rate or self._rate,
            most_waiting_seconds=self._max_waiting,
            wake=worker.wake.set,
            on_end=worker.forget_session,
            on_delay=self._on_delay,
        )
        worker.sessions[session.number] = session
        worker.wake.set()
        try:
            await session.opened()
        except BaseException:
            session.cancel()
            raise
        return session

    @property
    def load(self) -> PoolLoad:
        """How much work the pool has now, and how fast it is."""
        ready = sum(worker.is_ready for worker in self._workers)
        waiting = sum(job.remaining_seconds for job in self._files.values())
        streams = sum(len(worker.sessions) for worker in self._workers)
        speed = len(self._workers) / self._recording_cost.value
        busy = min(0.9, streams * self._stream_cost.value / len(self._workers))
        return PoolLoad(
            workers=ready,
            files=len(self._files),
            waiting_seconds=waiting,
            speed=speed,
            wait_seconds=waiting / (speed * (1 - busy)),
            live_streams=streams,
            live_capacity=self._capacity,
            live_delay=max((worker.delay for worker in self._workers), default=0.0),
            audio_seconds=self._audio_seconds,
            computing_seconds=self._computing_seconds,
        )

    @property
    def pids(self) -> list[int]:
        """The worker processes."""
        return [worker.child.pid for worker in self._workers if worker.child is not None]

    async def close(self, *, finish: bool = True) -> None:
        """End the pool. A second call waits for the first one, or with finish=False ends it.

        Parameters
        ----------
        finish : bool
            Whether what was begun is finished first: recordings are transcribed, streams get their last events.
            Otherwise all of it ends with `PoolClosedError`.
        """
        self._is_accepting = False
        if finish:
            await self._finish_all()
        for job in self._jobs():
            job.end(PoolClosedError("the pool was closed"))
        for task in self._tasks:
            task.cancel()
        self._end_processes()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _finish_all(self) -> None:
        sessions = [session for worker in self._workers for session in worker.sessions.values()]
        ends: set[asyncio.Future[Any]] = {asyncio.ensure_future(session.finish()) for session in sessions}
        ends |= {job.result for job in self._files.values()}
        if ends:
            done, _ = await asyncio.wait(ends)
            for one in done:
                if not one.cancelled():
                    one.exception()  # which is for those who wait for the job

    def _end_processes(self) -> None:
        for worker in self._workers:
            if worker.child is not None:
                worker.child.close()
                worker.is_ready = False
        self._readers.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._reading_threads.shutdown(wait=False, cancel_futures=True)

    def _check_accepting(self) -> None:
        if not self._is_accepting:
            raise PoolClosedError("the pool is closed")

    @property
    def _capacity(self) -> int:
        if self._max_streams is not None:
            return self._max_streams
        return stream_capacity(self._stream_cost.value, len(self._workers))

    def _check_room(self, worker: PoolWorker) -> None:
        """Refuse a stream that could not be kept in real time."""
        streams, cost = sum(len(one.sessions) for one in self._workers), self._stream_cost.value
        if streams >= self._capacity:
            limit = (
                f"a second of speech takes {cost:.2f} s of a core"
                if self._max_streams is None
                else f"max_streams is {self._max_streams}"
            )
            raise PoolFullError(f"{streams} streams are live, and {limit}", _RETRY_STREAM_SECONDS)
        if worker.delay > _LATE_SECONDS:
            raise PoolFullError(
                f"a live stream is {worker.delay:.1f} s late: another one would be, too", _RETRY_STREAM_SECONDS
            )

    def _jobs(self) -> list[Job]:
        return [*self._files.values(), *(session for worker in self._workers for session in worker.sessions.values())]

    def _wake_all(self) -> None:
        for worker in self._workers:
            worker.wake.set()

    async def _begin(self, worker: PoolWorker) -> float:
        """Start the process of a worker, and measure its speed."""
        ask = asyncio.get_running_loop().run_in_executor
        worker.child = await ask(self._threads, Child, _WORKER, self._settings)
        try:
            cost: float = await ask(self._threads, partial(worker.child.ask, MeasureRequest(self._live)))
        except (ChildEndedError, TimeoutError) as error:
            raise WorkerEndedError(f"a worker process ended while it started ({error})") from None
        worker.is_ready = True
        return cost

    async def _serve(self, worker: PoolWorker) -> None:
        try:
            await self._work(worker)
        except Exception as error:  # a fault of this package: no job waits for ever
            self._is_accepting = False
            for job in self._jobs():
                job.end(error)
            raise

    async def _work(self, worker: PoolWorker) -> None:
        """Have a worker do slice after slice."""
        while True:
            assert worker.child is not None
            if not worker.child.usable:
                await self._replace(worker, worker.child.exit_reason())
            elif worker.dropped:
                dropped, worker.dropped = tuple(worker.dropped), []
                await self._ask(worker, DropRequest(dropped))
            elif (job := worker.next_job(self._files.values(), self._workers)) is not None:
                await self._advance(worker, job)
            elif (found := worker.next_window(self._files.values())) is not None:
                await self._help(worker, *found)
            else:
                worker.wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await worker.wake.wait()

    async def _advance(self, worker: PoolWorker, job: Job) -> None:
        """Have a worker do a slice of a job."""
        request, before = job.request(), job.done_seconds
        was_speech = isinstance(job, PooledSession) and job.in_speech
        answer: SliceAnswer | None = await self._ask(worker, request)
        if answer is None:
            return
        job.take(answer)
        audio = max(0.0, answer.done_seconds - before)
        self._audio_seconds += audio
        self._computing_seconds += answer.computing_seconds
        if request.start is not None or answer.is_preparing:
            return  # a decoder may have been made
        if isinstance(job, PooledSession):
            if was_speech or job.in_speech:  # silence takes less
                self._stream_cost.add(answer.computing_seconds, audio)
        else:
            self._recording_cost.add(answer.computing_seconds, audio)

    async def _help(self, worker: PoolWorker, job: RecordingJob, planned: PlannedWindow) -> None:
        """Have a worker process a window of a recording that another worker decodes."""
        planned.is_taken = True
        answer: WindowAnswer | None = await self._ask(worker, WindowRequest(planned.window))
        planned.is_taken = False
        if answer is None or answer.output is None:
            planned.is_refused = True
        else:
            planned.output = answer.output
            self._computing_seconds += answer.computing_seconds
            self._recording_cost.add(answer.computing_seconds, 0.0)
        if not job.is_ended:
            self._wake_all()

    async def _ask(self, worker: PoolWorker, request: SliceRequest | WindowRequest | DropRequest) -> Any:
        """The answer of a worker; None if it has ended, and another one is there now."""
        assert worker.child is not None
        ask = partial(worker.child.ask, request, timeout=_STUCK_SECONDS)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except ChildEndedError as error:
            await self._replace(worker, str(error))
        except TimeoutError:
            await self._replace(worker, f"it was stuck for {_STUCK_SECONDS:g} s")
        return None

    async def _replace(self, worker: PoolWorker, reason: str) -> None:
        """Start a new process for a worker whose process has ended. Its jobs are lost."""
        worker.is_ready = False
        worker.dropped.clear()
        for job in [*worker.sessions.values(), *worker.files.values()]:
            if job.is_started:
                job.end(WorkerEndedError(f"the worker process ended ({reason})"))
        while not worker.is_ready:
            assert worker.child is not None
            worker.child.close()
            try:
                await self._begin(worker)
            except AsrError as error:
                if not any(one.is_ready for one in self._workers):
                    for one in self._jobs():
                        one.end(WorkerEndedError(f"no worker process can be started ({error})"))
                await asyncio.sleep(_RETRY_SECONDS)

    def _forget_file(self, job: Job) -> None:
        self._files.pop(job.number, None)
        for worker in self._workers:
            worker.forget_file(job)


def _submit(threads: ThreadPoolExecutor, work: Callable[[], Any]) -> asyncio.Future[Any]:
    return asyncio.get_running_loop().run_in_executor(threads, work)
