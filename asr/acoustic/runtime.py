"""The interface of an acoustic model, whichever library runs it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from asr.audio.features import Frames

State = Any
"""what a causal model carries from block to block; each runtime has its own kind, and none is changed in place"""


class AcousticModel(Protocol):
    """Turns frames into log-probabilities. Several threads may call it at the same time."""

    def run(self, frames: Frames) -> npt.NDArray[np.float32]:
        """Log-probabilities of an utterance.

        Parameters
        ----------
        frames : float32 [shape=(frames, mels)]
            Normalised features, at least one frame.

        Returns
        -------
        float32 [shape=(steps, total width)]
            Natural log-probabilities, output layer after output layer.
        """


@runtime_checkable
class CausalAcousticModel(AcousticModel, Protocol):
    """A model whose steps depend on few later frames, so that it can run while the utterance is being spoken."""

    def step(
        self, frames: Frames, state: State | None = None, *, last: bool = False
    ) -> tuple[npt.NDArray[np.float32], State]:
        """Log-probabilities of the next block of an utterance.

        However an utterance is divided into blocks, the results of its blocks, one after another, are those of `run`.

        Parameters
        ----------
        frames : float32 [shape=(frames, mels)]
            Normalised features of the block; it may be empty.
        state : State, optional
            As the call for the block before returned it; None before the first block. It can be used again.
        last : bool
            Whether the utterance ends with this block. The frames of an incomplete last step are then completed with
            zeros, as at the end of `run`; otherwise they wait in the state.

        Returns
        -------
        log_probs : float32 [shape=(steps, total width)]
            Possibly no step. A model with `lookahead` gives each step `delay_steps` later, and the last ones with the
            last block.
        state : State
        """
