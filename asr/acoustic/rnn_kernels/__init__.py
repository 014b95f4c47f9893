"""The inner loops of the recurrent layers, one module for each back end and device.

Every kernel runs several independent directions forward in time and starts from zero states:

    inputs             for each, (steps, batch, features)
    kernels            for each, (features, gates * units)
    recurrent_kernels  for each, (units, gates * units)
    biases             for each, (2, gates * units): for the inputs and for the recurrence
    returns            for each, (steps, batch, units), of the inputs' type

The gates are in the order of `asr.acoustic.cells.CELLS[cell].gates`. The weights are float32. With inputs in bfloat16
or float16, a kernel computes those products in that type that are faster so on its device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from asr.acoustic.rnn_kernels import cudnn
from asr.settings.model import Cell


def run_recurrence(
    cell: Cell,
    inputs: Sequence[Any],
    kernels: Sequence[Any],
    recurrent_kernels: Sequence[Any],
    biases: Sequence[Any],
) -> Sequence[Any]:
    """Run a recurrent cell with the fastest kernel for the Keras back end in use; shapes as in the module docstring."""
    backend = keras.backend.backend()
    if backend == "torch":
        from asr.acoustic.rnn_kernels.torch_fused import run
    elif cudnn.usable(cell, keras.backend.standardize_dtype(inputs[0].dtype)):
        run = cudnn.run_jax if backend == "jax" else cudnn.run_tensorflow
    elif backend == "jax":
        from asr.acoustic.rnn_kernels.jax_scan import run
    else:
        from asr.acoustic.rnn_kernels.tensorflow_loop import run
    outputs: Sequence[Any] = run(cell, inputs, kernels, recurrent_kernels, biases)
    return outputs
