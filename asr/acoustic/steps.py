"""What the Keras model and its ONNX graph must agree on, without either library."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asr.config import ModelConfig

LAYER_NORM_EPSILON = 1e-5


def step_counts(frame_counts: npt.ArrayLike, settings: ModelConfig) -> npt.NDArray[np.int32]:
    """Steps of utterances.

    Parameters
    ----------
    frame_counts : int >= 0 [any shape]
    settings : ModelConfig

    Returns
    -------
    int32 [the same shape]
        `ceil(frames / subsampling)`: halving with rounding up, again and again, comes to the same.
    """
    steps: npt.NDArray[np.int32] = -(-np.asarray(frame_counts) // settings.subsampling)
    return steps.astype(np.int32)
