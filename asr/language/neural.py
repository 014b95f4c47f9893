"""Probabilities of words by an LSTM over word pieces, with ONNX Runtime and NumPy alone: for a second pass of decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class State:
    """What the network has read, for some hypotheses.

    Parameters
    ----------
    layers : float32 array [shape=(hypotheses, layers, 2, units)]
        Hidden and memory vectors.
    """

    layers: Floats

    def __len__(self) -> int:
        return len(self.layers)

    def take(self, indices: npt.ArrayLike) -> State:
        """The states of some of the hypotheses, in this order, each as often as it is named."""
        return State(self.layers[np.asarray(indices, np.int64)])

    @staticmethod
    def concatenate(states: Sequence[State]) -> State:
        """The states of all hypotheses, one after the other."""
        return State(np.concatenate([one.layers for one in states]))


class NeuralLanguageModel:
    """A trained LSTM language model."""

    @classmethod
    def load(cls, path: str | Path) -> NeuralLanguageModel:
        """Read a file that `asr lm kind=lstm` made."""
        raise NotImplementedError

    def initial_state(self) -> State:
        """The state at the start of a sentence; one hypothesis."""
        raise NotImplementedError

    def advance(self, states: State, words: Sequence[str]) -> tuple[Floats, State]:
        """Natural log-probability [shape=(n,)] of one word after each of n states, and the states behind the words."""
        raise NotImplementedError

    def end(self, states: State) -> Floats:
        """Natural log-probability [shape=(n,)] of the end of the sentence after each of n states."""
        raise NotImplementedError
