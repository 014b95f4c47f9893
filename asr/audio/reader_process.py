"""The child process of `asr.audio.readers`: decodes recordings, so that a crashing decoder does not end the program."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from asr.audio.load import Samples, open_audio, probe_seconds
from asr.audio.measure import measure_blocks
from asr.audio.segment import AudioSource, split_source
from asr.errors import AudioError

# A recording that takes more is an error: several of these processes run at once, on laptops too.
_MEMORY_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Asks for a recording as `Block`s."""

    source: AudioSource
    sample_rate: int
    channel: str
    track: int | None


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """Asks for the `Sound` of a recording, after one None for each block that is decoded."""

    source: AudioSource


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """Asks for the seconds of a recording, as `probe_seconds` gives them."""

    source: AudioSource


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a recording that is being read."""

    samples: Samples
    """float32 [shape=(samples,)]; the first block of a recording is empty"""
    promised_seconds: float
    """the length of the recording by its header, or 0 where it has none"""
    notes: tuple[str, ...] = ()
    """messages for the user about how the recording was read; with its last block, which may be empty"""


@dataclass(frozen=True, slots=True)
class End:
    """Answers a request for the next item of a recording that has no more."""


Request = ReadRequest | MeasureRequest | ProbeRequest


def make_reader(_first: None) -> Callable[[Request | None], Any]:
    """The handler of a reader: a request opens a recording and is answered by its first item, None by the next one."""
    _limit_resources()
    import soundfile  # noqa: F401  # before the first request comes

    items: Iterator[Any] = iter(())
    source: AudioSource = ""

    def answer(request: Request | None) -> Any:
        nonlocal items, source
        if request is not None:
            source, items = request.source, _ITEMS[type(request)](request)
        try:
            return next(items, End())
        except AudioError:
            raise
        except MemoryError:
            raise AudioError(
                split_source(source)[0], f"takes more than {_MEMORY_BYTES >> 30} GB of memory to decode"
            ) from None
        except Exception as error:  # what a decoder raises on a broken file
            reason = f"cannot be decoded ({type(error).__name__}: {error})"
            raise AudioError(split_source(source)[0], reason) from None

    return answer


def _read(request: ReadRequest) -> Iterator[Block]:
    with open_audio(request.source, track=request.track) as recording:
        promised = recording.promised_seconds
        yield Block(np.zeros(0, np.float32), promised)
        for samples in recording.samples(sample_rate=request.sample_rate, channel=request.channel):
            yield Block(samples, promised)
    if recording.notes:
        yield Block(np.zeros(0, np.float32), promised, tuple(recording.notes))


def _measure(request: MeasureRequest) -> Iterator[Any]:
    yield from measure_blocks(request.source)


def _probe(request: ProbeRequest) -> Iterator[float]:
    yield probe_seconds(request.source)


_ITEMS: dict[type, Callable[[Any], Iterator[Any]]] = {
    ReadRequest: _read,
    MeasureRequest: _measure,
    ProbeRequest: _probe,
}


def _limit_resources() -> None:
    # Linux counts as data what can be written to; the address space also has what threads only reserve, 64 MB each.
    memory = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    for kind, value in ((memory, _MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):  # the system has no such limit, or a lower one already
            resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
