"""Reads recordings in processes of their own, where a decoder that crashes or hangs costs one recording.

Decoders of sound are large C libraries that are fed with files from anywhere. What they do to their process here is
somebody else's problem: it is started again, and the recording is an `AudioError`. Blocks are asked for one by one, so
that a reader works only while it is meant to.
"""

from __future__ import annotations

import json
import os
import queue
import select
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asr.audio.load import Samples
from asr.audio.segment import AudioSource, missing_file, split_source
from asr.errors import AudioError
from asr.settings.commands import check_limits

HEADER = struct.Struct("<cI")
"""of an answer: its kind, and the bytes that follow"""
_GLANCE_SECONDS = 0.2
GREETING, PROMISE, BLOCK, END, REFUSAL = b"g", b"p", b"b", b"e", b"r"
# To come up: not the fault of a recording, on however busy a machine.
_START_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a recording may cost before it is given up.

    Raises
    ------
    ConfigError
        If a limit is out of its bounds.
    """

    hours: float = 24.0
    """of sound"""
    timeout: float = 60.0
    """seconds without a sign of life from the decoder"""

    def __post_init__(self) -> None:
        check_limits(self.hours, self.timeout)


@dataclass(frozen=True, slots=True)
class Progress:
    """A block of a recording that is being read."""

    samples: Samples
    promised_seconds: float
    """the recording's length as its header has it, or 0"""
    notes: tuple[str, ...] = ()
    """what a user should know about how the recording was read; with its last block, which may be empty"""


class Readers:
    """Processes that read recordings, started when they are needed and used again.

    Parameters
    ----------
    limits : Limits
    command : sequence of str, optional
        What to run instead of `asr.audio.reader_process`.

    Examples
    --------
    >>> readers = Readers(Limits(hours=1))
    >>> for block in readers.read("talk.wav", sample_rate=16000):  # doctest: +SKIP
    ...     print(len(block.samples))
    """

    def __init__(self, limits: Limits | None = None, *, command: Sequence[str] | None = None) -> None:
        self._limits = limits or Limits()
        self._command = list(command or _own_command())
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        self._all: set[_Process] = set()  # not weakly: what is thrown away together dies in any order
        self._closing = weakref.finalize(self, _close_all, self._all)

    def start(self) -> None:
        """Start a reader ahead of time: it takes a tenth of a second to be there."""
        self._idle.put(self._new())

    def close(self) -> None:
        """End the processes; those that are reading too."""
        self._closing()

    def read(
        self,
        path: AudioSource,
        *,
        sample_rate: int,
        channel: str = "mix",
        track: int | None = None,
        turn: AbstractContextManager[Any] | None = None,
        stopped: threading.Event | None = None,
    ) -> Iterator[Progress]:
        """Read a recording block by block, as `Recording.samples` does.

        Parameters
        ----------
        path, sample_rate, channel, track
            As in `load_audio`.
        turn : context manager, optional
            Held while the reader works: a semaphore that shares out processor cores.
        stopped : threading.Event, optional
            Ends the reading early, without an error.

        Raises
        ------
        AudioError
            As in `load_audio`, and if the recording is longer than the limits allow, or the decoder crashes or hangs
            on it.
        """
        if not os.path.lexists(where := split_source(path)[0]):
            raise missing_file(where)
        process = self._take()
        try:
            yield from self._read(process, path, sample_rate, channel, track, turn or nullcontext(), stopped)
        finally:
            if process.reusable:
                self._idle.put(process)
            else:
                process.kill()
                self._all.discard(process)

    def _take(self) -> _Process:
        """A process that waits for work, or a new one. What happened to one while it waited is no recording's fault."""
        while True:
            try:
                process = self._idle.get_nowait()
            except queue.Empty:
                return self._new()
            if process.alive:
                return process
            process.kill()
            self._all.discard(process)

    def _new(self) -> _Process:
        process = _Process(self._command)
        self._all.add(process)
        return process

    def _read(
        self,
        process: _Process,
        source: AudioSource,
        sample_rate: int,
        channel: str,
        track: int | None,
        turn: AbstractContextManager[Any],
        stopped: threading.Event | None,
    ) -> Iterator[Progress]:
        path, segment = split_source(source)
        most = self._limits.hours * 3600
        # A path need not be valid in any encoding. Where we are may change; where the reader is does not.
        request: dict[str, Any] = {
            "path": os.fsencode(path.absolute()).hex(),
            "sample_rate": sample_rate,
            "channel": channel,
            "track": track,
            "segment": segment and [segment.offset, segment.duration],
            "timeout": self._limits.timeout,
        }
        process.reusable = False
        promised = done = 0.0
        while True:
            try:
                with turn:
                    kind, content = process.ask(request, self._limits.timeout, stopped)
            except InterruptedError:
                return
            except TimeoutError:
                raise AudioError(
                    path, f"the decoder has not moved on for {self._limits.timeout:g} s (timeout): the file is left out"
                ) from None
            except EOFError:
                raise AudioError(path, f"the decoder broke down on it ({process.obituary()})") from None
            request = {}
            if kind == REFUSAL:
                process.reusable = True
                raise AudioError(path, content.decode("utf-8", "replace"))
            if kind == END:
                process.reusable = True
                if content:
                    yield Progress(np.zeros(0, np.float32), promised, tuple(json.loads(content)))
                return
            if kind == PROMISE:
                promised = float(content)
            else:
                done += len(content) / 4 / sample_rate
            if max(promised, done) > most:
                raise AudioError(path, f"is longer than {self._limits.hours:g} hours (max_hours)")
            if kind == BLOCK:
                yield Progress(np.frombuffer(content, np.float32), promised)


