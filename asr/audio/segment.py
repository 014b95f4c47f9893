"""A segment of a recording: `offset` and `duration` of NeMo's manifests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.errors import AudioError

# Times in manifests are rounded, and encoders drop their delay: a segment may end this much after its recording.
_TOLERANCE_SECONDS = 0.05
# A path keeps one slash of `https://`.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True, slots=True)
class AudioSegment:
    """A segment of a recording, which is read, transcribed and trained on like a recording of its own."""

    path: Path
    offset: float
    """seconds from the start of the recording"""
    duration: float | None = None
    """seconds; None to the end of the recording"""

    def __str__(self) -> str:
        return f"{self.path} ({self.span})"

    @property
    def span(self) -> str:
        """Its start and end, for messages."""
        if self.duration is None:
            return f"from {self.offset:.10g} s on"
        return f"{self.offset:.10g} to {self.offset + self.duration:.10g} s"

    def check_within(self, seconds: float) -> None:
        """Refuse a segment that is not within a recording of `seconds`.

        Raises
        ------
        AudioError
            Naming the segment and the recording's length.
        """
        end = self.offset + (self.duration or 0.0)
        if self.offset >= seconds or end > seconds + _TOLERANCE_SECONDS:
            raise AudioError(self.path, f"the segment {self.span} is not within the recording, which has {seconds:g} s")


AudioSource = str | Path | AudioSegment
"""The source of audio: the path of a recording, or a segment of one."""


def split_source(source: AudioSource) -> tuple[Path, AudioSegment | None]:
    """The recording that a source is in, and the segment of it, if it is one."""
    return (source.path, source) if isinstance(source, AudioSegment) else (Path(source), None)


def recording_key(source: AudioSource) -> str:
    """What identifies a recording or a segment of one in a cache; a recording that has changed gets another key.

    Raises
    ------
    OSError
        If the recording is not there.
    """
    path, segment = split_source(source)
    status = path.stat()
    key = f"{path.resolve()}\n{status.st_size}\n{status.st_mtime_ns}"
    return key if segment is None else f"{key}\n{segment.offset}\n{segment.duration}"


def is_address(name: str | Path) -> bool:
    """Whether a name is an address on a network."""
    return _ADDRESS.match(str(name)) is not None


def missing_file(path: Path) -> AudioError:
    """The message for a recording that does not exist."""
    if is_address(path):
        return AudioError(
            path,
            "is an address, and only files are read: download it, or, if FFmpeg can open it, "
            "`ffmpeg -i ADDRESS -f wav - | asr transcribe -`",
        )
    return AudioError(path, "no such file")


def cut_segment(
    blocks: Iterator[tuple[int, npt.NDArray[np.float32]]], segment: AudioSegment, position: Fraction | int = 0
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """The blocks of a segment, from those of its recording; what follows the segment is not read.

    Parameters
    ----------
    blocks : iterator of (Hz, float32 [shape=(samples, channels)])
    segment : AudioSegment
    position : Fraction or int
        Seconds of the recording before the first block.

    Yields
    ------
    (Hz, float32 [shape=(samples, channels)])
        Empty for a block before the segment, so that the decoder's progress is visible to the caller.

    Raises
    ------
    AudioError
        If the recording ends before the segment does.
    """
    taken = 0
    for rate, block in blocks:
        before = round(position * rate)
        start = round(segment.offset * rate)
        end = None if segment.duration is None else start + max(1, round(segment.duration * rate))
        wanted = block[max(0, start - before) : None if end is None else max(0, end - before)]
        yield rate, wanted
        position, taken = position + Fraction(len(block), rate), taken + len(wanted)
        if end is not None and before + len(block) >= end:
            return
    segment.check_within(float(position))
    if not taken:
        raise AudioError(segment.path, f"the segment {segment.span} holds no samples")
