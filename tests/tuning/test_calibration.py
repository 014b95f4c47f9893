from __future__ import annotations

import numpy as np
import pytest

from asr.decoding.confidence import FEATURES, word_features
from asr.decoding.hypothesis import Hypothesis
from asr.text.words import cut_words
from asr.tuning.calibration import fit_calibration, measure_reliability, right_words


def test_the_words_of_a_hypothesis_are_right_by_its_alignment():
    assert right_words("the cat sat", "a the cat set") == [False, True, True, False]
    assert right_words("", "a b") == [False, False]
    assert right_words("a", "") == []


def test_words_without_spaces_are_right_by_their_characters():
    assert right_words("漢字です", "漢子です", [*"漢子です"]) == [True, False, True, True]
    assert right_words("我在 home", "我再 home x", ["我", "再", "home", "x"]) == [True, False, True, False]
    assert right_words("ab cd", "ab ce", ["ab", "ce"]) == [True, False]
    assert right_words("", "漢字", ["漢", "字"]) == [False, False]


def test_features_of_words_without_spaces_share_what_the_language_model_thinks():
    log_probs = np.log(np.full((6, 3), 1 / 3))
    hypothesis = Hypothesis("漢字 a", 0.0, (0, 2, 3, 5), (-1.0, -2.0, -3.0, -4.0))
    spans = cut_words(hypothesis.text)
    assert len(spans) == 3
    language = np.array([-5.0, -6.0, -7.0])
    features = word_features(hypothesis, log_probs, language, spans=spans)
    named = [dict(zip(FEATURES, row, strict=True)) for row in features.tolist()]
    assert [(one["mean"], one["language"], one["language_next"]) for one in named] == [
        (-1.0, -5.0, -6.0), (-2.0, -5.0, -6.0), (-4.0, -6.0, -7.0),
    ]  # fmt: skip
    assert word_features(hypothesis, log_probs, spans=spans).shape == features.shape


def test_a_fit_finds_the_weights_that_made_the_data(rng):
    features = np.column_stack([np.ones(20_000), rng.standard_normal((20_000, 3)), np.full(20_000, 7.0)])
    weights = np.array([0.5, 2.0, -1.0, 0.0, 0.0])
    right = (rng.random(20_000) < 1 / (1 + np.exp(-features @ weights))).astype(float)
    found = fit_calibration(features, right)
    assert found.weights == pytest.approx(weights, abs=0.1)
    assert found.weights[-1] == 0  # what is always the same says nothing


def test_informative_confidences_are_distinguished_from_constant_ones(rng):
    speakers = [f"s{number % 7}" for number in range(70)]
    telling = [np.column_stack([np.ones(50), rng.standard_normal(50)]) for _ in speakers]
    right = [(rng.random(50) < 1 / (1 + np.exp(-3 * one[:, 1]))).astype(float) for one in telling]
    good, folds = measure_reliability(telling, right, speakers)
    blind, _ = measure_reliability([np.ones((50, 1)) for _ in speakers], right, speakers)
    assert good.expected_calibration_error < 0.04
    assert good.normalized_cross_entropy > 0.3
    assert abs(blind.normalized_cross_entropy) < 0.01
    assert (good.words, folds, len(good.bins)) == (3500, 7, 10)


def test_features_are_of_the_words_and_of_nothing_else():
    # "ab b" said at steps 1, 2, 4 (the space), 6; six symbols are never outputs.
    probabilities = np.full((8, 4), 0.02)
    for step, symbol in enumerate([0, 2, 3, 0, 1, 0, 3, 0]):
        probabilities[step, symbol] = 0.94
    probabilities[2] = [0.2, 0.02, 0.5, 0.28]  # the second character is not the likeliest
    log_probs = np.log(probabilities)
    outputs = tuple(log_probs[[1, 2, 4, 6], [2, 3, 1, 3]].tolist())
    features = word_features(Hypothesis("ab b", 0.0, (1, 2, 4, 6), outputs), log_probs, np.array([-1.0, -2.0, -3.0]))
    first, second = (dict(zip(FEATURES, row, strict=True)) for row in features.tolist())
    assert first["mean"] == pytest.approx(np.log([0.94, 0.28]).mean())
    assert first["least_probability"] == pytest.approx(0.28)
    assert first["deficit"] == pytest.approx(np.log(0.5 / 0.28) / 2)
    assert first["worst_deficit"] == pytest.approx(np.log(0.5 / 0.28))
    assert (first["language"], first["language_next"]) == (-1, -2)
    assert (second["deficit"], second["length"], second["language_next"]) == (0, 0, -3)


@pytest.mark.parametrize("text", ["", " "])
def test_no_words_have_no_features(text):
    assert word_features(Hypothesis(text, 0.0, (0,) * len(text), (0.0,) * len(text)), np.zeros((1, 3))).shape == (0, 12)
