from __future__ import annotations

import numpy as np

from asr.audio.augment import change_speed, dither, mask_frames
from asr.config import AugmentConfig


def test_speed_shortens_the_recording_and_raises_the_pitch():
    rate = 16000
    samples = np.sin(2 * np.pi * 400 * np.arange(rate) / rate).astype(np.float32)
    faster = change_speed(samples, 1.25)
    assert abs(len(faster) - rate / 1.25) <= 1
    assert np.abs(np.fft.rfft(faster)).argmax() * rate / len(faster) == 500
    assert change_speed(samples, 1.0) is not None
    np.testing.assert_array_equal(change_speed(samples, 1.0), samples)


def test_masks_blank_bands_and_spans_within_their_bounds(rng):
    frames = np.ones((200, 40), np.float32)
    settings = AugmentConfig(frequency_masks=1, frequency_mask_mels=10, time_masks=1, time_mask_frames=20)
    widest = longest = 0
    for _ in range(200):
        masked = mask_frames(frames, settings, rng)
        widest = max(widest, int((masked == 0).all(axis=0).sum()))
        longest = max(longest, int((masked == 0).all(axis=1).sum()))
    assert widest == 10
    assert longest == 20
    assert frames.all()


def test_a_short_utterance_is_never_blanked_out(rng):
    settings = AugmentConfig(frequency_masks=0, time_masks=1, time_mask_frames=100, time_mask_share=0.2)
    for _ in range(100):
        assert (mask_frames(np.ones((10, 4), np.float32), settings, rng) == 0).all(axis=1).sum() <= 2


def test_the_same_generator_gives_the_same_variation():
    frames = np.ones((100, 40), np.float32)
    first, second = (mask_frames(frames, AugmentConfig(), np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_dither_has_the_deviation_asked_for(rng):
    noise = dither(np.zeros(100_000, np.float32), 0.01, rng)
    assert noise.dtype == np.float32
    assert abs(noise.std() - 0.01) < 1e-4
