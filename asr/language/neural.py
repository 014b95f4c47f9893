"""Probabilities of words by an LSTM over word pieces, with ONNX Runtime and NumPy alone: for a second pass of decoding.

A word is the pieces that `WordPieces` writes it in. The last of them is marked as the end of the word, so that the
product of the pieces' probabilities is that of the whole word, and no later piece can change it. The probabilities of
all pieces and of the end of the sentence add up to one after every piece. A word could be written in other pieces, too,
whose probability is not added up: what is given is a little less than that of the word, and the same for all hypotheses
that contain it in the same place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.acoustic.runtimes.text_graph import open_text_graph, read_text_graph
from asr.errors import ConfigError, LanguageModelError
from asr.language.word_pieces import END, WordPieces
from asr.settings.language import LstmConfig
from asr.text.pieces import PieceAlphabet

FORMAT = 1
HEADER = "asr_language_model"
"""the key of the metadata that holds the header"""
_KIND = "an LSTM language model"
_LARGEST = 1 << 30

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NeuralHeader:
    """What an LSTM language model knows besides its weights."""

    settings: LstmConfig
    pieces: WordPieces
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As the file holds it."""
        return {
            "format": FORMAT,
            "settings": asdict(self.settings),
            "pieces": list(self.pieces.mirrored.symbols),
            "scores": list(self.pieces.mirrored.scores),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> NeuralHeader:
        """Check and read it.

        Raises
        ------
        ConfigError, ValueError, TypeError, KeyError
            If it is not as `as_dict` makes it.
        """
        if content["format"] != FORMAT:
            raise ConfigError(f"it has format {content['format']}; this version reads {FORMAT}")
        names = {one.name for one in fields(LstmConfig)}
        settings = LstmConfig(**{name: value for name, value in content["settings"].items() if name in names})
        pieces = WordPieces(PieceAlphabet(tuple(content["pieces"]), tuple(content["scores"])))
        return cls(settings, pieces, dict(content["provenance"]))


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
    """A trained LSTM language model. Several threads may use it.

    Parameters
    ----------
    content : bytes
        A file that `export_language_model` made.
    name : str
        Name of the file in messages.

    Raises
    ------
    LanguageModelError
        If it is no such file, or a damaged one.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self.name = name
        self._session, self.header = open_text_graph(
            content, name, _KIND, key=HEADER, read_header=NeuralHeader.from_dict
        )
        settings = self.header.settings
        inputs = {one.name: one.shape[1:] for one in self._session.get_inputs()}
        state = [settings.depth, 2, settings.units]
        wanted = {"predicting": [settings.units], "predicted": [], "states": state, "pieces": []}
        if inputs != wanted or {one.name for one in self._session.get_outputs()} != {"log_probs", "next_states"}:
            raise LanguageModelError(name, "is no LSTM language model: its graph has other inputs")
        zeros = np.zeros((1, *state), np.float32)
        self._initial = State(self._step(zeros[:0], [], zeros, np.array([END]))[1])

    @classmethod
    def load(cls, path: str | Path) -> NeuralLanguageModel:
        """Read a file that `asr lm kind=lstm` made; errors as of the class."""
        return cls(read_text_graph(path, _KIND, largest=_LARGEST), str(path))

    def initial_state(self) -> State:
        """The state at the start of a sentence; one hypothesis."""
        return self._initial

    def advance(self, states: State, words: Sequence[str]) -> tuple[Floats, State]:
        """Read one word after each state.

        Parameters
        ----------
        states : State
            Of n hypotheses.
        words : sequence of str
            n words. Characters without a piece (others than those of the training text) are left out.

        Returns
        -------
        float32 array [shape=(n,)]
            The natural log-probability of each whole word.
        State
            Behind the words.
        """
        pieces = [self.header.pieces.encode(word) for word in words]
        counts = np.array([len(one) for one in pieces], np.int64)
        table = np.zeros((len(pieces), counts.max(initial=0)), np.int64)
        for row, one in zip(table, pieces, strict=True):
            row[: len(one)] = one
        totals, layers = np.zeros(len(pieces), np.float32), states.layers.copy()
        for place in range(table.shape[1]):
            rows = np.flatnonzero(counts > place)
            before, some = layers[rows], table[rows, place]
            log_probs, after = self._step(before, some, before, some)
            totals[rows] += log_probs
            layers[rows] = after
        return totals, State(layers)

    def end(self, states: State) -> Floats:
        """Natural log-probability [shape=(n,)] of the end of the sentence after each of n states."""
        return self._step(states.layers, np.full(len(states), END), states.layers[:0], [])[0]

    def piece_log_probs(self, states: State, pieces: npt.ArrayLike) -> Floats:
        """Natural log-probability [shape=(n,)] of one piece, by its number, after each of n states."""
        return self._step(states.layers, pieces, states.layers[:0], [])[0]

    def read_pieces(self, states: State, pieces: npt.ArrayLike) -> State:
        """The states behind one piece, by its number, after each state; `END` begins another sentence in a context."""
        return State(self._step(states.layers[:0], [], states.layers, pieces)[1])

    def _step(
        self, predicting: Floats, predicted: npt.ArrayLike, states: Floats, pieces: npt.ArrayLike
    ) -> tuple[Floats, Floats]:
        log_probs, following = self._session.run(
            ["log_probs", "next_states"],
            {
                "predicting": np.ascontiguousarray(predicting[:, -1, 0]),
                "predicted": np.asarray(predicted, np.int64),
                "states": states,
                "pieces": np.asarray(pieces, np.int64),
            },
        )
        return log_probs, following
