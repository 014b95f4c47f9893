"""Reads recordings of any common format into one shape: float32 samples of one channel at one rate.

WAV, FLAC, OGG Vorbis, Opus, MP3 and their kin are read by libsndfile; M4A, MP4, WebM, AAC and other containers by
FFmpeg's libraries. A recording that cannot be read whole is an `AudioError`, never a shorter recording.
"""

from __future__ import annotations

import io
import itertools
import math
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.audio.segment import AudioSource, cut_segment, missing_file, split_source
from asr.errors import AudioError
from asr.files import write_atomically

Samples = npt.NDArray[np.float32]

# A decoder may lawfully drop its own delay at either end (MP3: 1105 samples and a frame of 1152; AAC: two of 1024).
_CODEC_DELAY_SAMPLES = 4 * 1152
# Values read at once, of all channels together: 2 MB.
_BLOCK_VALUES = 1 << 19
_LOSSLESS = frozenset(["WAV", "WAVEX", "RF64", "W64", "FLAC", "AIFF", "AU", "CAF"])
_LOWEST_RATE = 1000
# Floating point samples may be beyond full scale, some programs write them at that of 16 bits; not farther.
LARGEST_VALUE = 1e6
# A header that promises more seconds than this promises nothing: writers to pipes leave the largest number there is.
_ENDLESS = 1e9


def load_audio(path: AudioSource, *, sample_rate: int, channel: str = "mix") -> Samples:
    """Read a recording whole.

    Parameters
    ----------
    path : str, Path or AudioSegment
        A file of any format that libsndfile or FFmpeg knows, or a segment of one.
    sample_rate : int > 0
        Hz of the result; another rate is resampled (soxr, high quality).
    channel : str
        "mix" for the mean of all channels, or the number of one channel, from 1.

    Returns
    -------
    float32 [shape=(samples,)]
        Full scale is 1.

    Raises
    ------
    AudioError
        If the file is missing, empty, not audio, truncated, has no such channel, holds what is no sound, or ends before
        the segment does.
    """
    with open_audio(path) as recording:
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
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), recording.sample_rate


@dataclass(frozen=True)
class Recording:
    """A recording that is open, to be read once, block by block."""

    path: Path
    sample_rate: int
    """Hz"""
    channels: int
    promised_seconds: float
    """its length as its header has it, or 0 where that says nothing"""
    blocks: Iterator[npt.NDArray[np.float32]]
    """finite float32 [shape=(samples, channels)], at most a few MB each; raises `AudioError` where it cannot go on"""

    def samples(self, *, sample_rate: int, channel: str = "mix") -> Iterator[Samples]:
        """One channel at one rate, float32 [shape=(samples,)] block by block; arguments and errors as in `load_audio`.

        However it is cut into blocks, the samples are the same.
        """
        if channel != "mix" and not 1 <= int(channel) <= self.channels:
            raise AudioError(self.path, f"there is no channel {int(channel)}: the recording has {self.channels}")
        if self.sample_rate < _LOWEST_RATE:
            raise AudioError(
                self.path, f"has {self.sample_rate} samples a second: nothing can be understood below {_LOWEST_RATE}"
            )
        resampler = None
        if self.sample_rate != sample_rate:
            import soxr

            resampler = soxr.ResampleStream(self.sample_rate, sample_rate, 1, dtype="float32", quality="HQ")
        for block in self.blocks:
            if channel == "mix":
                one = block.mean(axis=1, dtype=np.float32) if self.channels > 1 else block[:, 0]
            else:
                one = block[:, int(channel) - 1]
            one = np.ascontiguousarray(one)
            yield one if resampler is None else resampler.resample_chunk(one)
        if resampler is not None:
            yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


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
    """The duration that a recording's header states, without decoding it; of a segment, its own.

    Raises
    ------
    AudioError
        If the file is missing, empty, its header is not one of a recording, or the recording ends before the segment.
    """
    path, segment = split_source(path)
    seconds = _header_seconds(path)
    if segment is None:
        return seconds
    try:
        segment.check_within(seconds)
    except AudioError:
        # A header may promise too little: only the samples tell.
        with open_audio(segment) as recording:
            return sum(len(block) for block in recording.blocks) / recording.sample_rate
    return min(segment.duration or math.inf, seconds - segment.offset)


