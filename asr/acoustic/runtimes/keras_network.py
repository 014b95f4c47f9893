"""Runs a model with Keras, on whatever back end it uses: slower than ONNX Runtime, and what training saw."""

from __future__ import annotations

import threading

import keras
import numpy as np
import numpy.typing as npt

from asr.acoustic.model import predict_log_probs
from asr.audio.features import Frames
from asr.settings.model import ModelConfig

# Lengths are rounded up to a multiple of so many frames: every new length costs a compilation.
_FRAMES = 256


class KerasEngine:
    """A Keras model behind the interface of `OnnxEngine`; threads take turns.

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
        self._turn = threading.Lock()

    def log_probs(self, frames: Frames) -> npt.NDArray[np.float32]:
        """(frames, mels) to natural log-probabilities (steps, total width)."""
        count = len(frames)
        padded = np.zeros((1, -(-count // _FRAMES) * _FRAMES, frames.shape[1]), np.float32)
        padded[0, :count] = frames
        with self._turn:
            (result,) = predict_log_probs(
                self._model, padded, np.array([count], np.int32), self._settings, phones=self._phones
            )
        return result
