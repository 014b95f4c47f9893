"""The jobs of `asr.recognition.pool` in the parent: recordings that are read, streams that are fed."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.audio.load import Samples, StreamResampler
from asr.audio.reader_process import Block
from asr.audio.readers import Readers
from asr.audio.segment import AudioSource
from asr.errors import AudioError
from asr.recognition.live_events import LiveEvent
from asr.recognition.pipeline import check_samples
from asr.recognition.pool_worker import DecodedStretch, RecordingStart, SliceAnswer, SliceRequest, StreamStart
from asr.settings.decoding import DecoderConfig
from asr.settings.live import LiveConfig
from asr.text.transcript import Transcript

# Of a recording, read at once; of a stream, sent at once.
_READ_SECONDS, _SENT_SECONDS = 20.0, 0.5
# Events that wait for their reader, before the stream is no longer advanced.
_MOST_EVENTS = 1000
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """How one recording is transcribed."""

    decoder: DecoderConfig | None = None
    """instead of the pool's: `AutoConfig(hotwords=["Kathleen"])`"""
    channel: str = "mix"
    """"mix" or the number of a channel, from 1"""
    track: int | None = None
    """number of an audio track, from 1"""


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How one stream is recognised."""

    decoder: DecoderConfig | None = None
    """instead of the pool's"""
    live: LiveConfig | None = None
    """instead of the pool's"""
    sample_rate: int | None = None
    """Hz; that of the bundle by default"""


class Job(ABC):
    """What a worker is asked to advance."""

    def __init__(self, *, wake: Callable[[], None], on_end: Callable[[Job], None]) -> None:
        self.number = next(_numbers)
        self._wake, self._on_end = wake, on_end
        self.is_started = False
        """whether the worker knows it"""
        self.is_ended = False
        self.error: BaseException | None = None
        self.done_seconds = 0.0
        """of its audio that are recognised"""
        self._is_idle = True

    @property
    @abstractmethod
    def is_ready(self) -> bool:
        """Whether a worker can advance it now."""

    @abstractmethod
    def request(self) -> SliceRequest:
        """The next slice of work; called when it is ready."""

    def take(self, answer: SliceAnswer) -> None:
        """Take what the slice gave."""
        if self.is_ended:
            return
        self._is_idle = answer.is_idle
        self.done_seconds = answer.done_seconds
        if answer.error is not None:
            self.end(answer.error)

    def end(self, error: BaseException | None = None) -> None:
        """End the job; a second call does nothing."""
        if not self.is_ended:
            self.is_ended, self.error = True, error
            self._released()
            self._on_end(self)

    @abstractmethod
    def _released(self) -> None:
        """Free what the job holds, and release those who wait for it."""


