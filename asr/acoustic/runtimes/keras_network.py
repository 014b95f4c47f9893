"""Runs a model with Keras, on any back end: slower than ONNX Runtime, and exactly the network that was trained."""

from __future__ import annotations

import threading

import keras
import numpy as np
import numpy.typing as npt

from asr.acoustic.keras_model import predict_log_probs
from asr.audio.features import Frames
from asr.settings.model import ModelConfig

# Lengths are rounded up to a multiple of so many frames: every new length costs a compilation.
_FRAMES = 256


class KerasEngine:
    """A Keras model with the interface `AcousticModel`; threads run it one at a time.

    Parameters
    ----------
    model : keras.Model
        As `build_model` makes it.
    settings : ModelConfig
    phones : int
        Width of the output layer over phones.
    """

    def __init__(self, model: keras.Model, settings: ModelConfig, *, phones: int = 0) -> None:
        self._model, self._settings, self._phones = model, settings, phones
        self._lock = threading.Lock()

    def run(self, frames: Frames) -> npt.NDArray[np.float32]:
        """As `AcousticModel.run`."""
        count = len(frames)
        padded = np.zeros((1, -(-count // _FRAMES) * _FRAMES, frames.shape[1]), np.float32)
        padded[0, :count] = frames
        with self._lock:
            (result,) = predict_log_probs(
                self._model, padded, np.array([count], np.int32), self._settings, phones=self._phones
            )
        return result
