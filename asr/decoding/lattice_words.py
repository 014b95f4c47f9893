"""The words on the ways of a lattice, for decoders over characters, pieces of words, and phones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from asr.decoding.context import WordScorer
from asr.decoding.history import Lattice
from asr.decoding.pronunciation_scorer import PronunciationScorer, without_reading
from asr.language.ngram import UNKNOWN
from asr.language.trie import NOT_FOUND, ROOT
from asr.text.alphabet import Alphabet

Ints = npt.NDArray[np.int64]
Symbols = tuple[int, ...]

# Stands for the node of the lexicon of a place that is not the first of a word.
_WITHIN = -2


@dataclass(frozen=True, slots=True)
class LatticeWord:
    """A word as a decoder scores it."""

    spelling: str
    number: int
    """in the n-gram model"""
    known: bool
    """whether it is in the decoder's lexicon"""


@dataclass(frozen=True)
class WordPlaces:
    """Where the words of a lattice end; all lists have an entry for each place."""

    ends: Sequence[bool]
    """whether the word of the parent ends at this place: before its symbol, or by it if it is a space"""
    nodes: Sequence[int]
    """of the lexicon: the word so far; `NOT_FOUND` in a word that is not in it"""
    symbols: Sequence[int]
    readings: Sequence[int]
    """of the word that ends at this place"""


class WordReader(Protocol):
    """Finds the words of a lattice."""

    def places(self, lattice: Lattice) -> WordPlaces:
        """Where words end."""

    def word(self, node: int, reading: int, symbols: Symbols) -> LatticeWord:
        """The word that ends at a node of the lexicon, `NOT_FOUND` for unknown ones.

        Parameters
        ----------
        node, reading : int
        symbols : tuple of int
            How it is written; empty where that makes no difference.
        """

    @property
    def reads_symbols(self) -> bool:
        """Whether `word` needs the symbols."""

    @property
    def separator(self) -> int | None:
        """The number of the symbol between words; None if words begin by word-initial symbols."""


class LexiconReader:
    """Reads words that are sequences of phones or pieces.

    Parameters
    ----------
    scorer : PronunciationScorer
    pieces : Alphabet, optional
        Of pieces; None for phones.
    """

    separator = None

    def __init__(self, scorer: PronunciationScorer, pieces: Alphabet | None) -> None:
        self._scorer, self._pieces = scorer, pieces
        self.reads_symbols = pieces is not None

    def places(self, lattice: Lattice) -> WordPlaces:
        lexicon = self._scorer.lexicon
        symbols, readings = without_reading(lattice.path.symbols)
        initial = lexicon.initial[symbols]
        first = lexicon.follow(np.full(len(symbols), ROOT), symbols)
        nodes = _lexicon_nodes(lattice.parents, symbols, np.where(initial, first, _WITHIN), lexicon.follow)
        ends = initial & (nodes[lattice.parents] != ROOT)
        return WordPlaces(ends.tolist(), nodes[:-1].tolist(), symbols.tolist(), readings.tolist())

    def word(self, node: int, reading: int, symbols: Symbols) -> LatticeWord:
        found = self._scorer.word_at(node, reading)
        if found is not None:
            return LatticeWord(*found, known=True)
        assert self._pieces is not None
        return LatticeWord(self._pieces.spell(list(symbols))[0].strip(), UNKNOWN, known=False)


class SeparatedReader:
    """Reads words of characters between spaces.

    Parameters
    ----------
    scorer : WordScorer
    alphabet : Alphabet
    """

    reads_symbols = True

    def __init__(self, scorer: WordScorer, alphabet: Alphabet) -> None:
        assert alphabet.separator_number is not None
        self._scorer, self._alphabet = scorer, alphabet
        self.separator: int | None = alphabet.separator_number

    def places(self, lattice: Lattice) -> WordPlaces:
        symbols = lattice.path.symbols
        ends = symbols == self.separator
        first = np.where(ends, ROOT, _WITHIN)
        nodes = _lexicon_nodes(lattice.parents, symbols, first, self._scorer.lexicon.follow)
        return WordPlaces(ends.tolist(), nodes[:-1].tolist(), symbols.tolist(), [0] * len(symbols))

    def word(self, node: int, reading: int, symbols: Symbols) -> LatticeWord:
        found = self._scorer.number_at(node)
        number, known = (UNKNOWN, False) if found is None else (found, True)
        return LatticeWord(self._alphabet.spell(list(symbols))[0], number, known)


def _lexicon_nodes(parents: Ints, symbols: Ints, first: Ints, follow: Callable[[Ints, Ints], Ints]) -> Ints:
    """The node of the lexicon at each place, and of the root, given those at the beginnings of words, and `_WITHIN`.

    Words are followed symbol by symbol, all of them at once.
    """
    nodes = np.append(first, ROOT)
    waiting = np.flatnonzero(first == _WITHIN)
    while len(waiting):
        before = nodes[parents[waiting]]
        ready = before != _WITHIN
        now, before = waiting[ready], before[ready]
        nodes[now] = np.where(before == NOT_FOUND, NOT_FOUND, follow(before, symbols[now]))
        waiting = waiting[~ready]
    return nodes
