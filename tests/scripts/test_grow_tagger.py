"""A model of punctuation that is to be trained on as a larger one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from asr.punctuation.tagger import Tagger, TaggerHeader
from asr.punctuation.tagger_export import export_tagger
from asr.settings.tagger import TaggerConfig
from scripts.research.grow_tagger import narrower, with_top, with_words

from ..punctuation.conftest import SPELLINGS, VOCABULARY, random_weights

HEADER = TaggerHeader(
    TaggerConfig(vocabulary=len(VOCABULARY), buckets=50, embedding=12, units=16), VOCABULARY, SPELLINGS
)
TEXT = "he said yes and ann said the other words that no list has".split()  # noqa: SIM905


def logits(weights: dict[str, np.ndarray], header: TaggerHeader) -> np.ndarray:
    return Tagger(export_tagger(weights, header), "model").logits(
        header.features.of_words(TEXT), np.zeros(len(TEXT), np.int32)
    )


def test_a_further_lstm_changes_nothing_at_first() -> None:
    weights = random_weights(HEADER.settings, HEADER.features.size)
    grown, header = with_top(weights, HEADER, 5)
    assert header.settings.top_units == 5
    assert grown["recurrent_3/kernel"].shape == (2, 32, 20)
    np.testing.assert_allclose(logits(grown, header), logits(weights, HEADER), atol=1e-5)


def test_vectors_of_few_dimensions_lose_nothing_when_they_are_narrower() -> None:
    rng = np.random.default_rng(1)
    weights = random_weights(HEADER.settings, HEADER.features.size)
    directions = rng.normal(size=(5, 12))
    weights["pieces"] = (rng.normal(size=(len(weights["pieces"]), 5)) @ directions).astype(np.float32)
    changed, header = narrower(weights, HEADER, 5)
    assert header.settings == replace(HEADER.settings, embedding=5)
    # What the first LSTM gets from the vectors of words.
    before, after = (
        one["pieces"] @ one["recurrent_1/kernel"][0, : one["pieces"].shape[1]] for one in (weights, changed)
    )
    np.testing.assert_allclose(after, before, atol=1e-3)
    assert np.array_equal(changed["recurrent_1/kernel"][:, 5:], weights["recurrent_1/kernel"][:, 12:])


def test_other_words_take_the_places_of_the_last_ones_and_begin_as_unknown_words() -> None:
    weights = random_weights(HEADER.settings, HEADER.features.size)
    changed, header = with_words(weights, HEADER, ["he", "wifi", "wifi", "okay"])
    assert header.vocabulary == (*VOCABULARY[:-2], "wifi", "okay")
    before, after = (
        Tagger(export_tagger(one, header), "model").logits(
            header.features.of_words(["he", "okay"]), np.zeros(2, np.int32)
        )
        for one in (weights, changed)
    )
    unknown = Tagger(export_tagger(weights, HEADER), "model").logits(
        HEADER.features.of_words(["he", "okay"]), np.zeros(2, np.int32)
    )
    np.testing.assert_allclose(after, unknown, atol=1e-5)
    assert np.abs(before - unknown).max() > 1e-3
