"""The inner loops of the recurrent layers, one module a back end: the only place that reaches below Keras.

Every kernel runs several independent directions forward in time and starts from zero states:

    inputs             (directions, batch, steps, features)
    kernels            (directions, features, gates * units)
    recurrent_kernels  (directions, units, gates * units)
    biases             (directions, 2, gates * units)     for the inputs and for the recurrence
    returns            (directions, batch, steps, units)

The gates are in Keras's order: input, forget, candidate, output for the LSTM; update, reset, candidate for the GRU
(with the reset gate applied after the product, as cuDNN does).
"""

from __future__ import annotations

from typing import Any

import keras

from asr.config import Cell

GATES = {Cell.lstm: 4, Cell.gru: 3}


def run_recurrence(cell: Cell, inputs: Any, kernels: Any, recurrent_kernels: Any, biases: Any) -> Any:
    """Run a recurrent cell with the fastest kernel of the Keras back end in use; shapes as in the module's text."""
    if keras.backend.backend() == "torch":
        from asr.acoustic.rnn_kernels import torch_fused as kernel
    else:
        from asr.acoustic.rnn_kernels import scan as kernel  # type: ignore[no-redef]
    run = kernel.lstm if cell is Cell.lstm else kernel.gru
    return run(inputs, kernels, recurrent_kernels, biases)
