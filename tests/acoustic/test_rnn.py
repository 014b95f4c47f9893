"""The recurrent layer against Keras's own, on whichever back end the tests run: outputs and gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from asr.acoustic.rnn import Recurrent, reverse_rows
from asr.settings.model import Cell

from .gradients import input_gradient, layer_gradients, total


def with_the_same_weights(cell: Cell, inputs: np.ndarray, counts: np.ndarray, rng: np.random.Generator):
    """Our layer and `keras.layers.Bidirectional`, built."""
    ours = Recurrent(cell, units=4, directions=2)
    ours(inputs, counts)
    weights = [rng.standard_normal(one.shape).astype(np.float32) * 0.5 for one in ours.weights]
    stock_cell = keras.layers.LSTM if cell is Cell.lstm else keras.layers.GRU
    stock = keras.layers.Bidirectional(stock_cell(4, return_sequences=True))
    stock(inputs)
    if cell is Cell.lstm:
        weights[2][:, 1] = 0  # Keras's LSTM has one bias
    ours.set_weights(weights)
    per_direction = []
    for direction in range(2):
        bias = weights[2][direction, 0] if cell is Cell.lstm else weights[2][direction]
        per_direction += [weights[0][direction], weights[1][direction], bias]
    stock.set_weights(per_direction)
    return ours, stock


@pytest.fixture
def batch(rng):
    return rng.standard_normal((3, 9, 5)).astype(np.float32), np.full(3, 9, np.int32)


@pytest.mark.parametrize("cell", Cell)
def test_outputs_equal_keras_bidirectional(rng, batch, cell):
    ours, stock = with_the_same_weights(cell, *batch, rng)
    wanted = keras.ops.convert_to_numpy(stock(batch[0]))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours(*batch)), wanted, atol=1e-5)


@pytest.mark.parametrize("cell", Cell)
def test_gradients_of_the_weights_equal_keras_bidirectional(rng, batch, cell):
    ours, stock = with_the_same_weights(cell, *batch, rng)
    direction = rng.standard_normal((3, 9, 8)).astype(np.float32)
    found = layer_gradients(ours, batch, direction)
    wanted = layer_gradients(stock, batch[:1], direction)
    for side in range(2):
        kernel, recurrent_kernel, bias = wanted[3 * side : 3 * side + 3]
        np.testing.assert_allclose(found[0][side], kernel, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[1][side], recurrent_kernel, rtol=1e-4, atol=1e-4)
        bias_found = found[2][side] if cell is Cell.gru else found[2][side, 0]
        np.testing.assert_allclose(bias_found, bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", Cell)
def test_gradients_of_the_inputs_equal_keras_bidirectional(rng, batch, cell):
    inputs, counts = batch
    ours, stock = with_the_same_weights(cell, inputs, counts, rng)
    direction = rng.standard_normal((3, 9, 8)).astype(np.float32)
    found = input_gradient(lambda x: total(ours(x, counts), direction), inputs)
    wanted = input_gradient(lambda x: total(stock(x), direction), inputs)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cell", Cell)
def test_gradients_of_rows_in_a_batch_add_up_to_those_of_each_alone(rng, cell):
    counts = np.array([7, 3], np.int32)
    inputs = rng.standard_normal((2, 7, 5)).astype(np.float32)
    layer = Recurrent(cell, units=4, directions=2)
    layer(inputs, counts)
    direction = rng.standard_normal((2, 7, 8)).astype(np.float32)
    direction[1, 3:] = 0
    together = layer_gradients(layer, (inputs, counts), direction)
    alone = [
        layer_gradients(layer, (inputs[row : row + 1, :count], counts[row : row + 1]), direction[row : row + 1, :count])
        for row, count in enumerate(counts)
    ]
    for one, *parts in zip(together, *alone, strict=True):
        np.testing.assert_allclose(one, parts[0] + parts[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", Cell)
def test_bfloat16_is_close_to_float32_and_keeps_float32_weights(rng, cell):
    if keras.backend.backend() == "torch":
        pytest.importorskip("torch")
        from asr.errors import ConfigError
        from asr.settings.training import Precision
        from asr.training.devices import Devices

        try:
            Devices(1, Precision.bfloat16)
        except ConfigError as error:
            pytest.skip(str(error))
    inputs, counts = rng.standard_normal((3, 20, 16)).astype(np.float32), np.array([20, 11, 4], np.int32)
    exact = Recurrent(cell, units=16, directions=2)
    half = Recurrent(cell, units=16, directions=2, dtype="mixed_bfloat16")
    wanted = keras.ops.convert_to_numpy(exact(inputs, counts))
    half(inputs, counts)
    half.set_weights(exact.get_weights())
    found = half(inputs, counts)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    assert {weight.dtype for weight in half.weights} == {"float32"}
    found = keras.ops.convert_to_numpy(keras.ops.cast(found, "float32"))
    for row, count in enumerate(counts):
        np.testing.assert_allclose(found[row, :count], wanted[row, :count], atol=0.05)


def test_weights_for_cudnn_lie_as_jax_unpacks_them(rng):
    """On a processor, JAX has a plain program that takes cuDNN's vector: it must give what our kernel gives."""
    if keras.backend.backend() != "jax":
        pytest.skip("a program of JAX")
    from jax.experimental import rnn

    from asr.acoustic.rnn_kernels.cudnn import pack

    inputs = rng.standard_normal((2, 7, 5)).astype(np.float32)
    layer = Recurrent(Cell.lstm, units=4, directions=1)
    layer(inputs, np.array([7, 7]))
    layer.set_weights([rng.standard_normal(one.shape).astype(np.float32) for one in layer.weights])
    packed = pack(Cell.lstm, *(weight[0] for weight in layer.get_weights()))
    unpacked = rnn.unpack_lstm_weights(packed, 5, 4, 1, False)
    zeros = np.zeros((1, 2, 4), np.float32)
    found = rnn.lstm_ref(inputs, zeros, zeros, *unpacked, np.array([7, 7]), 5, 4, 1, 0.0, False)[0]
    np.testing.assert_allclose(found, layer(inputs, np.array([7, 7])), atol=1e-5)


