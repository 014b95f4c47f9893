"""A training's seeds are those of Keras."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np

from asr.training.seeds import set_seeds


def drawn() -> list[Any]:
    """A number of each generator that layers of ours or of Keras draw from."""
    dropout = keras.random.uniform((3,), seed=keras.random.SeedGenerator())
    own = keras.random.normal((3,))
    return [random.random(), np.random.random(), *map(keras.ops.convert_to_numpy, (dropout, own))]  # noqa: NPY002


def test_the_numbers_that_are_drawn_are_those_after_keras_function():
    results = []
    for seed_all in (keras.utils.set_random_seed, set_seeds):
        keras.utils.clear_session()
        seed_all(11)
        results.append(drawn())
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)
