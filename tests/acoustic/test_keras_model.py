from __future__ import annotations

import keras
import numpy as np
import pytest

from asr.acoustic import keras_layers
from asr.acoustic.keras_model import build_model, predict_log_probs, read_weights, write_weights
from asr.acoustic.steps import step_counts
from asr.errors import BundleError, ConfigError
from asr.settings.model import Cell, FrontEnd, ModelConfig

MELS, SYMBOLS = 12, 6


def small(**settings) -> ModelConfig:
    return ModelConfig(**{"depth": 2, "units": 8, "projection": 6, "channels": 3} | settings)


def build(settings: ModelConfig, seed: int = 5) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = build_model(settings, mels=MELS, symbols=SYMBOLS)
    # Biases that are not zero, for a mistake to show.
    write_weights(model, {name: array + 0.05 for name, array in read_weights(model).items()})
    model.run_eagerly = True  # tracing a graph for every length would take most of the time
    return model


def alone(model: keras.Model, frames: np.ndarray, settings: ModelConfig) -> np.ndarray:
    return predict_log_probs(model, frames[None], np.array([len(frames)], np.int32), settings)[0]


def in_batch(model: keras.Model, utterances: list[np.ndarray], settings: ModelConfig, padding: int, garbage: float):
    counts = np.array([len(one) for one in utterances], np.int32)
    frames = np.full((len(utterances), counts.max() + padding, MELS), garbage, np.float32)
    for row, one in enumerate(utterances):
        frames[row, : len(one)] = one
    return predict_log_probs(model, frames, counts, settings)


# Every pair of a front end, a cell and directions, and what else changes the number of steps or reaches into padding.
VARIANTS = [
    small(front_end=FrontEnd.conv, cell=Cell.lstm, bidirectional=True),
    small(front_end=FrontEnd.conv, cell=Cell.gru, bidirectional=False),
    small(front_end=FrontEnd.stack, cell=Cell.lstm, bidirectional=False),
    small(front_end=FrontEnd.stack, cell=Cell.gru, bidirectional=True),
    small(subsampling=1, kernel=5),
    small(subsampling=2, layer_normalization=False, projection=0),
    small(front_end=FrontEnd.stack, subsampling=3),
    small(bidirectional=False, lookahead=2),
    small(bidirectional=False, lookahead=1, front_end=FrontEnd.stack, subsampling=3, cell=Cell.gru, projection=0),
]


@pytest.mark.parametrize(
    "settings", VARIANTS, ids=lambda one: f"{one.front_end}-{one.cell}-{one.bidirectional}-{one.subsampling}"
)
def test_padding_is_invisible(rng, settings):
    """For every remainder of the length by the stride, with garbage in the padding, alone and in a batch."""
    model = build(settings)
    utterances = [rng.standard_normal((length, MELS)).astype(np.float32) for length in (17, 18, 19, 20, 1)]
    expected = [alone(model, one, settings) for one in utterances]
    for padding, garbage in ((0, 0.0), (1, 1e3), (6, np.nan)):
        results = in_batch(model, utterances, settings, padding, garbage)
        for one, result, wanted in zip(utterances, results, expected, strict=True):
            assert len(result) == step_counts(len(one), settings)
            np.testing.assert_allclose(result, wanted, atol=1e-5)


@pytest.mark.parametrize("front_end", FrontEnd)
def test_a_mutant_that_ignores_the_lengths_is_caught(rng, monkeypatch, front_end):
    """The test above can fail: without true lengths, or without masks, the batch changes an utterance."""
    settings = small(front_end=front_end)
    utterances = [rng.standard_normal((length, MELS)).astype(np.float32) for length in (17, 40)]

    def differs(model: keras.Model) -> bool:
        together = in_batch(model, utterances, settings, 3, 1e3)[0]
        return float(np.abs(together - alone(model, utterances[0], settings)).max()) > 1e-3

    assert not differs(build(settings))
    with monkeypatch.context() as patch:
        patch.setattr(keras_layers.MaskPadding, "call", lambda self, inputs, counts: inputs)
        assert differs(build(settings))
    with monkeypatch.context() as patch:

        def reversed_whole(inputs, counts):
            return keras.ops.flip(inputs, axis=0)

        patch.setattr("asr.acoustic.rnn.reverse_rows", reversed_whole)
        assert differs(build(settings))


