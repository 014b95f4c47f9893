"""Recurrences on TensorFlow: only the loops are compiled by XLA, one program a direction, so that two run in parallel.

The large products stay outside, where TensorFlow's own (oneDNN on a CPU) are faster than XLA's. The loops compile in
about a second for each new shape, without `jit_compile` of the whole model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import tensorflow as tf

from asr.acoustic.cells import CELLS
from asr.acoustic.rnn_kernels.cell_steps import STEPS, project, recurrent_kernel_gradient
from asr.settings.model import Cell


def run(cell: Cell, inputs: Sequence[Any], *weights: Sequence[Any]) -> list[Any]:
    """Arguments and result as in the docstring of `asr.acoustic.rnn_kernels`."""
    outputs = []
    for rows, kernel, recurrent_kernel, biases in zip(inputs, *weights, strict=True):
        input_bias, recurrent_bias = tf.unstack(biases)
        recurrence = _recurrence(cell, recurrent_kernel.shape[0], rows.dtype)
        hidden = recurrence(project(rows, kernel, input_bias), recurrent_kernel, recurrent_bias)
        outputs.append(tf.cast(hidden, rows.dtype))
    return outputs


@cache
def _recurrence(cell: Cell, units: int, dtype: Any) -> Any:
    """From projected inputs, the recurrent kernel and its bias to hidden states, with its own gradient."""
    step = STEPS[cell]
    width, state_width = len(CELLS[cell].gates) * units, len(CELLS[cell].states) * units
    kernel_shape, bias_shape = tf.TensorSpec((units, width)), tf.TensorSpec((width,))

    # Traced once, whatever the number of steps and rows; XLA compiles for each pair of them.
    @_compiled(tf.TensorSpec((None, None, width)), kernel_shape, bias_shape)
    def forward(projected: Any, recurrent_kernel: Any, bias: Any) -> tuple[Any, Any]:
        count = tf.shape(projected)[0]

        def body(now: Any, state: Any, states: Any, gates: Any) -> tuple[Any, ...]:
            state, gates_now = step.forward(projected[now], state, recurrent_kernel, bias)
            return now + 1, state, states.write(now, state), gates.write(now, gates_now)

        _, _, states, gates = tf.while_loop(
            lambda now, *_: now < count,
            body,
            (0, tf.zeros((tf.shape(projected)[1], state_width)), _rows(count), _rows(count)),
        )
        return states.stack(), gates.stack()

    state_rows = tf.TensorSpec((None, None, state_width))
    gate_rows = tf.TensorSpec((None, None, step.tensors_kept * units))

    @_compiled(tf.TensorSpec((None, None, units)), state_rows, gate_rows, kernel_shape)
    def backward(d_hidden: Any, states: Any, gates: Any, recurrent_kernel: Any) -> Any:
        count = tf.shape(states)[0]
        transposed = tf.transpose(recurrent_kernel)

        def body(now: Any, d_state: Any, d_gates: Any) -> tuple[Any, ...]:
            before = tf.where(now > 0, states[tf.maximum(now - 1, 0)], tf.zeros_like(states[0]))
            d_state = tf.concat([d_state[:, :units] + d_hidden[now], d_state[:, units:]], axis=-1)
            d_state, d_gates_now = step.backward(d_state, gates[now], states[now], before, transposed)
            return now - 1, d_state, d_gates.write(now, d_gates_now)

        _, _, d_gates = tf.while_loop(
            lambda now, *_: now >= 0, body, (count - 1, tf.zeros_like(states[0]), _rows(count))
        )
        return d_gates.stack()

    @tf.custom_gradient
    def recurrence(projected: Any, recurrent_kernel: Any, bias: Any) -> tuple[Any, Any]:
        # Without stop_gradient, eager TensorFlow would try to differentiate the compiled loop, and fail.
        states, gates = forward(*map(tf.stop_gradient, (projected, recurrent_kernel, bias)))
        hidden = states[..., :units]

        def gradient(d_hidden: Any) -> tuple[Any, Any, Any]:
            d_projected, d_recurrent = step.split_gradient(backward(d_hidden, states, gates, recurrent_kernel))
            before = tf.concat([tf.zeros_like(hidden[:1]), hidden[:-1]], axis=0)
            d_kernel = recurrent_kernel_gradient(before, d_recurrent, dtype.name)
            return d_projected, d_kernel, tf.reduce_sum(d_recurrent, axis=(0, 1))

        return hidden, gradient

    return recurrence


def _compiled(*signature: Any) -> Any:
    return tf.function(input_signature=signature, jit_compile=True, autograph=False)


def _rows(count: Any) -> Any:
    return tf.TensorArray(tf.float32, count)