def test_weights_of_a_gru_for_cudnn_have_the_reset_gate_first(rng):
    from asr.acoustic.rnn_kernels.cudnn import pack

    update, reset, candidate = np.eye(3, dtype=np.float32)[:, None] * np.ones((3, 2, 1), np.float32)
    kernel = np.concatenate([1 * update[:, :1], 2 * reset[:, 1:2], 3 * candidate[:, 2:]], axis=1)  # features 2, units 1
    packed = keras.ops.convert_to_numpy(pack(Cell.gru, kernel, kernel[:1], np.stack([kernel[0], 10 * kernel[0]])))
    np.testing.assert_array_equal(packed, [2, 2, 1, 1, 3, 3, 2, 1, 3, 2, 1, 3, 20, 10, 30])


def test_reversing_rows_twice_gives_them_back(rng):
    inputs = rng.standard_normal((6, 3, 2)).astype(np.float32)
    counts = np.array([6, 3, 1])
    once = keras.ops.convert_to_numpy(reverse_rows(inputs, counts))
    np.testing.assert_array_equal(once[:3, 1], inputs[:3, 1][::-1])
    np.testing.assert_array_equal(once[3:, 1], inputs[3:, 1])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(reverse_rows(once, counts)), inputs)


def test_the_gradient_of_a_reversal_is_reversed(rng):
    inputs, weights = rng.standard_normal((2, 6, 3, 2)).astype(np.float32)
    counts = np.array([6, 3, 1], np.int32)
    gradient = input_gradient(lambda x: total(reverse_rows(x, counts), weights), inputs)
    np.testing.assert_array_equal(gradient, keras.ops.convert_to_numpy(reverse_rows(weights, counts)))
