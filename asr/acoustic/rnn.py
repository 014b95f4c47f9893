"""The recurrent layer: LSTM or GRU, in one direction or both, exact whatever the padding."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from asr.acoustic.rnn_kernels import GATES, run_recurrence
from asr.config import Cell


def reverse_rows(inputs: Any, counts: Any) -> Any:
    """Reverse every row by its own length; what lies past the length stays where it is.

    Parameters
    ----------
    inputs : tensor [shape=(batch, steps, features)]
    counts : int tensor [shape=(batch,)]

    Returns
    -------
    tensor [shape=(batch, steps, features)]
        Reversing twice gives the input back.
    """
    positions = ops.arange(ops.shape(inputs)[1], dtype="int32")[None, :]
    counts = ops.cast(counts, "int32")[:, None]
    indices = ops.where(positions < counts, counts - 1 - positions, positions)
    return ops.take_along_axis(inputs, indices[:, :, None], axis=1)


class Recurrent(keras.layers.Layer):  # type: ignore[misc]
    """A recurrent layer over rows of different lengths.

    The backward direction sees each row reversed by its own length, so padding always comes last, no kernel needs a
    mask, and an utterance gives the same numbers alone and in any batch. Past a row's end the output is garbage.

    Parameters
    ----------
    cell : Cell
    units : int > 0
        Of each direction.
    directions : int
        1 (forward) or 2 (both, concatenated).
    """

    def __init__(self, cell: Cell, *, units: int, directions: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = cell
        self.units = units
        self.directions = directions

    def build(self, inputs_shape: tuple[int | None, ...], counts_shape: Any) -> None:
        features, width = inputs_shape[-1], GATES[self.cell] * self.units
        self.kernel = self.add_weight(
            name="kernel", shape=(self.directions, features, width), initializer=_PerDirection("glorot_uniform")
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.directions, self.units, width),
            initializer=_PerDirection("orthogonal"),
        )
        bias = np.zeros((self.directions, 2, width), np.float32)
        if self.cell is Cell.lstm:
            # A forget gate that starts open: R. Jozefowicz et al., ICML 2015, section 3.
            bias[:, 0, self.units : 2 * self.units] = 1
        self.bias = self.add_weight(
            name="bias", shape=bias.shape, initializer=lambda shape, dtype=None: ops.convert_to_tensor(bias, dtype)
        )

    def call(self, inputs: Any, counts: Any) -> Any:
        """(batch, steps, features) and (batch,) to (batch, steps, directions * units)."""
        rows = [inputs] if self.directions == 1 else [inputs, reverse_rows(inputs, counts)]
        outputs = run_recurrence(self.cell, ops.stack(rows), self.kernel, self.recurrent_kernel, self.bias)
        if self.directions == 1:
            return outputs[0]
        return ops.concatenate([outputs[0], reverse_rows(outputs[1], counts)], axis=-1)

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...], counts_shape: Any) -> tuple[int | None, ...]:
        return (*inputs_shape[:-1], self.directions * self.units)


class _PerDirection(keras.initializers.Initializer):  # type: ignore[misc]
    """Draws the matrix of each direction on its own: Keras's initialisers would take the directions for an input axis.

    Seeded by NumPy from `keras.random`'s global generator, so that all back ends start from the same weights.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        directions, rows, columns = shape
        seed = int(np.asarray(ops.convert_to_numpy(keras.random.randint((), 0, 2**31 - 1, dtype="int32"))))
        rng = np.random.default_rng(seed)
        matrices = []
        for _ in range(directions):
            if self.kind == "glorot_uniform":
                bound = math.sqrt(6 / (rows + columns))
                matrices.append(rng.uniform(-bound, bound, (rows, columns)))
            else:
                square, triangle = np.linalg.qr(rng.standard_normal((columns, rows)))
                matrices.append((square * np.sign(np.diag(triangle))).T)
        return ops.convert_to_tensor(np.stack(matrices).astype(np.float32), dtype=dtype)
