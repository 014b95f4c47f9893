"""The recurrent layer: LSTM or GRU, in one direction or both, exact whatever the padding."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from asr.acoustic.initializers import Drawn
from asr.acoustic.rnn_kernels import GATES, run_recurrence
from asr.settings.model import Cell


def reverse_rows(inputs: Any, counts: Any) -> Any:
    """Reverse every row by its own length; what lies past the length stays where it is.

    Parameters
    ----------
    inputs : tensor [shape=(steps, batch, features)]
    counts : int tensor [shape=(batch,)]

    Returns
    -------
    tensor [shape=(steps, batch, features)]
        Reversing twice gives the input back.
    """
    steps, batch, features = ops.shape(inputs)[0], ops.shape(inputs)[1], inputs.shape[2]
    positions = ops.arange(steps, dtype="int32")[:, None]
    counts = ops.cast(counts, "int32")[None, :]
    sources = ops.where(positions < counts, counts - 1 - positions, positions)
    indices = ops.reshape(sources * batch + ops.arange(batch, dtype="int32")[None, :], (-1,))

    def gather(rows: Any) -> Any:
        return ops.reshape(ops.take(ops.reshape(rows, (-1, features)), indices, axis=0), (steps, batch, features))

    # Its own inverse, so its own gradient: the general one, which adds up rows, is many times slower.
    @ops.custom_gradient
    def reverse(rows: Any) -> tuple[Any, Any]:
        def gradient(*arguments: Any, upstream: Any = None) -> Any:
            return gather(arguments[0] if upstream is None else upstream)

        return gather(rows), gradient

    return reverse(inputs)


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
        # Not cast to the policy's type: each kernel casts what gains by it.
        add = partial(self.add_weight, autocast=False)
        self.kernel = add(name="kernel", shape=(self.directions, features, width), initializer=Drawn("glorot_uniform"))
        self.recurrent_kernel = add(
            name="recurrent_kernel",
            shape=(self.directions, self.units, width),
            initializer=Drawn("orthogonal"),
        )
        bias = np.zeros((self.directions, 2, width), np.float32)
        if self.cell is Cell.lstm:
            # A forget gate that starts open: R. Jozefowicz et al., ICML 2015, section 3.
            bias[:, 0, self.units : 2 * self.units] = 1
        self.bias = add(
            name="bias", shape=bias.shape, initializer=lambda shape, dtype=None: ops.convert_to_tensor(bias, dtype)
        )

    def call(self, inputs: Any, counts: Any) -> Any:
        """(batch, steps, features) and (batch,) to (batch, steps, directions * units)."""
        rows = ops.transpose(inputs, (1, 0, 2))
        directions = [rows] if self.directions == 1 else [rows, reverse_rows(rows, counts)]
        # Unstacked at once: the gradient of taking them one by one would add up as many arrays of zeros.
        weights = [ops.unstack(ops.convert_to_tensor(one)) for one in (self.kernel, self.recurrent_kernel, self.bias)]
        outputs = run_recurrence(self.cell, directions, *weights)
        hidden = outputs[0]
        if self.directions == 2:
            hidden = ops.concatenate([hidden, reverse_rows(outputs[1], counts)], axis=-1)
        return ops.transpose(hidden, (1, 0, 2))

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...], counts_shape: Any) -> tuple[int | None, ...]:
        return (*inputs_shape[:-1], self.directions * self.units)
