from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from asr.acoustic.steps import count_steps, fitting_speeds
from asr.audio.augment import Augmenter
from asr.audio.features import LogMel
from asr.audio.load import load_audio
from asr.corpus.batching import PlannedBatch, Shape
from asr.corpus.manifest import read_manifest
from asr.errors import AudioError, ConfigError
from asr.settings.augment import AugmentConfig
from asr.settings.features import FeatureConfig, Normalization
from asr.settings.model import ModelConfig
from asr.text.alphabet import Alphabet, steps_needed
from asr.training.examples import Examples, Prepared, corpus_statistics

from ..conftest import SMOKE

ALPHABET = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")
FEATURES = FeatureConfig(mels=16)
UTTERANCES = read_manifest(SMOKE / "valid.jsonl").utterances[:6]


def prepared(source: Examples, indices: list[int], epoch: int, **kwargs) -> Prepared:
    return source.prepare(PlannedBatch(tuple(indices), Shape(len(indices), 1, 1)), epoch, **kwargs)


def batch_of(source: Examples, indices: list[int], epoch: int):
    return prepared(source, indices, epoch).batch


def examples(utterances=UTTERANCES, features=FEATURES, **settings) -> Examples:
    return Examples(utterances, ALPHABET, LogMel.from_librosa(features), ModelConfig(), **settings)


def test_clean_examples_are_the_features_of_the_recordings():
    batch = batch_of(examples(), [2, 0], 3)
    again = batch_of(examples(), [0], 9)
    np.testing.assert_allclose(batch.frames[1, : batch.frame_counts[1]], again.frames[0], atol=1e-6)
    assert ALPHABET.decode(batch.labels[0, : batch.label_counts[0]]) == UTTERANCES[2].text


def test_variations_are_new_in_every_epoch_and_the_same_for_a_seed():
    first, same, later, other = (
        batch_of(examples(augmenter=Augmenter(AugmentConfig(), 16000), seed=seed), [0, 1, 2], epoch).frames
        for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    np.testing.assert_array_equal(first, same)
    for different in (later, other):
        assert different.shape != first.shape or np.abs(different - first).max() > 0.1


@pytest.mark.parametrize(
    "variation",
    [
        {"mask_probability": 1.0},
        {"noise_probability": 1.0},
        {"reverb_probability": 1.0},
        {"gain_probability": 1.0},
        {"speeds": [0.8, 0.9, 1.1, 1.2]},
        {"join_probability": 1.0, "join_seconds": 60.0},
    ],
    ids=lambda one: next(iter(one)),
)
def test_each_variation_alone_is_drawn_anew_in_every_epoch(variation):
    # Loudness survives only where features are not normalised.
    features = FeatureConfig(mels=16, normalization=Normalization.none)
    settings = AugmentConfig(**{"speeds": [1.0], "mask_probability": 0.0, **variation})
    source = examples(features=features, augmenter=Augmenter(settings, 16000), seed=1)
    again, *epochs = (batch_of(source, [0, 1], epoch).frames for epoch in (0, 0, 1, 2))
    np.testing.assert_array_equal(epochs[0], again)
    for one, other in itertools.combinations(epochs, 2):
        assert one.shape != other.shape or np.abs(one - other).max() > 0.1


def test_variations_do_not_depend_on_the_batch():
    augmented = examples(augmenter=Augmenter(AugmentConfig(), 16000), seed=1)
    together, alone = batch_of(augmented, [0, 1], 4), batch_of(augmented, [1], 4)
    count = alone.frame_counts[0]
    np.testing.assert_array_equal(together.frames[1, :count], alone.frames[0])


def test_a_cache_changes_nothing_and_does_not_freeze_the_variations(tmp_path):
    plain = examples(augmenter=Augmenter(AugmentConfig(), 16000), seed=1)
    for _ in range(2):
        cached = examples(augmenter=Augmenter(AugmentConfig(), 16000), seed=1, cache_dir=str(tmp_path / "cache"))
        epochs = [batch_of(cached, [0, 1, 2], epoch).frames for epoch in range(3)]
        for epoch, frames in enumerate(epochs):
            np.testing.assert_allclose(frames, batch_of(plain, [0, 1, 2], epoch).frames, atol=0.02)
        assert epochs[0].shape != epochs[1].shape or np.abs(epochs[0] - epochs[1]).max() > 0.1
    files = sorted((tmp_path / "cache").rglob("*.npy"))
    assert files
    for file in files:
        file.write_bytes(b"damaged")
    np.testing.assert_allclose(batch_of(cached, [0, 1, 2], 0).frames, epochs[0], atol=0.02)


def test_a_cache_would_freeze_dither_and_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="dither"):
        examples(features=FeatureConfig(mels=16, dither=0.001), cache_dir=str(tmp_path))


