"""The recurrent layer, in one direction or both, exact whatever the padding."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from asr.acoustic.cells import CELLS
from asr.acoustic.initializers import Drawn
from asr.acoustic.rnn_kernels import run_recurrence
from asr.settings.model import Cell


def reverse_rows(inputs: Any, counts: Any) -> Any:
    """Reverse every row by its own length; entries past the length stay in place.

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

    # A reversal is its own inverse, and so its own gradient. The general gradient of a gather adds rows up, and is many
    # times slower.
    @ops.custom_gradient
    def reverse(rows: Any) -> tuple[Any, Any]:
        def gradient(*arguments: Any, upstream: Any = None) -> Any:
            return gather(arguments[0] if upstream is None else upstream)

        return gather(rows), gradient

    return reverse(inputs)


@keras.saving.register_keras_serializable("asr")
class Recurrent(keras.layers.Layer):  # type: ignore[misc]
    """A recurrent layer over rows of different lengths.

    The backward direction reads each row reversed by its own length. Padding thus always comes last, no kernel needs a
    mask, and an utterance gives the same numbers alone and in any batch. Outputs past a row's end are undefined.

    Parameters
    ----------
    cell : Cell or str
    units : int > 0
        Units of each direction.
    directions : int
        1 (forward) or 2 (both, concatenated).
    """

    def __init__(self, cell: Cell | str, *, units: int, directions: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = Cell(cell)
        self.units = units
        self.directions = directions
        # TensorFlow's kernel compiles its loops itself. `jit_compile="auto"`, Keras's default, would compile the whole
        # step with XLA, and again for every new shape.
        self.supports_jit = keras.backend.backend() != "tensorflow"

    def build(self, inputs_shape: tuple[int | None, ...], counts_shape: Any) -> None:
        cell = CELLS[self.cell]
        features, width = inputs_shape[-1], len(cell.gates) * self.units
        # Kept in float32 under mixed precision: each kernel casts where its device gains by it.
        add = partial(self.add_weight, autocast=False)
        self.kernel = add(name="kernel", shape=(self.directions, features, width), initializer=Drawn("glorot_uniform"))
        self.recurrent_kernel = add(
            name="recurrent_kernel",
            shape=(self.directions, self.units, width),
            initializer=Drawn("orthogonal"),
        )
        bias = np.zeros((self.directions, 2, width), np.float32)
        for gate in cell.reordered(cell.open_gates):
            bias[:, 0, gate * self.units : (gate + 1) * self.units] = 1
        self.bias = add(
            name="bias", shape=bias.shape, initializer=lambda shape, dtype=None: ops.convert_to_tensor(bias, dtype)
        )

    def call(self, inputs: Any, counts: Any) -> Any:
        """(batch, steps, features) and (batch,) to (batch, steps, directions * units)."""
        rows = ops.transpose(inputs, (1, 0, 2))
        directions = [rows] if self.directions == 1 else [rows, reverse_rows(rows, counts)]
        # Unstacked in one operation: the gradient of indexing them one by one would add up as many arrays of zeros.
        weights = [ops.unstack(ops.convert_to_tensor(one)) for one in (self.kernel, self.recurrent_kernel, self.bias)]
        outputs = run_recurrence(self.cell, directions, *weights)
        hidden = outputs[0]
        if self.directions == 2:
            hidden = ops.concatenate([hidden, reverse_rows(outputs[1], counts)], axis=-1)
        return ops.transpose(hidden, (1, 0, 2))

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...], counts_shape: Any) -> tuple[int | None, ...]:
        return (*inputs_shape[:-1], self.directions * self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "cell": self.cell.value,
            "units": self.units,
            "directions": self.directions,
        }
