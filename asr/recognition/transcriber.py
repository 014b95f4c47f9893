"""Turns recordings into transcripts, with any acoustic model that gives log-probabilities.

Reading, hearing and decoding go on at the same time: readers are processes (`asr.audio.readers`), each fed by a thread
that cuts what it reads into windows; a pool of threads runs the model over windows; the caller's thread joins them and
decodes. All of them take turns on as many processor cores as one asked for.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Literal, TypeVar, overload

import numpy as np

from asr.acoustic.runtime import AcousticModel
from asr.audio.features import Frames
from asr.audio.load import LARGEST_VALUE, Samples
from asr.audio.readers import Readers
from asr.audio.segment import AudioSegment, AudioSource
from asr.bundle import Bundle
from asr.decoding import Decoder, Hypothesis, decoder_kind, make_decoder
from asr.decoding.confidence import word_features
from asr.errors import AudioError, BundleError, ConfigError, LanguageModelError
from asr.machine import available_cores
from asr.recognition.window_queues import WindowQueues
from asr.recognition.windows import LogProbs, Stitcher, Stretch, Window, WindowCutter, is_silent
from asr.settings.decoding import AutoConfig, DecoderConfig, GreedyConfig
from asr.text.alphabet import BLANK
from asr.text.transcript import Transcript, Word

Part = TypeVar("Part")

# Stretches that are decoded together: a beam search gains by company, a greedy one only makes the first result late.
_STRETCHES_AT_ONCE, _STRETCHES_AT_ONCE_BEAM = 1, 32
# Recordings that are begun before they are needed, at least.
_FILES_AHEAD = 8
# Bytes of windows that may wait for the model or the decoder, whatever the number of recordings.
_BYTES_AHEAD, _BYTES_AHEAD_PER_CORE = 64 << 20, 2 << 20


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording, as the model heard it."""

    path: str
    duration: float
    """seconds"""
    stretches: tuple[Stretch, ...]
    """one behind the other; silence is left out"""
    notes: tuple[str, ...] = ()
    """as of a `Transcript`"""

    def log_probs(self) -> LogProbs:
        """All steps from the first one on [shape=(steps, symbols)], with sure blanks where there is silence."""
        blocks = self.blocks()
        return np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)

    def blocks(self) -> list[LogProbs]:
        """The same without a copy: consecutive blocks [shape=(steps, symbols)], which must not be changed."""
        blocks: list[LogProbs] = []
        position = 0
        for one in self.stretches:
            if one.first_step > position:
                blank = np.full(one.log_probs.shape[1], -np.inf, np.float32)
                blank[BLANK] = 0
                blocks.append(np.broadcast_to(blank, (one.first_step - position, len(blank))))
            blocks.append(one.log_probs)
            position = one.first_step + len(one.log_probs)
        return blocks


@dataclass(frozen=True, slots=True)
class Recognition:
    """All results of one pass of the network over a recording."""

    transcripts: tuple[Transcript, ...]
    """of every decoder"""
    heard: Heard
    """the output layer that the first decoder reads"""
    frames: Frames | None
    """log-mel frames of the whole recording before normalisation [shape=(frames, mels)], if they were asked for"""


@dataclass(frozen=True, slots=True)
class _WindowOutput:
    """The output of the network for a window."""

    window: Window
    frames: Frames | None
    """before normalisation; None for silence"""
    log_probs: LogProbs | None
    """of all output layers; None for silence"""

    def layer(self, output: slice) -> LogProbs | None:
        """The log-probabilities of one output layer."""
        return None if self.log_probs is None else self.log_probs[:, output]


@dataclass(frozen=True, slots=True)
class _End:
    """Nothing more comes of a recording."""

    duration: float
    notes: tuple[str, ...] = ()


_Waiting = tuple[Window, Future[_WindowOutput], float]
"""a window, the output of the network, and the seconds of its recording by the header, or 0"""


@dataclass
class _Writing:
    """A recording whose stretches are being decoded."""

    source: AudioSource
    stretches: int = 0
    decoded: list[tuple[list[tuple[str, float]], tuple[Word, ...]]] = field(default_factory=list)
    """of each stretch its texts with their scores, best first, and the words of the first"""
    outcome: _End | AudioError | None = None
    kept: list[Stretch] = field(default_factory=list)
    """the stretches, if they are wanted afterwards"""

    @property
    def complete(self) -> bool:
        return isinstance(self.outcome, AudioError) or (
            self.outcome is not None and len(self.decoded) == self.stretches
        )


