"""What a page shows of recordings: the sound as a browser plays it, and a picture of its log-mel frames."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asr.audio.features import Frames, LogMel
from asr.audio.load import load_audio, save_flac
from asr.corpus.manifest import Utterance
from asr.errors import AudioError
from asr.machine import available_cores

MEDIA_TYPES = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".webm": "audio/webm",
    ".webp": "image/webp",
}
"""what browsers play and show; other recordings, and segments, are converted to FLAC"""
_LONGEST_PICTURE_SECONDS, _WIDEST_PICTURE = 600, 4000
_PICTURE_QUALITY = 45
# What is so much softer than the loudest sound is white (natural logarithm of power: about 70 dB).
_CONTRAST = 16.0


@dataclass(frozen=True, slots=True)
class Medium:
    """Where a recording's sound and picture lie."""

    audio: Path
    picture: Path | None
    """None where the recording is too long for one"""
    seconds: float


def write_media(utterances: Sequence[Utterance], folder: Path, log_mel: LogMel) -> Iterator[Medium | None]:
    """Write sound and picture of recordings into a folder.

    Parameters
    ----------
    utterances : sequence of Utterance
    folder : Path
        Files there are named by the utterance's number.
    log_mel : LogMel
        The features to picture.

    Yields
    ------
    Medium or None
        One for each utterance; None where the recording cannot be read.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    with ThreadPoolExecutor(available_cores()) as pool:
        yield from pool.map(lambda pair: _write(pair[1], folder, f"{pair[0]:05d}", log_mel), enumerate(utterances, 1))


def _write(utterance: Utterance, folder: Path, name: str, log_mel: LogMel) -> Medium | None:
    path, rate = utterance.audio_path, log_mel.settings.sample_rate
    try:
        samples = load_audio(utterance.audio, sample_rate=rate)
        is_playable = utterance.offset is None and path.suffix.lower() in MEDIA_TYPES
        content = path.read_bytes() if is_playable else None
    except (AudioError, OSError):
        return None
    if content is None:
        audio = folder / f"{name}.flac"
        save_flac(audio, samples, rate)
    else:
        audio = folder / f"{name}{path.suffix.lower()}"
        audio.write_bytes(content)
    picture, seconds = None, len(samples) / rate
    if 0 < seconds <= _LONGEST_PICTURE_SECONDS:
        picture = folder / f"{name}.webp"
        picture.write_bytes(draw_frames(log_mel.log_mel(samples)))
    return Medium(audio, picture, seconds)


def draw_frames(frames: Frames) -> bytes:
    """Draw log-mel frames [shape=(frames, mels)], before normalisation, as WebP: time to the right, black is loud.

    A page turns it around where it is dark.
    """
    from PIL import Image

    loudest = float(frames.max())
    grey = np.clip((loudest - frames) / _CONTRAST, 0, 1) * 255
    image = Image.fromarray(np.ascontiguousarray(grey.T[::-1]).astype(np.uint8))
    if image.width > _WIDEST_PICTURE:
        image = image.resize((_WIDEST_PICTURE, image.height))
    content = io.BytesIO()
    image.save(content, "WEBP", quality=_PICTURE_QUALITY, method=2)
    return content.getvalue()


def media_bytes(media: Sequence[Medium | None]) -> int:
    """The size of all files."""
    paths = (path for one in media if one is not None for path in (one.audio, one.picture))
    return sum(os.stat(path).st_size for path in paths if path is not None)
