"""Recurrences on JAX: one scan a direction, with its own gradient; XLA compiles them with the rest of the step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from asr.acoustic.cells import CELLS
from asr.acoustic.rnn_kernels.cell_steps import STEPS, project, recurrent_kernel_gradient
from asr.settings.model import Cell


def run(cell: Cell, inputs: Sequence[Any], *weights: Sequence[Any]) -> list[Any]:
    """Arguments and result as in the docstring of `asr.acoustic.rnn_kernels`."""
    outputs = []
    for rows, kernel, recurrent_kernel, biases in zip(inputs, *weights, strict=True):
        projected = project(rows, kernel, biases[0])
        hidden = _recurrence(cell, str(rows.dtype), projected, recurrent_kernel, biases[1])
        outputs.append(hidden.astype(rows.dtype))
    return outputs


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _recurrence(cell: Cell, dtype: str, projected: Any, recurrent_kernel: Any, bias: Any) -> Any:
    return _forward(cell, dtype, projected, recurrent_kernel, bias)[0]


def _forward(cell: Cell, dtype: str, projected: Any, recurrent_kernel: Any, bias: Any) -> tuple[Any, tuple[Any, ...]]:
    step, units = STEPS[cell], recurrent_kernel.shape[0]

    def body(state: Any, projected_now: Any) -> tuple[Any, tuple[Any, Any]]:
        state, gates = step.forward(projected_now, state, recurrent_kernel, bias)
        return state, (state, gates)

    start = jnp.zeros((projected.shape[1], len(CELLS[cell].states) * units), jnp.float32)
    _, (states, gates) = jax.lax.scan(body, start, projected)
    return states[..., :units], (states, gates, recurrent_kernel)


def _backward(cell: Cell, dtype: str, kept: tuple[Any, ...], d_hidden: Any) -> tuple[Any, Any, Any]:
    states, gates, recurrent_kernel = kept
    step, units = STEPS[cell], recurrent_kernel.shape[0]
    transposed = recurrent_kernel.T
    states_before = jnp.concatenate([jnp.zeros_like(states[:1]), states[:-1]])

    def body(d_state: Any, now: tuple[Any, ...]) -> tuple[Any, Any]:
        d_hidden_now, gates_now, state, before = now
        d_state = jnp.concatenate([d_state[:, :units] + d_hidden_now, d_state[:, units:]], axis=-1)
        return step.backward(d_state, gates_now, state, before, transposed)

    rows = (d_hidden, gates, states, states_before)
    _, d_gates = jax.lax.scan(body, jnp.zeros_like(states[0]), rows, reverse=True)
    d_projected, d_recurrent = step.split_gradient(d_gates)
    d_kernel = recurrent_kernel_gradient(states_before[..., :units], d_recurrent, dtype)
    return d_projected, d_kernel, d_recurrent.sum((0, 1))


_recurrence.defvjp(_forward, _backward)
