"""Measures of a recording as it lies on disk: what a doctor of data looks at."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.audio.load import Samples, decode_audio
from asr.audio.segment import AudioSource

_BLOCK_SECONDS = 0.025
# Neighbours that are equal and this high are a cut-off top: at 8 kHz and above no voice stays so flat.
_FLAT_TOP, _FLAT_SAMPLES, _FULL_SCALE = 0.25, 3, 0.999
# Converted to 16 bits at a time: copies of a long recording would take several times its memory.
_DIGEST_SAMPLES = 1 << 20
SILENCE_DB = -120.0
"""dB of digital silence, which has none"""


@dataclass(frozen=True, slots=True)
class Sound:
    """Measures of one recording, all channels mixed unless it is said otherwise. Levels are in dB of full scale."""

    seconds: float
    sample_rate: int
    channels: int
    peak: float
    """highest absolute sample of any channel; full scale is 1"""
    level_db: float
    """root mean square of the whole"""
    loudest_db: float
    """of the loudest 25 ms"""
    range_db: float
    """between the softest and the loudest twentieth of the 25 ms blocks"""
    dc_offset: float
    """mean of the channel where it is farthest from 0"""
    clipped_share: float
    """share of samples on cut-off tops, of the channel with most"""
    digest: str
    """equal for recordings with the same samples, whatever file holds them"""


def measure_audio(path: AudioSource) -> Sound:
    """Decode a recording, or a segment of one, and measure it.

    Raises
    ------
    AudioError
        If it cannot be read whole.
    """
    return measure_channels(*decode_audio(path))


def measure_channels(channels: npt.NDArray[np.float32], rate: int) -> Sound:
    """Measure samples.

    Parameters
    ----------
    channels : float32 [shape=(samples, channels)]
    rate : int > 0
        Hz.
    """
    mixed = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1, dtype=np.float32)
    blocks = _block_levels(mixed, max(1, int(_BLOCK_SECONDS * rate)))
    softest, loudest = np.percentile(blocks, (5, 95))
    digest = hashlib.blake2b(digest_size=16)
    for start in range(0, len(channels), _DIGEST_SAMPLES):
        part = channels[start : start + _DIGEST_SAMPLES]
        digest.update(np.round(np.clip(part, -1, 1) * 32767).astype(np.int16, order="C").data)
    digest.update(f"{rate} {channels.shape[1]}".encode())
    return Sound(
        seconds=len(channels) / rate,
        sample_rate=rate,
        channels=channels.shape[1],
        peak=float(max(channels.max(), -channels.min())),
        level_db=_decibels(float(np.dot(mixed, mixed)) / len(mixed)),
        loudest_db=float(blocks.max()),
        range_db=float(loudest - softest),
        dc_offset=max((float(mean) for mean in channels.mean(axis=0, dtype=np.float64)), key=abs),
        clipped_share=max(_clipped_share(channel) for channel in channels.T),
        digest=digest.hexdigest(),
    )


def _block_levels(samples: Samples, size: int) -> Samples:
    """Level in dB of every block of a recording; of the whole, if it is shorter than one."""
    count = len(samples) // size
    blocks = samples[: count * size].reshape(count, size) if count else samples[None]
    power = np.einsum("ij,ij->i", blocks, blocks) / blocks.shape[1]
    levels: Samples = 10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10)))
    return levels


def _decibels(power: float) -> float:
    return float(10 * np.log10(max(power, 10 ** (SILENCE_DB / 10))))


def _clipped_share(samples: Samples) -> float:
    """Share of samples at full scale, or in runs of equal high ones."""
    high = np.flatnonzero(np.abs(samples) >= _FLAT_TOP)
    if len(high) < _FLAT_SAMPLES:
        return 0.0
    values = samples[high]
    same = (np.diff(high) == 1) & (np.diff(values) == 0)
    flat = np.zeros(len(high), bool)
    runs = same[:-1] & same[1:]
    for shift in range(_FLAT_SAMPLES):
        flat[shift : shift + len(runs)] |= runs
    return float((flat | (np.abs(values) >= _FULL_SCALE)).sum() / len(samples))
