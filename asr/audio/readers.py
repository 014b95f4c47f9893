"""Reads recordings in child processes: a decoder that crashes or hangs fails one recording, not the program.

Decoders are large C libraries, and recordings come from anywhere. A reader that crashes is replaced, and the recording
is an `AudioError`. Blocks are asked for one by one, so a reader works only when it is asked.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from asr.audio.load import Samples
from asr.audio.measure import Sound
from asr.audio.reader_process import Block, End, MeasureRequest, ProbeRequest, ReadRequest, Request
from asr.audio.segment import AudioSegment, AudioSource, missing_file, split_source
from asr.errors import AudioError
from asr.processes import Child, ChildEndedError, Pool, StoppedError
from asr.settings.commands import check_limits

_READER = "asr.audio.reader_process:make_reader"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits beyond which a recording is refused.

    Raises
    ------
    ConfigError
        If a limit is out of its bounds.
    """

    hours: float = 24.0
    """of audio"""
    timeout: float = 60.0
    """seconds that the decoder may take for a block"""

    def __post_init__(self) -> None:
        check_limits(self.hours, self.timeout)


class Readers:
    """Processes that read recordings, started when needed and reused. Close them, or use a `with` block.

    Any number of threads may read at once, each in a process of its own.

    Parameters
    ----------
    limits : Limits

    Examples
    --------
    >>> with Readers(Limits(hours=1)) as readers:  # doctest: +SKIP
    ...     samples = readers.load("talk.wav", sample_rate=16000)
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._pool = Pool(_READER, quiet=True)  # decoders print messages about files

    def __enter__(self) -> Readers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start a reader before it is needed: it takes a tenth of a second."""
        self._pool.start()

    def close(self) -> None:
        """End the processes, also those that are reading. A second call does nothing."""
        self._pool.close()

    def load(self, source: AudioSource, *, sample_rate: int, channel: str = "mix", track: int | None = None) -> Samples:
        """Read a complete recording; arguments, result and errors as in `load_audio`, limits as in `read`."""
        blocks = [one.samples for one in self.read(source, sample_rate=sample_rate, channel=channel, track=track)]
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)

    def read(
        self,
        source: AudioSource,
        *,
        sample_rate: int,
        channel: str = "mix",
        track: int | None = None,
        turn: AbstractContextManager[Any] | None = None,
        stopped: threading.Event | None = None,
    ) -> Iterator[Block]:
        """Read a recording block by block, as `Recording.samples` does.

        Parameters
        ----------
        source, sample_rate, channel, track
            As in `load_audio`.
        turn : context manager, optional
            Held while the reader works: a semaphore that shares processor cores.
        stopped : threading.Event, optional
            Ends the reading early, without an error.

        Raises
        ------
        AudioError
            As in `load_audio`, and if the recording is longer than the limits allow, or the decoder crashes or hangs
            on it.
        """
        path, longest, seconds = split_source(source)[0], self._limits.hours * 3600, 0.0
        request = ReadRequest(_absolute(source), sample_rate, channel, track)
        for block in self._items(request, path, turn or nullcontext(), stopped):
            seconds += len(block.samples) / sample_rate
            if max(block.promised_seconds, seconds) > longest:
                raise AudioError(path, f"is longer than {self._limits.hours:g} hours (max_hours)")
            if len(block.samples) or block.notes:
                yield block

    def measure(self, source: AudioSource) -> Sound:
        """Decode a recording and measure it; errors as in `read`."""
        sound: Sound
        *_, sound = self._items(MeasureRequest(_absolute(source)), split_source(source)[0])
        return sound

    def probe(self, source: AudioSource) -> float:
        """The seconds of a recording, as `probe_seconds` gives them; errors as in `read`."""
        with self._reader(split_source(source)[0]) as child:
            seconds: float = child.ask(ProbeRequest(_absolute(source)), timeout=self._limits.timeout)
        return seconds

    def _items(
        self,
        request: Request | None,
        path: Path,
        turn: AbstractContextManager[Any] | None = None,
        stopped: threading.Event | None = None,
    ) -> Iterator[Any]:
        """The items with which a reader answers a request."""
        turn = turn or nullcontext()
        with self._reader(path) as child:
            is_done = False
            try:
                while not is_done:
                    with turn:
                        item = child.ask(request, timeout=self._limits.timeout, stopped=stopped)
                    if not (is_done := isinstance(item, End)):
                        yield item
                    request = None
            except AudioError:
                is_done = True
                raise
            except StoppedError:
                return
            finally:
                if not is_done:
                    child.close()

    @contextmanager
    def _reader(self, path: Path) -> Iterator[Child]:
        """Lends a reader for a recording. Its errors name the path as the caller gave it."""
        if not os.path.lexists(path):
            raise missing_file(path)
        with self._pool.child() as child:
            try:
                yield child
            except AudioError as error:
                raise AudioError(path, error.reason) from None
            except TimeoutError:
                raise AudioError(path, f"the decoder gave nothing for {self._limits.timeout:g} s (timeout)") from None
            except ChildEndedError as error:
                if self._pool.closed:
                    raise RuntimeError(f"the readers were closed while they read {path}") from None
                raise AudioError(path, f"the decoder crashed on it ({error})") from None


_shared: Readers | None = None


def shared_readers() -> Readers:
    """The shared readers of this process, for code that reads occasionally. They end with the process."""
    global _shared
    if _shared is None:
        _shared = Readers()
    return _shared


def _absolute(source: AudioSource) -> AudioSource:
    """A source by its absolute path: a reader keeps the working directory in which it was started."""
    path, segment = split_source(source)
    path = path.absolute()
    return path if segment is None else AudioSegment(path, segment.offset, segment.duration)
