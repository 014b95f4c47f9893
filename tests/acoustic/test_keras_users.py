"""`asr.acoustic` for users of Keras: their own arrays, `compile`, `fit`, `save`, `load_model`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from asr.acoustic import CtcLoss, LogMelDataset, TokenErrorRate, build_model, greedy_labels, pad_batch
from asr.acoustic.loss import ctc_nats
from asr.acoustic.steps import step_counts
from asr.audio.features import LogMel
from asr.settings.features import FeatureConfig
from asr.settings.model import Cell, FrontEnd

from ..conftest import REPOSITORY
from .test_keras_model import MELS, SYMBOLS, small

FEATURES = FeatureConfig(mels=MELS, fmin=0.0, fmax=8000.0)


@pytest.fixture
def batch(rng):
    frames = [rng.standard_normal((length, MELS)).astype(np.float32) for length in (40, 17, 5)]
    labels = [[1, 2, 2, 5], [3], []]
    return frames, labels


def test_the_loss_of_padded_rows_is_that_of_each_alone(batch):
    """With garbage in the padding, labels padded with -1 or 0, and against the loss with explicit lengths."""
    frames, labels = batch
    settings = small()
    model = build_model(settings, mels=MELS, symbols=SYMBOLS)
    (padded, counts), targets = pad_batch(frames, labels)
    for row, count in enumerate(counts):
        padded[row, count:] = np.nan
    logits = keras.ops.convert_to_numpy(model([padded, counts]))
    loss = CtcLoss(reduction=None)
    found = keras.ops.convert_to_numpy(loss(targets, logits))
    label_counts = np.array([len(label) for label in labels], np.int32)
    steps = step_counts(counts, settings)
    expected = keras.ops.convert_to_numpy(ctc_nats(logits, steps, targets, label_counts))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    negative = np.where(targets == 0, -1, targets)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loss(negative, logits)), expected, rtol=1e-5)
    for row, (one, label) in enumerate(zip(frames, labels, strict=True)):
        inputs, target = pad_batch([one], [label])
        alone = CtcLoss()(target, keras.ops.convert_to_numpy(model(inputs)))
        assert float(alone) == pytest.approx(float(expected[row]), rel=1e-4)
    assert float(CtcLoss()(targets, logits)) == pytest.approx(expected.mean(), rel=1e-5)


def test_a_label_that_does_not_fit_has_an_infinite_loss_although_padding_steps_follow(batch):
    model = build_model(small(), mels=MELS, symbols=SYMBOLS)
    inputs, targets = pad_batch([batch[0][2]], [[1, 1]])  # 2 steps, 3 needed
    assert np.isinf(float(CtcLoss()(targets, keras.ops.convert_to_numpy(model(inputs)))))


def test_the_steps_of_a_model_from_elsewhere_count_in_full(rng):
    logits = rng.standard_normal((2, 6, SYMBOLS)).astype(np.float32)
    labels, counts = np.array([[1, 2], [3, -1]]), np.array([2, 1], np.int32)
    expected = ctc_nats(logits, np.array([6, 6], np.int32), np.maximum(labels, 0).astype(np.int32), counts)
    assert float(CtcLoss()(labels, logits)) == pytest.approx(float(keras.ops.mean(expected)), rel=1e-5)


def test_steps_past_the_end_are_certainly_blank(batch):
    settings = small(mmi_output=True)
    model = build_model(settings, mels=MELS, symbols=SYMBOLS)
    (frames, counts), _ = pad_batch(*batch)
    logits = keras.ops.convert_to_numpy(model([frames, counts]))
    assert logits.shape == (3, 32, 2 * SYMBOLS)
    for row, steps in enumerate(step_counts(counts, settings)):
        for output in np.split(logits[row], 2, axis=-1):
            assert greedy_labels(output[None, steps:]) == [[]]
            assert (output[:steps] > -100).all()
            assert (output[steps:, 1:] < -1e8).all()


def test_fit_learns_from_own_arrays(rng):
    """Two patterns of frames. That greedy decoding then writes them is what the notebook's slow test shows."""
    keras.utils.set_random_seed(1)
    patterns = rng.standard_normal((2, 12, MELS)).astype(np.float32)
    labels = [[1], [2], [1, 2], [2, 1]]
    inputs, targets = pad_batch([np.concatenate([patterns[one - 1] for one in label]) for label in labels], labels)
    model = build_model(small(depth=1, dropout=0.0), mels=MELS, symbols=3)
    model.compile(keras.optimizers.Adam(0.03), loss=CtcLoss(), metrics=[TokenErrorRate()])
    history = model.fit(inputs, targets, epochs=6, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    found = greedy_labels(model.predict_on_batch(inputs))
    metric = TokenErrorRate()
    metric.update_state(targets, model.predict_on_batch(inputs))
    assert model.test_on_batch(inputs, targets)[1] == pytest.approx(float(metric.result()))
    assert len(found) == len(labels)


@pytest.mark.parametrize("settings", [small(), small(front_end=FrontEnd.stack, cell=Cell.gru, bidirectional=False)])
def test_a_saved_model_is_loaded_with_its_loss_and_metric(settings, batch, tmp_path):
    model = build_model(settings, mels=MELS, symbols=SYMBOLS)
    model.compile("adam", loss=CtcLoss(), metrics=[TokenErrorRate()])
    inputs, targets = pad_batch(*batch)
    model.train_on_batch(inputs, targets)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert isinstance(loaded.loss, CtcLoss)
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]
    np.testing.assert_allclose(loaded.predict_on_batch(inputs), model.predict_on_batch(inputs), atol=1e-5)
    np.testing.assert_allclose(loaded.test_on_batch(inputs, targets), model.test_on_batch(inputs, targets), rtol=1e-5)


