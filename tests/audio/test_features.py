from __future__ import annotations

import numpy as np
import pytest

from asr.audio.features import LogMel, RunningNormalization, frame_count, reference_log_mel
from asr.audio.load import load_audio
from asr.errors import ConfigError
from asr.settings.features import FeatureConfig, Normalization

from ..conftest import SAMPLES

SETTINGS = FeatureConfig()


@pytest.mark.filterwarnings("ignore:n_fft=.* is too large:UserWarning")  # librosa on recordings of a few samples
@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        FeatureConfig(mels=40, fmin=0, fmax=8000),
        FeatureConfig(sample_rate=8000, fmax=4000, mels=30),
        FeatureConfig(window_seconds=0.032, hop_seconds=0.008),
        FeatureConfig(window_seconds=0.0251, hop_seconds=0.0101),
    ],
)
@pytest.mark.parametrize("seconds", [0.0001, 0.0099, 0.01, 0.5, 1.2345])
def test_the_numpy_twin_equals_librosa_above_the_floor(rng, settings, seconds):
    samples = (0.1 * rng.standard_normal(max(1, int(seconds * settings.sample_rate)))).astype(np.float32)
    ours, theirs = LogMel.from_librosa(settings).log_mel(samples), reference_log_mel(samples, settings)
    assert ours.shape == theirs.shape == (frame_count(len(samples), settings), settings.mels)
    above = theirs > np.log(settings.log_floor) + 1
    assert above.any() or seconds < 0.001
    np.testing.assert_allclose(ours[above], theirs[above], atol=1e-4)


def test_the_twin_equals_librosa_on_speech():
    for path in sorted(SAMPLES.glob("*.opus")):
        samples = load_audio(path, sample_rate=SETTINGS.sample_rate)
        ours, theirs = LogMel.from_librosa(SETTINGS).log_mel(samples), reference_log_mel(samples, SETTINGS)
        above = theirs > np.log(SETTINGS.log_floor) + 1
        assert above.mean() > 0.5
        assert np.abs(ours - theirs)[above].max() < 1e-4


def test_long_recordings_are_the_same_in_blocks(rng):
    samples = rng.standard_normal(5000 * SETTINGS.hop_samples).astype(np.float32)
    np.testing.assert_allclose(
        LogMel.from_librosa(SETTINGS).log_mel(samples), reference_log_mel(samples, SETTINGS), atol=1e-4
    )


def test_a_frame_is_the_same_bits_among_any_other_frames(rng):
    extractor = LogMel.from_librosa(FeatureConfig())
    samples = rng.standard_normal(16000).astype(np.float32)
    whole = extractor.log_mel(samples)
    for seconds in (0.1, 0.33, 0.77):
        part = extractor.log_mel(samples[: int(seconds * 16000)])
        inside = len(part) - 2  # the last ones look beyond its end
        np.testing.assert_array_equal(part[:inside], whole[:inside])


def test_silence_is_the_floor_and_normalises_to_zero():
    extractor = LogMel.from_librosa(SETTINGS)
    silence = np.zeros(16000, np.float32)
    np.testing.assert_allclose(extractor.log_mel(silence), np.log(SETTINGS.log_floor), rtol=1e-6)
    np.testing.assert_allclose(extractor(silence), 0, atol=1e-4)


def test_utterance_normalisation_removes_the_volume(rng):
    extractor = LogMel.from_librosa(SETTINGS)
    samples = (0.1 * rng.standard_normal(16000)).astype(np.float32)
    frames = extractor(samples)
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-3)
    np.testing.assert_allclose(extractor(4 * samples), frames, atol=1e-3)


def test_a_band_that_hardly_varies_is_not_blown_up(rng):
    """Of digital silence, or above what a telephone passes: its last bits would become as loud as speech."""
    extractor = LogMel.from_librosa(FeatureConfig(mels=2))
    speech, silence = rng.standard_normal((2, 500, 1)).astype(np.float32) * np.float32([[[3.0]], [[0.001]]])
    frames = extractor.normalize(np.concatenate([speech, silence - 20], axis=1))
    np.testing.assert_allclose(frames.std(axis=0), [1, 0.01], rtol=0.1)