@pytest.mark.parametrize("front_end", FrontEnd)
@pytest.mark.parametrize("cell", Cell)
def test_no_step_of_a_causal_model_depends_on_a_later_frame(rng, front_end, cell):
    settings = small(front_end=front_end, cell=cell, bidirectional=False)
    model = build(settings)
    frames = rng.standard_normal((40, MELS)).astype(np.float32)
    changed = frames.copy()
    changed[24:] += 1
    before, after = alone(model, frames, settings), alone(model, changed, settings)
    # With convolutions, step t depends on no frame after 4 t; with stacked frames, on none after 4 t + 3.
    np.testing.assert_allclose(before[:6], after[:6], atol=1e-6)
    assert np.abs(before[7:] - after[7:]).max() > 1e-3


@pytest.mark.parametrize("front_end", FrontEnd)
def test_a_look_ahead_reads_so_many_later_steps_and_no_more(rng, front_end):
    """Two recurrent layers that look two steps ahead: step t depends on step t + 4, and on nothing after it."""
    settings = small(front_end=front_end, bidirectional=False, lookahead=2)
    assert settings.delay_steps == 4
    model = build(settings)
    frames = rng.standard_normal((64, MELS)).astype(np.float32)
    changed = frames.copy()
    changed[40:] += 1
    before, after = alone(model, frames, settings), alone(model, changed, settings)
    assert len(before) == 16
    np.testing.assert_allclose(before[:6], after[:6], atol=1e-6)
    assert np.abs(before[6] - after[6]).max() > 1e-4


def test_a_bidirectional_model_has_no_look_ahead():
    with pytest.raises(ConfigError, match=r"model\.lookahead must be 0 unless model\.bidirectional=false"):
        ModelConfig(lookahead=1)


def test_the_first_step_of_a_bidirectional_model_depends_on_the_last_frame(rng):
    settings = small()
    model = build(settings)
    frames = rng.standard_normal((40, MELS)).astype(np.float32)
    changed = frames.copy()
    changed[-1] += 1
    assert np.abs(alone(model, frames, settings)[0] - alone(model, changed, settings)[0]).max() > 0


def test_forget_gates_start_open():
    weights = read_weights(build_model(small(), mels=MELS, symbols=SYMBOLS))
    bias = weights["recurrent_1/bias"]
    assert (bias[:, 0, 8:16] == 1).all()
    assert bias.sum() == 2 * 8


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, second, third = (read_weights(build(small(), seed)) for seed in (1, 1, 2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
    assert np.abs(first["recurrent_1/kernel"] - third["recurrent_1/kernel"]).max() > 0.1


def test_directions_start_from_different_weights():
    kernel = read_weights(build(small()))["recurrent_1/kernel"]
    assert np.abs(kernel[0] - kernel[1]).max() > 0.1


def test_weights_that_do_not_fit_are_refused_by_name():
    model = build(small())
    weights = read_weights(model)
    weights.pop("symbols/bias")
    weights["recurrent_1/kernel"] = weights["recurrent_1/kernel"][..., :-1]
    with pytest.raises(BundleError, match=r"symbols/bias is missing.*recurrent_1/kernel must have shape"):
        write_weights(model, weights)


@pytest.mark.parametrize("settings", [small(), small(front_end=FrontEnd.stack, subsampling=3)])
def test_step_counts_are_what_the_model_makes(rng, settings):
    model = build(settings)
    for length in range(1, 14):
        logits = model.predict_on_batch([np.zeros((1, length, MELS), np.float32), np.array([length], np.int32)])
        assert logits.shape[1] == step_counts(length, settings)