def test_one_name_of_the_package_registers_what_loading_needs(tmp_path):
    model = build_model(small(depth=1), mels=MELS, symbols=SYMBOLS)
    model.compile("adam", loss=CtcLoss(), metrics=[TokenErrorRate()])
    model.save(tmp_path / "model.keras")
    code = "import keras; from asr.acoustic import greedy_labels; print(keras.saving.load_model('model.keras').name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == ["acoustic_model"]


def test_a_summary_names_every_layer():
    lines: list[str] = []
    build_model(small(), mels=MELS, symbols=SYMBOLS).summary(line_length=200, print_fn=lines.append)
    text = "\n".join(lines)
    for name in ("convolution_1 (Convolution)", "front_end_projection", "recurrent_2 (Recurrent)", "symbols (Output)"):
        assert name in text


def recordings(rng: np.random.Generator, count: int) -> tuple[list[np.ndarray], list[list[int]]]:
    sizes = rng.integers(4000, 12000, count)
    samples = [0.1 * rng.standard_normal(size).astype(np.float32) for size in sizes]
    return samples, [rng.integers(1, SYMBOLS, size).tolist() for size in rng.integers(1, 4, count)]


def test_a_dataset_gives_the_frames_of_the_extractor_in_every_order(rng):
    samples, labels = recordings(rng, 7)
    log_mel = LogMel.from_librosa(FEATURES)
    plain = LogMelDataset(samples, labels, log_mel=log_mel, settings=small(), batch_size=3)
    assert len(plain) == 3
    (frames, counts), targets = plain[2]
    assert frames.shape == (1, 128, MELS)
    np.testing.assert_array_equal(frames[0, : counts[0]], log_mel(samples[6]))
    assert targets[0, : len(labels[6])].tolist() == labels[6]
    shuffled = LogMelDataset(samples, labels, log_mel=log_mel, settings=small(), batch_size=3, shuffle_seed=1)

    def epoch(data: LogMelDataset) -> list[int]:
        return [int(count) for index in range(len(data)) for count in data[index][0][1]]

    first = epoch(shuffled)
    shuffled.on_epoch_end()
    assert first != epoch(plain)
    assert first != epoch(shuffled)
    assert sorted(first) == sorted(epoch(plain)) == sorted(epoch(shuffled))


def test_a_model_trains_on_a_dataset(rng):
    samples, labels = recordings(rng, 5)
    data = LogMelDataset(samples, labels, log_mel=LogMel.from_librosa(FEATURES), settings=small(), batch_size=2)
    model = build_model(small(depth=1), mels=MELS, symbols=SYMBOLS)
    model.compile("adam", loss=CtcLoss(), metrics=[TokenErrorRate()])
    history = model.fit(data, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_tf_data_gives_the_same_batches(rng):
    pytest.importorskip("tensorflow")
    samples, labels = recordings(rng, 5)
    data = LogMelDataset(samples, labels, log_mel=LogMel.from_librosa(FEATURES), settings=small(), batch_size=2)
    batches = list(data.to_tf_data().as_numpy_iterator())
    assert len(batches) == len(data) == len(data.to_tf_data())
    for index, ((frames, counts), targets) in enumerate(batches):
        (expected_frames, expected_counts), expected_targets = data[index]
        np.testing.assert_array_equal(frames, expected_frames)
        np.testing.assert_array_equal(counts, expected_counts)
        np.testing.assert_array_equal(targets, expected_targets)
    if keras.backend.backend() == "tensorflow":
        model = build_model(small(depth=1), mels=MELS, symbols=SYMBOLS)
        model.compile("adam", loss=CtcLoss())
        model.fit(data.to_tf_data(), epochs=1, verbose=0, shuffle=False)


def test_arrays_that_do_not_belong_together_are_refused(rng):
    samples, labels = recordings(rng, 3)
    log_mel = LogMel.from_librosa(FEATURES)

    def dataset(samples: list[np.ndarray], labels: list[list[int]], **kwargs) -> LogMelDataset:
        return LogMelDataset(samples, labels, log_mel=log_mel, settings=small(), **kwargs)

    with pytest.raises(ValueError, match="not 2 labels for 3 recordings"):
        dataset(samples, labels[:2])
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        dataset(samples, labels, batch_size=0)
    with pytest.raises(ValueError, match="recording 1 has 3 steps, its label needs 5: leave it out"):
        dataset([samples[0], np.zeros(1600, np.float32)], [[1], [1, 1, 1]])
    with pytest.raises(ValueError, match="symbols are numbered from 1: label 1 holds 0"):
        pad_batch([np.zeros((4, 2)), np.zeros((4, 2))], [[1], [2, 0]])
    with pytest.raises(ValueError, match="a label for each utterance, not 1 for 0"):
        pad_batch([], [[1]])


def run_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: str) -> dict:
    """The names that the notebook's cells leave behind."""
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((REPOSITORY / "docs" / "keras.ipynb").read_text("utf-8"))
    names: dict = {}
    for number, cell in enumerate(one for one in notebook["cells"] if one["cell_type"] == "code"):
        source = "".join(cell["source"])
        if number == 0 and sizes:
            assert "UTTERANCES, EPOCHS = 128, 5" in source
            source = source.replace("UTTERANCES, EPOCHS = 128, 5", f"UTTERANCES, EPOCHS = {sizes}")
        exec(compile(source, f"keras.ipynb, cell {number}", "exec"), names)
    return names


def test_the_notebook_runs(tmp_path, monkeypatch):
    names = run_notebook(tmp_path, monkeypatch, "16, 1")
    assert len(names["found"]) == 2


@pytest.mark.slow
def test_the_notebook_learns_its_tones(tmp_path, monkeypatch):
    assert run_notebook(tmp_path, monkeypatch, "")["error_rate"] < 0.2
