"""A trie laid out for NumPy: thousands of children are looked up in one call. Serves word lists and n-grams alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer[Any]]

ROOT = 0
NOT_FOUND = -1

# The keys of a large trie take as long to make as so many calls of `find` take longer without them, and 8 bytes a node.
_CALLS_WITHOUT_KEYS = 4096
_SMALL = 1 << 17
_NODES_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Trie:
    """Nodes numbered level by level from the root, 0, so that the children of a node are neighbours.

    Parameters
    ----------
    labels : int [shape=(nodes,)]
        The label of the edge that leads to a node (that of the root is unused); ascending among siblings.
    first : int [shape=(inner nodes + 1,)]
        The children of node `i` are `first[i]` to `first[i + 1]`. Nodes from `len(first) - 1` on have none.
    """

    labels: IntArray
    first: IntArray

    @classmethod
    def from_levels(cls, levels: Sequence[tuple[IntArray, IntArray]], dtype: npt.DTypeLike = np.int32) -> Trie:
        """Build a trie from the nodes of each depth.

        Parameters
        ----------
        levels : sequence of (parents, labels)
            For depth 1 and on: the position of each node's parent within the depth above, and its label; sorted by
            both, no pair twice.
        dtype : NumPy type
            Of the labels.
        """
        labels = np.concatenate([np.zeros(1, dtype), *(label.astype(dtype) for _, label in levels)])
        sizes = [1, *(len(label) for _, label in levels)]
        counts = [np.bincount(parents, minlength=size) for (parents, _), size in zip(levels, sizes, strict=False)]
        first = np.cumsum(np.concatenate([np.ones(1, np.int64), *counts]))
        return cls(labels, first.astype(np.uint32))

    def find(self, nodes: IntArray, labels: IntArray) -> npt.NDArray[np.int64]:
        """The children of some nodes by label.

        Parameters
        ----------
        nodes : int [shape=(queries,)]
            `NOT_FOUND` where there is no node.
        labels : int [shape=(queries,)]

        Returns
        -------
        int64 [shape=(queries,)]
            The child of each node along its label, or `NOT_FOUND`.
        """
        if "_keys" not in self.__dict__ and len(self.labels) > _SMALL and self._calls < _CALLS_WITHOUT_KEYS:
            self.__dict__["_calls"] += 1
            return self._find_by_bisection(nodes, labels)
        wanted = nodes * self._span + labels
        found = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        known = (self._keys[found] == wanted) & (nodes != NOT_FOUND) & (labels < self._span)
        return np.where(known, found + 1, NOT_FOUND)

    def table(self, labels: int) -> npt.NDArray[np.int32]:
        """All children of all nodes [shape=(nodes, labels)], `NOT_FOUND` where there is none: fast, but large."""
        table = np.full((len(self.labels), labels), NOT_FOUND, np.int32)
        parents = np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))
        table[parents, self.labels[1:]] = np.arange(1, len(self.labels))
        return table

    @cached_property
    def _calls(self) -> int:
        """Calls of `find` so far that made no keys."""
        return 0

    def _find_by_bisection(self, nodes: IntArray, labels: IntArray) -> npt.NDArray[np.int64]:
        """As `find`, among the children of each node: it needs no memory, and twice the time of a search by keys."""
        asked = np.flatnonzero((nodes != NOT_FOUND) & (nodes < len(self.first) - 1))
        wanted = labels[asked]
        low, end = self.first[nodes[asked]].astype(np.int64), self.first[nodes[asked] + 1].astype(np.int64)
        # All children before `low` have smaller labels; a step of each power of two moves it as far as that holds.
        for power in reversed(range(int((end - low).max(initial=0)).bit_length())):
            further = low + (1 << power)
            moves = (further <= end) & (self.labels[np.minimum(further, end) - 1] < wanted)
            low = np.where(moves, further, low)
        is_there = (low < end) & (self.labels[np.minimum(low, len(self.labels) - 1)] == wanted)
        found = np.full(len(nodes), NOT_FOUND, np.int64)
        found[asked[is_there]] = low[is_there]
        return found

    @cached_property
    def _span(self) -> int:
        return int(self.labels.max()) + 1

    @cached_property
    def _keys(self) -> npt.NDArray[np.int64]:
        """Parent and label of every node but the root as one number, ascending; for a trie of the root alone, a -1."""
        if len(self.labels) == 1:
            return np.array([-1])
        keys, inner = np.empty(len(self.labels) - 1, np.int64), len(self.first) - 1
        for start in range(0, inner, _NODES_AT_ONCE):  # so that there is no second array of that size
            first = self.first[start : start + _NODES_AT_ONCE + 1].astype(np.int64)
            parents = np.repeat(np.arange(start, start + len(first) - 1), np.diff(first))
            keys[first[0] - 1 : first[-1] - 1] = parents * self._span + self.labels[first[0] : first[-1]]
        return keys