def test_a_cache_that_cannot_be_written_is_said_and_done_without(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("asr.training.examples.write_atomically", full)
    source = examples(cache_dir=str(tmp_path / "cache"))
    first, second = prepared(source, [0], 0), prepared(source, [1], 0)
    assert first.notes == ("data.cache_dir cannot be written (No space left on device): training continues without it",)
    assert second.notes == ()
    np.testing.assert_array_equal(second.batch.frames, batch_of(examples(), [1], 0).frames)


def test_a_recording_that_vanished_is_left_out_and_said(tmp_path):
    gone = replace(UTTERANCES[0], audio_path=tmp_path / "gone.wav")
    result = prepared(examples([gone, UTTERANCES[1]]), [0, 1], 0)
    assert result.indices == (1,)
    assert len(result.batch.frame_counts) == 1
    assert result.left_out == (f"{tmp_path}/gone.wav: no such file",)
    with pytest.raises(AudioError, match=r"gone\.wav"):
        prepared(examples([gone]), [0], 0)


def test_the_frames_of_an_epoch_are_known_beforehand():
    source = examples(augmenter=Augmenter(AugmentConfig(), 16000), seed=3)
    for epoch in range(3):
        found = batch_of(source, [0, 1, 2, 3], epoch).frame_counts
        np.testing.assert_allclose(found, source.frame_counts(epoch)[:4], atol=1)
        assert source.symbol_counts(epoch).tolist() == [len(one.text) for one in UTTERANCES]


def test_an_utterance_may_be_followed_by_another():
    settings = AugmentConfig(speeds=[1.0], mask_probability=0, join_probability=1)
    joined = examples(augmenter=Augmenter(settings, 16000), seed=1)
    companion = joined.companions(0)[0]
    batch = batch_of(joined, [0], 0)
    assert ALPHABET.decode(batch.labels[0]) == f"{UTTERANCES[0].text} {UTTERANCES[companion].text}"
    assert batch.frame_counts[0] == pytest.approx(joined.frame_counts(0)[0], abs=1)
    parts = [batch_of(examples(), [index], 0).frame_counts[0] for index in (0, companion)]
    assert batch.frame_counts[0] == pytest.approx(sum(parts), abs=2)
    assert (joined.companions(0) != joined.companions(1)).any()
    assert batch.label_counts[0] == joined.symbol_counts(0)[0]


@pytest.mark.parametrize("symbols", ["ab ", "ab"], ids=["separator", "no separator"])
def test_joined_labels_have_the_counted_length_and_enough_steps(symbols):
    """Utterances with the fewest steps that their labels need, and with one more."""
    alphabet, model = Alphabet(symbols), ModelConfig()
    texts = ["", "a", "b", "aab", "baa", "abab"] + ["a b", "bb a"] * (" " in symbols)
    utterances = []
    for number, text in enumerate(texts * 30):
        steps = max(1, steps_needed(alphabet.encode(text))) + number % 2
        utterances.append(replace(UTTERANCES[0], id=str(number), text=text, duration=0.04 * steps - 0.01))
    settings = AugmentConfig(speeds=[1.0], join_probability=1.0)
    augmenter = Augmenter(settings, 16000)
    source = Examples(utterances, alphabet, LogMel.from_librosa(FEATURES), model, augmenter=augmenter)
    for epoch in range(3):
        labels = [source.label(index, epoch) for index in range(len(utterances))]
        assert source.symbol_counts(epoch).tolist() == [len(label) for label in labels]
        companions = source.companions(epoch)
        assert 0 < (companions >= 0).sum() < len(companions)
        for index in np.flatnonzero(companions >= 0):
            seconds = utterances[index].duration + utterances[companions[index]].duration
            assert count_steps(seconds, 1.0, FEATURES, model) >= steps_needed(labels[index])


def test_no_utterance_is_followed_by_more_than_fits():
    longest = max(one.duration for one in UTTERANCES)
    settings = AugmentConfig(join_probability=1, join_seconds=longest)
    source = examples(UTTERANCES * 20, augmenter=Augmenter(settings, 16000), seed=1)
    joined = source.companions(0) >= 0
    assert 0 < joined.sum() < len(joined)
    assert source.frame_counts(0)[joined].max() <= longest * 100 + 1


def test_speeds_are_drawn_evenly():
    many = examples(UTTERANCES * 200, augmenter=Augmenter(AugmentConfig(), 16000))
    speeds, counts = np.unique(many.speeds(0), return_counts=True)
    assert speeds.tolist() == [0.9, 1.0, 1.1]
    assert counts.min() > 330
    assert (many.speeds(0) != many.speeds(1)).mean() > 0.5


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


def test_corpus_statistics_leave_out_what_cannot_be_read(tmp_path):
    broken = [replace(one, audio_path=tmp_path / "gone.wav") for one in UTTERANCES[:2]]
    expected = corpus_statistics(examples(UTTERANCES[2:]), seed=0)
    np.testing.assert_allclose(corpus_statistics(examples([*broken, *UTTERANCES[2:]]), seed=0), expected, rtol=1e-5)
    with pytest.raises(AudioError, match="no such file"):
        corpus_statistics(examples(broken), seed=0)


def test_segments_of_one_recording_are_trained_on_as_files_of_their_own_and_cached_apart(tmp_path):
    samples = load_audio(UTTERANCES[0].audio_path, sample_rate=16000)
    soundfile.write(tmp_path / "talk.wav", samples, 16000, subtype="FLOAT")
    segments, cut = [], []
    for number, (offset, duration) in enumerate([(0.0, 1.0), (0.25, 1.0), (0.5, 0.75)]):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, samples[round(offset * 16000) :][: round(duration * 16000)], 16000, subtype="FLOAT")
        one = replace(UTTERANCES[0], id=str(number), text="a", duration=duration)
        segments.append(replace(one, audio_path=tmp_path / "talk.wav", offset=offset))
        cut.append(replace(one, audio_path=path))
    for cache_dir in (None, str(tmp_path / "cache"), str(tmp_path / "cache")):
        frames = batch_of(examples(segments, cache_dir=cache_dir), [0, 1, 2], 0).frames
        np.testing.assert_allclose(frames, batch_of(examples(cut), [0, 1, 2], 0).frames, atol=0.02)
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 3


