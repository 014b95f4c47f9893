"""One step of each cell and its derivative, for kernels that run the loop over steps themselves.

Only what depends on the step before is computed here. The products with the inputs are computed for all steps at once
before the loop, the gradients of all weights after the backward loop. Automatic differentiation would sum up the
gradient of the recurrent weights in every step, at several times the cost.

A state is what a step passes to the next: the tensors that `CELLS[cell].states` names, side by side in one tensor.
`gates` are the values that the backward step needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from keras import ops

from asr.settings.model import Cell


class Step(ABC):
    """One step of a cell, forward and backward. All tensors are float32 [shape=(..., batch, width)]."""

    tensors_kept: int
    """width of `gates` in multiples of the units"""

    @abstractmethod
    def forward(self, projected: Any, state: Any, recurrent_kernel: Any, bias: Any) -> tuple[Any, Any]:
        """The next state, and the values that `backward` needs.

        Parameters
        ----------
        projected : tensor [shape=(batch, gates * units)]
            Product of the input with the kernel, plus the bias for the inputs.
        state : tensor [shape=(batch, states * units)]
        recurrent_kernel : tensor [shape=(units, gates * units)]
        bias : tensor [shape=(gates * units,)]
            Bias of the recurrent product.

        Returns
        -------
        state : tensor [shape=(batch, states * units)]
        gates : tensor [shape=(batch, tensors_kept * units)]
        """

    @abstractmethod
    def backward(
        self, d_state: Any, gates: Any, state: Any, state_before: Any, recurrent_kernel_transposed: Any
    ) -> tuple[Any, Any]:
        """Gradients of the state before and of `gates` before their activation, [shape=(batch, tensors_kept * units)].

        Parameters
        ----------
        d_state : tensor [shape=(batch, states * units)]
            Gradient of `state`.
        gates, state : tensors
            As `forward` returned them.
        state_before : tensor [shape=(batch, states * units)]
        recurrent_kernel_transposed : tensor [shape=(gates * units, units)]
        """

    @abstractmethod
    def split_gradient(self, d_gates: Any) -> tuple[Any, Any]:
        """Split the gradient of `gates` into that of the projected inputs and that of the recurrent products."""


class LstmStep(Step):
    """Source: S. Hochreiter, J. Schmidhuber, Neural Computation 9(8), 1997, with F. Gers's forget gate."""

    tensors_kept = 4

    def forward(self, projected: Any, state: Any, recurrent_kernel: Any, bias: Any) -> tuple[Any, Any]:
        hidden, memory = ops.split(state, 2, axis=-1)
        gates = ops.split(projected + (ops.matmul(hidden, recurrent_kernel) + bias), 4, axis=-1)
        input_gate, forget_gate, output_gate = (_sigmoid(gates[number]) for number in (0, 1, 3))
        candidate = ops.tanh(gates[2])
        memory = forget_gate * memory + input_gate * candidate
        state = ops.concatenate([output_gate * ops.tanh(memory), memory], axis=-1)
        return state, ops.concatenate([input_gate, forget_gate, candidate, output_gate], axis=-1)

    def backward(
        self, d_state: Any, gates: Any, state: Any, state_before: Any, recurrent_kernel_transposed: Any
    ) -> tuple[Any, Any]:
        input_gate, forget_gate, candidate, output_gate = ops.split(gates, 4, axis=-1)
        memory_before = ops.split(state_before, 2, axis=-1)[1]
        activated = ops.tanh(ops.split(state, 2, axis=-1)[1])
        d_hidden, d_memory = ops.split(d_state, 2, axis=-1)
        d_memory = d_memory + d_hidden * output_gate * (1 - activated * activated)
        d_gates = ops.concatenate(
            [
                d_memory * candidate * input_gate * (1 - input_gate),
                d_memory * memory_before * forget_gate * (1 - forget_gate),
                d_memory * input_gate * (1 - candidate * candidate),
                d_hidden * activated * output_gate * (1 - output_gate),
            ],
            axis=-1,
        )
        d_hidden_before = ops.matmul(d_gates, recurrent_kernel_transposed)
        return ops.concatenate([d_hidden_before, d_memory * forget_gate], axis=-1), d_gates

    def split_gradient(self, d_gates: Any) -> tuple[Any, Any]:
        return d_gates, d_gates


