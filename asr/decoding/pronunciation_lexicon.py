"""The pronunciations a decoder knows, as a tree of phones; several words may end at one node (homophones)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.language.lexicon import LARGEST_TABLE, build_tree, sort_rows
from asr.language.trie import NOT_FOUND, ROOT, Trie

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PronunciationLexicon:
    """Words as paths of phones, each path beginning with a word-initial phone.

    Parameters
    ----------
    tree : Trie
        Its labels are phone numbers.
    first : int [shape=(nodes + 1,)]
        The words that end at node `i` are `words[first[i]:first[i + 1]]`, the most probable first. The place of a word
        among them is its *reading*.
    words : int [shape=(endings,)]
        Positions in the list of words that the lexicon was made from.
    weight : float [shape=(nodes,)]
        The summed weight of all words that pass through a node or end there.
    initial : bool [shape=(symbols,)]
        Which symbols begin a word.
    spellings : sequence of str
        The list of words.
    """

    tree: Trie
    first: Ints
    words: Ints
    weight: npt.NDArray[np.float64]
    initial: npt.NDArray[np.bool_]
    spellings: Sequence[str]

    @classmethod
    def build(
        cls,
        spellings: Sequence[str],
        owners: npt.NDArray[np.integer[Any]],
        phones: npt.NDArray[np.int32],
        weights: npt.NDArray[np.floating[Any]],
        initial: npt.NDArray[np.bool_],
    ) -> PronunciationLexicon:
        """Build the tree.

        Parameters
        ----------
        spellings : sequence of str
        owners : int [shape=(pronunciations,)]
            The word of each pronunciation, as a position in `spellings`.
        phones : int32 [shape=(pronunciations, longest)]
            Phone numbers from 1 on, 0 behind the last; no word has one twice.
        weights : float [shape=(words,)]
            Of the words, usually their unigram probabilities.
        initial : bool [shape=(symbols,)]
        """
        of_owner = np.asarray(weights, np.float64)[owners]
        sorting = sort_rows(phones, of_owner)  # of homophones, the most probable comes first
        levels, ends, weight = build_tree(phones[sorting], of_owner[sorting])
        by_node = sorting[np.argsort(ends, kind="stable")]
        first = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=len(weight)))])
        return cls(Trie.from_levels(levels), first, owners[by_node].astype(np.int64), weight, initial, spellings)

    @cached_property
    def counts(self) -> Ints:
        """How many words end at each node [shape=(nodes,)]."""
        counts: Ints = np.diff(self.first)
        return counts

    @cached_property
    def parents(self) -> Ints:
        """The parent of each node [shape=(nodes,)]; the root is its own."""
        parents: Ints = np.repeat(np.arange(len(self.tree.first) - 1), np.diff(self.tree.first))
        return np.concatenate([[ROOT], parents])

    @cached_property
    def most_readings(self) -> int:
        """The largest number of words that end at one node."""
        return int(self.counts.max(initial=1))

    def follow(self, nodes: Ints, symbols: Ints) -> Ints:
        """The nodes that phones lead to from some nodes; `NOT_FOUND` where no word continues so."""
        if self._table is None:
            return self.tree.find(nodes, symbols)
        return self._table[nodes, symbols].astype(np.int64)

    @cached_property
    def _table(self) -> npt.NDArray[np.int32] | None:
        symbols = len(self.initial)
        return self.tree.table(symbols) if len(self.weight) * symbols <= LARGEST_TABLE else None

    def word(self, nodes: Ints, readings: Ints) -> Ints:
        """The words with these readings at these nodes."""
        words: Ints = self.words[self.first[nodes] + readings]
        return words

    def read(self, symbols: Ints) -> Ints:
        """The node at which each word of a sequence of phones ends [shape=(words,)]."""
        starts = np.flatnonzero(self.initial[symbols])
        ends = np.append(starts, len(symbols))[1:]
        nodes = np.full(len(starts), ROOT, np.int64)
        for depth in range(int((ends - starts).max(initial=0))):
            inside = np.flatnonzero((starts + depth < ends) & (nodes != NOT_FOUND))
            nodes[inside] = self.follow(nodes[inside], symbols[starts[inside] + depth])
        return nodes
