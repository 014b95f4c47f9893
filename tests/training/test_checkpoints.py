"""Checkpoints by themselves, without a training."""

from __future__ import annotations

import ast
import zipfile

import keras
import numpy as np
import pytest

from asr.errors import ConfigError
from asr.training.checkpoints import Progress, find_checkpoints, load_checkpoint, save_checkpoint

from ..conftest import REPOSITORY


def variables() -> dict[str, keras.Variable]:
    return {"kernel": keras.Variable(np.arange(6.0).reshape(2, 3)), "step": keras.Variable(3)}


def test_variables_and_progress_come_back(tmp_path):
    save_checkpoint(tmp_path, variables(), Progress(batches=7, best_cer=0.5))
    fresh = {name: keras.Variable(np.zeros(one.shape)) for name, one in variables().items()}
    assert load_checkpoint(tmp_path, fresh) == Progress(batches=7, best_cer=0.5)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(fresh["kernel"]), np.arange(6.0).reshape(2, 3))


def test_an_array_that_an_older_numpy_added_by_itself_is_passed_over(tmp_path):
    """`numpy.savez(..., allow_pickle=False)` stored an array of that name before NumPy 2.2."""
    save_checkpoint(tmp_path, variables(), Progress(batches=7))
    (path,) = find_checkpoints(tmp_path)
    with zipfile.ZipFile(path, "a") as archive, archive.open("allow_pickle.npy", "w") as member:
        np.lib.format.write_array(member, np.array(False))
    assert load_checkpoint(tmp_path, variables()) == Progress(batches=7)


def test_another_array_is_that_of_another_model(tmp_path):
    save_checkpoint(tmp_path, {**variables(), "bias": keras.Variable(0.0)}, Progress())
    with pytest.raises(ConfigError, match="another model"):
        load_checkpoint(tmp_path, variables())


def test_arrays_are_written_without_keywords_that_an_older_numpy_would_store():
    for folder in ("asr", "scripts"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and "savez" in ast.unparse(node.func):
                    assert "allow_pickle" not in [keyword.arg for keyword in node.keywords], path
