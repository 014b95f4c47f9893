"""The worker process of `asr.recognition.pool`: advances recordings and streams, one slice of work per request."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Protocol

import numpy as np

from asr.audio.load import Samples
from asr.audio.segment import AudioSource
from asr.bundle import load_bundle
from asr.errors import AudioError
from asr.processes import Handler
from asr.recognition.live_events import LiveEvent
from asr.recognition.pipeline import WindowOutput
from asr.recognition.session import Session
from asr.recognition.streamed_recording import StreamedRecording
from asr.recognition.transcriber import Transcriber
from asr.recognition.windows import Window
from asr.settings.decoding import DecoderConfig
from asr.settings.live import LiveConfig
from asr.slices import Result, Slices
from asr.text.transcript import Transcript, Word

_SLICE_SECONDS = 0.03
"""after which a slice ends at the next pause of its work"""
# Transcribers with decoders of their own (hot words) that are kept: where a hot word is new to the lexicon, making one
# takes a third of a second.
_KEPT_TRANSCRIBERS = 2
# Of noise, on which the cost of the acoustic model is measured: the first seconds warm up.
_WARM_SECONDS, _MEASURED_SECONDS = 0.5, 1.5


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The first message to a worker."""

    bundle: str
    decoder: DecoderConfig | None


@dataclass(frozen=True, slots=True)
class RecordingStart:
    """Begins a recording."""

    source: AudioSource
    decoder: DecoderConfig | None


@dataclass(frozen=True, slots=True)
class StreamStart:
    """Begins a live stream."""

    decoder: DecoderConfig | None
    live: LiveConfig


@dataclass(frozen=True, slots=True)
class SliceRequest:
    """Asks for a slice of work on a job. New samples or windows come only when the job has no work left."""

    job: int
    start: RecordingStart | StreamStart | None = None
    """with the first slice of a job"""
    samples: Samples | None = None
    """of a stream"""
    sample_rate: int = 0
    """Hz of the samples"""
    _: KW_ONLY
    windows: tuple[tuple[Window, WindowOutput | None], ...] = ()
    """of a recording, with the output of the acoustic model where another worker has computed it"""
    last: bool = False
    """whether the job ends with these samples or windows"""
    seconds: float = 0.0
    """the length of a recording that ends"""
    notes: tuple[str, ...] = ()
    """of a recording that ends"""

    @property
    def is_new_work(self) -> bool:
        """Whether something comes with it, or the job ends."""
        return self.samples is not None or bool(self.windows) or self.last


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """Asks for the output of the acoustic model for a window of a recording that another worker transcribes."""

    window: Window


@dataclass(frozen=True, slots=True)
class WindowAnswer:
    """What became of the window."""

    output: WindowOutput | None
    """None after an error: the worker that transcribes the recording finds it, too"""
    computing_seconds: float


@dataclass(frozen=True, slots=True)
class DropRequest:
    """Says that some jobs have ended."""

    jobs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DecodedStretch:
    """A stretch of a recording, in order."""

    text: str
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class SliceAnswer:
    """What a slice gave."""

    results: list[Any]
    """`LiveEvent` of a stream; `DecodedStretch` and at the end `Transcript` of a recording"""
    is_idle: bool
    """whether all samples that came are worked off"""
    computing_seconds: float
    done_seconds: float
    """of the job's audio that are recognised"""
    missing_seconds: float
    """of audio, before a stream can be advanced again"""
    error: Exception | None = None
    """which ended the job"""
    is_preparing: bool = False
    """whether the job waits for its decoder, which is being made: others can be advanced meanwhile"""


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """Asks for the core-seconds that the acoustic model takes for a second of a live stream."""

    live: LiveConfig


def make_worker(settings: WorkerSettings) -> Handler:
    """The handler of a worker."""
    return _Worker(settings).answer


class _Job(Protocol):
    """A job of a worker: `work` is what is left of what has come."""

    @property
    def done_seconds(self) -> float: ...

    @property
    def missing_seconds(self) -> float: ...

    def push(self, request: SliceRequest) -> Iterator[Any]: ...


class _Preparing:
    """A job whose decoder is being made."""

    done_seconds = missing_seconds = 0.0

    def push(self, request: SliceRequest) -> Iterator[Any]:
        raise AssertionError(f"job {request.job} is not idle")


_NOT_PREPARED = object()
"""what such a job yields"""


class _Recording:
    def __init__(self, transcriber: Transcriber, start: RecordingStart) -> None:
        self._recording = StreamedRecording(transcriber, start.source)
        self._shown = 0
        self.missing_seconds = 0.0

    @property
    def done_seconds(self) -> float:
        return self._recording.done_seconds

    def push(self, request: SliceRequest) -> Iterator[DecodedStretch | Transcript | None]:
        yield from self._watched(self._recording.push_windows(request.windows))
        if request.last:
            ending = self._recording.finish_windows(request.seconds, request.notes)
            transcript: Transcript = yield from self._watched(ending)
            yield transcript

    def _watched(self, work: Slices[Result]) -> Generator[DecodedStretch | None, None, Result]:
        """Work with its pauses, and the stretches that it decodes."""
        while True:
            try:
                next(work)
            except StopIteration as end:
                result: Result = end.value
                return result
            for text, words in self._recording.decoded(self._shown):
                self._shown += 1
                yield DecodedStretch(text, words)
            yield None


