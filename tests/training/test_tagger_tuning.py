"""Biases for the highest F1 scores, on logits whose best thresholds are known."""

from __future__ import annotations

import numpy as np

from asr.punctuation.tagger import choose_tags
from asr.punctuation.written_tags import CAPITAL, CASES, COMMA, FULL_STOP, MARKS, NO_BREAK, NO_MARK, SENTENCE, WIDTH
from asr.training.tagger_tuning import f1_score, tune_biases

IGNORED = -1
COUNT = 4000
ALONE = np.full(COUNT, -1)


def texts(count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    """Logits and tags: of a third of the words the network says that they have a comma by 40 %, and it is right.

    The same, of another third, about capitals. Sentences end behind every tenth word, beyond doubt.
    """
    rng = np.random.default_rng(1)
    logits = np.full((count, WIDTH), -30, np.float32)
    truth = np.zeros((count, 3), np.int64)
    ends = np.arange(count) % 10 == 9
    for place, doubtful, tag in ((0, NO_MARK, COMMA), (1, len(MARKS), len(MARKS) + CAPITAL)):
        maybe = rng.random(count) < 1 / 3
        logits[:, doubtful] = np.log(np.where(maybe, 0.6, 0.999))
        logits[:, tag] = np.log(np.where(maybe, 0.4, 0.001))
        truth[:, place] = maybe & (rng.random(count) < 0.4)
    logits[:, len(MARKS) + CASES + NO_BREAK] = 0
    truth[ends, 0], truth[ends, 2] = FULL_STOP, SENTENCE
    truth[np.roll(ends, 1), 1] = IGNORED
    logits[ends, FULL_STOP] = logits[ends, len(MARKS) + CASES + SENTENCE] = 40
    return logits, truth


def test_doubtful_marks_and_capitals_are_chosen_where_that_raises_f1() -> None:
    """Of what is true by 40 %, all is better than nothing: F1 is 2 * 0.4 / 1.4."""
    logits, truth = texts()
    assert (choose_tags(logits).marks != COMMA).all()
    tags = choose_tags(logits + tune_biases(logits, truth, ALONE, ignored=IGNORED))
    known = truth[:, 1] != IGNORED
    assert 0.52 < f1_score(truth[:, 0] == COMMA, tags.marks == COMMA) < 0.62
    assert 0.52 < f1_score(truth[known, 1] == CAPITAL, tags.cases[known] == CAPITAL) < 0.62


def test_capitals_count_together_with_those_of_sentences() -> None:
    """Where most capitals begin sentences and are right, a doubtful one that is wrong costs more than it brings.

    Of 400 sentences and about 1,200 other words that have a capital by 40 %: F1 is 2 * 400 / (400 + 880) without
    these words, and 2 * 880 / (1600 + 880) with them. By 20 %: 2 * 400 / (400 + 640) and 2 * 640 / (1600 + 640).
    """
    logits, truth = texts()
    fewer = truth.copy()
    capitals = np.flatnonzero(truth[:, 1] == CAPITAL)
    fewer[capitals[::2], 1] = 0
    for some, chosen in ((truth, True), (fewer, False)):
        tags = choose_tags(logits + tune_biases(logits, some, ALONE, ignored=IGNORED))
        assert (tags.cases == CAPITAL).any() == chosen