def _header_seconds(path: Path) -> float:
    _check_file(path)
    import soundfile

    try:
        header = soundfile.info(os.fsencode(path))
        return float(header.frames / header.samplerate)
    except (soundfile.SoundFileError, TypeError):  # TypeError: a file named *.raw
        pass
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioError(path, "holds no audio stream")
            return float((container.duration or 0) / av.time_base)
    except av.FFmpegError as error:
        raise AudioError(path, f"not audio in any known format ({error.strerror})") from error


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
def open_audio(path: AudioSource) -> Iterator[Recording]:
    """Open a recording to read it block by block, in memory that does not grow with its length.

    Parameters
    ----------
    path : str, Path or AudioSegment
        As in `load_audio`.

    Raises
    ------
    AudioError
        As in `load_audio`; what is wrong farther on shows while its blocks are read.
    """
    path, segment = split_source(path)
    _check_file(path)
    _check_not_truncated(path)
    import soundfile

    with ExitStack() as stack:
        try:
            file = stack.enter_context(soundfile.SoundFile(os.fsencode(path)))
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a file named *.raw
            # libsndfile knows the format but cannot read this file: FFmpeg would only guess at what is left of it.
            if _recognised_by_libsndfile(path):
                raise _damaged(path, error) from error
            rate, channels, promised, blocks = _open_with_ffmpeg(path, stack)
            position = 0
        else:
            rate, channels, promised = file.samplerate, file.channels, file.frames / file.samplerate
            position = _skip(file, segment.offset) if segment is not None else 0
            blocks = _read_with_libsndfile(path, file)
        blocks = _finite(path, rate, blocks)
        if segment is not None:
            blocks = cut_segment(blocks, rate, segment, position)
            promised = segment.duration or max(0.0, promised - segment.offset)
        yield Recording(path, rate, channels, promised if promised < _ENDLESS else 0.0, blocks)


def _finite(path: Path, rate: int, blocks: Iterator[npt.NDArray[np.float32]]) -> Iterator[npt.NDArray[np.float32]]:
    """Blocks that are not empty; the first value that is no sound ends them."""
    position = 0
    for block in blocks:
        good = (np.abs(block) <= LARGEST_VALUE).all(axis=1)  # which no NaN is
        if not good.all():
            when = (position + int(good.argmin())) / rate
            worst = "NaN" if np.isnan(block[good.argmin()]).any() else f"{np.abs(block[good.argmin()]).max():g}"
            raise AudioError(
                path, f"holds values that are no sound ({worst}, full scale is 1), the first at {when:.2f} s"
            )
        position += len(block)
        if len(block):
            yield block
    if not position:
        raise AudioError(path, "holds no samples")


def _skip(file: Any, seconds: float) -> int:
    """Go to a moment of a file in which that is exact, and quick; returns the samples that were passed over."""
    start = round(seconds * file.samplerate)
    return int(file.seek(start)) if file.format in _LOSSLESS and file.seekable() and start < file.frames < 2**62 else 0


