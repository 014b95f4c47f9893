"""Audio that is recognised while it arrives, from a pipe or from a file in real time; a thread reads it."""

from __future__ import annotations

import os
import select
import struct
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
from asr.audio.formats.pcm import is_unknown_size
from asr.audio.load import Recording, Samples, checked_blocks, open_audio
from asr.errors import AudioError

# The longest block; and the seconds that may wait for the recogniser before the source has to wait.
_BLOCK_SECONDS, _BACKLOG_SECONDS = 0.05, 20.0
# Seconds until a stop is noticed, and those that a library may take to end.
_POLL_SECONDS, _CLOSE_SECONDS = 0.1, 5.0
_READ_BYTES = 1 << 15
# Of a WAV file: bytes before its samples at most, the number of a codec that stands further on, and the codecs that are
# read here, with their bits.
_LONGEST_HEADER, _EXTENSIBLE = 1 << 20, 0xFFFE
_WAV_KINDS = {(1, 8): "|u1", (1, 16): "<i2", (1, 32): "<i4", (3, 32): "<f4", (3, 64): "<f8"}


class LiveReader:
    """Reads blocks of samples in a thread of its own. Iterating gives them in order, as soon as they arrive.

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
        """set to end the source; blocks that were read before are still given"""
        self._source = source
        self._ready = threading.Condition()
        self._items: deque[Samples | str | BaseException | None] = deque()
        self._waiting = 0  # samples
        # A library that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._read, name="asr-live-reader", daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> float:
        """Seconds that were read and not yet taken."""
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
        """End the thread; blocks that were read are dropped."""
        self.stop.set()
        self._thread.join(timeout=_CLOSE_SECONDS)

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
    """Samples without a header."""

    rate: int
    """Hz"""
    channels: int = 1
    kind: str = "<i2"
    """NumPy's name of the type of a sample: signed 16-bit little-endian by default"""


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
        If it cannot be decoded while it arrives, or where it is damaged.
    """
    path = Path("standard input" if name == "-" else name)
    with ExitStack() as stack:
        try:
            file = ArrivingBytes(path, _descriptor(name, stack), reader.stop)
            first = file.read(_READ_BYTES)
            if not first and not reader.stop.is_set():
                raise AudioError(path, "ended before anything arrived")
            file.put_back(first)
            stated: int | None = None
            if raw is None:
                raw, stated = read_wav_header(file)
            if raw is None:
                stream = open_arriving(path, file, stack, track=track)
            else:
                stream = Stream(raw.rate, raw.channels, None, _raw_blocks(file, raw, reader, stated))
            blocks = checked_blocks(path, stream.blocks)
            recording = Recording(path, stream.sample_rate, stream.channels, 0.0, blocks, stream.notes)
            yield from _until_stopped(recording, reader, channel)
        except OSError as error:
            raise AudioError(path, f"cannot be read ({error.strerror or error})") from error
        except AudioError:
            if not reader.stop.is_set():  # otherwise the stop truncated it
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
    """The samples of a recording, in real time or as fast as they are taken; arguments as in `read_pipe`.

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


class ArrivingBytes:
    """The bytes of a pipe as they arrive; they end when the reader is stopped."""

    def __init__(self, path: Path, descriptor: int, stop: threading.Event) -> None:
        self.path = path
        self._descriptor, self._stop = descriptor, stop
        self._first = b""

    def read(self, count: int) -> bytes:
        """At most this many bytes, as soon as there are any; none at the end."""
        if self._first:
            content, self._first = self._first[:count], self._first[count:]
            return content
        while not self._stop.is_set():
            if select.select([self._descriptor], [], [], _POLL_SECONDS)[0]:
                return os.read(self._descriptor, count)
        return b""

    def read_all(self, count: int) -> bytes:
        """This many bytes; fewer at the end."""
        parts = []
        while count > 0 and (part := self.read(count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def put_back(self, content: bytes) -> None:
        """Put bytes that were read back in front of the next ones."""
        self._first = content + self._first


def _descriptor(name: str, stack: ExitStack) -> int:
    if name == "-":
        return sys.stdin.fileno()
    descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK)  # it would wait for the writer, even after Ctrl-C
    stack.callback(os.close, descriptor)
    os.set_blocking(descriptor, True)
    return descriptor


def read_wav_header(file: ArrivingBytes) -> tuple[RawFormat | None, int | None]:
    """The format of the samples of a WAV file that arrives, and how many bytes of them its header states, if it does.

    FFmpeg's demuxer waits for 64 kB of samples before it gives the first. No format, and no bytes read, if it is no WAV
    file of whole or floating-point numbers.
    """
    header, form = file.read_all(12), b""
    goes_on = header[:4] == b"RIFF" and header[8:] == b"WAVE"
    while goes_on:
        chunk = file.read_all(8)
        header += chunk
        name, length = struct.unpack("<4sI", chunk.ljust(8, b"\0"))
        raw = _wav_format(form) if name == b"data" else None
        if raw is not None:
            return raw, None if is_unknown_size(length) else length
        goes_on = len(chunk) == 8 and name != b"data" and len(header) + length <= _LONGEST_HEADER
        if goes_on:
            content = file.read_all(length + length % 2)
            header += content
            form = content if name == b"fmt " else form
    file.put_back(header)
    return None, None


def _wav_format(form: bytes) -> RawFormat | None:
    if len(form) < 16:
        return None
    codec, channels, rate, _, width, bits = struct.unpack("<HHIIHH", form[:16])
    if codec == _EXTENSIBLE:
        codec = int.from_bytes(form[24:26], "little")
    kind = _WAV_KINDS.get((codec, bits))
    return RawFormat(rate, channels, kind) if kind and rate and width == channels * bits // 8 > 0 else None


def _raw_blocks(file: ArrivingBytes, raw: RawFormat, reader: LiveReader, stated: int | None) -> Iterator[Block]:
    """The samples that arrive; `stated` is the number of their bytes, where that is known."""
    kind = np.dtype(raw.kind)
    scale = 1.0 if kind.kind == "f" else float(1 << (8 * kind.itemsize - 1))
    width, rest, done = kind.itemsize * raw.channels, b"", 0
    while (stated is None or done < stated) and (
        content := file.read(_READ_BYTES if stated is None else min(_READ_BYTES, stated - done))
    ):
        done += len(content)
        content = rest + content
        whole = len(content) - len(content) % width
        rest = content[whole:]
        samples = np.frombuffer(content[:whole], kind).reshape(-1, raw.channels)
        if kind.kind == "u":
            samples = samples.astype(np.int16) - 128
        yield raw.rate, (samples / np.float32(scale)).astype(np.float32)
    if reader.stop.is_set():
        return
    if stated is not None and done < stated:
        per_second = width * raw.rate
        raise AudioError(
            file.path,
            f"is truncated: its header promises {stated / per_second:.2f} s, {done / per_second:.2f} s are there",
        )
    if rest:
        reader.warn(f"ends within a sample: {len(rest)} of {width} bytes are there, and left out")
    while file.read(_READ_BYTES):  # what follows the samples
        pass


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
    """Blocks in short pieces, each at its time."""
    size, begin, done = round(_BLOCK_SECONDS * reader.sample_rate), time.monotonic(), 0
    for block in blocks:
        for start in range(0, len(block), size):
            piece = block[start : start + size]
            done += len(piece)
            if reader.stop.wait(max(0.0, begin + done / reader.sample_rate - time.monotonic())):
                return
            yield piece
