"""A live stream in `asr.recognition.pool`: takes samples from its sender, and has events for its reader."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.audio.load import Samples, StreamResampler
from asr.errors import AudioError
from asr.recognition.live_events import LiveEvent
from asr.recognition.pipeline import check_samples
from asr.recognition.pool_jobs import Job
from asr.recognition.pool_worker import SliceAnswer, SliceRequest, StreamStart
from asr.settings.decoding import DecoderConfig
from asr.settings.live import LiveConfig

# Of a stream, sent to the worker at once.
_SENT_SECONDS = 0.5
# Audio may come so much before its time: senders begin with what they have recorded already. Audio that comes faster
# than real time for longer, as when a recording is sent, is due later: at so many seconds of it in a second.
_EARLY_SECONDS, _DUE_PACE = 2.0, 1.25
# A stream whose decoder is being made lets others pass for so long.
_PREPARING_SECONDS = 0.05
# Events that wait for their reader, before the stream is no longer advanced.
_MOST_EVENTS = 1000


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How one stream is recognised."""

    decoder: DecoderConfig | None = None
    """instead of the pool's"""
    live: LiveConfig | None = None
    """instead of the pool's"""
    sample_rate: int | None = None
    """Hz; that of the bundle by default"""


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
        """blocks, and when they are due"""
        self._waiting_samples = 0
        self._sent_due = self._last_sent_due = time.monotonic()
        self._next_due = self._sent_due - _EARLY_SECONDS
        self._missing = live.interval_seconds
        self._is_last = False
        self._is_last_sent = False
        self._is_asked = False  # a worker works on it now
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
        """For how long audio has been due that could be recognised, in seconds."""
        return max(0.0, time.monotonic() - self.due) if self.is_ready else 0.0

    @property
    def due(self) -> float:
        """When the oldest audio that is not recognised is due, by `time.monotonic`: when it came, or later."""
        return self._waiting[0][1] if self._is_idle and self._waiting else self._sent_due

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
            now = time.monotonic()
            self._next_due = max(self._next_due, now - _EARLY_SECONDS)
            self._waiting.append((block, max(self._next_due, now)))
            self._next_due += len(block) / self._rate / _DUE_PACE
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

    async def recognised(self) -> list[LiveEvent]:
        """Wait until all that was pushed is recognised, as far as it can be before more comes.

        Returns
        -------
        list of LiveEvent
            The events until then that were not taken before. For those who take them so, and not from `events`.

        Raises
        ------
        AsrError
            What ended the session early.
        """
        events: list[LiveEvent] = []
        while True:
            events += self._events
            self._events.clear()
            if self.is_ended or not (self._is_asked or self.is_ready):
                break
            self._wake()  # it may have had too many events
            self._changed.clear()
            await self._changed.wait()
        self._raise()
        return events

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
                self._sent_due = time.monotonic()
            self._wake()
        await self._ended.wait()
        self._raise()

    def cancel(self) -> None:
        """End the session at once, without its last events."""
        self._events.clear()
        self.end()

    def request(self) -> SliceRequest:
        self._is_asked = True
        start = None
        if not self.is_started:
            start, self.is_started = StreamStart(self._options.decoder, self._live), True
        if not self._is_idle or not (self._waiting or self._is_last):
            return SliceRequest(self.number, start)
        parts, count, limit = [], 0, max(self._missing, _SENT_SECONDS) * self._rate
        self._sent_due = self._waiting[0][1] if self._waiting else time.monotonic()
        self._last_sent_due = self._sent_due
        while self._waiting and count < limit:
            block, self._last_sent_due = self._waiting.popleft()
            parts.append(block)
            count += len(block)
        self._waiting_samples -= count
        self._room.set()
        self._is_last_sent = self._is_last and not self._waiting
        samples = np.concatenate(parts) if parts else None
        return SliceRequest(self.number, start, samples, self._rate, last=self._is_last_sent)

    def take(self, answer: SliceAnswer) -> None:
        self._is_asked = False
        self._missing = answer.missing_seconds
        super().take(answer)
        if self.is_ended:
            return
        if answer.is_preparing:  # streams whose decoder is there come first
            self._sent_due = time.monotonic() + _PREPARING_SECONDS
            return
        self._opened.set()
        self._events.extend(answer.results)
        for event in answer.results:
            if event.type in ("speech_started", "speech_ended"):
                self.in_speech = event.type == "speech_started"
        if self._is_idle and self._on_delay is not None and self.done_seconds:
            self._on_delay(max(0.0, time.monotonic() - self._last_sent_due))
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
