"""The jobs of `asr.recognition.pool` in the parent process: what they have in common, and recordings."""

from __future__ import annotations

import asyncio
import itertools
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from asr.audio.reader_process import Block
from asr.audio.readers import Readers
from asr.audio.segment import AudioSource
from asr.errors import AudioError
from asr.recognition.pipeline import WindowOutput
from asr.recognition.pool_worker import DecodedStretch, RecordingStart, SliceAnswer, SliceRequest
from asr.recognition.windows import Window, WindowCutter
from asr.settings.decoding import DecoderConfig
from asr.text.transcript import Transcript

# Of a recording, read at once, and windows that may wait for workers. A window has up to 12 seconds, the first 36.
_READ_SECONDS, _WINDOWS_AHEAD = 20.0, 8
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


@dataclass
class PlannedWindow:
    """A window of a recording, which its worker decodes in order. An idle worker can run the acoustic model before."""

    window: Window
    output: WindowOutput | None = None
    is_taken: bool = False
    """whether another worker computes its output now"""
    is_refused: bool = False
    """whether another worker failed with it, and its own worker has to do it"""


@dataclass(frozen=True, slots=True)
class _Read:
    """What one reading gave."""

    windows: list[Window]
    notes: tuple[str, ...]
    is_last: bool
    seconds: float
    """of the recording so far"""


class RecordingJob(Job):
    """A recording that is transcribed.

    Parameters
    ----------
    source : AudioSource
    options : RecordingOptions
    readers : Readers
    sample_rate : int > 0
        Hz of the model.
    cutter : WindowCutter
        Cuts it into windows for the model.
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
        cutter: WindowCutter,
        submit: Callable[[Callable[[], Any]], asyncio.Future[Any]],
        wake: Callable[[], None],
        on_end: Callable[[Job], None],
        progress: Callable[[float, float], object] | None,
        on_segment: Callable[[DecodedStretch], object] | None,
    ) -> None:
        super().__init__(wake=wake, on_end=on_end)
        self._source, self._options, self._readers, self._rate = source, options, readers, sample_rate
        self._cutter = cutter
        self._submit, self._progress, self._on_segment = submit, progress, on_segment
        self.is_known = False
        """whether its length was looked up"""
        self.is_begun = False
        """whether a worker has it"""
        self.promised_seconds = 0.0
        """its length by its header; 0 if that is unknown"""
        self.result: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()
        self._stopped = threading.Event()
        self._blocks: Iterator[Block] | None = None
        self._windows: deque[PlannedWindow] = deque()
        """that are not sent to the worker yet"""
        self._notes: tuple[str, ...] = ()
        self._is_reading = False
        self._is_read = False
        self._is_last_sent = False
        self._read_seconds = 0.0

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
    def is_ready(self) -> bool:
        if self.is_ended or not self._is_idle:
            return not self.is_ended
        return not self._windows[0].is_taken if self._windows else self._is_read and not self._is_last_sent

    @property
    def wants_reading(self) -> bool:
        """Whether its next block may be read."""
        is_over = self.is_ended or self._is_reading or self._is_read
        return not is_over and len(self._windows) < _WINDOWS_AHEAD

    def window_to_help(self) -> PlannedWindow | None:
        """The first window that another worker can process. The very first one is for its own worker, unless that one
        still decodes what was before."""
        if self.is_ended:
            return None
        first = 1 if self._is_idle and self._windows and not self._windows[0].is_taken else 0
        waiting = itertools.islice(self._windows, first, None)
        return next((one for one in waiting if one.output is None and not (one.is_taken or one.is_refused)), None)

    def read(self) -> None:
        """Begin to read the next block."""
        self._is_reading = True
        self._submit(self._next).add_done_callback(self._take_block)

    def _next(self) -> _Read:
        """In a thread: the windows of some blocks."""
        if self._blocks is None:
            self._blocks = self._readers.read(
                self._source,
                sample_rate=self._rate,
                channel=self._options.channel,
                track=self._options.track,
                stopped=self._stopped,
            )
        windows, enough = list[Window](), self._cutter.samples + _READ_SECONDS * self._rate
        for block in self._blocks:
            windows += self._cutter.push(block.samples)
            self._notes = block.notes
            if self._cutter.samples >= enough:
                return _Read(windows, self._notes, False, self._cutter.samples / self._rate)
        windows += self._cutter.finish()
        return _Read(windows, self._notes, True, self._cutter.samples / self._rate)

    def _take_block(self, reading: asyncio.Future[_Read]) -> None:
        self._is_reading = False
        if self.is_ended:
            reading.exception()
            self._close()
        elif (error := reading.exception()) is not None:
            self.end(error)
        else:
            read = reading.result()
            self._windows += map(PlannedWindow, read.windows)
            self._is_read, self._read_seconds = read.is_last, read.seconds
            self._wake()

    def request(self) -> SliceRequest:
        start = None if self.is_started else RecordingStart(self._source, self._options.decoder)
        self.is_started = True
        if not self._is_idle:
            return SliceRequest(self.number, start)
        # One window, so that others are left to idle workers, and those whose output is there already.
        sent: list[tuple[Window, WindowOutput | None]] = []
        while self._windows and (not sent or self._windows[0].output is not None):
            one = self._windows.popleft()
            sent.append((one.window, one.output))
        self._is_last_sent = self._is_read and not self._windows
        return SliceRequest(
            self.number,
            start,
            windows=tuple(sent),
            last=self._is_last_sent,
            seconds=self._read_seconds,
            notes=self._notes if self._is_last_sent else (),
        )

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
        self._windows.clear()
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