def _read_with_libsndfile(path: Path, file: Any) -> Iterator[npt.NDArray[np.float32]]:
    import soundfile

    promised, done, size = file.frames, file.tell(), max(1, _BLOCK_VALUES // file.channels)
    while True:
        try:
            block = file.read(size, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise _damaged(path, error) from error
        if not len(block):
            break
        done += len(block)
        yield block
    lossless = file.format in _LOSSLESS
    if done and 0 < promised < 2**62 and promised - done > (0 if lossless else _CODEC_DELAY_SAMPLES):
        raise _shorter(path, promised / file.samplerate, done / file.samplerate)


def _damaged(path: Path, error: Exception) -> AudioError:
    reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
    return AudioError(path, f"is damaged or truncated ({reason})")


def _shorter(path: Path, promised: float, done: float) -> AudioError:
    return AudioError(path, f"is truncated: its header promises {promised:.2f} s, {done:.2f} s are there")


def _recognised_by_libsndfile(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
    return head[:4] in {b"fLaC", b"OggS"} or (head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE")


def _check_not_truncated(path: Path) -> None:
    """libsndfile reads a WAV or Ogg file that was cut off as a shorter one, without a word: look at the containers."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            position = 12
            while position + 8 <= size:
                file.seek(position)
                name, length = struct.unpack("<4sI", file.read(8))
                if name == b"data":
                    # A writer to a pipe cannot go back to fill the length in and leaves 0 or the largest number.
                    if 0 < length < 0xFFFFF000 and position + 8 + length > size:
                        share = (size - position - 8) / length
                        raise AudioError(path, f"is truncated: {share:.1%} of the promised samples are there")
                    return
                position += 8 + length + length % 2
            raise AudioError(path, "is truncated: there are no samples after its header")
        if head[:4] == b"OggS":
            start = max(0, size - 2 * 65307)  # a page is at most 65,307 bytes long
            file.seek(start)
            tail = file.read()
            page = tail.rfind(b"OggS")
            if page < 0:
                return
            segments = tail[page + 26] if page + 26 < len(tail) else 255
            table = tail[page + 27 : page + 27 + segments]
            if len(table) < segments or page + 27 + segments + sum(table) > len(tail):
                raise AudioError(path, "is truncated: it ends in the middle of an Ogg page")


def _open_with_ffmpeg(path: Path, stack: ExitStack) -> tuple[int, int, float, Iterator[npt.NDArray[np.float32]]]:
    """Rate, channels, promised seconds, and blocks."""
    import av

    try:
        container = stack.enter_context(av.open(str(path)))
        if not container.streams.audio:
            raise AudioError(path, "holds no audio stream")
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise AudioError(path, "its sound is in a codec that is not known here")
        promised = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        rate, channels = int(stream.rate or 0), int(stream.channels or 0)
    except (av.FFmpegError, ValueError) as error:
        raise _not_audio(path, error) from error
    if rate <= 0 or channels <= 0:
        raise AudioError(path, "is damaged: its header names no sample rate or no channels")
    return rate, channels, promised, _read_with_ffmpeg(path, container, stream, rate, channels, promised)


def _read_with_ffmpeg(
    path: Path, container: Any, stream: Any, rate: int, channels: int, promised: float
) -> Iterator[npt.NDArray[np.float32]]:
    import av

    done = 0
    try:
        # Channels side by side in one plane: PyAV reads no more than eight planes, and beyond them whatever is there.
        resampler = av.AudioResampler(format="flt", layout=stream.layout, rate=rate)
        for frame in itertools.chain(container.decode(stream), [None]):
            if frame is None and not done:
                break  # the resampler has nothing to give back
            for block in resampler.resample(frame):
                if len(block.layout.channels) != channels:
                    raise AudioError(path, f"is damaged: {channels} channels become {len(block.layout.channels)}")
                samples = block.to_ndarray().reshape(-1, channels).astype(np.float32, copy=False)
                done += len(samples)
                yield samples
    except (av.FFmpegError, ValueError) as error:
        raise _not_audio(path, error) from error
    if done and promised * rate - done > max(_CODEC_DELAY_SAMPLES, 0.02 * promised * rate):
        raise _shorter(path, promised, done / rate)


def _not_audio(path: Path, error: Exception) -> AudioError:
    return AudioError(path, f"not audio in any known format, or damaged ({getattr(error, 'strerror', None) or error})")


def cut_samples(blocks: Iterable[Samples], spans: Sequence[tuple[int, int]]) -> Iterator[Samples]:
    """Parts of a recording that comes block by block.

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
    """Write samples as 16-bit FLAC, whole or not at all.

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