Progress = Callable[[int, float, float], object]
"""told the number of a recording, the seconds of it that the model has heard, and their share (0 where unknown)"""


class Transcriber:
    """Transcribes recordings with a bundle. Close it, or use a `with` block, to end its processes.

    Without that they end when it is no longer used. Any number of threads may use it at once.

    Parameters
    ----------
    bundle : Bundle
    decoder : DecoderConfig, optional
        The bundle's own by default.
    channel : str
        "mix" or the number of a channel, from 1.
    track : int > 0, optional
        The number of an audio track, from 1; the default one of each recording by default.
    workers : int >= 0
        Processor cores to use; 0 for all.
    engine : AcousticModel, optional
        Another way to run the model; ONNX Runtime on the bundle's graph by default.
    readers : Readers, optional
        Those that read the recordings; processes of its own by default.

    Examples
    --------
    >>> from asr import load_bundle, Transcriber
    >>> with Transcriber(load_bundle("en")) as transcriber:
    ...     transcript = transcriber.transcribe("data/samples/422-122949-0004.opus")
    >>> transcript.words[2].text, transcript.duration
    ('whatever', 6.985)
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        decoder: DecoderConfig | None = None,
        channel: str = "mix",
        track: int | None = None,
        workers: int = 0,
        engine: AcousticModel | None = None,
        readers: Readers | None = None,
    ) -> None:
        self.bundle = bundle
        decoder = decoder or AutoConfig()
        if isinstance(decoder, AutoConfig):
            decoder = decoder.resolve(bundle.decoder)
        try:
            self._decoder = make_decoder(
                bundle.alphabet,
                decoder,
                priors=bundle.priors,
                normalizer=bundle.normalizer,
                phones=bundle.phones,
            )
        except (ConfigError, LanguageModelError) as error:
            if decoder is not bundle.decoder:
                raise
            raise BundleError(f"{bundle.path}: the decoder of the bundle cannot be used: {error}") from error
        self._calibration = bundle.confidence.get(decoder_kind(decoder))
        self._output = bundle.output_for(decoder)
        self._at_once = _STRETCHES_AT_ONCE if isinstance(decoder, GreedyConfig) else _STRETCHES_AT_ONCE_BEAM
        self._channel, self._track = channel, track
        self._workers = workers or available_cores()
        self._cores = threading.Semaphore(self._workers)
        self._engine = engine or bundle.engine()
        self._readers = readers or Readers()
        self.decoding_core_seconds = 0.0
        """processor seconds that were spent on decoding so far"""
        self._owns_readers = readers is None
        self._is_closed = False

    def __enter__(self) -> Transcriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that read recordings, unless the caller gave them. A second call does nothing."""
        self._is_closed = True
        if self._owns_readers:
            self._readers.close()

    @property
    def step_seconds(self) -> float:
        """Seconds of a step of the model."""
        return self.bundle.log_mel.settings.hop_seconds * self.bundle.model.subsampling

    def transcribe(self, path: AudioSource) -> Transcript:
        """Transcribe one recording of any length, or a segment of one.

        Raises
        ------
        AudioError
            If it cannot be read.
        """
        (result,) = self.transcribe_files([path], errors="raise")
        return result

    def transcribe_samples(self, samples: Samples) -> Transcript:
        """Transcribe samples [shape=(samples,)] at the rate of `bundle.log_mel.settings.sample_rate`.

        Raises
        ------
        AudioError
            If they are not floating-point numbers of one channel, full scale being 1, or one is NaN or infinite.
        """
        heard = self.hear_samples(samples)
        end = _End(heard.duration)
        writing = _Writing("", len(heard.stretches), outcome=end)
        self._decode([(writing, one) for one in heard.stretches])
        return self._transcript(writing, end)

    @overload
    def transcribe_files(
        self, paths: Iterable[AudioSource], *, errors: Literal["raise"], progress: Progress | None = None
    ) -> Iterator[Transcript]: ...

    @overload
    def transcribe_files(
        self, paths: Iterable[AudioSource], *, errors: Literal["return"] = "return", progress: Progress | None = None
    ) -> Iterator[Transcript | AudioError]: ...

    def transcribe_files(
        self,
        paths: Iterable[AudioSource],
        *,
        errors: Literal["raise", "return"] = "return",
        progress: Progress | None = None,
    ) -> Iterator[Transcript] | Iterator[Transcript | AudioError]:
        """Transcribe recordings in order.

        Parameters
        ----------
        paths : iterable of str, Path or AudioSegment
        errors : "return" or "raise"
            Whether the error of a recording that cannot be read takes its place among the results, or is raised.
        progress : callable, optional
            See `Progress`.

        Returns
        -------
        iterator of Transcript or AudioError
            One for each path, as soon as it is there.

        Raises
        ------
        AudioError
            With errors="raise", at the first recording that cannot be read.
        ValueError
            If `errors` is anything else.
        """
        if errors not in ("raise", "return"):
            raise ValueError(f"errors={errors!r}: it must be 'raise' or 'return'")
        results = self._transcripts(paths, progress)
        return _raising(results) if errors == "raise" else results

    def _transcripts(
        self, paths: Iterable[AudioSource], progress: Progress | None
    ) -> Iterator[Transcript | AudioError]:
        decoding = _Decoding(self)
        for source, event in self._hear(paths, progress):
            decoding.push(source, event)
            yield from decoding.finished()
        decoding.flush()
        yield from decoding.finished()

    def recognize_files(
        self,
        paths: Iterable[AudioSource],
        *,
        others: Sequence[Transcriber] = (),
        frame_seconds: float = 0.0,
        progress: Progress | None = None,
    ) -> Iterator[Recognition | AudioError]:
        """Transcribe recordings in order with several decoders, and keep the network's output.

        The network runs once over each recording, whatever the number of decoders; every text is the one that
        `transcribe_files` gives.

        Parameters
        ----------
        paths : iterable of str, Path or AudioSegment
        others : sequence of Transcriber
            Of the same bundle: their decoders decode too. They read no files and run no network.
        frame_seconds : float >= 0
            Recordings up to this length get their log-mel frames.
        progress : callable, optional
            See `Progress`.

        Yields
        ------
        Recognition or AudioError
            One for each path.
        """
        decodings = [_Decoding(self, keep=True), *map(_Decoding, others)]
        frames: deque[_FrameBuffer] = deque()
        is_new = True
        for source, event in self._hear(paths, progress):
            if is_new:
                frames.append(_FrameBuffer(self, frame_seconds))
            is_new = not isinstance(event, _WindowOutput)
            if isinstance(event, _WindowOutput):
                frames[-1].push(event)
            for one in decodings:
                one.push(source, event)
            yield from self._recognitions(decodings, frames)
        for one in decodings:
            one.flush()
        yield from self._recognitions(decodings, frames)

    def _recognitions(
        self, decodings: Sequence[_Decoding], frames: deque[_FrameBuffer]
    ) -> Iterator[Recognition | AudioError]:
        """The recordings that every decoder has finished."""
        while all(one.writings and one.writings[0].complete for one in decodings):
            kept = tuple(decodings[0].writings[0].kept)
            pictured = frames.popleft()
            results = [one.pop() for one in decodings]
            transcripts = tuple(one for one in results if not isinstance(one, AudioError))
            if len(transcripts) < len(results):
                yield next(one for one in results if isinstance(one, AudioError))
                continue
            heard = Heard(transcripts[0].path, transcripts[0].duration, kept, transcripts[0].notes)
            yield Recognition(transcripts, heard, pictured.frames())

    def hear_files(
        self, paths: Iterable[AudioSource], *, progress: Progress | None = None
    ) -> Iterator[Heard | AudioError]:
        """Run the model over recordings, in order, without decoding what it hears; as `transcribe_files` else."""
        stitcher, stretches = Stitcher(self.step_seconds), list[Stretch]()
        for source, event in self._hear(paths, progress):
            if isinstance(event, _WindowOutput):
                stretches += stitcher.push(event.window, event.layer(self._output))
                continue
            if isinstance(event, _End):
                stretches += stitcher.finish()
                yield Heard(str(source), event.duration, tuple(stretches), event.notes)
            else:
                yield event
            stitcher, stretches = Stitcher(self.step_seconds), []

    def hear_samples(self, samples: Samples) -> Heard:
        """Run the model over samples; as `transcribe_samples` else."""
        samples = _checked(samples)
        cutter, stitcher = self._cutter(), Stitcher(self.step_seconds)
        stretches: list[Stretch] = []
        for windows in (cutter.push(samples), cutter.finish()):
            for window in windows:
                stretches += stitcher.push(window, self._run(window).layer(self._output))
        stretches += stitcher.finish()
        return Heard("", len(samples) / self.bundle.log_mel.settings.sample_rate, tuple(stretches))

    def _cutter(self) -> WindowCutter:
        settings = self.bundle.log_mel.settings
        return WindowCutter(settings.sample_rate, settings.hop_samples * self.bundle.model.subsampling)

    def _hear(
        self, paths: Iterable[AudioSource], progress: Progress | None
    ) -> Iterator[tuple[AudioSource, _WindowOutput | _End | AudioError]]:
        """The network's output for the windows of recordings, in order; each ends with its duration or an error."""
        if self._is_closed:
            raise RuntimeError("this Transcriber is closed")
        remaining = enumerate(paths)
        jobs: queue.SimpleQueue[tuple[int, AudioSource] | None] = queue.SimpleQueue()
        waiting: WindowQueues[_Waiting | _End | BaseException] = WindowQueues(
            _BYTES_AHEAD + _BYTES_AHEAD_PER_CORE * self._workers
        )
        stopped = threading.Event()
        begun: deque[AudioSource] = deque()
        feeders: list[threading.Thread] = []

        def begin_next() -> None:
            for number, path in remaining:
                begun.append(path)
                jobs.put((number, path))
                if len(feeders) < min(self._workers, len(begun)):
                    feeders.append(
                        threading.Thread(target=self._feed, args=(jobs, waiting, pool, stopped), daemon=True)
                    )
                    feeders[-1].start()
                break

        pool = ThreadPoolExecutor(self._workers)
        try:
            for _ in range(max(_FILES_AHEAD, 2 * self._workers)):
                begin_next()
            number = 0
            while begun:
                source = begun.popleft()
                while not isinstance(item := waiting.get(number), _End | BaseException):
                    window, future, promised = item
                    yield source, future.result()
                    if progress:
                        seconds = window.end * self.step_seconds
                        progress(number, seconds, min(1.0, seconds / promised) if promised else 0.0)
                if isinstance(item, BaseException) and not isinstance(item, AudioError):
                    raise item
                begin_next()
                yield source, item
                number += 1
        finally:
            stopped.set()
            waiting.close()
            for _ in feeders:
                jobs.put(None)
            pool.shutdown(wait=True, cancel_futures=True)
            for feeder in feeders:
                feeder.join()

    def _feed(
        self,
        jobs: queue.SimpleQueue[tuple[int, AudioSource] | None],
        waiting: WindowQueues[_Waiting | _End | BaseException],
        pool: ThreadPoolExecutor,
        stopped: threading.Event,
    ) -> None:
        """A thread that reads recordings and hands their windows to the pool."""
        while (job := jobs.get()) is not None and not stopped.is_set():
            number, source = job
            try:
                for item in self._windows(source, pool, stopped):
                    size = item[0].samples.nbytes if isinstance(item, tuple) else 0
                    if not waiting.put(number, item, size):
                        break
            except BaseException as error:
                waiting.put(number, error)

    def _windows(
        self, path: AudioSource, pool: ThreadPoolExecutor, stopped: threading.Event
    ) -> Iterator[_Waiting | _End]:
        rate = self.bundle.log_mel.settings.sample_rate
        cutter, promised = self._cutter(), 0.0
        notes: tuple[str, ...] = ()
        blocks = self._readers.read(
            path, sample_rate=rate, channel=self._channel, track=self._track, turn=self._cores, stopped=stopped
        )
        for block in blocks:
            promised, notes = block.promised_seconds, block.notes
            for window in cutter.push(block.samples):
                yield window, pool.submit(self._run, window), promised
        for window in cutter.finish():
            yield window, pool.submit(self._run, window), promised
        yield _End(cutter.samples / rate, notes)

    def _run(self, window: Window) -> _WindowOutput:
        if is_silent(window.samples):
            return _WindowOutput(window, None, None)
        log_mel = self.bundle.log_mel
        with self._cores:
            frames = log_mel.log_mel(window.samples)
            return _WindowOutput(window, frames, self._engine.run(log_mel.normalize(frames)))

    def _decode(self, waiting: Sequence[tuple[_Writing, Stretch]]) -> None:
        with self._cores:
            started = time.thread_time()
            found = self._decoder.decode([stretch.log_probs for _, stretch in waiting])
            for (writing, stretch), hypotheses in zip(waiting, found, strict=True):
                texts = [(self.bundle.alphabet.join([one.text]), one.score) for one in hypotheses]
                writing.decoded.append((texts, self._words(stretch, hypotheses[0])))
            self.decoding_core_seconds += time.thread_time() - started

    def _transcript(self, writing: _Writing, end: _End) -> Transcript:
        duration = end.duration
        joined = _best_combinations([texts for texts, _ in writing.decoded])
        texts = list(dict.fromkeys(self.bundle.alphabet.join(parts) for parts, _ in joined))
        # The last step may reach beyond the end.
        words = (
            replace(word, start=min(word.start, round(duration, 3)), end=min(word.end, round(duration, 3)))
            for _, words in writing.decoded
            for word in words
        )
        source = writing.source
        path, offset = (source.path, source.offset) if isinstance(source, AudioSegment) else (source, None)
        alternatives = tuple(texts[1:])
        return Transcript(str(path), texts[0], duration, joined[0][1], tuple(words), alternatives, offset, end.notes)

    def _words(self, stretch: Stretch, hypothesis: Hypothesis) -> tuple[Word, ...]:
        """A word lasts from its first symbol's step to the end of its last symbol's step."""
        spans = self.bundle.alphabet.words(hypothesis.text)
        words = [
            Word(
                hypothesis.text[start:end],
                round((stretch.first_step + hypothesis.steps[start]) * self.step_seconds, 3),
                round((stretch.first_step + hypothesis.steps[end - 1] + 1) * self.step_seconds, 3),
            )
            for start, end in spans
        ]
        if self._calibration is None:
            return tuple(words)
        language = self._decoder.language_scores(hypothesis.text)
        features = word_features(hypothesis, stretch.log_probs, language, spans=spans)
        confidences = self._calibration.confidences(features).round(3).tolist()
        return tuple(replace(word, confidence=sure) for word, sure in zip(words, confidences, strict=True))


