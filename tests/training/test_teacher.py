"""Distillation: the output of a teacher, from its cache to the weights of a run."""

from __future__ import annotations

import logging
import pickle
import signal
from dataclasses import replace

import numpy as np
import pytest

from asr.acoustic.keras_model import build_model, read_weights
from asr.audio.augment import Augmenter, change_speed
from asr.audio.features import LogMel
from asr.audio.load import load_audio
from asr.bundle import Bundle, load_bundle, save_bundle
from asr.corpus.batching import PlannedBatch, Shape
from asr.corpus.manifest import read_manifest
from asr.errors import ConfigError
from asr.settings.augment import AugmentConfig
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.decoding import BeamConfig
from asr.settings.features import FeatureConfig, Normalization
from asr.settings.model import ModelConfig
from asr.settings.text import NormalizerConfig
from asr.settings.training import TrainingConfig
from asr.text.alphabet import Alphabet
from asr.training.examples import Examples
from asr.training.run import train
from asr.training.teacher import Teacher

from ..conftest import smoke_manifests
from .test_run import after_batches, losses, without_times

ALPHABET = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")
TEACHER = ModelConfig(depth=1, units=6, projection=8, channels=2)
STUDENT = ModelConfig(depth=1, units=10, projection=8, channels=2, bidirectional=False, lookahead=2)
FEATURES = FeatureConfig(mels=16)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Bundle:
    folder = tmp_path_factory.mktemp("teacher") / "bundle"
    weights = read_weights(build_model(TEACHER, mels=16, symbols=ALPHABET.size))
    rng = np.random.default_rng(3)
    save_bundle(
        folder,
        weights={name: array + rng.normal(0, 0.3, array.shape).astype(np.float32) for name, array in weights.items()},
        log_mel=LogMel.from_librosa(FEATURES),
        normalizer=NormalizerConfig(),
        alphabet=ALPHABET,
        model=TEACHER,
        decoder=BeamConfig(beam_width=3),
    )
    return load_bundle(folder)


@pytest.fixture(scope="module")
def settings(tmp_path_factory, teacher) -> TrainConfig:
    manifests = smoke_manifests(tmp_path_factory.mktemp("data"), train=8, valid=2)
    return TrainConfig(
        data=DataConfig(train=[str(manifests["train"])], valid=[str(manifests["valid"])]),
        features=replace(FEATURES, normalization=Normalization.running),
        augment=AugmentConfig(speeds=[0.9, 1.1], join_probability=0.5, noise_probability=0.5),
        model=STUDENT,
        training=TrainingConfig(
            epochs=2, batch_size=3, workers=0, teacher=str(teacher.path), checkpoint_minutes=0, mmi_order=3
        ),
    )


def layers(bundle: Bundle) -> list[slice]:
    return [slice(0, bundle.alphabet.size)]


def recordings(settings: TrainConfig) -> list:
    return read_manifest(settings.data.train[0]).utterances


def test_the_teacher_reads_the_recording_at_its_speed_without_augmentation(teacher, settings):
    """Against the bundle's own network, within the rounding to sixteenths of a nat."""
    utterance = recordings(settings)[0]
    samples = change_speed(load_audio(utterance.audio, sample_rate=16000), 1.1)
    expected = np.exp(teacher.engine().run(teacher.log_mel(samples)))
    found = Teacher(teacher, layers(teacher)).posteriors(utterance.audio, 1.1)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found, expected, rtol=0.08, atol=1e-6)