def test_copies_are_neighbouring_rows_that_differ_in_their_masks_alone():
    settings = AugmentConfig(speeds=[0.9, 1.1], noise_probability=1.0, mask_probability=1.0)
    found = prepared(examples(augmenter=Augmenter(settings, 16000), copies=2), [2, 0], 1)
    batch = found.batch
    assert found.indices == (2, 2, 0, 0)
    np.testing.assert_array_equal(batch.labels[0::2], batch.labels[1::2])
    np.testing.assert_array_equal(batch.frame_counts[0::2], batch.frame_counts[1::2])
    for one, other in zip(batch.frames[0::2], batch.frames[1::2], strict=True):
        differs = one != other
        assert differs.any()
        assert ((one == 0) | (other == 0))[differs].all()  # masks set features to 0


def test_copies_are_the_same_in_any_batch():
    source = examples(augmenter=Augmenter(AugmentConfig(), 16000), copies=2)
    together, alone = batch_of(source, [2, 0], 1), batch_of(source, [0], 1)
    count = alone.frame_counts[0]
    np.testing.assert_array_equal(together.frames[2:4, :count], alone.frames[:, :count])


@pytest.mark.parametrize(("rows", "wanted"), [(1, 4), (2, 4), (3, 8)])
def test_empty_rows_complete_a_multiple(rows, wanted):
    batch = batch_of(examples(copies=2, row_multiple=4), list(range(rows)), 0)
    assert len(batch.frames) == wanted
    assert (batch.frame_counts > 0).sum() == 2 * rows
    assert not batch.frames[2 * rows :].any()


def test_a_fixed_shape_has_room_for_all_copies():
    planned = PlannedBatch((0, 1), Shape(3, 900, 200))
    batch = examples(copies=2).prepare(planned, 0, fixed_shape=True).batch
    assert batch.frames.shape[:2] == (6, 900)