class _Decoding:
    """The work of one decoder on recordings that come window by window, in order."""

    def __init__(self, transcriber: Transcriber, *, keep: bool = False) -> None:
        self.writings: deque[_Writing] = deque()
        self._transcriber = transcriber
        self._keep = keep
        self._waiting: list[tuple[_Writing, Stretch]] = []
        self._stitcher = Stitcher(transcriber.step_seconds)

    def push(self, source: AudioSource, event: _WindowOutput | _End | AudioError) -> None:
        """Take the next window of a recording, or its end; decode as soon as there is enough."""
        if not self.writings or self.writings[-1].outcome is not None:
            self.writings.append(_Writing(source))
            self._stitcher = Stitcher(self._transcriber.step_seconds)
        writing = self.writings[-1]
        if isinstance(event, _WindowOutput):
            stretches = list(self._stitcher.push(event.window, event.layer(self._transcriber._output)))
        else:
            stretches = list(self._stitcher.finish()) if isinstance(event, _End) else []
            writing.outcome = event
        writing.stretches += len(stretches)
        writing.kept += stretches if self._keep else []
        self._waiting += [(writing, one) for one in stretches]
        if len(self._waiting) >= self._transcriber._at_once:
            self.flush()

    def flush(self) -> None:
        """Decode what has come so far."""
        self._transcriber._decode(self._waiting)
        self._waiting = []

    def finished(self) -> Iterator[Transcript | AudioError]:
        """The recordings that are decoded, each once."""
        while self.writings and self.writings[0].complete:
            yield self.pop()

    def pop(self) -> Transcript | AudioError:
        """The first recording, which must be complete."""
        writing = self.writings.popleft()
        assert writing.outcome is not None
        if isinstance(writing.outcome, AudioError):
            return writing.outcome
        return self._transcriber._transcript(writing, writing.outcome)


