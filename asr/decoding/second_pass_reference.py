"""The second pass in its plainest form: read this before `second_pass`, which scores no text twice.

It is also the oracle of the tests: with no limit of the texts that are followed, `second_pass` finds the same best
texts and scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from asr.decoding.history import Lattice, Path
from asr.decoding.second_pass import Endings, WordModel

Ways = Iterator[tuple[tuple[int, ...], float]]


def score_all_texts(
    lattice: Lattice,
    endings: Endings,
    spell: Callable[[Path, int], str],
    ngram: Callable[[Path, int], Sequence[float]],
    neural: WordModel,
    *,
    weight: float,
    lm_weight: float,
) -> dict[int, dict[str, float]]:
    """The score of every text of a lattice.

    Parameters
    ----------
    lattice : Lattice
        With a margin that leaves out nothing.
    endings : Endings
    spell : callable
        The text of a path and of the reading of its last word.
    ngram : callable
        The natural log-probabilities of the words of that text in the first pass, one by one, and of its end.
    neural : WordModel
    weight, lm_weight : float
        As for `SecondPass`.

    Returns
    -------
    dict of dict
        By utterance, and by text.
    """
    found: dict[int, dict[str, float]] = {}
    for ending in range(len(endings.rows)):
        texts = found.setdefault(int(endings.rows[ending]), {})
        for places, behind in ways(lattice, int(lattice.ends[ending])):
            path, reading = path_of(lattice, places), int(endings.readings[ending])
            text = spell(path, reading)
            score = float(endings.scores[ending]) - behind
            for one, other in zip(ngram(path, reading), score_words(neural, text.split()), strict=True):
                mixed = math.log((1 - weight) * math.exp(one) + weight * math.exp(other))
                score += lm_weight * (mixed - one)
            texts[text] = max(score, texts.get(text, -math.inf))
    return found


def ways(lattice: Lattice, place: int) -> Ways:
    """Every way to a place from the root: the places whose symbols are read, in order, and how far it is behind."""
    if place == -1:
        yield (), 0.0
        return
    for before, behind in ways(lattice, int(lattice.parents[place])):
        yield (*before, place), behind
    for link in np.flatnonzero(lattice.kept == place):
        for before, behind in ways(lattice, int(lattice.dropped[link])):
            yield before, behind + float(lattice.behind[link])


def path_of(lattice: Lattice, places: Sequence[int]) -> Path:
    """The symbols of some places of a lattice."""
    order = np.array(places, np.int64)
    return Path(lattice.path.symbols[order], lattice.path.steps[order], lattice.path.log_probs[order])


def score_words(neural: WordModel, words: Sequence[str]) -> list[float]:
    """The natural log-probabilities of the words of a text, one by one, and of its end."""
    state, scores = neural.initial_state(), []
    for word in words:
        log_probs, state = neural.advance(state, [word])
        scores.append(float(log_probs[0]))
    return [*scores, float(neural.end(state)[0])]
