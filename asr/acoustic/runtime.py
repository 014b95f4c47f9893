"""What a transcriber needs of an acoustic model, whatever runs it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from asr.audio.features import Frames


class AcousticModel(Protocol):
    """Turns frames into log-probabilities. Several threads may call it at a time."""

    def log_probs(self, frames: Frames) -> npt.NDArray[np.float32]:
        """Log-probabilities of an utterance.

        Parameters
        ----------
        frames : float32 [shape=(frames, mels)]
            Normalised features, at least one frame.

        Returns
        -------
        float32 [shape=(steps, outputs * symbols)]
            Natural log-probabilities, output layer after output layer.
        """
