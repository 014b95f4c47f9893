"""A Keras layer from elsewhere in the network, and Keras's own ways to save and copy a model."""

from __future__ import annotations

import re
import subprocess
import sys

import keras
import numpy as np
import pytest

from asr.acoustic import CtcLoss, TokenErrorRate, build_model, pad_batch
from asr.acoustic.keras_model import predict_log_probs, read_weights
from asr.acoustic.onnx_export import export_onnx
from asr.acoustic.steps import step_counts
from asr.errors import ConfigError
from asr.settings.model import FrontEnd

from ..conftest import REPOSITORY
from .test_keras_model import MELS, SYMBOLS, alone, in_batch, small

CAUSAL = small(bidirectional=False, depth=1)


@keras.saving.register_keras_serializable("tests")
class Strided(keras.layers.Layer):
    """A convolution over time; zeros before the first frame alone, so that padding changes nothing."""

    def __init__(self, units: int, stride: int, **kwargs):
        super().__init__(**kwargs)
        self.units, self.stride = units, stride
        self.convolution = keras.layers.Conv1D(units, stride, strides=stride, activation="tanh", name="convolution")

    def build(self, shape):
        self.convolution.build(shape)

    def call(self, inputs):
        return self.convolution(keras.ops.pad(inputs, ((0, 0), (self.stride - 1, 0), (0, 0))))

    def get_config(self):
        return {**super().get_config(), "units": self.units, "stride": self.stride}


@keras.saving.register_keras_serializable("tests")
class MeanSubtracted(keras.layers.Layer):
    """Subtracts the mean over the true steps of each row."""

    def call(self, inputs, counts):
        total = keras.ops.sum(inputs, axis=1, keepdims=True)
        return inputs - total / keras.ops.cast(counts, inputs.dtype)[:, None, None]


def own_model(**changes) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = build_model(
        CAUSAL,
        mels=MELS,
        symbols=SYMBOLS,
        **{"front_end": Strided(5, 4), "layers": {"recurrent_1": keras.layers.GRU(7, return_sequences=True)}} | changes,
    )
    model.run_eagerly = True
    return model


def utterances(rng, lengths=(17, 18, 19, 20, 1)) -> list[np.ndarray]:
    return [rng.standard_normal((length, MELS)).astype(np.float32) for length in lengths]


def test_padding_is_invisible_with_layers_from_elsewhere(rng):
    """A layer that knows no lengths, one with `mask`, one with `counts`; garbage in the padding."""
    layers = {
        "recurrent_1": keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True)),
        "recurrent_1_projection": MeanSubtracted(),
    }
    model, frames = own_model(layers=layers), utterances(rng)
    expected = [alone(model, one, CAUSAL) for one in frames]
    for padding, garbage in ((0, 0.0), (6, np.nan)):
        for one, result, wanted in zip(
            frames, in_batch(model, frames, CAUSAL, padding, garbage), expected, strict=True
        ):
            assert len(result) == step_counts(len(one), CAUSAL)
            np.testing.assert_allclose(result, wanted, atol=1e-5)


def test_every_layer_between_front_end_and_output_can_be_replaced():
    settings = small(front_end=FrontEnd.stack, subsampling=3)
    names = [one for number in (1, 2) for one in (f"recurrent_{number}", f"recurrent_{number}_projection")]
    names += ["front_end_projection", "front_end_normalization", "recurrent_2_normalization", "dropout_2"]
    for name in names:
        model = build_model(settings, mels=MELS, symbols=SYMBOLS, layers={name: keras.layers.Dense(5, name="mine")})
        assert "mine/kernel" in read_weights(model)
        assert not any(weight.startswith(f"{name}/") for weight in read_weights(model))
        assert model.output_shape == (None, None, SYMBOLS)


