from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from asr.audio.features import LogMel
from asr.config import AugmentConfig, FeatureConfig, ModelConfig
from asr.corpus.manifest import read_manifest
from asr.errors import AudioError, ConfigError
from asr.text.alphabet import Alphabet
from asr.training.examples import Examples, corpus_statistics, fitting_speeds

from ..conftest import SMOKE

ALPHABET = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")
FEATURES = FeatureConfig(mels=16)
UTTERANCES = read_manifest(SMOKE / "valid.jsonl").utterances[:6]


def examples(utterances=UTTERANCES, features=FEATURES, **settings) -> Examples:
    return Examples(utterances, ALPHABET, LogMel.from_librosa(features), ModelConfig(), **settings)


def test_clean_examples_are_the_features_of_the_recordings():
    batch = examples().batch([2, 0], epoch=3)
    again = examples().batch([0], epoch=9)
    np.testing.assert_allclose(batch.frames[1, : batch.frame_counts[1]], again.frames[0], atol=1e-6)
    assert ALPHABET.decode(batch.labels[0, : batch.label_counts[0]]) == UTTERANCES[2].text


def test_variations_are_new_in_every_epoch_and_the_same_for_a_seed():
    first, same, later, other = (
        examples(augment=AugmentConfig(), seed=seed).batch([0, 1, 2], epoch).frames
        for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    np.testing.assert_array_equal(first, same)
    for different in (later, other):
        assert different.shape != first.shape or np.abs(different - first).max() > 0.1


def test_variations_do_not_depend_on_the_company():
    augmented = examples(augment=AugmentConfig(), seed=1)
    together, alone = augmented.batch([0, 1], 4), augmented.batch([1], 4)
    count = alone.frame_counts[0]
    np.testing.assert_array_equal(together.frames[1, :count], alone.frames[0])


def test_a_cache_changes_nothing_and_does_not_freeze_the_variations(tmp_path):
    plain = examples(augment=AugmentConfig(), seed=1)
    for _ in range(2):
        cached = examples(augment=AugmentConfig(), seed=1, cache_dir=str(tmp_path / "cache"))
        epochs = [cached.batch([0, 1, 2], epoch).frames for epoch in range(3)]
        for epoch, frames in enumerate(epochs):
            np.testing.assert_allclose(frames, plain.batch([0, 1, 2], epoch).frames, atol=0.02)
        assert epochs[0].shape != epochs[1].shape or np.abs(epochs[0] - epochs[1]).max() > 0.1
    files = sorted((tmp_path / "cache").rglob("*.npy"))
    assert files
    for file in files:
        file.write_bytes(b"damaged")
    np.testing.assert_allclose(cached.batch([0, 1, 2], 0).frames, epochs[0], atol=0.02)


def test_a_cache_would_freeze_dither_and_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="dither"):
        examples(features=FeatureConfig(mels=16, dither=0.001), cache_dir=str(tmp_path))


def test_a_recording_that_vanished_is_left_out_with_a_warning(tmp_path, caplog):
    gone = replace(UTTERANCES[0], audio_path=tmp_path / "gone.wav")
    with caplog.at_level(logging.WARNING):
        batch = examples([gone, UTTERANCES[1]]).batch([0, 1], 0)
    assert len(batch.frame_counts) == 1
    assert "gone.wav: no such file" in caplog.text
    with pytest.raises(AudioError, match=r"gone\.wav"):
        examples([gone]).batch([0], 0)


def test_a_fast_talker_is_not_sped_up_beyond_what_the_label_allows():
    label = [1, 2] * 20  # 40 steps, 1.6 s
    assert fitting_speeds(label, 1.7, [0.9, 1.0, 1.1], FEATURES, ModelConfig()) == [0.9, 1.0]
    assert fitting_speeds(label, 1.0, [0.9, 1.0, 1.1], FEATURES, ModelConfig()) == []


def test_corpus_statistics_are_those_of_all_frames():
    mean, deviation = corpus_statistics(examples(), seed=0)
    extractor = LogMel.from_librosa(FEATURES)
    from asr.audio.load import load_audio

    frames = np.concatenate([extractor.log_mel(load_audio(one.audio_path, sample_rate=16000)) for one in UTTERANCES])
    np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(deviation, frames.std(axis=0), rtol=1e-4)