class GruStep(Step):
    """Source: K. Cho et al., EMNLP 2014, version 1 of the paper: reset after the product, as in cuDNN."""

    tensors_kept = 4

    def forward(self, projected: Any, state: Any, recurrent_kernel: Any, bias: Any) -> tuple[Any, Any]:
        recurrent = ops.matmul(state, recurrent_kernel) + bias
        update_gate, reset_gate, candidate = ops.split(projected, 3, axis=-1)
        recurrent_update, recurrent_reset, recurrent_candidate = ops.split(recurrent, 3, axis=-1)
        update_gate, reset_gate = _sigmoid(update_gate + recurrent_update), _sigmoid(reset_gate + recurrent_reset)
        candidate = ops.tanh(candidate + reset_gate * recurrent_candidate)
        state = update_gate * state + (1 - update_gate) * candidate
        return state, ops.concatenate([update_gate, reset_gate, candidate, recurrent_candidate], axis=-1)

    def backward(
        self, d_state: Any, gates: Any, state: Any, state_before: Any, recurrent_kernel_transposed: Any
    ) -> tuple[Any, Any]:
        update_gate, reset_gate, candidate, recurrent_candidate = ops.split(gates, 4, axis=-1)
        d_update = d_state * (state_before - candidate) * update_gate * (1 - update_gate)
        d_candidate = d_state * (1 - update_gate) * (1 - candidate * candidate)
        d_reset = d_candidate * recurrent_candidate * reset_gate * (1 - reset_gate)
        d_recurrent_candidate = d_candidate * reset_gate
        d_recurrent = ops.concatenate([d_update, d_reset, d_recurrent_candidate], axis=-1)
        d_before = d_state * update_gate + ops.matmul(d_recurrent, recurrent_kernel_transposed)
        return d_before, ops.concatenate([d_recurrent, d_candidate], axis=-1)

    def split_gradient(self, d_gates: Any) -> tuple[Any, Any]:
        d_update, d_reset, d_recurrent_candidate, d_candidate = ops.split(d_gates, 4, axis=-1)
        return (
            ops.concatenate([d_update, d_reset, d_candidate], axis=-1),
            ops.concatenate([d_update, d_reset, d_recurrent_candidate], axis=-1),
        )


STEPS: dict[Cell, Step] = {Cell.lstm: LstmStep(), Cell.gru: GruStep()}


def project(inputs: Any, kernel: Any, bias: Any) -> Any:
    """The products of all steps with the kernel at once, in the inputs' type; biases are added in float32.

    Parameters
    ----------
    inputs : tensor [shape=(steps, batch, features)]
    kernel : tensor [shape=(features, gates * units)]
    bias : tensor [shape=(gates * units,)]

    Returns
    -------
    float32 tensor [shape=(steps, batch, gates * units)]
    """
    steps, batch, features = ops.shape(inputs)[0], ops.shape(inputs)[1], inputs.shape[2]
    # As one matrix: every back end multiplies a stack of matrices more slowly by half.
    rows = ops.reshape(inputs, (steps * batch, features))
    products = ops.cast(ops.matmul(rows, ops.cast(kernel, inputs.dtype)), "float32")
    return ops.reshape(products + bias, (steps, batch, kernel.shape[1]))


def recurrent_kernel_gradient(hidden_before: Any, d_recurrent: Any, dtype: str) -> Any:
    """(steps, batch, units) and (steps, batch, gates * units) to float32 (units, gates * units), in one product."""
    units, width = hidden_before.shape[-1], d_recurrent.shape[-1]
    rows = ops.cast(ops.reshape(hidden_before, (-1, units)), dtype)
    columns = ops.cast(ops.reshape(d_recurrent, (-1, width)), dtype)
    return ops.cast(ops.matmul(ops.transpose(rows), columns), "float32")


def _sigmoid(x: Any) -> Any:
    # XLA computes tanh several times faster on a CPU than the exponential and the division of its own sigmoid.
    return 0.5 * ops.tanh(0.5 * x) + 0.5
