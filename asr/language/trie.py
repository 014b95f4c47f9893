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
    def _span(self) -> int:
        return int(self.labels.max()) + 1

    @cached_property
    def _keys(self) -> npt.NDArray[np.int64]:
        """Parent and label of every node but the root as one number, ascending; for a trie of the root alone, a -1."""
        if len(self.labels) == 1:
            return np.array([-1])
        parents = np.repeat(np.arange(len(self.first) - 1, dtype=np.int64), np.diff(self.first))
        parents *= self._span
        parents += self.labels[1:]
        return parents