class _Process:
    """One reader, from its parent's side."""

    def __init__(self, command: Sequence[str]) -> None:
        environment = dict(os.environ)
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = "1"  # a reader multiplies nothing
        self.reusable = True
        self._greeted = False
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )

    def ask(self, request: dict[str, Any], timeout: float, stopped: threading.Event | None) -> tuple[bytes, bytes]:
        """Send a request, wait for its answer.

        Raises
        ------
        TimeoutError, EOFError, InterruptedError
            If nothing comes for so many seconds, the process is gone, or nobody wants the answer any more.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise EOFError from None
        if not self._greeted:
            self._receive(HEADER.size, max(timeout, _START_SECONDS), stopped)
            self._greeted = True
        kind, size = HEADER.unpack(self._receive(HEADER.size, timeout, stopped))
        return kind, self._receive(size, timeout, stopped)

    def _receive(self, size: int, timeout: float, stopped: threading.Event | None) -> bytes:
        assert self._process.stdout is not None
        file = self._process.stdout.fileno()
        parts, missing, until = [], size, time.monotonic() + timeout
        while missing:
            left = until - time.monotonic()
            if stopped is not None and stopped.is_set():
                raise InterruptedError
            if left <= 0:
                raise TimeoutError
            if not select.select([file], [], [], min(left, _GLANCE_SECONDS))[0]:
                continue
            part = os.read(file, min(missing, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def obituary(self) -> str:
        """How it ended."""
        import signal

        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "it closed its output"
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {-code}, {signal.strsignal(-code)}"
        except ValueError:
            return f"signal {-code}"

    def kill(self) -> None:
        """End it at once, whatever it does; again does nothing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:
                pass  # what was still to be written to it


def _close_all(processes: set[_Process]) -> None:
    while processes:
        processes.pop().kill()


def _own_command() -> list[str]:
    # -P: a module in the folder one happens to be in is none of ours.
    home = str(Path(__file__).resolve().parents[2])
    code = f"import sys; sys.path.append({home!r}); from asr.audio.reader_process import main; main()"
    return [sys.executable, "-P", "-c", code]
