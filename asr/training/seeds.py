"""The random seeds of a training."""

from __future__ import annotations

import random

import keras
import numpy as np


def set_seeds(seed: int) -> None:
    """Seed Python, NumPy and the back end, as `keras.utils.set_random_seed` does.

    On PyTorch and JAX, that function of Keras imports TensorFlow where it is installed, which takes seconds. Keras's
    own generator is left: `keras.utils.clear_session` resets it.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        keras.utils.set_random_seed(seed)
        return
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if backend == "torch":
        import torch

        torch.manual_seed(seed)