def test_corpus_normalisation_needs_statistics_and_uses_them(rng):
    settings = FeatureConfig(normalization=Normalization.corpus)
    extractor = LogMel.from_librosa(settings)
    samples = rng.standard_normal(1600).astype(np.float32)
    with pytest.raises(ConfigError, match="corpus"):
        extractor(samples)
    mean, deviation = np.full(80, 2, np.float32), np.full(80, 4, np.float32)
    whole = LogMel(settings, extractor.matrix, mean, deviation)
    np.testing.assert_allclose(whole(samples), (extractor.log_mel(samples) - 2) / 4, rtol=1e-5)


def test_no_normalisation_leaves_the_logarithm(rng):
    extractor = LogMel.from_librosa(FeatureConfig(normalization=Normalization.none))
    samples = rng.standard_normal(1600).astype(np.float32)
    np.testing.assert_array_equal(extractor(samples), extractor.log_mel(samples))


@pytest.mark.filterwarnings("ignore:Empty filters detected:UserWarning")  # what we refuse, librosa warns of
def test_more_bands_than_bins_are_refused():
    with pytest.raises(ConfigError, match=r"features\.mels=300 leaves"):
        LogMel.from_librosa(FeatureConfig(mels=300))


RUNNING = FeatureConfig(mels=3, normalization=Normalization.running, prior_seconds=0.5, memory_seconds=2)
MEAN, DEVIATION = np.array([-3, -4, -5], np.float32), np.array([2, 1, 3], np.float32)


def running(settings: FeatureConfig = RUNNING) -> RunningNormalization:
    return RunningNormalization(settings, MEAN, DEVIATION)


def test_running_normalisation_is_by_the_mean_and_deviation_so_far(rng):
    """Against weighted statistics of all frames up to each one: a frame of the second before counts exp(-1/2)."""
    frames = (rng.standard_normal((250, 3)) * 2 - 4).astype(np.float32)
    found = running()(frames)
    for place in (0, 1, 99, 100, 101, 200, 249):
        seconds = place // 100 - np.arange(place + 1) // 100
        weights = np.concatenate([np.exp(-seconds / 2), [50]])
        first = np.concatenate([frames[: place + 1].astype(np.float64), [MEAN]])
        second = np.concatenate([frames[: place + 1].astype(np.float64) ** 2, [DEVIATION**2 + MEAN**2]])
        mean, square = (np.average(one, axis=0, weights=weights) for one in (first, second))
        np.testing.assert_allclose(found[place], (frames[place] - mean) / np.sqrt(square - mean**2), rtol=1e-5)


def test_running_normalisation_gives_the_same_bits_in_blocks_of_any_size(rng):
    frames = (rng.standard_normal((730, 3)) * 2 - 4).astype(np.float32)
    whole = running()(frames)
    for cuts in (range(1, 730), np.sort(rng.integers(0, 731, 40)), (100, 101, 300)):
        carried = running()
        blocks = [carried(block) for block in np.split(frames, list(cuts))]
        np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_digital_silence_changes_no_running_statistic(rng):
    frames = (rng.standard_normal((80, 3)) - 4).astype(np.float32)
    silence = np.full((20, 3), np.log(RUNNING.log_floor), np.float32)
    together, alone = running(), running()
    first = together(np.concatenate([silence, frames]))
    np.testing.assert_allclose(first[20:], alone(frames), rtol=1e-6)


def test_frames_that_went_before_move_the_start_of_running_normalisation(rng):
    """With much of the same sound before, the first frame is normalised as by the utterance's own statistics."""
    frames = (rng.standard_normal((100, 3)) * 2 + 5).astype(np.float32)
    matrix = np.zeros((3, RUNNING.fft_size // 2 + 1), np.float32)
    log_mel = LogMel(RUNNING, matrix, MEAN, DEVIATION)
    own = (frames - frames.mean(axis=0)) / frames.std(axis=0)
    np.testing.assert_allclose(log_mel.normalize(frames, earlier=1e6), own, atol=1e-2)
    assert np.abs(log_mel.normalize(frames)[0] - own[0]).max() > 0.5
    np.testing.assert_array_equal(log_mel.normalize(frames), running()(frames))


def test_running_normalisation_needs_statistics():
    matrix = np.zeros((3, RUNNING.fft_size // 2 + 1), np.float32)
    with pytest.raises(ConfigError, match="needs the mean and deviation of a training set"):
        LogMel(RUNNING, matrix).normalize(np.zeros((2, 3), np.float32))
