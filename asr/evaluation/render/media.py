"""The recordings of a page: audio that a browser plays, and a picture of the log-mel frames."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.audio.features import Frames, LogMel
from asr.audio.load import Samples
from asr.audio.opus import opus_content
from asr.audio.segment import AudioSource
from asr.corpus.manifest import Utterance
from asr.errors import AudioError
from asr.machine import available_cores

MEDIA_TYPES = {".ogg": "audio/ogg;codecs=opus", ".webp": "image/webp"}
"""of the files of a page, which all current browsers play and show; Safari plays Ogg Opus from 18.4 on"""
LONGEST_PICTURE_SECONDS = 600
"""longer recordings get no picture"""
_WIDEST_PICTURE = 4000
# One column per two frames: with audio, a minute of a page stays below 150 kB.
_FRAMES_A_COLUMN = 2
_PICTURE_QUALITY = 20
# Natural logarithm of power: frames 70 dB below the loudest are white.
_CONTRAST = 16.0


@dataclass(frozen=True, slots=True)
class Medium:
    """The files of a recording's audio and picture."""

    audio: Path
    picture: Path | None
    """None if the recording is too long for one"""
    seconds: float


def write_media(utterances: Sequence[Utterance], folder: Path, log_mel: LogMel) -> Iterator[Medium | None]:
    """Read recordings, and write audio and picture of each into a folder.

    Parameters
    ----------
    utterances : sequence of Utterance
    folder : Path
        Files there are named by the utterance's number, from 1.
    log_mel : LogMel
        The features to draw.

    Yields
    ------
    Medium or None
        One for each utterance; None if the recording cannot be read.

    Raises
    ------
    OSError
        If a file cannot be written.
    """

    def write(numbered: tuple[int, Utterance]) -> Medium | None:
        number, utterance = numbered
        try:
            samples = _load(utterance.audio, sample_rate=log_mel.settings.sample_rate)
        except AudioError:
            return None
        seconds = len(samples) / log_mel.settings.sample_rate
        frames = log_mel.log_mel(samples) if 0 < seconds <= LONGEST_PICTURE_SECONDS else None
        return write_medium(utterance, number, folder, log_mel, frames, seconds, samples=samples)

    with ThreadPoolExecutor(available_cores()) as pool:
        yield from pool.map(write, enumerate(utterances, 1))


def _load(source: AudioSource, *, sample_rate: int) -> Samples:
    from asr.audio.readers import shared_readers  # scoring texts needs no reader

    return shared_readers().load(source, sample_rate=sample_rate)


def write_medium(
    utterance: Utterance,
    number: int,
    folder: Path,
    log_mel: LogMel,
    frames: Frames | None,
    seconds: float,
    *,
    samples: Samples | None = None,
) -> Medium | None:
    """Write audio and picture of one recording into a folder.

    Parameters
    ----------
    utterance : Utterance
    number : int
        Names the files.
    folder : Path
    log_mel : LogMel
    frames : float32 [shape=(frames, mels)], optional
        Its log-mel frames before normalisation, to draw.
    seconds : float >= 0
        Its duration.
    samples : float32 [shape=(samples,)], optional
        The recording, if it has been read; else it is read again.

    Returns
    -------
    Medium or None
        None if the recording cannot be read.
    """
    rate, audio = log_mel.settings.sample_rate, folder / f"{number:05d}.ogg"
    try:
        samples = _load(utterance.audio, sample_rate=rate) if samples is None else samples
    except AudioError:
        return None
    audio.write_bytes(opus_content(samples, rate))
    picture = None
    if frames is not None:
        picture = folder / f"{number:05d}.webp"
        picture.write_bytes(draw_frames(frames))
    return Medium(audio, picture, seconds)


def draw_frames(frames: Frames) -> bytes:
    """Draw log-mel frames [shape=(frames, mels)], before normalisation, as WebP: time to the right, black is loud.

    A page in dark colours inverts it.
    """
    from asr.evaluation.render.webp import encode_webp

    loudest = float(frames.max())
    grey = np.clip((loudest - frames) / _CONTRAST, 0, 1) * 255
    width = max(1, min(len(grey) // _FRAMES_A_COLUMN, _WIDEST_PICTURE))
    return encode_webp(grey.T[::-1].astype(np.uint8), width=width, quality=_PICTURE_QUALITY)


def media_bytes(media: Sequence[Medium | None]) -> int:
    """The size of all files."""
    paths = (path for one in media if one is not None for path in (one.audio, one.picture))
    return sum(os.stat(path).st_size for path in paths if path is not None)
