"""The sum over all paths of the MMI criterion, for tensors of every back end; used by `asr.acoustic.denominator`.

Of the thousands of contexts, few have a relevant probability at a time. A processor can make use of that, and an
accelerator cannot. The arrays that are copied to the processor and back are small compared with those of the network.
"""

from __future__ import annotations

import threading
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

# Contexts with a smaller share of a step's probability are pruned. With 4-grams, 230 of 21,952 remain, and no
# occupancy of a symbol changes by more than 0.0006.
LEAST_SHARE = 1e-7
# Numba's thread pool allows one caller at a time.
_LOCK = threading.Lock()


def totals_and_occupancies(posteriors: Any, step_counts: Any, ngrams: npt.NDArray[np.float32], start: int) -> Any:
    """The logarithm of the sum over all paths of each row, and the occupancy of each symbol at each step.

    Parameters
    ----------
    posteriors : float32 tensor [shape=(batch, steps, symbols)]
        Blank is number 0.
    step_counts : int32 tensor [shape=(batch,)]
    ngrams : float32 [shape=(contexts, symbols - 1)]
        Probability of the next symbol.
    start : int
        The context before the first symbol.

    Returns
    -------
    totals : float32 tensor [shape=(batch,)]
    occupancies : float32 tensor [shape=(batch, steps, symbols)]
        Share of the probability of all paths that is in each symbol; 0 past a row's end.
    """

    from asr.acoustic.denominator_kernels.processor import log_totals  # imports Numba, which only MMI needs

    def sums(posteriors: Any, step_counts: Any) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        posteriors = np.ascontiguousarray(posteriors, np.float32)
        occupancies = np.zeros_like(posteriors)
        with _LOCK:
            totals = log_totals(
                posteriors, np.asarray(step_counts, np.int32), ngrams, start, np.float32(LEAST_SHARE), occupancies
            )
        return totals, occupancies

    backend = keras.backend.backend()
    if backend == "torch":
        return [ops.convert_to_tensor(one) for one in sums(posteriors.cpu().numpy(), step_counts.cpu().numpy())]
    if backend == "tensorflow":
        import tensorflow as tf

        totals, occupancies = tf.numpy_function(sums, [posteriors, step_counts], [tf.float32, tf.float32])
        return tf.ensure_shape(totals, posteriors.shape[:1]), tf.ensure_shape(occupancies, posteriors.shape)
    import jax

    shapes = [jax.ShapeDtypeStruct(shape, np.float32) for shape in (posteriors.shape[:1], posteriors.shape)]
    return jax.pure_callback(sums, shapes, posteriors, step_counts)
