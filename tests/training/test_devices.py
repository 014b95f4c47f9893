from __future__ import annotations

import os
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from asr.errors import ConfigError
from asr.settings.training import Precision
from asr.training.devices import Devices, set_seeds


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_reach_the_weights_of_one(backend, tmp_path):
    """With rows of different lengths, an empty one, and gradients that are clipped."""
    if not find_spec(backend):
        pytest.skip(f"{backend} is not installed")
    program = Path(__file__).with_name("data_parallel.py")
    done = subprocess.run(
        [sys.executable, program, backend, tmp_path],
        capture_output=True, text=True, check=False, env=os.environ | {"KERAS_BACKEND": backend},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = [dict(np.load(tmp_path / f"{devices}.npz")) for devices in (1, 2)]
    assert results[0].keys() == results[1].keys()
    for name, array in results[0].items():
        np.testing.assert_allclose(results[1][name], array, rtol=1e-4, atol=2e-5, err_msg=name)


def test_more_devices_than_there_are_is_an_error_with_their_number():
    if keras.backend.backend() == "torch":
        with pytest.raises(ConfigError, match="needs KERAS_BACKEND=jax or tensorflow"):
            Devices(2, Precision.float32)
    else:
        with pytest.raises(ConfigError, match=r"training\.devices=99, but .* finds \d+ on this machine"):
            Devices(99, Precision.float32)


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