class _FrameBuffer:
    """Joins the log-mel frames of a recording's windows, up to a length."""

    def __init__(self, transcriber: Transcriber, most_seconds: float) -> None:
        self._log_mel, self._subsampling = transcriber.bundle.log_mel, transcriber.bundle.model.subsampling
        self._most = most_seconds * self._log_mel.settings.sample_rate / self._log_mel.settings.hop_samples
        self._parts: list[Frames] | None = [] if most_seconds > 0 else None
        self._last_steps = 0

    def push(self, event: _WindowOutput) -> None:
        """Take the next window's frames."""
        if self._parts is None:
            return
        window, scale = event.window, self._subsampling
        frames = self._log_mel.log_mel(window.samples) if event.frames is None else event.frames
        if self._parts:  # the next window has the rest
            self._parts[-1] = self._parts[-1][: self._last_steps * scale]
        self._parts.append(frames[(window.cut - window.first_step) * scale :])
        self._last_steps = window.end - window.cut
        if sum(map(len, self._parts)) > self._most + 1:
            self._parts = None

    def frames(self) -> Frames | None:
        """All frames; None if there are too many or none."""
        return np.concatenate(self._parts) if self._parts else None


def _raising(results: Iterator[Transcript | AudioError]) -> Iterator[Transcript]:
    for result in results:
        if isinstance(result, AudioError):
            raise result
        yield result


