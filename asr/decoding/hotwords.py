"""Words and phrases that a user expects: found in growing hypotheses by one table, however many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.text.alphabet import Alphabet

START = 0


@dataclass(frozen=True)
class HotWords:
    """A machine that reads symbols and says what each adds to the score of a hypothesis.

    Parameters
    ----------
    after : int32 [shape=(states, symbols)]
        The state after reading a symbol. The blank is never read.
    gain : float32 [shape=(states, symbols)]
        What is gained or lost with it, natural log: a phrase earns its weight symbol by symbol, and what an abandoned
        one has earned is taken back.
    earned : float32 [shape=(states,)]
        What unfinished phrases have earned so far.

    Notes
    -----
    Source: A. Aho and M. Corasick, "Efficient String Matching: An Aid to Bibliographic Search", CACM 18(6), 1975.
    """

    after: npt.NDArray[np.int32]
    gain: npt.NDArray[np.float32]
    earned: npt.NDArray[np.float32]

    @classmethod
    def build(cls, weights: Mapping[str, float], alphabet: Alphabet) -> HotWords:
        """Prepare the search for some phrases.

        Parameters
        ----------
        weights : mapping of str to float
            What each phrase adds to the score of a hypothesis that holds it, natural log.
        alphabet : Alphabet
            With a space in it, a phrase is found only as whole words.

        Raises
        ------
        ConfigError
            If a phrase cannot be spelled in the alphabet.
        """
        edge = alphabet.encode(" ") if " " in alphabet.symbols else []
        patterns = [(edge + alphabet.encode(phrase) + edge, weight) for phrase, weight in weights.items()]
        children: list[dict[int, int]] = [{}]
        earned = [0.0]  # on the way to the phrases that a state is the beginning of
        won = [0.0]  # by the phrase that ends in it
        for symbols, weight in patterns:
            state = 0
            for depth, symbol in enumerate(symbols, start=1):
                if symbol not in children[state]:
                    children[state][symbol] = len(children)
                    children.append({})
                    earned.append(0.0)
                    won.append(0.0)
                state = children[state][symbol]
                share = weight * max(depth - len(edge), 0) / (len(symbols) - len(edge))
                if depth < len(symbols) and abs(share) > abs(earned[state]):
                    earned[state] = share
            won[state] += weight
        return cls(*_tables(children, np.array(earned), np.array(won), alphabet.size, edge))


def _tables(
    children: list[dict[int, int]],
    earned: npt.NDArray[np.float64],
    won: npt.NDArray[np.float64],
    symbols: int,
    edge: list[int],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    after = np.zeros((len(children), symbols), np.int32)
    waiting = [0]
    back = np.zeros(len(children), np.int64)  # the longest other phrase whose beginning a state ends with
    for state in waiting:
        if state:
            after[state] = after[back[state]]
            won[state] += won[back[state]]
            if not earned[state]:
                earned[state] = earned[back[state]]
        for symbol, child in children[state].items():
            back[child] = after[state, symbol] if state else 0
            after[state, symbol] = child
            waiting.append(child)
    gain = (won + earned)[after] - earned[:, None]
    # The beginning of a recording is the beginning of a word.
    first = int(after[0, edge[0]]) if edge else 0
    swap: Any = np.arange(len(children))
    swap[[0, first]] = swap[[first, 0]]
    return swap[after[swap]].astype(np.int32), gain[swap].astype(np.float32), earned[swap].astype(np.float32)