class _Stream:
    def __init__(self, transcriber: Transcriber, start: StreamStart) -> None:
        self._transcriber, self._live = transcriber, start.live
        self._session: Session | None = None
        self._rate = 0

    @property
    def done_seconds(self) -> float:
        return self._session.position if self._session else 0.0

    @property
    def missing_seconds(self) -> float:
        return self._session.missing_seconds if self._session else self._live.interval_seconds

    def push(self, request: SliceRequest) -> Iterator[LiveEvent | None]:
        if request.samples is not None:
            if self._session is None:
                self._rate = request.sample_rate
                self._session = Session(self._transcriber, sample_rate=self._rate, live=self._live)
            if request.sample_rate != self._rate:
                raise AudioError("samples", f"have {request.sample_rate} Hz, and the stream began with {self._rate} Hz")
            yield from self._session.push_in_slices(request.samples)
        if request.last and self._session is not None:
            yield from self._session.finish_in_slices()


class _Worker:
    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._bundle = load_bundle(settings.bundle)
        self._engine = self._bundle.engine()
        self._default = self._make_transcriber(settings.decoder)
        self._others: OrderedDict[str, Transcriber] = OrderedDict()
        self._making: dict[str, Future[Transcriber]] = {}
        self._maker = ThreadPoolExecutor(1)
        self._jobs: dict[int, tuple[_Job, Iterator[Any]]] = {}

    def answer(
        self, request: SliceRequest | WindowRequest | DropRequest | MeasureRequest
    ) -> SliceAnswer | WindowAnswer | float | None:
        match request:
            case SliceRequest():
                return self._advance(request)
            case WindowRequest():
                return self._run_window(request.window)
            case MeasureRequest():
                return self._measure(request.live)
            case DropRequest():
                for number in request.jobs:
                    self._jobs.pop(number, None)
        return None

    def _advance(self, request: SliceRequest) -> SliceAnswer:
        started = time.monotonic()
        try:
            if request.start is not None:
                self._start(request, request.start)
            elif request.is_new_work:
                job, _ = self._jobs[request.job]
                self._jobs[request.job] = (job, job.push(request))
            results, is_idle, is_preparing = [], True, False
            for result in self._jobs[request.job][1]:
                if result is _NOT_PREPARED:
                    is_idle, is_preparing = False, True
                    break
                if result is not None:
                    results.append(result)
                elif time.monotonic() - started >= _SLICE_SECONDS:
                    is_idle = False
                    break
            job, _ = self._jobs[request.job]
        except Exception as error:  # of whatever kind, it ends this job and no other
            self._jobs.pop(request.job, None)
            return SliceAnswer([], True, time.monotonic() - started, 0.0, 0.0, error)
        seconds = time.monotonic() - started
        return SliceAnswer(results, is_idle, seconds, job.done_seconds, job.missing_seconds, is_preparing=is_preparing)

    def _run_window(self, window: Window) -> WindowAnswer:
        started = time.monotonic()
        try:
            # The frames are of no use for a text.
            output = replace(self._default.pipeline.run_window(window), frames=None)
        except Exception:
            return WindowAnswer(None, time.monotonic() - started)
        return WindowAnswer(output, time.monotonic() - started)

    def _start(self, request: SliceRequest, start: RecordingStart | StreamStart) -> None:
        """Begin a job, with the samples of its first request."""
        key = f"{type(start.decoder).__name__} {start.decoder!r}"
        if start.decoder is None or start.decoder == self._settings.decoder:
            self._jobs[request.job] = _begun(request, start, self._default)
        elif key in self._others:
            self._others.move_to_end(key)
            self._jobs[request.job] = _begun(request, start, self._others[key])
        else:
            self._jobs[request.job] = (_Preparing(), self._prepare(request, start, key))

    def _prepare(self, request: SliceRequest, start: RecordingStart | StreamStart, key: str) -> Iterator[Any]:
        """Begin a job when its decoder is made, in a thread: other streams would be late if it were made at once."""
        making = self._making.get(key)
        if making is None:
            making = self._making[key] = self._maker.submit(self._make_transcriber, start.decoder, self._default)
        while not wait([making], timeout=_SLICE_SECONDS).done:
            yield _NOT_PREPARED
        self._making.pop(key, None)
        transcriber = self._others[key] = making.result()
        if len(self._others) > _KEPT_TRANSCRIBERS:
            self._others.popitem(last=False)
        job, work = _begun(request, start, transcriber)
        self._jobs[request.job] = (job, self._jobs[request.job][1])  # the work goes on in this generator
        yield from work

    def _make_transcriber(self, decoder: DecoderConfig | None, base: Transcriber | None = None) -> Transcriber:
        return Transcriber(self._bundle, decoder=decoder, workers=1, engine=self._engine, base=base)

    def _measure(self, live: LiveConfig) -> float:
        session, rate = Session(self._default, live=live), self._bundle.log_mel.settings.sample_rate
        noise = np.random.default_rng(0).standard_normal(round((_WARM_SECONDS + _MEASURED_SECONDS) * rate)) / 10
        session.push(noise[: round(_WARM_SECONDS * rate)])
        started = time.process_time()
        session.push(noise[round(_WARM_SECONDS * rate) :])
        return (time.process_time() - started) / _MEASURED_SECONDS


def _begun(
    request: SliceRequest, start: RecordingStart | StreamStart, transcriber: Transcriber
) -> tuple[_Job, Iterator[Any]]:
    """A job, and its work on the samples of its first request."""
    job: _Job
    job = _Stream(transcriber, start) if isinstance(start, StreamStart) else _Recording(transcriber, start)
    return job, job.push(request) if request.is_new_work else iter(())
