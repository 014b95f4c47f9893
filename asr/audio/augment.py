"""Variations of training utterances: pure functions of an array and a random generator."""

from __future__ import annotations

import numpy as np

from asr.audio.features import Frames
from asr.audio.load import Samples, resample
from asr.config import AugmentConfig


def change_speed(samples: Samples, speed: float) -> Samples:
    """Play faster or slower, pitch and all.

    Parameters
    ----------
    samples : float32 [shape=(samples,)]
    speed : float > 0
        1.1 makes the recording a tenth faster.

    Returns
    -------
    float32 [shape=(about samples / speed,)]

    Notes
    -----
    Source: T. Ko et al., "Audio Augmentation for Speech Recognition", Interspeech 2015.
    """
    return resample(samples, speed, 1.0)


def dither(samples: Samples, deviation: float, rng: np.random.Generator) -> Samples:
    """Add white noise of a standard deviation (full scale is 1) to float32 samples [shape=(samples,)]."""
    noisy: Samples = samples + deviation * rng.standard_normal(len(samples), np.float32)
    return noisy


def mask_frames(frames: Frames, settings: AugmentConfig, rng: np.random.Generator) -> Frames:
    """SpecAugment: set bands of mels and spans of frames to 0, the mean of normalised features.

    Parameters
    ----------
    frames : float32 [shape=(frames, mels)]
        Normalised; not changed.
    settings : AugmentConfig
    rng : numpy.random.Generator

    Returns
    -------
    float32 [shape=(frames, mels)]

    Notes
    -----
    Source: D. Park et al., "SpecAugment", Interspeech 2019, section 2, without time warping.
    """
    frames = frames.copy()
    count, mels = frames.shape
    widest = min(settings.frequency_mask_mels, mels)
    longest = min(settings.time_mask_frames, int(settings.time_mask_share * count))
    for _ in range(settings.frequency_masks):
        width = int(rng.integers(0, widest + 1))
        start = int(rng.integers(0, mels - width + 1))
        frames[:, start : start + width] = 0
    for _ in range(settings.time_masks):
        length = int(rng.integers(0, longest + 1))
        start = int(rng.integers(0, count - length + 1))
        frames[start : start + length] = 0
    return frames
