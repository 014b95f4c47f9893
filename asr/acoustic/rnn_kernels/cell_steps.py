"""One step of each cell and its derivative, for kernels that run the loop over steps themselves.

What need not wait for the step before is not done here: the products with the inputs are made for all steps at once
before the loop, the gradients of all weights after the loop back. Left to automatic differentiation, the gradient of
the recurrent weights would be summed up in every step, at several times the cost.

A state is what a step hands to the next: [hidden, memory] of the LSTM, [hidden] of the GRU, side by side in one tensor.
`gates` are the values of the gates, kept for the way back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from keras import ops

from asr.settings.model import Cell


class Step(ABC):
    """One step of a cell, forward and back. All tensors are float32 [shape=(..., batch, width)]."""

    tensors_in_state: int

    @abstractmethod
    def forward(self, projected: Any, state: Any, recurrent_kernel: Any, bias: Any) -> tuple[Any, Any]:
        """The next state, and the gates.

        Parameters
        ----------
        projected : tensor [shape=(batch, gates * units)]
            The input's product with the kernel, its bias added.
        state : tensor [shape=(batch, tensors_in_state * units)]
        recurrent_kernel : tensor [shape=(units, gates * units)]
        bias : tensor [shape=(gates * units,)]
            Of the recurrence.
        """

    @abstractmethod
    def backward(
        self, d_state: Any, gates: Any, state: Any, state_before: Any, recurrent_kernel_transposed: Any
    ) -> tuple[Any, Any]:
        """Gradients for the state before and for the gates' arguments [shape=(batch, 4 * units)]."""

    @abstractmethod
    def split_gradient(self, d_gates: Any) -> tuple[Any, Any]:
        """The gates' gradient as that of the projected inputs and that of the recurrent products."""


class LstmStep(Step):
    """Source: S. Hochreiter, J. Schmidhuber, Neural Computation 9(8), 1997, with F. Gers's forget gate."""

    tensors_in_state = 2

    def forward(self, projected: Any, state: Any, recurrent_kernel: Any, bias: Any) -> tuple[Any, Any]:
        hidden, memory = ops.split(state, 2, axis=-1)
        take, keep, candidate, give = ops.split(projected + (ops.matmul(hidden, recurrent_kernel) + bias), 4, axis=-1)
        take, keep, candidate, give = _sigmoid(take), _sigmoid(keep), ops.tanh(candidate), _sigmoid(give)
        memory = keep * memory + take * candidate
        state = ops.concatenate([give * ops.tanh(memory), memory], axis=-1)
        return state, ops.concatenate([take, keep, candidate, give], axis=-1)

    def backward(
        self, d_state: Any, gates: Any, state: Any, state_before: Any, recurrent_kernel_transposed: Any
    ) -> tuple[Any, Any]:
        take, keep, candidate, give = ops.split(gates, 4, axis=-1)
        memory_before = ops.split(state_before, 2, axis=-1)[1]
        squashed = ops.tanh(ops.split(state, 2, axis=-1)[1])
        d_hidden, d_memory = ops.split(d_state, 2, axis=-1)
        d_memory = d_memory + d_hidden * give * (1 - squashed * squashed)
        d_gates = ops.concatenate(
            [
                d_memory * candidate * take * (1 - take),
                d_memory * memory_before * keep * (1 - keep),
                d_memory * take * (1 - candidate * candidate),
                d_hidden * squashed * give * (1 - give),
            ],
            axis=-1,
        )
        d_hidden_before = ops.matmul(d_gates, recurrent_kernel_transposed)
        return ops.concatenate([d_hidden_before, d_memory * keep], axis=-1), d_gates

    def split_gradient(self, d_gates: Any) -> tuple[Any, Any]:
        return d_gates, d_gates


class GruStep(Step):
    """Source: K. Cho et al., EMNLP 2014, version 1 of the paper (reset after the product)."""

    tensors_in_state = 1

    def forward(self, projected: Any, state: Any, recurrent_kernel: Any, bias: Any) -> tuple[Any, Any]:
        recurrent = ops.matmul(state, recurrent_kernel) + bias
        update, reset, candidate = ops.split(projected, 3, axis=-1)
        recurrent_update, recurrent_reset, recurrent_candidate = ops.split(recurrent, 3, axis=-1)
        update, reset = _sigmoid(update + recurrent_update), _sigmoid(reset + recurrent_reset)
        candidate = ops.tanh(candidate + reset * recurrent_candidate)
        state = update * state + (1 - update) * candidate
        return state, ops.concatenate([update, reset, candidate, recurrent_candidate], axis=-1)

    def backward(
        self, d_state: Any, gates: Any, state: Any, state_before: Any, recurrent_kernel_transposed: Any
    ) -> tuple[Any, Any]:
        update, reset, candidate, recurrent_candidate = ops.split(gates, 4, axis=-1)
        d_update = d_state * (state_before - candidate) * update * (1 - update)
        d_candidate = d_state * (1 - update) * (1 - candidate * candidate)
        d_reset = d_candidate * recurrent_candidate * reset * (1 - reset)
        d_recurrent_candidate = d_candidate * reset
        d_recurrent = ops.concatenate([d_update, d_reset, d_recurrent_candidate], axis=-1)
        d_before = d_state * update + ops.matmul(d_recurrent, recurrent_kernel_transposed)
        return d_before, ops.concatenate([d_recurrent, d_candidate], axis=-1)

    def split_gradient(self, d_gates: Any) -> tuple[Any, Any]:
        d_update, d_reset, d_recurrent_candidate, d_candidate = ops.split(d_gates, 4, axis=-1)
        return (
            ops.concatenate([d_update, d_reset, d_candidate], axis=-1),
            ops.concatenate([d_update, d_reset, d_recurrent_candidate], axis=-1),
        )


STEPS: dict[Cell, Step] = {Cell.lstm: LstmStep(), Cell.gru: GruStep()}


def project(inputs: Any, kernel: Any, bias: Any) -> Any:
    """The products of all steps at once, in the inputs' type; the sums go on in float32.

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
    # As one matrix: the product of a stack of matrices with one is slower by half in every back end's compiler.
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
