"""The histories of hypotheses: a tree of symbols, from which texts are read backwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


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


@dataclass(frozen=True)
class Lattice:
    """The likely ways of a search to its endings, and the ways of hypotheses that were recombined with them.

    Notes
    -----
    A way is read backwards: from the place of an ending to its parent, and so on to the root, with the symbol of each
    place on the way. Where a place is the first of a link, the way may go on at the second one instead, and the symbol
    of the first is not read: the dropped hypothesis stands for the kept one.
    """

    parents: Ints
    """[shape=(places,)] -1 for the root; parents have lower places than their children"""
    path: Path
    """symbol, step and log-probability of each place [shape=(places,)]"""
    best: Floats
    """[shape=(places,)] score of the best way through each place"""
    kept: Ints
    """[shape=(links,)] ascending"""
    dropped: Ints
    """[shape=(links,)] lower than `kept`; where the way goes on instead"""
    behind: Floats
    """[shape=(links,)] by how much that lowers the score; not negative"""
    ends: Ints
    """[shape=(endings,)] the place of each ending; -1 for the root"""
    likely: npt.NDArray[np.bool_]
    """[shape=(endings,)] which endings are not left out"""


class History:
    """A growing tree; node 0 is the empty text. Children have higher numbers than their parents.

    Where hypotheses are recombined, the tree may keep the ways of those that were dropped: it is then a lattice.
    """

    ROOT = 0

    def __init__(self) -> None:
        self._count = 1
        self._blocks: list[int] = []
        """the first node of each call of `add`"""
        self._links: list[tuple[Ints, Ints, Floats]] = []
        """of each call of `recombine`"""
        self._parent = np.zeros(1024, np.int64)
        self._symbol = np.zeros(1024, np.int64)
        self._step = np.zeros(1024, np.int64)
        self._log_prob = np.zeros(1024)

    def __len__(self) -> int:
        return self._count

    def add(self, parents: Ints, symbols: Ints, steps: Ints, log_probs: npt.NDArray[np.float64]) -> Ints:
        """Extend some texts by a symbol each; returns the new nodes."""
        start, self._count = self._count, self._count + len(parents)
        self._blocks.append(start)
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

    def parents(self, nodes: Ints) -> Ints:
        """The parent of each node."""
        return self._parent[nodes]

    def repeat(self, nodes: Ints) -> Ints:
        """Add the last symbol of some texts again, beside the first; returns the new nodes."""
        return self.add(self._parent[nodes], self._symbol[nodes], self._step[nodes], self._log_prob[nodes])

    def recombine(self, kept: Ints, dropped: Ints, behind: Floats) -> None:
        """Keep the ways of hypotheses that were dropped, as others into those that were kept.

        Parameters
        ----------
        kept : int64 [shape=(links,)]
            Ascending, none lower than in the calls before.
        dropped : int64 [shape=(links,)]
            Nodes of earlier calls of `add` than `kept`.
        behind : float64 [shape=(links,)]
            By how much the score of each was lower; not negative.
        """
        self._links.append((kept, dropped, behind))

    def lattice(self, ends: Ints, scores: Floats, margin: float) -> Lattice:
        """All ways to some endings, those of dropped hypotheses too, but for unlikely ones.

        Parameters
        ----------
        ends : int64 [shape=(endings,)]
            Nodes.
        scores : float64 [shape=(endings,)]
            At most 0.
        margin : float > 0
            What lies only on ways with a lower score than minus this is left out.
        """
        links = self._links or [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        kept, dropped = (np.concatenate([one[column] for one in links]) for column in (0, 1))
        behind = np.concatenate([differences for _, _, differences in links])
        # The score of the best way through each node: from the endings backwards, block by block.
        best = np.full(self._count, -np.inf)
        np.maximum.at(best, ends, scores)
        bounds = [*self._blocks, self._count]
        first_links = np.searchsorted(kept, bounds)
        for block in range(len(self._blocks) - 1, -1, -1):
            begin, end = bounds[block], bounds[block + 1]
            live = begin + np.flatnonzero(best[begin:end] >= -margin)
            if not len(live):
                continue
            here = slice(first_links[block], first_links[block + 1])
            if here.stop > here.start:
                np.maximum.at(best, dropped[here], best[kept[here]] - behind[here])
            np.maximum.at(best, self._parent[live], best[live])
        likely = (scores >= -margin) & (scores > -np.inf)
        best[self.ROOT] = -np.inf
        nodes = np.flatnonzero((best >= -margin) & (best > -np.inf))
        places = np.full(self._count, -1)
        places[nodes] = np.arange(len(nodes))
        with np.errstate(invalid="ignore"):
            through = best[kept] - behind
        near = np.flatnonzero((through >= -margin) & (through > -np.inf))
        return Lattice(
            parents=places[self._parent[nodes]],
            path=self._path(nodes),
            best=best[nodes],
            kept=places[kept[near]],
            dropped=places[dropped[near]],
            behind=behind[near],
            ends=places[ends],
            likely=likely,
        )

    def copy(self) -> History:
        """An independent copy, without the ways of dropped hypotheses."""
        copied = History()
        copied._blocks = [1]
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
        self._blocks, self._links = [], []
        self.add(parents, self._symbol[order], self._step[order], self._log_prob[order])
        return path, np.array([numbers[node] for node in nodes.tolist()], np.int64)

    def _path(self, nodes: Iterable[int]) -> Path:
        order = np.array(list(nodes), np.int64)
        return Path(self._symbol[order], self._step[order], self._log_prob[order])


def _resized(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    larger = np.zeros(size, array.dtype)
    larger[: len(array)] = array
    return larger