def test_a_cache_changes_no_bit_and_is_read(teacher, settings, tmp_path, monkeypatch):
    utterance = recordings(settings)[0]
    plain = Teacher(teacher, layers(teacher)).posteriors(utterance.audio, 0.9)
    cached = Teacher(teacher, layers(teacher), cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(cached.posteriors(utterance.audio, 0.9), plain)
    (path,) = (tmp_path / "cache").glob("*/*")
    again = pickle.loads(pickle.dumps(cached))  # as it comes into another process
    monkeypatch.setattr(Teacher, "_compute", lambda *_: pytest.fail("the cache is not read"))
    np.testing.assert_array_equal(again.posteriors(utterance.audio, 0.9), plain)
    path.write_bytes(b"damaged")
    monkeypatch.undo()
    np.testing.assert_array_equal(again.posteriors(utterance.audio, 0.9), plain)
    assert len(path.read_bytes()) > 100


def test_another_speed_recording_or_teacher_has_another_place_in_the_cache(teacher, settings, tmp_path):
    first, second = (one.audio for one in recordings(settings)[:2])
    other = replace(teacher, digests=dict(teacher.digests) | {"statistics.safetensors": "0" * 64})
    for bundle, audio, speed in (
        (teacher, first, 1.0),
        (teacher, first, 0.9),
        (teacher, second, 1.0),
        (other, first, 1.0),
    ):
        Teacher(bundle, layers(teacher), cache_dir=tmp_path).posteriors(audio, speed)
    assert len(list(tmp_path.glob("*/*.z"))) == 4


def test_a_cache_that_cannot_be_written_is_reported_and_not_used(teacher, settings, tmp_path):
    (tmp_path / "file").write_text("")
    made = Teacher(teacher, layers(teacher), cache_dir=tmp_path / "file" / "cache")
    assert len(made.posteriors(recordings(settings)[0].audio, 1.0))
    assert len(made.notes) == 1
    assert "training.teacher_cache cannot be written" in made.notes[0]


def test_output_is_placed_late_cut_at_the_end_and_blank_elsewhere(teacher):
    made = Teacher(teacher, [slice(0, 2), slice(2, 5)], delay=1)
    part = np.arange(15, dtype=np.float32).reshape(3, 5) + 10
    target = np.full((6, 5), 7, np.float32)
    made.place(target, [(0, part[:1]), (3, part)])
    blank = [1, 0, 1, 0, 0]
    assert target.tolist() == [blank, part[0].tolist(), blank, blank, part[0].tolist(), part[1].tolist()]


def test_a_batch_has_the_output_for_each_recording_of_its_rows(teacher, settings):
    """Rows that hold two recordings one after the other have the outputs for both; past the end of a row is blank."""
    utterances = recordings(settings)
    log_mel = LogMel.from_librosa(FEATURES)
    made = Teacher(teacher, layers(teacher))
    augmenter = Augmenter(replace(settings.augment, join_seconds=60, join_probability=1.0), 16000)
    examples = Examples(utterances, ALPHABET, log_mel, STUDENT, augmenter=augmenter, teacher=made)
    planned = PlannedBatch((0, 1), Shape(3, 4000, 400))
    batch = examples.prepare(planned, 0, fixed_shape=True).batch
    assert batch.teacher is not None
    assert batch.teacher.shape == (3, 1000, ALPHABET.size)
    np.testing.assert_allclose(batch.teacher.sum(axis=-1), 1, rtol=1e-5)
    for row, index in enumerate(planned.indices):
        companion = int(examples.companions(0)[index])
        assert companion >= 0
        speeds = examples.speeds(0)
        first = made.posteriors(utterances[index].audio, speeds[index])
        second = made.posteriors(utterances[companion].audio, speeds[companion])
        begins = round((utterances[index].duration or 0) / speeds[index] / 0.04)
        np.testing.assert_array_equal(batch.teacher[row, : begins - 1], first[: begins - 1])
        count = int(-(-batch.frame_counts[row] // 4))
        end = min(count, begins + len(second))
        np.testing.assert_array_equal(batch.teacher[row, begins:end], second[: end - begins])
        assert abs(begins + len(second) - count) <= 1
        assert (batch.teacher[row, count:, 0] == 1).all()
    assert (batch.teacher[2, :, 0] == 1).all()


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    return train(settings, tmp_path_factory.mktemp("whole") / "run")


def test_a_taught_run_has_the_teachers_decoder_weights_that_fit_and_a_mention_of_it(whole, settings, teacher, caplog):
    bundle = load_bundle(whole.run_dir / "last")
    assert bundle.decoder == BeamConfig(beam_width=3)
    assert bundle.provenance["teacher"]["files"] == teacher.digests
    assert bundle.provenance["init"] is None
    assert bundle.log_mel.settings.normalization is Normalization.running
    assert bundle.log_mel.mean is not None
    with caplog.at_level(logging.INFO):
        caplog.clear()
        train(replace(settings, training=replace(settings.training, epochs=1)), whole.run_dir.parent / "short")
    assert "arrays of weights start as its own" in caplog.text
    assert "0.5 teacher + 0.5 (CTC)" in caplog.text


def test_an_interrupted_taught_run_goes_on_exactly(settings, whole, tmp_path, monkeypatch):
    """With a cache that the first half of the run filled, against a run without one."""
    cached = replace(settings, training=replace(settings.training, teacher_cache=str(tmp_path / "cache")))
    with monkeypatch.context() as patch:
        after_batches(patch, 4, lambda: signal.raise_signal(signal.SIGTERM))
        assert train(cached, tmp_path / "run").stopped_by == signal.SIGTERM
    resumed = train(cached, tmp_path / "run")
    assert without_times(resumed.history) == without_times(whole.history)
    assert losses(tmp_path / "run") == losses(whole.run_dir)
    first, second = (load_bundle(one.run_dir / "last").weights() for one in (resumed, whole))
    assert all(np.array_equal(first[name], second[name]) for name in second)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": replace(FEATURES, hop_seconds=0.0125)}, "a step has 640 samples there and 800 here"),
        ({"model": replace(STUDENT, mmi_output=True)}, "it has no output layer 'symbols_mmi'"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(settings, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=f"training.teacher=.*: {message}"):
        train(replace(settings, **changes), tmp_path / "run")


def test_a_student_comes_near_its_teacher(settings, tmp_path):
    """The divergence alone is the loss: it falls."""
    training = replace(settings.training, teacher_weight=1.0, epochs=8)
    run = train(replace(settings, training=training, augment=AugmentConfig(speeds=[1.0])), tmp_path / "run")
    assert run.history[-1].train_loss < 0.8 * run.history[0].train_loss