class RecordingJob(Job):
    """A recording that is transcribed.

    Parameters
    ----------
    source : AudioSource
    options : RecordingOptions
    readers : Readers
    sample_rate : int > 0
        Hz of the model.
    submit : callable
        Runs a function in a thread.
    wake : callable
        Called when a worker can advance it.
    on_end : callable
        Called when it ends.
    progress, on_segment : callable, optional
        As for `Pool.transcribe`.
    """

    def __init__(
        self,
        source: AudioSource,
        options: RecordingOptions,
        readers: Readers,
        *,
        sample_rate: int,
        submit: Callable[[Callable[[], Any]], asyncio.Future[Any]],
        wake: Callable[[], None],
        on_end: Callable[[Job], None],
        progress: Callable[[float, float], object] | None,
        on_segment: Callable[[DecodedStretch], object] | None,
    ) -> None:
        super().__init__(wake=wake, on_end=on_end)
        self._source, self._options, self._readers, self._rate = source, options, readers, sample_rate
        self._submit, self._progress, self._on_segment = submit, progress, on_segment
        self.is_known = False
        """whether its length was looked up"""
        self.worker: object | None = None
        """which has begun it"""
        self.promised_seconds = 0.0
        """its length by its header; 0 if that is unknown"""
        self.result: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()
        self._stopped = threading.Event()
        self._blocks: Iterator[Block] | None = None
        self._read: tuple[Samples, tuple[str, ...], bool] | None = None
        self._is_reading = False
        self._is_read = False

    async def probe(self) -> None:
        """Find out how long the recording is."""
        self.promised_seconds = await self._submit(self._probe)
        self.is_known = True
        self._wake()

    def _probe(self) -> float:
        try:
            return self._readers.probe(self._source)
        except AudioError:  # which the reading of it raises again
            return 0.0

    @property
    def remaining_seconds(self) -> float:
        """Of audio that is not transcribed yet. Where the length is unknown, as much as is transcribed."""
        return max(self.promised_seconds - self.done_seconds, 0.0) if self.promised_seconds else self.done_seconds

    @property
    def is_open(self) -> bool:
        """Whether a process reads it."""
        return self._blocks is not None and not self._is_read

    @property
    def is_ready(self) -> bool:
        return not self.is_ended and (not self._is_idle or self._read is not None)

    @property
    def wants_reading(self) -> bool:
        """Whether its next block may be read."""
        return not (self.is_ended or self._is_reading or self._is_read or self._read is not None)

    def read(self) -> None:
        """Begin to read the next block."""
        self._is_reading = True
        self._submit(self._next).add_done_callback(self._take_block)

    def _next(self) -> tuple[Samples, tuple[str, ...], bool]:
        """In a thread: some blocks in one, the notes, and whether they are the last."""
        if self._blocks is None:
            self._blocks = self._readers.read(
                self._source,
                sample_rate=self._rate,
                channel=self._options.channel,
                track=self._options.track,
                stopped=self._stopped,
            )
        parts: list[Samples] = [np.zeros(0, np.float32)]
        notes: tuple[str, ...] = ()
        for block in self._blocks:
            parts.append(block.samples)
            notes = block.notes
            if sum(map(len, parts)) >= _READ_SECONDS * self._rate:
                return np.concatenate(parts), notes, False
        return np.concatenate(parts), notes, True

    def _take_block(self, reading: asyncio.Future[tuple[Samples, tuple[str, ...], bool]]) -> None:
        self._is_reading = False
        if self.is_ended:
            reading.exception()
            self._close()
        elif (error := reading.exception()) is not None:
            self.end(error)
        else:
            self._read = reading.result()
            self._is_read = self._read[2]
            self._wake()

    def request(self) -> SliceRequest:
        start = None if self.is_started else RecordingStart(self._source, self._options.decoder)
        self.is_started = True
        if not self._is_idle or self._read is None:
            return SliceRequest(self.number, start)
        (samples, notes, last), self._read = self._read, None
        return SliceRequest(self.number, start, samples, self._rate, last, notes)

    def take(self, answer: SliceAnswer) -> None:
        super().take(answer)
        if self.is_ended:
            return
        try:
            for result in answer.results:
                if isinstance(result, DecodedStretch) and self._on_segment is not None:
                    self._on_segment(result)
            if self._progress is not None:
                share = self.done_seconds / self.promised_seconds if self.promised_seconds else 0.0
                self._progress(self.done_seconds, min(1.0, share))
        except Exception as error:  # of the caller's function: it ends the caller's job, not the pool
            self.end(error)
            return
        for result in answer.results:
            if isinstance(result, Transcript):
                self.result.set_result(result)
                self.end()

    def _released(self) -> None:
        self._stopped.set()
        self._read = None
        if not self._is_reading:
            self._close()
        if not self.result.done():
            if self.error is None:
                self.result.cancel()
            else:
                self.result.set_exception(self.error)
                self.result.exception()  # it need not be waited for

    def _close(self) -> None:
        blocks, self._blocks = self._blocks, None
        if blocks is not None and not self._is_read:
            self._submit(blocks.close)  # type: ignore[attr-defined]  # of a generator


