"""Reads recordings of any common format into one shape: float32 samples of one channel at one rate.

WAV, FLAC, OGG Vorbis, Opus, MP3 and their kin are read by libsndfile; M4A, MP4, WebM, AAC and other containers by
FFmpeg's libraries. A recording that cannot be read whole is an `AudioError`, never a shorter recording.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.errors import AudioError

Samples = npt.NDArray[np.float32]

AUDIO_SUFFIXES = frozenset(
    [
        ".wav",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".aif",
        ".aiff",
        ".au",
        ".caf",
        ".w64",
        ".rf64",
        ".m4a",
        ".m4b",
        ".mp4",
        ".mov",
        ".webm",
        ".mkv",
        ".mka",
        ".aac",
        ".wma",
        ".amr",
        ".3gp",
    ]
)
"""File names with these suffixes are taken for recordings when a folder is searched."""

# A decoder may lawfully drop its own delay at either end (MP3: 1105 samples and a frame of 1152; AAC: two of 1024).
_CODEC_DELAY_SAMPLES = 4 * 1152


def load_audio(path: str | Path, *, sample_rate: int, channel: str = "mix") -> Samples:
    """Read a recording.

    Parameters
    ----------
    path : str or Path
        A file of any format that libsndfile or FFmpeg knows.
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
        If the file is missing, empty, not audio, truncated, has no such channel, or holds values that are not finite.
    """
    path = Path(path)
    channels, rate = decode_audio(path)
    if channel == "mix":
        samples = channels.mean(axis=1, dtype=np.float32) if channels.shape[1] > 1 else channels[:, 0]
    else:
        number = int(channel)
        if not 1 <= number <= channels.shape[1]:
            raise AudioError(path, f"there is no channel {number}: the recording has {channels.shape[1]}")
        samples = channels[:, number - 1]
    return resample(samples, rate, sample_rate)


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


def probe_seconds(path: str | Path) -> float:
    """The duration that a recording's header states, without decoding it.

    Raises
    ------
    AudioError
        If the file is missing, empty, or its header is not one of a recording.
    """
    path = Path(path)
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
            raise AudioError(path, "no such file")
        if not path.is_file():
            raise AudioError(path, "is not a regular file")
        if path.stat().st_size == 0:
            raise AudioError(path, "the file is empty")
        with path.open("rb"):
            pass
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror or error})") from error


def decode_audio(path: str | Path) -> tuple[npt.NDArray[np.float32], int]:
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
    path = Path(path)
    channels, rate = _decode(path)
    not_finite = len(channels) * channels.shape[1] - int(np.isfinite(channels).sum())
    if not_finite:
        raise AudioError(path, f"holds values that are not finite numbers (NaN or Inf; {not_finite} of them)")
    return channels, rate


def _decode(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    """All channels (samples, channels) and the rate."""
    _check_file(path)
    _check_not_truncated(path)
    import soundfile

    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            promised, rate = file.frames, file.samplerate
            channels = file.read(dtype="float32", always_2d=True)
            lossless = file.format in {"WAV", "WAVEX", "RF64", "W64", "FLAC", "AIFF", "AU", "CAF"}
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a file named *.raw
        # libsndfile knows the format but cannot read this file: FFmpeg would only guess at what is left of it.
        if _recognised_by_libsndfile(path):
            reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
            raise AudioError(path, f"is damaged or truncated ({reason})") from error
        return _decode_with_ffmpeg(path)
    if len(channels) == 0:
        raise AudioError(path, "holds no samples")
    missing = promised - len(channels)
    if 0 < promised < 2**62 and missing > (0 if lossless else _CODEC_DELAY_SAMPLES):
        raise AudioError(
            path, f"is truncated: its header promises {promised / rate:.2f} s, {len(channels) / rate:.2f} s are there"
        )
    return channels, rate


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
                        raise AudioError(path, f"is truncated: {share:.0%} of the promised samples are there")
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


def _decode_with_ffmpeg(path: Path) -> tuple[npt.NDArray[np.float32], int]:
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioError(path, "holds no audio stream")
            stream = container.streams.audio[0]
            promised = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            resampler = av.AudioResampler(format="fltp")
            blocks = []
            for frame in container.decode(stream):
                blocks += [block.to_ndarray() for block in resampler.resample(frame)]
            blocks += [block.to_ndarray() for block in resampler.resample(None)] if blocks else []
            rate = int(stream.rate)
    except av.FFmpegError as error:
        raise AudioError(path, f"not audio in any known format, or damaged ({error.strerror})") from error
    if not blocks:
        raise AudioError(path, "holds no samples")
    channels = np.concatenate(blocks, axis=1).T.astype(np.float32, copy=False)
    if len(channels) == 0:
        raise AudioError(path, "holds no samples")
    if promised * rate - len(channels) > max(_CODEC_DELAY_SAMPLES, 0.02 * promised * rate):
        raise AudioError(
            path, f"is truncated: its header promises {promised:.2f} s, {len(channels) / rate:.2f} s are there"
        )
    return channels, rate