def test_such_a_model_learns(rng):
    model = own_model()
    model.run_eagerly = False
    model.compile(keras.optimizers.Adam(0.03), loss=CtcLoss(), metrics=[TokenErrorRate()])
    inputs, targets = pad_batch(utterances(rng, (40, 32)), [[1, 2], [3]])
    losses = model.fit(inputs, targets, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("own", [False, True])
def test_a_model_is_saved_loaded_and_cloned(own, rng, tmp_path):
    model = own_model() if own else build_model(small(), mels=MELS, symbols=SYMBOLS)
    model.compile("adam", loss=CtcLoss(), metrics=[TokenErrorRate()], run_eagerly=True)
    inputs, targets = pad_batch(utterances(rng, (40, 17)), [[1, 2], [3]])
    model.train_on_batch(inputs, targets)
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    clone = keras.models.clone_model(model)
    assert not np.allclose(clone.get_weights()[0], model.get_weights()[0])
    clone.set_weights(model.get_weights())
    for copy in (loaded, clone):
        assert list(read_weights(copy)) == list(read_weights(model))
        np.testing.assert_allclose(copy.predict_on_batch(inputs), model.predict_on_batch(inputs), atol=1e-5)
    np.testing.assert_allclose(loaded.test_on_batch(inputs, targets), model.test_on_batch(inputs, targets), rtol=1e-4)


@pytest.mark.parametrize("own", [False, True])
def test_model_checkpoint_keeps_the_best_epoch(own, rng, tmp_path):
    """Whole models and weights alone; the second file is that of the weights after the last epoch."""
    model = own_model() if own else build_model(CAUSAL, mels=MELS, symbols=SYMBOLS)
    model.run_eagerly = False
    model.compile(keras.optimizers.Adam(0.01), loss=CtcLoss())
    inputs, targets = pad_batch(utterances(rng, (40, 32)), [[1, 2], [3]])
    best, last = tmp_path / "best.keras", tmp_path / "last.weights.h5"
    callbacks = [
        keras.callbacks.ModelCheckpoint(best, monitor="loss", save_best_only=True),
        keras.callbacks.ModelCheckpoint(last, save_weights_only=True),
    ]
    model.fit(inputs, targets, epochs=2, verbose=0, callbacks=callbacks)
    expected = model.predict_on_batch(inputs)
    assert keras.models.load_model(best).predict_on_batch(inputs).shape == expected.shape
    fresh = keras.models.clone_model(model)
    fresh.load_weights(last)
    np.testing.assert_allclose(fresh.predict_on_batch(inputs), expected, atol=1e-5)


@pytest.mark.parametrize("imports", ["import asr.acoustic, keras", "import keras, asr.acoustic"])
def test_importing_the_package_registers_what_loading_needs_in_either_order(tmp_path, imports):
    model = build_model(
        CAUSAL, mels=MELS, symbols=SYMBOLS, layers={"recurrent_1": keras.layers.GRU(3, return_sequences=True)}
    )
    model.compile("adam", loss=CtcLoss(), metrics=[TokenErrorRate()])
    model.save(tmp_path / "model.keras")
    code = f"{imports}; print(keras.models.load_model('model.keras').name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == ["acoustic_model"]


def test_a_layer_that_does_not_fit_is_refused_with_what_was_wanted():
    class Scalar(keras.layers.Layer):
        def call(self, inputs):
            return keras.ops.mean(inputs, axis=1)

    def refused(message: str, **changes) -> None:
        with pytest.raises(ConfigError, match=message):
            own_model(**changes)

    refused(r"front_end must be a Keras layer, .*not the class Strided: call it", front_end=Strided)
    refused(r"layers\['recurrent_1'\] must be a Keras layer, .*not 3", layers={"recurrent_1": 3})
    refused(r"stride 2, and model.subsampling is 4", front_end=Strided(5, 2))
    refused(r"stride 1 \(none is set\), and model.subsampling is 4", front_end=keras.layers.Dense(3))
    refused(r"must have the stride 1, not 2: only front_end", layers={"recurrent_1": Strided(5, 2)})
    refused(
        r"no layer that can be replaced: these are front_end_projection.*dropout_1",
        layers={"recurrent_9": Strided(5, 1)},
    )
    refused(r"no layer that can be replaced", layers={"symbols": keras.layers.Dense(SYMBOLS)})
    refused(r"must have shape \(batch, time, features\).*not shape \(None, 6\)", layers={"recurrent_1": Scalar()})
    refused(r"must make 5 steps of 5 frames", layers={"recurrent_1": keras.layers.Conv1D(5, 3)})
    flattened = keras.Sequential([keras.layers.Conv1D(5, 4, strides=4, padding="same")])
    flattened.stride = 4
    refused(r"front_end: the output of .* changes when 1 frames of zeros follow.*constant padding", front_end=flattened)
    # Recurrence backwards without a mask.
    refused(
        r"changes when",
        layers={"recurrent_1": keras.Sequential([keras.layers.GRU(3, return_sequences=True, go_backwards=True)])},
    )


def test_onnx_refuses_the_weights_of_layers_from_elsewhere():
    """And those of the description are still accepted."""
    weights = read_weights(own_model())
    with pytest.raises(ConfigError, match=r"gru\S*/.*belong to no layer of it.*model.save"):
        export_onnx(weights, CAUSAL, mels=MELS, symbols=SYMBOLS)
    plain = read_weights(build_model(CAUSAL, mels=MELS, symbols=SYMBOLS))
    assert export_onnx(plain, CAUSAL, mels=MELS, symbols=SYMBOLS)
    missing = {name: array for name, array in plain.items() if name != "symbols/bias"}
    with pytest.raises(ConfigError, match=r"symbols/bias are missing"):
        export_onnx(missing, CAUSAL, mels=MELS, symbols=SYMBOLS)


def test_log_probs_of_such_a_model_are_normalised(rng):
    found = predict_log_probs(own_model(), utterances(rng, (12,))[0][None], np.array([12], np.int32), CAUSAL)[0]
    np.testing.assert_allclose(np.exp(found).sum(axis=-1), 1, atol=1e-5)


def test_the_example_of_the_guide_runs(capsys):
    """And prints what it says it prints."""
    text = (REPOSITORY / "docs" / "keras.md").read_text("utf-8")
    (code,) = (one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "front_end=" in one)
    exec(compile(code, "keras.md", "exec"), {})
    assert capsys.readouterr().out.strip() == re.findall(r"^# (\(.*\))$", code, re.MULTILINE)[0]
