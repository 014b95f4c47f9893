"""Measures of a recording, as `asr doctor` needs them: levels, offset, clipping, a digest of the samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.audio.load import Samples, decode_audio, open_audio
from asr.audio.segment import AudioSource

_BLOCK_SECONDS = 0.025
# Equal neighbours this high are clipped: at 8 kHz and above no voice is so flat.
_FLAT_TOP, _FLAT_SAMPLES, _FULL_SCALE = 0.25, 3, 0.999
_SAMPLES_AT_ONCE = 1 << 20
SILENCE_DB = -120.0
"""dB that stand for digital silence"""


@dataclass(frozen=True, slots=True)
class Sound:
    """Measures of one recording, with all channels mixed unless stated otherwise. Levels are in dB of full scale."""

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
    """share of clipped samples, in the channel that has most"""
    digest: str
    """equal for recordings with the same samples, whatever file holds them"""


def measure_audio(path: AudioSource) -> Sound:
    """Decode a recording, or a segment of one, and measure it.

    Raises
    ------
    AudioError
        If it cannot be read completely.
    """
    *_, sound = measure_blocks(path)
    assert sound is not None
    return sound


def measure_blocks(path: AudioSource) -> Iterator[Sound | None]:
    """As `measure_audio`, in constant memory: yields None for each block, then the measures."""
    with open_audio(path) as recording:
        measurement = Measurement(recording.sample_rate, recording.channels)
        for rate, block in recording.blocks:
            if (rate, block.shape[1]) != (recording.sample_rate, recording.channels):
                break
            if len(block):  # else it is before the segment
                measurement.add(block)
            yield None
        else:
            yield measurement.finish()
            return
    # The first of several recordings in one file determines the rate at which the others are measured.
    yield measure_channels(*decode_audio(path))


def measure_channels(channels: npt.NDArray[np.float32], rate: int) -> Sound:
    """Measure samples.

    Parameters
    ----------
    channels : float32 [shape=(samples, channels)]
    rate : int > 0
        Hz.
    """
    measurement = Measurement(rate, channels.shape[1])
    for start in range(0, len(channels), _SAMPLES_AT_ONCE):
        measurement.add(channels[start : start + _SAMPLES_AT_ONCE])
    return measurement.finish()


class Measurement:
    """Measures samples that come in blocks; the sizes of the blocks make no difference.

    Parameters
    ----------
    rate : int > 0
        Hz.
    channels : int > 0
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._channels = rate, channels
        self._size = max(1, int(_BLOCK_SECONDS * rate))
        self._count = 0
        self._peak = self._power = 0.0
        self._sums = np.zeros(channels)
        self._levels: list[Samples] = []
        self._rest = np.zeros(0, np.float32)  # less than a block of 25 ms
        self._tops = [_FlatTops() for _ in range(channels)]
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, block: npt.NDArray[np.float32]) -> None:
        """Measure the next samples, float32 [shape=(samples, channels)], at least one."""
        mixed = block[:, 0] if self._channels == 1 else block.mean(axis=1, dtype=np.float32)
        self._count += len(block)
        self._peak = max(self._peak, float(block.max()), float(-block.min()))
        self._power += float(np.dot(mixed, mixed))
        self._sums += block.sum(axis=0, dtype=np.float64)
        mixed = np.concatenate([self._rest, mixed])
        whole = len(mixed) // self._size * self._size
        self._levels.append(_block_levels(mixed[:whole].reshape(-1, self._size)))
        self._rest = mixed[whole:].copy()
        for tops, channel in zip(self._tops, block.T, strict=True):
            tops.add(channel)
        self._digest.update(np.round(np.clip(block, -1, 1) * 32767).astype(np.int16, order="C").data)

    def finish(self) -> Sound:
        """The measures of all samples, of which there must be one at least."""
        levels = np.concatenate(self._levels)
        if not len(levels):  # shorter than a block
            levels = _block_levels(self._rest[None])
        softest, loudest = np.percentile(levels, (5, 95))
        self._digest.update(f"{self._rate} {self._channels}".encode())
        return Sound(
            seconds=self._count / self._rate,
            sample_rate=self._rate,
            channels=self._channels,
            peak=self._peak,
            level_db=_decibels(self._power / self._count),
            loudest_db=float(levels.max()),
            range_db=float(loudest - softest),
            dc_offset=max((float(total) / self._count for total in self._sums), key=abs),
            clipped_share=max(tops.finish() for tops in self._tops) / self._count,
            digest=self._digest.hexdigest(),
        )


class _FlatTops:
    """Counts the samples of one channel at full scale, or in runs of equal high ones."""

    def __init__(self) -> None:
        self._count = 0
        self._before = np.zeros(0, np.float32)
        """the last samples, whose runs later samples may continue"""

    def add(self, samples: Samples) -> None:
        """Count in the next samples."""
        known = max(0, len(self._before) - _FLAT_SAMPLES + 1)
        values = np.concatenate([self._before, samples])
        # Whether the last samples are in a run depends on those that follow.
        decided = max(known, len(values) - _FLAT_SAMPLES + 1)
        self._count += int(_on_flat_tops(values)[known:decided].sum())
        self._before = values[max(0, decided - _FLAT_SAMPLES + 1) :].copy()

    def finish(self) -> int:
        """The count over all samples."""
        known = max(0, len(self._before) - _FLAT_SAMPLES + 1)
        return self._count + int(_on_flat_tops(self._before)[known:].sum())


def _block_levels(blocks: npt.NDArray[np.float32]) -> Samples:
    """Level in dB of every row of samples [shape=(blocks, samples)]."""
    power = np.einsum("ij,ij->i", blocks, blocks) / blocks.shape[1]
    levels: Samples = 10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10)))
    return levels


def _decibels(power: float) -> float:
    return float(10 * np.log10(max(power, 10 ** (SILENCE_DB / 10))))


def _on_flat_tops(samples: Samples) -> npt.NDArray[np.bool_]:
    """Which samples are at full scale, or in runs of equal high ones [shape=(samples,)]."""
    found = np.abs(samples) >= _FULL_SCALE
    high = np.flatnonzero(np.abs(samples) >= _FLAT_TOP)
    if len(high) >= _FLAT_SAMPLES:
        same = (np.diff(high) == 1) & (np.diff(samples[high]) == 0)
        runs = np.flatnonzero(same[:-1] & same[1:])
        for shift in range(_FLAT_SAMPLES):
            found[high[runs + shift]] = True
    return found
