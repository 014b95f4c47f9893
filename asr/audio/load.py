"""Reads recordings of any common format into one form: float32 samples of one channel at one rate.

`asr.audio.formats` inspects the structure of the file, `asr.audio.decode` decodes it. A recording that cannot be read
completely is an `AudioError`, never a shorter recording: docs/audio-formats.md has the policy.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.audio.decode import Block, Stream, count_seconds, open_link
from asr.audio.formats import Link, find_links
from asr.audio.segment import AudioSource, cut_segment, missing_file, split_source
from asr.errors import AudioError
from asr.files import write_atomically

Samples = npt.NDArray[np.float32]

_LOWEST_RATE = 1000
# Floating point samples may exceed full scale, up to that of 16 bits, which some programs write; not more.
LARGEST_VALUE = 1e6
# A header with more seconds than this has no length: programs write the largest number to a pipe.
_ENDLESS = 1e9


def load_audio(path: AudioSource, *, sample_rate: int, channel: str = "mix", track: int | None = None) -> Samples:
    """Read a complete recording.

    Parameters
    ----------
    path : str, Path or AudioSegment
        A file of any format that libsndfile or FFmpeg knows, or a segment of one.
    sample_rate : int > 0
        Hz of the result; another rate is resampled (soxr, high quality).
    channel : str
        "mix" for the mean of all channels, or the number of one channel, from 1.
    track : int > 0, optional
        The number of an audio track, where a film has several, from 1; the one that is marked as default by default.

    Returns
    -------
    float32 [shape=(samples,)]
        Full scale is 1.

    Raises
    ------
    AudioError
        If the file is missing, empty, truncated, not audio, has no such channel or track, holds impossible values, or
        ends before the segment does.
    """
    with open_audio(path, track=track) as recording:
        blocks = list(recording.samples(sample_rate=sample_rate, channel=channel))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def decode_audio(path: AudioSource) -> tuple[npt.NDArray[np.float32], int]:
    """A recording as it is: all channels, at its own rate.

    Returns
    -------
    channels : float32 [shape=(samples, channels)]
    sample_rate : int
        Hz.

    Raises
    ------
    AudioError
        As `load_audio` does.
    """
    with open_audio(path) as recording:
        blocks = list(recording.blocks)
    rate, channels = blocks[0][0], min(block.shape[1] for _, block in blocks)
    # The first of several recordings in one file determines the rate of the others.
    if any(one != rate for one, _ in blocks):
        runs = itertools.groupby(blocks, lambda one: (one[0], one[1].shape[1]))
        blocks = [(rate, _at_rate(list(run), rate)) for _, run in runs]
    if any(block.shape[1] != channels for _, block in blocks):
        blocks = [(rate, block.mean(axis=1, keepdims=True, dtype=np.float32)) for _, block in blocks]
    return blocks[0][1] if len(blocks) == 1 else np.concatenate([block for _, block in blocks]), rate


def _at_rate(blocks: Sequence[Block], wanted: int) -> npt.NDArray[np.float32]:
    """Blocks of one rate and number of channels at another rate."""
    samples = np.concatenate([block for _, block in blocks])
    return np.stack([resample(channel, blocks[0][0], wanted) for channel in samples.T], axis=1)


@dataclass(frozen=True)
class Recording:
    """A recording that is open, to be read once, block by block."""

    path: Path
    sample_rate: int
    """Hz, of its first block"""
    channels: int
    """of its first block"""
    promised_seconds: float
    """its length by its header, or 0 where that states none"""
    blocks: Iterator[Block]
    """Hz and finite float32 [shape=(samples, channels)], a few MB each; raises `AudioError` where it cannot continue"""
    notes: Sequence[str] = ()
    """messages for the user about how it is read; reading may add more"""

    def samples(self, *, sample_rate: int, channel: str = "mix") -> Iterator[Samples]:
        """One channel at one rate, float32 [shape=(samples,)] block by block; arguments and errors as in `load_audio`.

        However it is cut into blocks, the samples are the same.
        """
        resampler, now = StreamResampler(sample_rate, sample_rate), sample_rate
        if channel != "mix" and not 1 <= int(channel) <= self.channels:
            raise self._no_channel(channel, self.channels)
        for rate, block in self.blocks:
            if rate != now:  # of a file that consists of several recordings, each may have another
                if rate < _LOWEST_RATE:
                    raise AudioError(self.path, _too_low(rate))
                yield resampler.finish()
                resampler, now = StreamResampler(rate, sample_rate), rate
            if channel == "mix":
                one = block.mean(axis=1, dtype=np.float32) if block.shape[1] > 1 else block[:, 0]
            elif int(channel) <= block.shape[1]:
                one = block[:, int(channel) - 1]
            else:
                raise self._no_channel(channel, block.shape[1])
            one = np.ascontiguousarray(one)
            yield resampler.push(one)
        yield resampler.finish()

    def _no_channel(self, channel: str, count: int) -> AudioError:
        return AudioError(self.path, f"there is no channel {int(channel)}: the recording has {count}")


class StreamResampler:
    """Resamples one channel block by block, band-limited (soxr, high quality); the blocks change nothing.

    Parameters
    ----------
    rate, wanted : int > 0
        Hz of what is pushed, and of the result.

    Raises
    ------
    AudioError
        If the rate is too low for speech.
    """

    def __init__(self, rate: int, wanted: int) -> None:
        if rate < _LOWEST_RATE:
            raise AudioError("samples", _too_low(rate))
        self._stream: Any = None
        if rate != wanted:
            import soxr

            self._stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")

    def push(self, samples: Samples) -> Samples:
        """The result as far as it is certain [shape=(samples,)]."""
        if self._stream is None:
            return samples
        resampled: Samples = self._stream.resample_chunk(np.ascontiguousarray(samples))
        return resampled

    def finish(self) -> Samples:
        """The rest of the result."""
        if self._stream is None:
            return np.zeros(0, np.float32)
        rest: Samples = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        return rest


def _too_low(rate: int) -> str:
    return f"has {rate} samples a second: speech cannot be recognised below {_LOWEST_RATE}"


def resample(samples: Samples, rate: float, wanted: float) -> Samples:
    """Resample one channel, band-limited (soxr, high quality).

    Parameters
    ----------
    samples : float32 [shape=(samples,)]
    rate, wanted : float > 0
        Hz before and after; only their ratio matters.

    Returns
    -------
    float32 [shape=(about samples * wanted / rate,)]
    """
    if rate == wanted:
        return np.ascontiguousarray(samples)
    import soxr

    resampled: Samples = soxr.resample(np.ascontiguousarray(samples), rate, wanted, quality="HQ")
    return resampled


def probe_seconds(path: AudioSource) -> float:
    """The length of a recording by its headers, or by its packets where headers do not state it, without decoding.

    Raises
    ------
    AudioError
        If the file is missing, empty, truncated, its header is not one of a recording, or it ends before the segment.
    """
    path, segment = split_source(path)
    seconds = _header_seconds(path)
    if segment is None:
        return seconds
    try:
        segment.check_within(seconds)
    except AudioError:
        # A header may state too little: only the samples show the length.
        with open_audio(segment) as recording:
            return sum(len(block) / rate for rate, block in recording.blocks)
    return min(segment.duration or math.inf, seconds - segment.offset)


def _header_seconds(path: Path) -> float:
    _check_file(path)
    total = 0.0
    for link in find_links(path):
        with ExitStack() as stack:
            seconds = link.seconds or open_link(path, link, stack).seconds
        total += count_seconds(path, link) if seconds is None or seconds >= _ENDLESS else seconds
    return total


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise AudioError(path, "is a folder, not a recording")
        if not path.exists():
            raise missing_file(path)
        if not path.is_file():
            raise AudioError(path, "is not a regular file")
        if path.stat().st_size == 0:
            raise AudioError(path, "the file is empty")
        with path.open("rb"):
            pass
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror or error})") from error


@contextmanager
def open_audio(path: AudioSource, *, track: int | None = None) -> Iterator[Recording]:
    """Open a recording to read it block by block, in memory that does not grow with its length.

    Parameters
    ----------
    path : str, Path or AudioSegment
        As in `load_audio`.
    track : int > 0, optional
        As in `load_audio`.

    Raises
    ------
    AudioError
        As in `load_audio`; faults farther on are raised while its blocks are read.
    """
    path, segment = split_source(path)
    _check_file(path)
    links = find_links(path)
    with ExitStack() as stack:
        first = open_link(path, links[0], stack, track=track, segment=segment if len(links) == 1 else None)
        promised = (first.seconds or 0.0) if len(links) == 1 else 0.0
        if all(link.seconds for link in links):
            promised = sum(link.seconds for link in links)
        blocks = checked_blocks(path, _chain(path, links, first, track))
        if segment is not None:
            blocks = cut_segment(blocks, segment, Fraction(first.skipped, first.sample_rate))
            promised = segment.duration or max(0.0, promised - segment.offset)
        yield Recording(
            path,
            first.sample_rate,
            first.channels,
            promised if promised < _ENDLESS else 0.0,
            blocks,
            first.notes,
        )


def _chain(path: Path, links: Sequence[Link], first: Stream, track: int | None) -> Iterator[Block]:
    """The blocks of recordings that follow each other in a file."""
    yield from first.blocks
    for link in links[1:]:
        with ExitStack() as stack:
            yield from open_link(path, link, stack, track=track).blocks


def checked_blocks(path: Path, blocks: Iterator[Block]) -> Iterator[Block]:
    """Blocks that are not empty; the first value that is not audio is an error."""
    position = 0.0
    for rate, block in blocks:
        good = (np.abs(block) <= LARGEST_VALUE).all(axis=1)  # NaN is not
        if not good.all():
            when = position + int(good.argmin()) / rate
            worst = "NaN" if np.isnan(block[good.argmin()]).any() else f"{np.abs(block[good.argmin()]).max():g}"
            raise AudioError(
                path, f"holds values that are not audio ({worst}, full scale is 1), the first at {when:.2f} s"
            )
        position += len(block) / rate
        if len(block):
            yield rate, block
    if not position:
        raise AudioError(path, "holds no samples")


def cut_samples(blocks: Iterable[Samples], spans: Sequence[tuple[int, int]]) -> Iterator[Samples]:
    """Spans of a recording that is read block by block.

    Parameters
    ----------
    blocks : iterable of float32 [shape=(samples,)]
    spans : sequence of (start, end)
        In samples, ascending; they may overlap.

    Yields
    ------
    float32 [shape=(end - start,)]
        Shorter where the recording ends.
    """
    remaining, held, offset = iter(blocks), np.zeros(0, np.float32), 0
    for start, end in spans:
        held, offset = held[max(0, start - offset) :], offset + min(max(0, start - offset), len(held))
        while offset + len(held) < end and (block := next(remaining, None)) is not None:
            held = np.concatenate([held, block])
            drop = min(max(0, start - offset), len(held))
            held, offset = held[drop:], offset + drop
        yield held[start - offset : end - offset]


def save_flac(path: Path, samples: Samples, sample_rate: int) -> None:
    """Write samples as 16-bit FLAC, atomically.

    Raises
    ------
    OSError
        If the folder cannot be written to or the disk is full.
    """
    write_atomically(path, flac_content(samples, sample_rate))


def flac_content(samples: Samples, sample_rate: int) -> bytes:
    """Samples as a 16-bit FLAC file."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