class PooledSession(Job):
    """A live stream in a pool: what `asr.Session` is in one process. `Pool.open_session` makes it.

    The events are those of `asr.Session`; how the stream is divided into blocks changes nothing. One coroutine at a
    time may push, and one may read the events.
    """

    def __init__(
        self,
        options: StreamOptions,
        live: LiveConfig,
        *,
        sample_rate: int,
        most_waiting_seconds: float,
        wake: Callable[[], None],
        on_end: Callable[[Job], None],
        on_delay: Callable[[float], object] | None,
    ) -> None:
        super().__init__(wake=wake, on_end=on_end)
        self._options, self._live, self._rate = options, live, sample_rate
        StreamResampler(sample_rate, sample_rate)  # refuses a rate that is too low
        self._most_waiting, self._on_delay = most_waiting_seconds, on_delay
        self._waiting: deque[tuple[Samples, float]] = deque()
        self._waiting_samples = 0
        self._oldest_sent = self._newest_sent = time.monotonic()
        self._missing = live.interval_seconds
        self._is_last = False
        self._is_last_sent = False
        self._events: deque[LiveEvent] = deque()
        self._changed, self._opened, self._room, self._ended = (asyncio.Event() for _ in range(4))
        self.in_speech = False
        """whether a segment has begun and not ended"""

    @property
    def waiting_seconds(self) -> float:
        """Of audio that was pushed and is not sent to the worker yet."""
        return self._waiting_samples / self._rate

    @property
    def delay(self) -> float:
        """For how long the oldest audio waits that could be recognised, in seconds."""
        return time.monotonic() - self.since if self.is_ready else 0.0

    @property
    def since(self) -> float:
        """When the oldest audio that is not recognised came, by `time.monotonic`."""
        return self._waiting[0][1] if self._is_idle and self._waiting else self._oldest_sent

    @property
    def is_ready(self) -> bool:
        if self.is_ended:
            return False
        if not self.is_started or not self._is_idle:
            return True
        if self._is_last:
            return not self._is_last_sent
        return len(self._events) < _MOST_EVENTS and self.waiting_seconds >= self._missing - 1e-6

    async def opened(self) -> None:
        """Wait until a worker has the session."""
        await self._opened.wait()
        self._raise()

    async def push(
        self, samples: npt.NDArray[np.floating] | npt.NDArray[np.int16], sample_rate: int | None = None
    ) -> None:
        """Give the next samples. Returns at once, unless too much audio waits already: then it waits, too.

        Parameters
        ----------
        samples : float [shape=(samples,)], full scale being 1, or int16
        sample_rate : int, optional
            Hz; a value can only be given to have it compared with that of the session.

        Raises
        ------
        AudioError
            If they are not samples of one channel, or of another rate. The session can go on.
        WorkerEndedError
            If the worker process has ended.
        PoolClosedError
            If the pool has ended the session.
        RuntimeError
            After `finish` or `cancel`.
        """
        self._raise()
        if self._is_last or self.is_ended:
            raise RuntimeError("this session is finished")
        if sample_rate is not None and sample_rate != self._rate:
            raise AudioError("samples", f"have {sample_rate} Hz, and the stream has {self._rate} Hz")
        values = np.asarray(samples)
        if values.dtype == np.int16:
            values = values.astype(np.float32) / 32768
        checked, size = check_samples(values), math.ceil(_SENT_SECONDS * self._rate)
        for start in range(0, len(checked), size):
            block = checked[start : start + size]
            while self._waiting_samples and self.waiting_seconds + len(block) / self._rate > self._most_waiting:
                self._room.clear()
                await self._room.wait()
                self._raise()
                if self.is_ended:
                    return
            self._waiting.append((block, time.monotonic()))
            self._waiting_samples += len(block)
            if self.is_ready:
                self._wake()

    async def events(self) -> AsyncIterator[LiveEvent]:
        """The events as they come; ends after `finish` or `cancel`.

        Raises
        ------
        AsrError
            What ended the session early.
        """
        while True:
            while self._events:
                event = self._events.popleft()
                if len(self._events) < _MOST_EVENTS <= len(self._events) + 1:
                    self._wake()
                yield event
            self._raise()
            if self.is_ended:
                return
            self._changed.clear()
            await self._changed.wait()

    async def finish(self) -> None:
        """Recognise what is left, and end the session: `events` has the rest. A second call waits for the same.

        Raises
        ------
        AsrError
            What ended the session early.
        """
        if not self._is_last:
            self._is_last = True
            if self._is_idle:
                self._oldest_sent = time.monotonic()
            self._wake()
        await self._ended.wait()
        self._raise()

    def cancel(self) -> None:
        """End the session at once, without its last events."""
        self._events.clear()
        self.end()

    def request(self) -> SliceRequest:
        start = None
        if not self.is_started:
            start, self.is_started = StreamStart(self._options.decoder, self._live), True
        if not self._is_idle or not (self._waiting or self._is_last):
            return SliceRequest(self.number, start)
        parts, count, limit = [], 0, max(self._missing, _SENT_SECONDS) * self._rate
        self._oldest_sent = self._waiting[0][1] if self._waiting else time.monotonic()
        self._newest_sent = self._oldest_sent
        while self._waiting and count < limit:
            block, self._newest_sent = self._waiting.popleft()
            parts.append(block)
            count += len(block)
        self._waiting_samples -= count
        self._room.set()
        self._is_last_sent = self._is_last and not self._waiting
        samples = np.concatenate(parts) if parts else None
        return SliceRequest(self.number, start, samples, self._rate, self._is_last_sent)

    def take(self, answer: SliceAnswer) -> None:
        self._missing = answer.missing_seconds
        super().take(answer)
        self._opened.set()
        if self.is_ended:
            return
        self._events.extend(answer.results)
        for event in answer.results:
            if event.type in ("speech_started", "speech_ended"):
                self.in_speech = event.type == "speech_started"
        if self._is_idle and self._on_delay is not None and self.done_seconds:
            self._on_delay(time.monotonic() - self._newest_sent)
        if self._is_idle and self._is_last_sent:
            self.end()
        self._changed.set()

    def _released(self) -> None:
        self._waiting.clear()
        self._waiting_samples = 0
        for event in (self._changed, self._opened, self._room, self._ended):
            event.set()

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error
