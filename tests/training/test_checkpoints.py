"""Checkpoints by themselves, without a training."""

from __future__ import annotations

import ast
import json
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


def test_a_checkpoint_of_version_0_1_comes_back(tmp_path):
    """The state as the first version wrote it, word for word."""
    record = (
        '{"epoch": 1, "train_loss": 19.2, "valid_loss": 17.5, "valid_cer": 1.0, "valid_wer": 1.0, "blank_share": 0.0, '
        '"learning_rate": 0.003, "batches": 6, "utterances": 24, "left_out": 1, "skipped_batches": 0, '
        '"padding_share": 0.25, "train_seconds": 1.5, "input_wait_share": 0.125, "valid_seconds": 0.5}'
    )
    state = (
        '{"format": 2, "progress": {"epoch": 1, "batch": 2, "batches": 8, "nats": 700.5, "symbols": 40, '
        '"utterances": 8, "left_out": 0, "skipped": 0, "seconds": 0.5, "waited": 0.25, '
        '"best_cer": 1.0, "best_epoch": 0, '
        f'"history": [{record}]}}}}'
    )
    arrays = {name: keras.ops.convert_to_numpy(one) for name, one in variables().items()}
    np.savez(tmp_path / "000000008.npz", state=np.array(state), **arrays)
    progress = load_checkpoint(tmp_path, variables())
    assert progress is not None
    (epoch,) = progress.history
    assert (epoch.epoch, epoch.valid_cer, epoch.left_out, epoch.valid_seconds) == (1, 1.0, 1, 0.5)
    save_checkpoint(tmp_path, variables(), progress)
    with np.load(tmp_path / "000000008.npz") as arrays:
        assert json.loads(str(arrays["state"])) == json.loads(state)


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
