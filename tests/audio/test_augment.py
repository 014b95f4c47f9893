from __future__ import annotations

import itertools

import numpy as np
import pytest

from asr.audio.augment import (
    Augmenter,
    add_noise,
    change_speed,
    coloured_noise,
    dither,
    mask_frames,
    reverberate,
    simulate_response,
    telephone,
)
from asr.errors import AudioError, ConfigError
from asr.settings.augment import AugmentConfig


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


def power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def tone(frequency: float, seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * 16000)) / 16000)).astype(np.float32)


@pytest.mark.parametrize("length", [500, 16000, 40000])
def test_noise_has_the_ratio_that_was_asked_for(rng, length):
    speech = tone(300)
    noisy = add_noise(speech, 0.01 * rng.standard_normal(length).astype(np.float32), 10.0, rng)
    assert noisy.dtype == np.float32
    assert 10 * np.log10(power(speech) / power(noisy - speech)) == pytest.approx(10, abs=0.01)


def test_noise_leaves_silence_silent(rng):
    silence = np.zeros(100, np.float32)
    assert add_noise(silence, np.ones(100, np.float32), 0.0, rng) is silence


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_the_power_of_coloured_noise_falls_with_frequency_as_it_should(rng, exponent):
    spectrum = np.abs(np.fft.rfft(coloured_noise(2**18, exponent, rng))) ** 2
    edges = 2 ** np.arange(4, 17)
    octaves = [spectrum[low:high].mean() for low, high in itertools.pairwise(edges)]
    slope = np.polyfit(np.log2(edges[:-1]), np.log2(octaves), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.1)


def test_a_simulated_room_decays_by_60_db_in_its_reverberation_time(rng):
    response = simulate_response(0.5, 16000, rng)
    assert response[0] == 1
    assert not response[1:32].any()  # 2 ms
    decay = 10 * np.log10(power(response[6400:6800]) / power(response[1600:2000]))  # over 0.3 s
    assert decay == pytest.approx(-36, abs=3)


def test_reverberation_is_the_convolution_with_the_response_and_shifts_nothing(rng):
    speech = rng.standard_normal(400).astype(np.float32)
    response = np.array([0.0, 0.1, 1.0, 0.0, 0.5], np.float32)
    wet = reverberate(speech, response)
    expected = np.convolve(speech, [1.0, 0.0, 0.5])[:400]
    np.testing.assert_allclose(wet, expected * np.sqrt(power(speech) / power(expected)), atol=1e-5)
    assert power(wet) == pytest.approx(power(speech), rel=1e-4)


@pytest.mark.parametrize(("frequency", "passed"), [(100, False), (1000, True), (3000, True), (5000, False)])
def test_a_telephone_passes_its_band_alone(frequency, passed):
    speech = tone(frequency)
    ratio = power(telephone(speech, 16000)[1000:-1000]) / power(speech)
    assert (ratio > 0.9) if passed else (ratio < 0.01)


def test_every_variation_keeps_the_length(rng):
    always = {f"{name}_probability": 1.0 for name in ("reverb", "noise", "telephone", "gain")}
    augmenter = Augmenter(AugmentConfig(**always), 16000)
    for length in (1, 7, 401, 16000):
        speech = rng.standard_normal(length).astype(np.float32)
        varied = augmenter.apply(speech, augmenter.draw(rng), rng)
        assert varied.shape == speech.shape
        assert varied.dtype == np.float32
        assert np.isfinite(varied).all()


def test_variations_come_as_often_as_they_should_and_are_the_same_for_a_seed():
    settings = AugmentConfig(reverb_probability=0.5, noise_probability=0.2, telephone_probability=0.0)
    augmenter = Augmenter(settings, 16000)
    first, second = ([augmenter.draw(np.random.default_rng([seed, 3])) for seed in range(2000)] for _ in range(2))
    assert first == second
    shares = [np.mean([name in one.names for one in first]) for name in ("room", "noise", "telephone", "level")]
    assert shares == pytest.approx([0.5, 0.2, 0.0, 0.0], abs=0.03)


def test_recorded_noises_and_rooms_are_used_where_they_are_given(rng, write_audio):
    hum = write_audio("hum.wav", tone(1000), rate=16000)
    room = write_audio("room.wav", np.array([0.0, 0.9, 0.0, 0.4]), rate=16000)
    settings = AugmentConfig(noise_probability=1, reverb_probability=1, noise_snr_db=[0, 0])
    augmenter = Augmenter(settings, 16000, noises=[hum], responses=[room])
    speech = tone(3000)
    spectrum = np.abs(np.fft.rfft(augmenter.apply(speech, augmenter.draw(rng), rng)))
    assert set(np.argsort(spectrum)[-2:]) == {1000, 3000}


def test_a_silent_recording_is_no_noise(rng, write_audio):
    silent = write_audio("silent.wav", np.zeros(1000))
    augmenter = Augmenter(AugmentConfig(noise_probability=1), 16000, noises=[silent])
    with pytest.raises(AudioError, match="is silent"):
        augmenter.apply(tone(500), augmenter.draw(rng), rng)


def test_ranges_that_run_backwards_are_refused():
    with pytest.raises(ConfigError, match=r"augment\.noise_snr_db must be two numbers, the lower one first"):
        AugmentConfig(noise_snr_db=[20, 5])
    with pytest.raises(ConfigError, match=r"augment\.gain_probability must be between 0 and 1"):
        AugmentConfig(gain_probability=1.5)
