"""Reads recordings and runs the acoustic model over them, both at the same time.

Readers are processes (`asr.audio.readers`). A thread for each reader cuts what it reads into windows; a pool of threads
runs the model over windows; the caller gets the outputs in order. All of them take turns on a given number of processor
cores, and the windows that wait are bounded in memory.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from asr.acoustic.runtime import AcousticModel
from asr.audio.features import Frames
from asr.audio.load import LARGEST_VALUE, Samples
from asr.audio.readers import Readers
from asr.audio.segment import AudioSource
from asr.bundle import Bundle
from asr.errors import AudioError
from asr.recognition.window_queues import WindowQueues
from asr.recognition.windows import LogProbs, Window, WindowCutter, is_silent

# Recordings that are at least begun before they are needed.
_FILES_AHEAD = 8
# Bytes of windows that may wait for the model or the decoder, whatever the number of recordings.
_BYTES_AHEAD, _BYTES_AHEAD_PER_CORE = 64 << 20, 2 << 20

Progress = Callable[[int, float, float], object]
"""called with the number of a recording, the seconds of it that are done, and their share (0 if unknown)"""


@dataclass(frozen=True, slots=True)
class WindowOutput:
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
class EndOfRecording:
    """Follows the last window of a recording."""

    duration: float
    """seconds"""
    notes: tuple[str, ...] = ()
    """as of a `Transcript`"""


_Waiting = tuple[Window, Future[WindowOutput], float]
"""a window, its output, and the seconds of its recording by the header, or 0"""


class AcousticPipeline:
    """Runs the acoustic model over recordings.

    Parameters
    ----------
    bundle : Bundle
    model : AcousticModel
    readers : Readers
    cores : threading.Semaphore
        Held by every thread that computes, here and elsewhere.
    workers : int > 0
        Its size: processor cores to use.
    channel : str
        "mix" or the number of a channel, from 1.
    track : int > 0, optional
        The number of an audio track, from 1.
    """

    def __init__(
        self,
        bundle: Bundle,
        model: AcousticModel,
        readers: Readers,
        *,
        cores: threading.Semaphore,
        workers: int,
        channel: str,
        track: int | None,
    ) -> None:
        self._log_mel, self._subsampling = bundle.log_mel, bundle.model.subsampling
        self._model, self._readers, self._workers = model, readers, workers
        self._channel, self._track = channel, track
        self._cores = cores

    def run_samples(self, samples: Samples) -> Iterator[WindowOutput | EndOfRecording]:
        """The outputs for the windows of samples [shape=(samples,)].

        Raises
        ------
        AudioError
            If they are not floating-point numbers of one channel, full scale being 1, or one is NaN or infinite.
        """
        samples, cutter = check_samples(samples), self.cutter()
        for windows in (cutter.push(samples), cutter.finish()):
            yield from map(self.run_window, windows)
        yield EndOfRecording(len(samples) / self._log_mel.settings.sample_rate)

    def run_files(
        self, paths: Iterable[AudioSource], progress: Progress | None
    ) -> Iterator[tuple[AudioSource, WindowOutput | EndOfRecording | AudioError]]:
        """The outputs for the windows of recordings, in order; after the last of each, its end or an error."""
        remaining = enumerate(paths)
        jobs: queue.SimpleQueue[tuple[int, AudioSource] | None] = queue.SimpleQueue()
        waiting: WindowQueues[_Waiting | EndOfRecording | BaseException] = WindowQueues(
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

        step_seconds = self._log_mel.settings.hop_seconds * self._subsampling
        pool = ThreadPoolExecutor(self._workers)
        try:
            for _ in range(max(_FILES_AHEAD, 2 * self._workers)):
                begin_next()
            number = 0
            while begun:
                source = begun.popleft()
                while not isinstance(item := waiting.get(number), EndOfRecording | BaseException):
                    window, future, promised = item
                    yield source, future.result()
                    if progress:
                        seconds = window.end * step_seconds
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
        waiting: WindowQueues[_Waiting | EndOfRecording | BaseException],
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
    ) -> Iterator[_Waiting | EndOfRecording]:
        rate = self._log_mel.settings.sample_rate
        cutter, promised = self.cutter(), 0.0
        notes: tuple[str, ...] = ()
        blocks = self._readers.read(
            path, sample_rate=rate, channel=self._channel, track=self._track, turn=self._cores, stopped=stopped
        )
        for block in blocks:
            promised, notes = block.promised_seconds, block.notes
            for window in cutter.push(block.samples):
                yield window, pool.submit(self.run_window, window), promised
        for window in cutter.finish():
            yield window, pool.submit(self.run_window, window), promised
        yield EndOfRecording(cutter.samples / rate, notes)

    def cutter(self) -> WindowCutter:
        """What cuts a recording into windows for this model."""
        settings = self._log_mel.settings
        return WindowCutter(settings.sample_rate, settings.hop_samples * self._subsampling)

    def run_window(self, window: Window) -> WindowOutput:
        """The output for a window."""
        if is_silent(window.samples):
            return WindowOutput(window, None, None)
        with self._cores:
            frames = self._log_mel.log_mel(window.samples)
            return WindowOutput(window, frames, self._model.run(self._log_mel.normalize(frames)))


class FrameBuffer:
    """Joins the log-mel frames of a recording's windows, up to a length.

    Parameters
    ----------
    bundle : Bundle
    most_seconds : float >= 0
    """

    def __init__(self, bundle: Bundle, most_seconds: float) -> None:
        self._log_mel, self._subsampling = bundle.log_mel, bundle.model.subsampling
        self._most = most_seconds * self._log_mel.settings.sample_rate / self._log_mel.settings.hop_samples
        self._parts: list[Frames] | None = [] if most_seconds > 0 else None
        self._last_steps = 0

    def push(self, event: WindowOutput) -> None:
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


def check_samples(samples: Samples) -> Samples:
    """Samples as float32; refuses what are not samples of one channel.

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
