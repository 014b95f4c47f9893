"""Grapheme-to-phoneme conversion: phones from the letters of a word, by a small LSTM in NumPy alone.

The network gives each letter a fixed number of CTC steps: letters -> embedding -> two bidirectional LSTMs -> for each
letter, log-probabilities of the phones and the blank at each of its steps. A prefix search adds up the alignments of
each pronunciation.
"""

from __future__ import annotations

import io
import json
import math
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.errors import ConfigError, LanguageModelError
from asr.files import write_atomically
from asr.pronunciation.dictionary import Pronunciation
from asr.pronunciation.phones import PHONES
from asr.text.alphabet import BLANK

Floats = npt.NDArray[np.float32]
Weights = Mapping[str, Floats]

FORMAT = 1
LETTERS = "abcdefghijklmnopqrstuvwxyz'"

_WORDS_AT_ONCE = 512
_BEAM_WIDTH = 8
_MIN_LOG_PROB = math.log(1e-3)
_LAYERS = 2


@dataclass(frozen=True, kw_only=True)
class G2pSettings:
    """The shape of a network.

    Parameters
    ----------
    letters : str
        Distinct; their numbers begin at 1.
    phones : tuple of str
        Distinct; their numbers begin at 1, 0 is the blank.
    embedding, units : int > 0
        Width of a letter's vector, and of each direction of each LSTM.
    steps_per_letter : int > 0
        The most phones that one letter can stand for.
    """

    letters: str = LETTERS
    phones: tuple[str, ...] = PHONES
    embedding: int = 64
    units: int = 128
    steps_per_letter: int = 2

    @property
    def symbols(self) -> int:
        """Phones and the blank."""
        return len(self.phones) + 1

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the network's weights."""
        gates, width = 4 * self.units, self.embedding
        shapes: dict[str, tuple[int, ...]] = {"embedding": (len(self.letters) + 1, width)}
        for number in range(1, _LAYERS + 1):
            shapes |= {
                f"recurrent_{number}/kernel": (2, width, gates),
                f"recurrent_{number}/recurrent_kernel": (2, self.units, gates),
                f"recurrent_{number}/bias": (2, 2, gates),
            }
            width = 2 * self.units
        outputs = self.steps_per_letter * self.symbols
        return shapes | {"symbols/kernel": (width, outputs), "symbols/bias": (outputs,)}


