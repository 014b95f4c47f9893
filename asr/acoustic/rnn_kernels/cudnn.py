"""NVIDIA's cuDNN on a GPU, for TensorFlow and JAX (PyTorch's own recurrences are cuDNN's there already).

Its parameters are one vector: first the transposed matrices, gate by gate, of the inputs and then of the recurrence;
then their biases in the same order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import keras
import numpy as np
from keras import ops

from asr.acoustic.cells import CELLS
from asr.settings.model import Cell

_log = logging.getLogger(__name__)

Run = Callable[..., Sequence[Any]]


def pack(cell: Cell, kernel: Any, recurrent_kernel: Any, biases: Any) -> Any:
    """The weights of one direction in cuDNN's layout.

    Parameters
    ----------
    cell : Cell
    kernel : tensor [shape=(features, gates * units)]
    recurrent_kernel : tensor [shape=(units, gates * units)]
    biases : tensor [shape=(2, gates * units)]

    Returns
    -------
    tensor [shape=(weights,)]
    """
    order = CELLS[cell].reordered(CELLS[cell].fused_gates)
    kernel, recurrent_kernel, biases = (_reordered(one, order) for one in (kernel, recurrent_kernel, biases))
    matrices = [ops.reshape(ops.transpose(one), (-1,)) for one in (kernel, recurrent_kernel)]
    return ops.concatenate([*matrices, ops.reshape(biases, (-1,))])


def _reordered(part: Any, order: Sequence[int]) -> Any:
    gates = ops.split(part, len(order), axis=-1)
    return ops.concatenate([gates[gate] for gate in order], axis=-1)


def run_tensorflow(cell: Cell, inputs: Sequence[Any], *weights: Sequence[Any]) -> list[Any]:
    """Arguments and result as in the docstring of `asr.acoustic.rnn_kernels`."""
    import tensorflow as tf

    outputs = []
    for rows, kernel, recurrent_kernel, biases in zip(inputs, *weights, strict=True):
        parameters = pack(cell, kernel, recurrent_kernel, biases)
        zeros = tf.zeros((1, tf.shape(rows)[1], recurrent_kernel.shape[0]), rows.dtype)
        hidden, *_ = tf.raw_ops.CudnnRNNV2(
            input=rows,
            input_h=zeros,
            input_c=zeros if len(CELLS[cell].states) == 2 else tf.zeros((), rows.dtype),
            params=tf.cast(parameters, rows.dtype),
            rnn_mode=CELLS[cell].fused_name,
            is_training=True,
        )
        outputs.append(hidden)
    return outputs


def run_jax(cell: Cell, inputs: Sequence[Any], *weights: Sequence[Any]) -> list[Any]:
    """Arguments and result as in the docstring of `asr.acoustic.rnn_kernels`; cells with `jax_cudnn` only."""
    import jax.numpy as jnp
    from jax.experimental import rnn

    outputs = []
    for rows, kernel, recurrent_kernel, biases in zip(inputs, *weights, strict=True):
        units = recurrent_kernel.shape[0]
        steps, batch, features = rows.shape
        zeros = jnp.zeros((1, batch, units), jnp.float32)
        hidden, _, _ = rnn.lstm(
            jnp.transpose(rows, (1, 0, 2)).astype(jnp.float32),
            zeros,
            zeros,
            pack(cell, kernel, recurrent_kernel, biases),
            jnp.full((batch,), steps, jnp.int32),
            features,
            units,
            1,
            0.0,
            False,
        )
        outputs.append(jnp.transpose(hidden, (1, 0, 2)).astype(rows.dtype))
    return outputs


@cache
def usable(cell: Cell, dtype: str) -> bool:
    """Whether cuDNN runs here and agrees with the loops; it is tried once on a few numbers."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU") or dtype == "bfloat16":
            return False
        from asr.acoustic.rnn_kernels.tensorflow_loop import run as reference

        with tf.init_scope():  # also while a graph is traced
            return _agrees(run_tensorflow, reference, cell, dtype)
    import jax

    if jax.default_backend() != "gpu" or not CELLS[cell].jax_cudnn:
        return False
    from asr.acoustic.rnn_kernels.jax_scan import run as reference

    with jax.ensure_compile_time_eval():
        return _agrees(run_jax, reference, cell, dtype)


def _agrees(candidate: Run, reference: Run, cell: Cell, dtype: str) -> bool:
    rng = np.random.default_rng(0)
    units, features, width = 8, 5, 8 * len(CELLS[cell].gates)
    shapes = (features, width), (units, width), (2, width)
    weights = [[ops.convert_to_tensor(rng.uniform(-0.5, 0.5, shape).astype(np.float32))] for shape in shapes]
    rows = [ops.cast(ops.convert_to_tensor(rng.standard_normal((6, 3, features)).astype(np.float32)), dtype)]
    wanted = ops.convert_to_numpy(ops.cast(reference(cell, rows, *weights)[0], "float32"))
    try:
        found = ops.convert_to_numpy(ops.cast(candidate(cell, rows, *weights)[0], "float32"))
    except Exception as error:  # whatever a driver raises
        _log.warning("cuDNN cannot be used (%s); a slower recurrence is used instead", str(error).splitlines()[0])
        return False
    if np.abs(found - wanted).max() > (1e-3 if dtype == "float32" else 2e-2):
        _log.warning("cuDNN gives wrong numbers on this device; a slower recurrence is used instead")
        return False
    return True
