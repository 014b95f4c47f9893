"""Shifts the biases of a trained tagger so that its F1 scores on validation texts are highest.

The likeliest tag minimises the number of wrong tags, and leaves out many marks: most words have none. F1 is highest
with a lower threshold for marks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asr.punctuation.tagger import agree_on_cases, choose_tags
from asr.punctuation.written_tags import (
    CAPITAL,
    COMMA,
    DASH,
    EXCLAMATION_MARK,
    FULL_STOP,
    LOWER,
    MARKS,
    NO_BREAK,
    NO_MARK,
    QUESTION_MARK,
    SEMICOLON,
    WIDTH,
)

Floats = npt.NDArray[np.float32]

_STEPS = (0.5, 0.2)
_LARGEST = 2.0
_LEAST_GAIN = 5e-4
"""of a step, in the sum of the scores: less is chance"""
_TUNED = (COMMA, FULL_STOP, QUESTION_MARK, SEMICOLON, EXCLAMATION_MARK, DASH, len(MARKS) + CAPITAL)


def tune_biases(
    logits: Floats, truth: npt.NDArray[np.integer[Any]], groups: npt.NDArray[np.int64], *, ignored: int
) -> Floats:
    """What to add to the biases of the output layer.

    Parameters
    ----------
    logits : float array [shape=(words, WIDTH)]
    truth : int array [shape=(words, 3)]
        Marks, cases, breaks; cases that are `ignored` are not counted.
    groups : int array [shape=(words,)]
        As `agree_on_cases` takes them.

    Returns
    -------
    float array [shape=(WIDTH,)]
        Found by coordinate ascent in steps that become smaller.

    Notes
    -----
    That F1 is highest at a lower threshold than accuracy: Z. Lipton, C. Elkan, B. Naryanaswamy, "Optimal Thresholding
    of Classifiers to Maximize F1 Measure", ECML 2014.
    """
    biases = np.zeros(WIDTH, np.float32)
    best = _objective(logits, truth, groups, ignored)
    for step in _STEPS:
        improved = True
        while improved:
            improved = False
            for place in _TUNED:
                for change in (step, -step):
                    changed = biases.copy()
                    changed[place] += change
                    if abs(changed[place]) > _LARGEST:
                        continue
                    found = _objective(logits + changed, truth, groups, ignored)
                    if found > best + _LEAST_GAIN:
                        biases, best, improved = changed, found, True
    return biases


def _objective(
    logits: Floats, truth: npt.NDArray[np.integer[Any]], groups: npt.NDArray[np.int64], ignored: int
) -> float:
    """The sum of the F1 scores of full stop, comma, question mark, all marks, ends of sentences and capitals."""
    tags = choose_tags(agree_on_cases(groups, logits))
    pairs = [(truth[:, 0] == mark, tags.marks == mark) for mark in (FULL_STOP, COMMA, QUESTION_MARK)]
    ends = truth[:, 2] != NO_BREAK, tags.breaks != NO_BREAK
    # Words begin sentences, or have a capital by themselves.
    begins = [np.concatenate([[True], one[:-1]]) for one in ends]
    known = (truth[:, 1] != ignored) | begins[0]
    capitals = begins[0] | (truth[:, 1] != LOWER), begins[1] | (tags.cases != LOWER)
    pairs += [ends, (capitals[0][known], capitals[1][known])]
    is_right = (truth[:, 0] == tags.marks) & (truth[:, 0] != NO_MARK)
    either = (truth[:, 0] != NO_MARK).sum() + (tags.marks != NO_MARK).sum()
    return sum(f1_score(*pair) for pair in pairs) + 2 * int(is_right.sum()) / max(1, int(either))


def f1_score(truth: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_]) -> float:
    """F1 of two selections; 1 where both are empty."""
    both, either = int((truth & found).sum()), int(truth.sum()) + int(found.sum())
    return 2 * both / either if either else 1.0
