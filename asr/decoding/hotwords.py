"""Hot words: words and phrases that a user expects, found in growing hypotheses by one automaton."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from asr.text.alphabet import Alphabet

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_ROOT = 0
# Up to this many entries of four bytes, the transitions are kept as a table, in which a step is one look-up.
_LARGEST_TABLE = 1 << 22


@dataclass(frozen=True)
class HotWords:
    """An automaton that reads symbols and gives the score that each adds to a hypothesis.

    Parameters
    ----------
    keys : int64 [shape=(states - 1,)]
        Every transition to a longer phrase, as `state * symbols + symbol`, ascending.
    targets : int32 [shape=(states - 1,)]
        The state that each leads to.
    back : int32 [shape=(states,)]
        The state to fall back to without a transition for a symbol: that of the longest proper suffix (failure link).
    earned : float64 [shape=(states,)]
        The part of their weights that unfinished phrases have added so far, natural log: a phrase adds its weight
        symbol by symbol, and if it is abandoned that part is subtracted again.
    won : float64 [shape=(states,)]
        The weights of all phrases that are complete in a state.
    symbols : int
        Of the alphabet, the blank among them, which is never read.
    start : int
        The state at the beginning of a recording, which is the beginning of a word.

    Notes
    -----
    Source: A. Aho and M. Corasick, "Efficient String Matching: An Aid to Bibliographic Search", CACM 18(6), 1975.
    """

    keys: Ints
    targets: npt.NDArray[np.int32]
    back: npt.NDArray[np.int32]
    earned: Floats
    won: Floats
    symbols: int
    start: int

    @classmethod
    def build(cls, weights: Mapping[str, float], alphabet: Alphabet) -> HotWords:
        """Prepare the search for some phrases.

        Parameters
        ----------
        weights : mapping of str to float
            What each phrase adds to the score of a hypothesis that holds it, natural log.
        alphabet : Alphabet
            If it separates words, a phrase is found only as whole words.

        Raises
        ------
        ConfigError
            If a phrase cannot be spelled in the alphabet.
        """
        edge = alphabet.encode(alphabet.separator)
        return cls.of_sequences(
            [([*edge, *alphabet.encode(phrase), *edge], weight) for phrase, weight in weights.items()],
            symbols=alphabet.size,
            edge=edge,
        )

    @classmethod
    def of_sequences(
        cls, weights: Iterable[tuple[Sequence[int], float]], *, symbols: int, edge: Sequence[int] = ()
    ) -> HotWords:
        """Prepare the search for some sequences of numbers above 0.

        Parameters
        ----------
        weights : iterable of sequences of int, each with its weight
            The numbers are of characters, or of words.
        symbols : int
            Larger than every number.
        edge : sequence of int
            What every sequence begins and ends with: the symbol between words, or nothing.
        """
        size = symbols
        edges: dict[int, int] = {}  # by state * size + symbol
        earned = [0.0]  # on the way to the phrases that a state is the beginning of
        won = [0.0]  # by the phrase that ends in it
        for sequence, weight in weights:
            state = _ROOT
            for depth, symbol in enumerate(sequence, start=1):
                after = edges.setdefault(state * size + symbol, len(earned))
                if after == len(earned):
                    earned.append(0.0)
                    won.append(0.0)
                state = after
                share = weight * max(depth - len(edge), 0) / (len(sequence) - len(edge))
                if depth < len(sequence) and abs(share) > abs(earned[state]):
                    earned[state] = share
            won[state] += weight
        back = _fall_back(edges, size, earned, won)
        keys = np.fromiter(edges, np.int64, len(edges))
        sorting = np.argsort(keys)
        targets = np.fromiter(edges.values(), np.int32, len(edges))
        return cls(
            keys=keys[sorting],
            targets=targets[sorting],
            back=np.array(back, np.int32),
            earned=np.array(earned),
            won=np.array(won),
            symbols=size,
            start=edges.get(edge[0], _ROOT) if edge else _ROOT,
        )

    def step(self, states: Ints, symbols: Ints) -> tuple[Ints, Floats]:
        """Read a symbol in each of some states.

        Returns
        -------
        after : int64 [shape=(states,)]
            The states that follow.
        gains : float64 [shape=(states,)]
            What each symbol adds to the score, natural log.
        """
        after = self._follow(states, symbols) if self._table is None else self._table[states, symbols].astype(np.int64)
        return after, self._worth[after] - self.earned[states]

    @cached_property
    def _worth(self) -> Floats:
        return self.won + self.earned

    def _follow(self, states: Ints, symbols: Ints) -> Ints:
        after = np.full(len(states), _ROOT, np.int64)
        if not len(self.keys):
            return after
        waiting, before = np.arange(len(states)), states
        while len(waiting):
            wanted = before * self.symbols + symbols[waiting]
            found = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
            known = self.keys[found] == wanted
            after[waiting[known]] = self.targets[found[known]]
            # The root has no fall-back.
            on = ~known & (before != _ROOT)
            waiting, before = waiting[on], self.back[before[on]].astype(np.int64)
        return after

    @cached_property
    def _table(self) -> npt.NDArray[np.int32] | None:
        """All transitions [shape=(states, symbols)], where they are few."""
        count = len(self.back)
        if count * self.symbols > _LARGEST_TABLE:
            return None
        before, read = np.divmod(self.keys, self.symbols)
        depth = np.zeros(count, np.int64)
        while (depth[self.targets] != depth[before] + 1).any():
            depth[self.targets] = depth[before] + 1
        table = np.zeros((count, self.symbols), np.int32)
        # A state that another one falls back to is nearer the root.
        for level in range(int(depth.max()) + 1):
            states, own = np.flatnonzero(depth == level), depth[before] == level
            table[states] = table[self.back[states]]
            table[before[own], read[own]] = self.targets[own]
        return table


def _fall_back(edges: dict[int, int], size: int, earned: list[float], won: list[float]) -> list[int]:
    """The fall-back state of each state; the weights `won` and `earned` there are added to its own.

    Edges are in the order in which phrases were added; a state is handled after all that are nearer the root.
    """
    above: list[tuple[int, int]] = [(_ROOT, 0)] * len(earned)  # parent and symbol of each state
    depth = [0] * len(earned)
    for key, state in edges.items():
        parent, symbol = divmod(key, size)
        above[state] = parent, symbol
        depth[state] = depth[parent] + 1
    back = [_ROOT] * len(earned)
    for state in sorted(range(1, len(earned)), key=depth.__getitem__):
        parent, symbol = above[state]
        while parent != _ROOT:
            parent = back[parent]
            if (found := edges.get(parent * size + symbol)) is not None:
                back[state] = found
                break
        won[state] += won[back[state]]
        if not earned[state]:
            earned[state] = earned[back[state]]
    return back