class G2p:
    """A trained network.

    Parameters
    ----------
    settings : G2pSettings
    weights : mapping of str to float arrays
        By the names and with the shapes of `settings.shapes()`; the gates of an LSTM are in Keras's order.

    Raises
    ------
    ConfigError
        If weights are missing, superfluous, of another shape, or not finite.
    """

    def __init__(self, settings: G2pSettings, weights: Weights) -> None:
        shapes = settings.shapes()
        for name in shapes.keys() | weights.keys():
            found = weights[name].shape if name in weights else None
            if found != shapes.get(name):
                raise ConfigError(f"weights {name!r} have shape {found}; it must be {shapes.get(name)}")
            if not np.isfinite(weights[name]).all():
                raise ConfigError(f"weights {name!r} are not all finite")
        self.settings = settings
        self._weights = {name: np.asarray(array, np.float32) for name, array in weights.items()}
        self._numbers = {letter: number for number, letter in enumerate(settings.letters, start=1)}

    @classmethod
    def load(cls, path: str | Path) -> G2p:
        """Read a model that `save` wrote.

        Raises
        ------
        LanguageModelError
            If the file cannot be read, or is not such a model.
        """
        try:
            # From its bytes, not its path: NumPy would leave the handle of a damaged file open.
            with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as file:
                header = json.loads(bytes(file["header"]))
                if header["format"] != FORMAT:
                    raise LanguageModelError(path, f"has format {header['format']}; this version reads {FORMAT}")
                settings = G2pSettings(**header["settings"] | {"phones": tuple(header["settings"]["phones"])})
                return cls(settings, {name: file[name] for name in settings.shapes()})
        except FileNotFoundError:
            raise LanguageModelError(path, "no such file") from None
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, ConfigError) as error:
            raise LanguageModelError(
                path, f"not a model that predicts phones from letters, or damaged ({error})"
            ) from error

    def save(self, path: str | Path, *, provenance: Mapping[str, Any] | None = None) -> None:
        """Write the model atomically, with weights in half precision.

        Parameters
        ----------
        path : str or Path
        provenance : mapping, optional
            How it was made; anything JSON can hold.
        """
        header = {"format": FORMAT, "settings": asdict(self.settings), "provenance": dict(provenance or {})}
        content = io.BytesIO()
        arrays: dict[str, Any] = {name: array.astype(np.float16) for name, array in self._weights.items()}
        np.savez_compressed(content, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
        write_atomically(path, content.getvalue())

    def pronounce(self, words: Iterable[str], n_best: int = 1) -> list[list[tuple[Pronunciation, float]]]:
        """Pronunciations of words.

        Parameters
        ----------
        words : iterable of str
            Case and diacritics are disregarded.
        n_best : int > 0

        Returns
        -------
        list of lists
            For each word up to `n_best` pronunciations and their natural log-probabilities, best first.

        Raises
        ------
        ConfigError
            If a word is empty or holds anything but the model's letters.
        """
        if n_best < 1:
            raise ConfigError(f"n_best must be at least 1, not {n_best}")
        return [
            [
                (tuple(self.settings.phones[number - BLANK - 1] for number in numbers), log_prob)
                for numbers, log_prob in prefix_search(
                    log_probs, n_best, beam_width=max(_BEAM_WIDTH, 2 * n_best), min_log_prob=_MIN_LOG_PROB
                )
            ]
            for log_probs in self.log_probs(list(words))
        ]

    def log_probs(self, words: Sequence[str]) -> list[Floats]:
        """Natural log-probabilities [shape=(letters * steps_per_letter, symbols)] of the CTC steps of each word."""
        numbers = [self._spell(word) for word in words]
        results: list[Floats] = [np.zeros((0, 0), np.float32)] * len(words)
        for places in _of_equal_length(numbers):
            for place, log_probs in zip(places, self._run(np.array([numbers[one] for one in places])), strict=True):
                results[place] = log_probs
        return results

    def spells(self, word: str) -> bool:
        """Whether a word is made of the model's letters."""
        plain = _without_diacritics(word)
        return bool(plain) and all(letter in self._numbers for letter in plain)

    def _spell(self, word: str) -> list[int]:
        """The numbers of a word's letters."""
        plain = _without_diacritics(word)
        unknown = [letter for letter in dict.fromkeys(plain) if letter not in self._numbers]
        if unknown or not plain:
            wanted = f"a word must consist of the letters {self.settings.letters}"
            raise ConfigError(f"{wanted}; {word!r} holds {unknown[0]!r}" if unknown else f"{wanted}; it is empty")
        return [self._numbers[letter] for letter in plain]

    def _run(self, letters: npt.NDArray[np.int64]) -> Floats:
        """Letter numbers [shape=(words, letters)] to log-probabilities [shape=(words, steps, symbols)]."""
        x = self._weights["embedding"][letters.T]  # (letters, words, features)
        for number in range(1, _LAYERS + 1):
            weights = [self._weights[f"recurrent_{number}/{one}"] for one in ("kernel", "recurrent_kernel", "bias")]
            forward, backward = zip(*weights, strict=True)
            x = np.concatenate([_lstm(x, *forward), _lstm(x[::-1], *backward)[::-1]], axis=-1)
        logits = x @ self._weights["symbols/kernel"] + self._weights["symbols/bias"]
        logits = logits.transpose(1, 0, 2).reshape(len(letters), -1, self.settings.symbols)
        logits -= logits.max(axis=-1, keepdims=True)
        log_probs: Floats = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        return log_probs


def prefix_search(
    log_probs: Floats, n_best: int, *, beam_width: int, min_log_prob: float = -math.inf
) -> list[tuple[tuple[int, ...], float]]:
    """The likeliest label sequences of one CTC output, without the empty one.

    Parameters
    ----------
    log_probs : float [shape=(steps, symbols)]
        Natural; number 0 is the blank.
    n_best : int > 0
    beam_width : int >= n_best
        Prefixes that are kept after a step.
    min_log_prob : float
        Symbols less likely than this at a step are not tried there.

    Returns
    -------
    list of (symbol numbers, natural log-probability)
        Best first; exact if nothing was pruned. Fewer than `n_best` where there are not as many.

    Notes
    -----
    Source: A. Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent
    DNNs", 2014, algorithm 1, without a language model. Words are short: probabilities are summed as they are, not as
    logarithms.
    """
    probs = np.exp(log_probs.astype(np.float64))
    tried = log_probs >= min_log_prob
    # Of each prefix: the probability of the alignments that end in a blank, and of those that end in its last symbol.
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (1.0, 0.0)}
    for step, allowed in zip(probs.tolist(), tried, strict=True):
        symbols = [int(symbol) for symbol in np.flatnonzero(allowed) if symbol != BLANK]
        grown: dict[tuple[int, ...], tuple[float, float]] = {}
        for prefix, (blank, last) in beams.items():
            before = grown.get(prefix, (0.0, 0.0))
            repeated = last * step[prefix[-1]] if prefix else 0.0
            grown[prefix] = (before[0] + (blank + last) * step[BLANK], before[1] + repeated)
            for symbol in symbols:
                longer = (*prefix, symbol)
                before = grown.get(longer, (0.0, 0.0))
                start = blank if prefix and prefix[-1] == symbol else blank + last
                grown[longer] = (before[0], before[1] + start * step[symbol])
        ranked = sorted(grown.items(), key=lambda one: (-sum(one[1]), one[0]))
        beams = dict(ranked[:beam_width])
    found = [(prefix, sum(both)) for prefix, both in beams.items() if prefix and sum(both) > 0]
    found.sort(key=lambda one: (-one[1], one[0]))
    return [(prefix, math.log(prob)) for prefix, prob in found[:n_best]]


def _without_diacritics(word: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFKD", word.lower()) if not unicodedata.combining(one))


def _of_equal_length(numbers: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Positions of words of the same length, in groups that limit the memory."""
    by_length: dict[int, list[int]] = {}
    for place, word in enumerate(numbers):
        by_length.setdefault(len(word), []).append(place)
    for places in by_length.values():
        for start in range(0, len(places), _WORDS_AT_ONCE):
            yield places[start : start + _WORDS_AT_ONCE]


def _lstm(inputs: Floats, kernel: Floats, recurrent_kernel: Floats, bias: Floats) -> Floats:
    """(steps, batch, features) to (steps, batch, units), from zero states."""
    products = inputs @ kernel + bias.sum(axis=0)
    units = len(recurrent_kernel)
    hidden = cell = np.zeros((inputs.shape[1], units), np.float32)
    outputs = np.empty((*inputs.shape[:2], units), np.float32)
    for number, product in enumerate(products):
        gates = product + hidden @ recurrent_kernel
        input_gate, forget_gate, candidate, output_gate = np.split(gates, 4, axis=-1)
        cell = _sigmoid(forget_gate) * cell + _sigmoid(input_gate) * np.tanh(candidate)
        hidden = outputs[number] = _sigmoid(output_gate) * np.tanh(cell)
    return outputs


def _sigmoid(x: Floats) -> Floats:
    # By tanh, which does not overflow.
    result: Floats = np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + np.float32(1))
    return result
