"""The histories of hypotheses: a tree of symbols, from which texts are read backwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Path:
    """A text symbol by symbol; all arrays have shape (symbols,)."""

    symbols: Ints
    steps: Ints
    """the model step of each symbol on the likeliest path"""
    log_probs: npt.NDArray[np.float64]
    """its natural log-probability at that step"""

    def __add__(self, other: Path) -> Path:
        return Path(
            np.concatenate([self.symbols, other.symbols]),
            np.concatenate([self.steps, other.steps]),
            np.concatenate([self.log_probs, other.log_probs]),
        )


class History:
    """A growing tree; node 0 is the empty text. Children have higher numbers than their parents."""

    ROOT = 0

    def __init__(self) -> None:
        self._count = 1
        self._parent = np.zeros(1024, np.int64)
        self._symbol = np.zeros(1024, np.int64)
        self._step = np.zeros(1024, np.int64)
        self._log_prob = np.zeros(1024)

    def __len__(self) -> int:
        return self._count

    def add(self, parents: Ints, symbols: Ints, steps: Ints, log_probs: npt.NDArray[np.float64]) -> Ints:
        """Extend some texts by a symbol each; returns the new nodes."""
        start, self._count = self._count, self._count + len(parents)
        if self._count > len(self._parent):
            size = 2 * self._count
            self._parent, self._symbol, self._step, self._log_prob = (
                _resized(array, size) for array in (self._parent, self._symbol, self._step, self._log_prob)
            )
        self._parent[start : self._count] = parents
        self._symbol[start : self._count] = symbols
        self._step[start : self._count] = steps
        self._log_prob[start : self._count] = log_probs
        return np.arange(start, self._count)

    def copy(self) -> History:
        """An independent copy."""
        copied = History()
        copied._count = self._count
        copied._parent, copied._symbol, copied._step, copied._log_prob = (
            _resized(array[: self._count], max(1024, self._count))
            for array in (self._parent, self._symbol, self._step, self._log_prob)
        )
        return copied

    def trace(self, node: int) -> Path:
        """The text of a node."""
        nodes = []
        parent = self._parent
        while node != self.ROOT:
            nodes.append(node)
            node = int(parent[node])
        nodes.reverse()
        return self._path(nodes)

    def ancestry(self, nodes: Ints) -> tuple[Ints, Ints, Ints]:
        """All nodes on the ways from the root to some nodes, each once, parents before their children.

        Returns
        -------
        order : int64 [shape=(ancestors,)]
            Their numbers; the root is not among them.
        parents : int64 [shape=(ancestors,)]
            The place of each one's parent in `order`, -1 for the root.
        symbols : int64 [shape=(ancestors,)]
        """
        found: set[int] = set()
        parent = self._parent
        for node in set(nodes.tolist()):
            while node != self.ROOT and node not in found:
                found.add(node)
                node = int(parent[node])
        order = np.array(sorted(found), np.int64)
        above = parent[order]
        places = np.where(above == self.ROOT, -1, np.searchsorted(order, above))
        return order, places, self._symbol[order]

    def settle(self, nodes: Ints) -> tuple[Path, Ints]:
        """Remove the nodes that no living text needs.

        Parameters
        ----------
        nodes : int64 [shape=(texts,)]
            Those of the hypotheses that are still searched.

        Returns
        -------
        path : Path
            Their common beginning; it is removed from the tree.
        nodes : int64 [shape=(texts,)]
            The same texts, without it.
        """
        # Parents have lower numbers: walking down from the highest, the texts meet at what they have in common.
        pending = set(nodes.tolist())
        kept = []
        while len(pending) > 1:
            highest = max(pending)
            pending.remove(highest)
            kept.append(highest)
            pending.add(int(self._parent[highest]))
        (common,) = pending
        path = self.trace(common)
        kept.reverse()
        numbers = {common: self.ROOT} | {node: number for number, node in enumerate(kept, start=1)}
        order = np.array(kept, np.int64)
        parents = np.array([numbers[parent] for parent in self._parent[order].tolist()], np.int64)
        self._count = 1
        self.add(parents, self._symbol[order], self._step[order], self._log_prob[order])
        return path, np.array([numbers[node] for node in nodes.tolist()], np.int64)

    def _path(self, nodes: Iterable[int]) -> Path:
        order = np.array(list(nodes), np.int64)
        return Path(self._symbol[order], self._step[order], self._log_prob[order])


def _resized(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    larger = np.zeros(size, array.dtype)
    larger[: len(array)] = array
    return larger
