"""The lexicon of a decoder: its words as paths of symbols in a prefix tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.language.trie import NOT_FOUND, IntArray, Trie
from asr.text.alphabet import Alphabet

Ints = npt.NDArray[np.int64]

# Up to this many entries of four bytes, the tree is kept as a table, in which a step is one look-up.
LARGEST_TABLE = 1 << 24


@dataclass(frozen=True)
class Lexicon:
    """Words as paths of symbols.

    Parameters
    ----------
    trie : Trie
        Its labels are symbol numbers.
    word : int [shape=(nodes,)]
        The position, in the list it was made from, of the word that ends at a node; `NOT_FOUND` where none does.
    weight : float [shape=(nodes,)]
        The summed weight of all words that pass through a node or end there.
    """

    trie: Trie
    word: Ints
    weight: npt.NDArray[np.float64]
    symbols: int
    """of the alphabet it is spelled in, the blank among them"""

    def follow(self, nodes: Ints, symbols: Ints) -> Ints:
        """The nodes that symbols lead to from some nodes; `NOT_FOUND` where there is no such word, or from there."""
        if self._table is None:
            return self.trie.find(nodes, symbols)
        return np.where(nodes == NOT_FOUND, NOT_FOUND, self._table[nodes, symbols])

    @cached_property
    def _table(self) -> npt.NDArray[np.int32] | None:
        return self.trie.table(self.symbols) if len(self.word) * self.symbols <= LARGEST_TABLE else None

    @classmethod
    def build(cls, words: Sequence[str], weights: npt.NDArray[np.floating[Any]], alphabet: Alphabet) -> Lexicon:
        """Spell words in an alphabet; those that it cannot spell are left out.

        Parameters
        ----------
        words : sequence of str
            Distinct.
        weights : float [shape=(words,)]
        alphabet : Alphabet
        """
        spelled, places = _spell(words, alphabet)
        sorting = sort_rows(spelled)
        spelled, places = spelled[sorting], places[sorting]
        levels, ends, weight = build_tree(spelled, weights[places])
        word = np.full(len(weight), NOT_FOUND, np.int64)
        word[ends] = places
        return cls(Trie.from_levels(levels), word, weight, alphabet.size)


def sort_rows(spelled: npt.NDArray[np.integer[Any]], weights: npt.NDArray[np.float64] | None = None) -> Ints:
    """The order of sequences by their symbols, a third of the time of `numpy.lexsort` on as many columns.

    Parameters
    ----------
    spelled : int [shape=(sequences, longest)]
        Symbol numbers, none of them negative.
    weights : float64 [shape=(sequences,)], optional
        Of equal sequences, the heaviest comes first; else, and if they weigh the same, the order stays.

    Returns
    -------
    int64 [shape=(sequences,)]
        Places of the sequences, the first one first.
    """
    count, longest = spelled.shape
    if not spelled.size:
        return np.arange(count) if weights is None else np.argsort(-weights, kind="stable")
    # As many symbols as eight bytes hold make one number, whose order is theirs.
    symbol = np.min_scalar_type(int(spelled.max())).newbyteorder(">")
    padded = np.zeros((count, -(-longest * symbol.itemsize // 8) * 8 // symbol.itemsize), symbol)
    padded[:, :longest] = spelled
    keys = padded.view(">u8").T.astype(np.uint64, order="C")
    order: Ints = np.argsort(keys[0])
    # Most sequences differ in the first number; the others are sorted by the rest.
    equal = np.flatnonzero(keys[0, order[1:]] == keys[0, order[:-1]])
    tied = np.zeros(count, bool)
    tied[equal] = tied[equal + 1] = True
    places = np.flatnonzero(tied)
    rows = order[places]
    last = [rows] if weights is None else [rows, -weights[rows]]
    order[places] = rows[np.lexsort([*last, *keys[::-1, rows]])]
    return order


def build_tree(
    spelled: npt.NDArray[np.int32], weights: npt.NDArray[np.floating[Any]]
) -> tuple[list[tuple[IntArray, IntArray]], Ints, npt.NDArray[np.float64]]:
    """The levels of a tree of sequences, as `Trie.from_levels` takes them.

    Parameters
    ----------
    spelled : int32 [shape=(sequences, longest)]
        Symbol numbers from 1 on, 0 behind the last; sorted.
    weights : float [shape=(sequences,)]

    Returns
    -------
    levels : list of (parents, labels)
    ends : int64 [shape=(sequences,)]
        The node at which each sequence ends.
    weight : float64 [shape=(nodes,)]
        The summed weight of all sequences that pass through a node or end there.
    """
    columns = np.ascontiguousarray(spelled.T)
    # Sorted, sequences that begin alike are neighbours, and each node of the tree is a run of them.
    lengths = np.zeros(len(spelled), np.int64)
    shared = np.zeros(len(spelled), np.int64)  # symbols in common with the sequence before
    alike = np.ones(max(0, len(spelled) - 1), bool)
    for column in columns:
        lengths += column > 0
        alike &= column[1:] == column[:-1]
        shared[1:] += alike
    levels: list[tuple[IntArray, IntArray]] = []
    ends = np.full(len(spelled), NOT_FOUND, np.int64)
    summed: list[npt.NDArray[Any]] = [np.array([weights.sum()])]
    # The sequences that are long enough, and the place of each one's node in the level above.
    left, above, start = np.arange(len(spelled)), np.zeros(len(spelled), np.int64), 1
    for depth, column in enumerate(columns, start=1):
        stay = np.flatnonzero(lengths >= depth)
        left, above, weights, lengths, shared = left[stay], above[stay], weights[stay], lengths[stay], shared[stay]
        is_new = shared < depth
        new, here = np.flatnonzero(is_new), np.cumsum(is_new) - 1
        levels.append((above[new], column[left[new]]))
        summed.append(np.bincount(here, weights=weights, minlength=len(new)))
        ending = np.flatnonzero(lengths == depth)
        ends[left[ending]] = start + here[ending]
        above, start = here, start + len(new)
    return levels, ends, np.concatenate(summed)


def _spell(words: Sequence[str], alphabet: Alphabet) -> tuple[npt.NDArray[np.int32], Ints]:
    """Symbol numbers [shape=(spelled words, longest)], 0 behind the last; and which words these are."""
    joined = np.frombuffer("\n".join(words).encode("utf-32-le"), np.uint32)
    symbols = np.frombuffer("".join(alphabet.symbols).encode("utf-32-le"), np.uint32)
    if not len(joined) or not len(words):
        return np.zeros((0, 0), np.int32), np.zeros(0, np.int64)
    sorting = np.argsort(symbols)
    found = np.minimum(np.searchsorted(symbols[sorting], joined), len(symbols) - 1)
    numbers = np.where(symbols[sorting][found] == joined, sorting[found] + 1, -1)
    breaks = np.flatnonzero(joined == ord("\n"))
    starts = np.concatenate([[0], breaks + 1])
    lengths = np.concatenate([breaks, [len(joined)]]) - starts
    owner = np.repeat(np.arange(len(words)), lengths)
    places = np.delete(np.arange(len(joined)), breaks)
    matrix = np.zeros((len(words), int(lengths.max(initial=0))), np.int32)
    matrix[owner, places - starts[owner]] = numbers[places]
    good = np.flatnonzero((matrix >= 0).all(axis=1) & (lengths > 0))
    return matrix[good], good
