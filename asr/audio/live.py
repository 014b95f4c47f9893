"""Sound that is recognised while it arrives: from a pipe, from a file at its own pace, read by a thread."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.audio.decode import Block, Stream, open_arriving
from asr.audio.load import Recording, Samples, checked_blocks, open_audio
from asr.errors import AudioError

# The longest block; and what may wait for the recogniser before the source is made to wait.
_BLOCK_SECONDS, _BACKLOG_SECONDS = 0.05, 20.0
# How soon a stop is noticed.
_POLL_SECONDS = 0.1
_READ_BYTES = 1 << 15


class LiveReader:
    """Reads blocks of samples in a thread of its own. Iterating gives them in order, as soon as they are there.

    Parameters
    ----------
    source : callable
        Gets this reader and gives float32 [shape=(samples,)] blocks at `sample_rate`, waiting for each; it ends soon
        after `stop` is set. The thread calls it.
    sample_rate : int > 0
        Hz.

    Raises
    ------
    AudioError
        From the iteration, after what was read, if the source cannot be read.
    """

    def __init__(self, source: Callable[[LiveReader], Iterator[Samples]], *, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.stop = threading.Event()
        """set to end the source; what was read until then is still given"""
        self._source = source
        self._ready = threading.Condition()
        self._items: deque[Samples | str | BaseException | None] = deque()
        self._waiting = 0  # samples
        # A library that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._read, name="asr-live-reader", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> float:
        """Seconds that were read and are not taken yet."""
        return self._waiting / self.sample_rate

    def warn(self, message: str) -> None:
        """Put a message among the blocks; for sources."""
        self._put(message)

    def __iter__(self) -> Iterator[Samples | str]:
        """Blocks, and messages for the user."""
        while True:
            with self._ready:
                while not self._items:
                    self._ready.wait()
                item = self._items.popleft()
                if isinstance(item, np.ndarray):
                    self._waiting -= len(item)
                    self._ready.notify_all()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """End the thread; what it has read is dropped."""
        self.stop.set()
        self._thread.join(timeout=1)

    def _read(self) -> None:
        size = round(_BLOCK_SECONDS * self.sample_rate)
        end: BaseException | None = None
        try:
            for block in self._source(self):
                for start in range(0, len(block), size):
                    self._put(block[start : start + size])
        except BaseException as error:  # raised again in the thread that iterates
            end = error
        self._put(end)

    def _put(self, item: Samples | str | BaseException | None) -> None:
        with self._ready:
            if isinstance(item, np.ndarray):
                while self.backlog >= _BACKLOG_SECONDS and not self.stop.is_set():
                    self._ready.wait(_POLL_SECONDS)
                self._waiting += len(item)
            self._items.append(item)
            self._ready.notify_all()


@dataclass(frozen=True, slots=True)
class RawFormat:
    """Signed 16-bit little-endian samples without a header."""

    rate: int
    """Hz"""
    channels: int = 1


def read_pipe(
    name: str, reader: LiveReader, *, raw: RawFormat | None = None, channel: str = "mix", track: int | None = None
) -> Iterator[Samples]:
    """The samples that arrive through a pipe, each as soon as it can be decoded.

    Parameters
    ----------
    name : str
        The path of a pipe; `-` for standard input.
    reader : LiveReader
    raw : RawFormat, optional
        What arrives; a container that FFmpeg knows by default.
    channel, track
        As in `asr.audio.load.load_audio`.

    Raises
    ------
    AudioError
        If it cannot be decoded while it arrives, or from where it is damaged.
    """
    path = Path("standard input" if name == "-" else name)
    with ExitStack() as stack:
        try:
            file = _ArrivingBytes(path, _descriptor(name, stack), reader.stop)
            if raw:
                stream = Stream(raw.rate, raw.channels, None, _raw_blocks(file, raw, reader))
            else:
                stream = open_arriving(path, file, stack, track=track)
            blocks = checked_blocks(path, stream.blocks)
            recording = Recording(path, stream.sample_rate, stream.channels, 0.0, blocks, stream.notes)
            yield from _until_stopped(recording, reader, channel)
        except OSError as error:
            raise AudioError(path, f"cannot be read ({error.strerror or error})") from error
        except AudioError:
            if not reader.stop.is_set():  # otherwise the stop cut it off
                raise


def read_file(
    path: Path,
    reader: LiveReader,
    *,
    raw: RawFormat | None = None,
    channel: str = "mix",
    track: int | None = None,
    realtime: bool,
) -> Iterator[Samples]:
    """The samples of a recording, at its own pace or as fast as they are taken; arguments as in `read_pipe`.

    Raises
    ------
    AudioError
        As `asr.audio.load.open_audio` does.
    """
    if raw:
        samples = read_pipe(str(path), reader, raw=raw, channel=channel)
        yield from _at_pace(samples, reader) if realtime else samples
        return
    with open_audio(path, track=track) as recording:
        samples = _until_stopped(recording, reader, channel)
        yield from _at_pace(samples, reader) if realtime else samples


class _ArrivingBytes:
    """The bytes of a pipe as they arrive; they end when the reader is stopped."""

    def __init__(self, path: Path, descriptor: int, stop: threading.Event) -> None:
        self._path, self._descriptor, self._stop = path, descriptor, stop

    def read(self, count: int) -> bytes:
        while not self._stop.is_set():
            if select.select([self._descriptor], [], [], _POLL_SECONDS)[0]:
                return os.read(self._descriptor, count)
        return b""


def _descriptor(name: str, stack: ExitStack) -> int:
    if name == "-":
        return sys.stdin.fileno()
    descriptor = os.open(name, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    return descriptor


def _raw_blocks(file: _ArrivingBytes, raw: RawFormat, reader: LiveReader) -> Iterator[Block]:
    width, rest = 2 * raw.channels, b""
    while content := file.read(_READ_BYTES):
        content = rest + content
        whole = len(content) - len(content) % width
        rest = content[whole:]
        samples = np.frombuffer(content[:whole], "<i2").reshape(-1, raw.channels)
        yield raw.rate, samples.astype(np.float32) / 32768
    if rest and not reader.stop.is_set():
        reader.warn(f"ends within a sample: {len(rest)} of {width} bytes are there, and left out")


def _until_stopped(recording: Recording, reader: LiveReader, channel: str) -> Iterator[Samples]:
    noted = 0
    for samples in recording.samples(sample_rate=reader.sample_rate, channel=channel):
        for note in recording.notes[noted:]:
            reader.warn(note)
        noted = len(recording.notes)
        if reader.stop.is_set():
            return
        yield samples


def _at_pace(blocks: Iterator[Samples], reader: LiveReader) -> Iterator[Samples]:
    """Blocks in short pieces, none before its time."""
    size, begin, done = round(_BLOCK_SECONDS * reader.sample_rate), time.monotonic(), 0
    for block in blocks:
        for start in range(0, len(block), size):
            piece = block[start : start + size]
            done += len(piece)
            if reader.stop.wait(max(0.0, begin + done / reader.sample_rate - time.monotonic())):
                return
            yield piece
