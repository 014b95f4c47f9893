"""Initial weights that are the same on every back end; Keras's own initialisers draw from the back end's generator."""

from __future__ import annotations

import math
import random
from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("asr")
class Drawn(keras.initializers.Initializer):  # type: ignore[misc]
    """Draws matrices with NumPy, seeded by `keras.utils.set_random_seed` (through Python's `random`).

    Parameters
    ----------
    kind : {"glorot_uniform", "orthogonal"}
        Sources: X. Glorot, Y. Bengio, AISTATS 2010; A. Saxe et al., ICLR 2014.

    Notes
    -----
    The last two axes are rows and columns. Axes before them are those of a convolution's kernel for glorot_uniform
    with four axes; otherwise they number matrices that are drawn one by one.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        rng = np.random.default_rng(random.getrandbits(64))
        rows, columns = shape[-2:]
        if self.kind == "orthogonal":
            square, triangle = np.linalg.qr(rng.standard_normal((*shape[:-2], columns, rows)))
            signs = np.sign(np.diagonal(triangle, axis1=-2, axis2=-1))
            drawn = np.swapaxes(square * signs[..., None, :], -1, -2)
        else:
            window = math.prod(shape[:-2]) if len(shape) == 4 else 1
            bound = math.sqrt(6 / (window * (rows + columns)))
            drawn = rng.uniform(-bound, bound, shape)
        return ops.convert_to_tensor(drawn.astype(np.float32), dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"kind": self.kind}
