"""Recurrences for any back end: the input products of all steps at once, then one scan over both directions."""

from __future__ import annotations

from typing import Any

from keras import ops


def lstm(inputs: Any, kernels: Any, recurrent_kernels: Any, biases: Any) -> Any:
    """LSTM. Source: S. Hochreiter, J. Schmidhuber, Neural Computation 9(8), 1997, with F. Gers's forget gate."""
    projected = _project(inputs, kernels, biases[:, 0] + biases[:, 1])

    # One tensor of state, which is also the output: on TensorFlow, `keras.ops.scan` gives the outputs the structure and
    # the shape of the state.
    def step(state: Any, inputs_now: Any) -> Any:
        hidden, memory = ops.split(state, 2, axis=-1)
        gates = inputs_now + ops.matmul(hidden, recurrent_kernels)
        take, keep, candidate, give = ops.split(gates, 4, axis=-1)
        memory = ops.sigmoid(keep) * memory + ops.sigmoid(take) * ops.tanh(candidate)
        hidden = ops.sigmoid(give) * ops.tanh(memory)
        state = ops.concatenate([hidden, memory], axis=-1)
        return state, state

    units = recurrent_kernels.shape[1]
    _, states = ops.scan(step, ops.zeros_like(projected[0, :, :, : 2 * units]), projected)
    return ops.transpose(states[..., :units], (1, 2, 0, 3))


def gru(inputs: Any, kernels: Any, recurrent_kernels: Any, biases: Any) -> Any:
    """GRU. Source: K. Cho et al., EMNLP 2014, version 1 of the paper (reset after the product)."""
    projected = _project(inputs, kernels, biases[:, 0])
    units = recurrent_kernels.shape[1]

    def step(hidden: Any, inputs_now: Any) -> Any:
        recurrent = ops.matmul(hidden, recurrent_kernels) + biases[:, 1][:, None]
        update_and_reset = ops.sigmoid(inputs_now[..., : 2 * units] + recurrent[..., : 2 * units])
        update, reset = ops.split(update_and_reset, 2, axis=-1)
        candidate = ops.tanh(inputs_now[..., 2 * units :] + reset * recurrent[..., 2 * units :])
        hidden = update * hidden + (1 - update) * candidate
        return hidden, hidden

    _, outputs = ops.scan(step, ops.zeros_like(projected[0, :, :, :units]), projected)
    return ops.transpose(outputs, (1, 2, 0, 3))


def _project(inputs: Any, kernels: Any, biases: Any) -> Any:
    """(steps, directions, batch, gates * units): time first, as a scan wants it."""
    products = ops.matmul(ops.transpose(inputs, (2, 0, 1, 3)), kernels)
    return products + biases[:, None]