def decode_recordings(recordings: Sequence[Heard], decoder: Decoder) -> list[list[Hypothesis]]:
    """The texts of recordings, best first, with the steps of the whole recording."""
    found = iter(decoder.decode([stretch.log_probs for one in recordings for stretch in one.stretches]))
    separator = decoder.alphabet.separator
    return [_join([(stretch.first_step, next(found)) for stretch in one.stretches], separator) for one in recordings]


def _join(stretches: Sequence[tuple[int, list[Hypothesis]]], separator: str) -> list[Hypothesis]:
    """The best texts of a recording from those of its stretches, given with their first steps."""
    joined = []
    for parts, score in _best_combinations([[(one, one.score) for one in found] for _, found in stretches]):
        text: list[str] = []
        steps: list[int] = []
        log_probs: list[float] = []
        for (first, _), part in zip(stretches, parts, strict=True):
            if separator and text and part.text:
                # The model did not write this separator: it is put at the step before the second text.
                text.append(separator)
                steps.append(max(first - 1, steps[-1]))
                log_probs.append(0.0)
            text.append(part.text)
            steps += [first + step for step in part.steps]
            log_probs += part.log_probs
        joined.append(Hypothesis("".join(text), score, tuple(steps), tuple(log_probs)))
    return joined


def _best_combinations(choices: Sequence[Sequence[tuple[Part, float]]]) -> list[tuple[tuple[Part, ...], float]]:
    """The combinations of one of each with the highest sums of scores, best first: as many as the longest has."""
    count = max((len(some) for some in choices), default=1)
    if count == 1:
        return [(tuple(part for ((part, _),) in choices), float(sum(score for ((_, score),) in choices)))]
    best: list[tuple[tuple[Part, ...], float]] = [((), 0.0)]
    for some in choices:
        longer = [((*parts, part), score + more) for parts, score in best for part, more in some]
        best = sorted(longer, key=lambda one: -one[1])[:count]
    return best


def _checked(samples: Samples) -> Samples:
    """Refuse what are not samples of one channel.

    Raises
    ------
    AudioError
        Naming the shape, the type or the first value that cannot be used.
    """
    wanted = "floating-point numbers [shape=(samples,)], full scale being 1"
    values = np.asarray(samples)
    if values.ndim != 1:
        raise AudioError("samples", f"an array of shape {values.shape}: wanted are {wanted}, of one channel")
    if len(values) == 0:
        return np.zeros(0, np.float32)
    if not np.issubdtype(values.dtype, np.floating):
        hint = f" (divide by {2 ** (8 * values.dtype.itemsize - 1)})" if values.dtype.kind == "i" else ""
        raise AudioError("samples", f"an array of {values.dtype}: wanted are {wanted}{hint}")
    with np.errstate(over="ignore"):
        checked: Samples = values.astype(np.float32)
    bad = np.flatnonzero(~(np.abs(checked) <= LARGEST_VALUE))  # NaN is no less than any number
    if len(bad):
        raise AudioError("samples", f"sample {bad[0]} is {values[bad[0]]}: wanted are {wanted}")
    return checked
