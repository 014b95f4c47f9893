"""The mean of some epochs of a run, and which epochs a run keeps for it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asr.bundle import load_bundle
from asr.errors import ConfigError
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.settings.training import OptimizerConfig, TrackingConfig, TrainingConfig
from asr.settings.yaml_text import to_yaml
from asr.training.average import average_epochs, choose_epochs, mean_weights
from asr.training.epoch_record import EpochRecord, best_epochs
from asr.training.run import train

from ..conftest import smoke_manifests


def record(epoch: int, cer: float | None) -> EpochRecord:
    return EpochRecord(epoch=epoch, train_loss=1.0, valid_cer=cer, learning_rate=0.1)


HISTORY = [record(1, 0.9), record(2, 0.5), record(3, None), record(4, 0.5), record(5, 0.4)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("best:1", [5]), ("best:2", [2, 5]), ("best:9", [1, 2, 4, 5]), ("last:2", [4, 5]), ("4,1", [1, 4]), ("[2]", [2])],
)
def test_epochs_are_named_by_rank_or_by_number(text, wanted):
    kept = [one for one in HISTORY if one.valid_cer is not None]
    assert choose_epochs(text, kept, Path("run")) == wanted


@pytest.mark.parametrize(
    ("text", "kept", "message"),
    [
        ("best:2", [], r"training\.keep_epochs=5"),
        ("worst:2", HISTORY, "epochs must be best:5, last:5 or numbers"),
        ("best:0", HISTORY, "epochs must be best:5"),
        ("last:" + 5000 * "9", HISTORY, "epochs must be best:5"),
        ("3," + 5000 * "9", HISTORY, "epochs must be best:5"),
        ("2,7", HISTORY[:2], "epoch 7 are not kept, but those of 1, 2 are"),
    ],
)
def test_epochs_that_are_not_there_are_refused_with_those_that_are(text, kept, message):
    with pytest.raises(ConfigError, match=message):
        choose_epochs(text, kept, Path("run"))


def test_the_best_epochs_are_those_with_the_lowest_rates_and_the_earlier_of_equals():
    assert [one.epoch for one in best_epochs(HISTORY, 3)] == [5, 2, 4]


def test_the_mean_is_that_of_every_weight(tmp_path):
    for number in (1, 2, 6):
        np.savez(tmp_path / f"{number}.npz", a=np.full(3, number, np.float32), b=np.float32([[number**2]]))
    mean = mean_weights([tmp_path / f"{number}.npz" for number in (1, 2, 6)])
    np.testing.assert_array_equal(mean["a"], np.full(3, 3, np.float32))
    np.testing.assert_allclose(mean["b"], [[41 / 3]], rtol=1e-6)
    (tmp_path / "2.npz").write_bytes(b"PK half")
    with pytest.raises(ConfigError, match=r"2\.npz cannot be read"):
        mean_weights([tmp_path / "2.npz"])


def test_a_run_keeps_its_best_epochs_and_their_mean_is_measured_as_they_were(tmp_path):
    manifests = smoke_manifests(tmp_path, train=6, valid=3)
    settings = TrainConfig(
        data=DataConfig(train=[str(manifests["train"])], valid=[str(manifests["valid"])]),
        features=FeatureConfig(mels=8),
        model=ModelConfig(depth=1, units=8, projection=0, channels=2),
        optimizer=OptimizerConfig(learning_rate=1e-2),
        training=TrainingConfig(epochs=3, batch_size=6, workers=0, keep_epochs=2),
        tracking=TrackingConfig(tensorboard=False),
    )
    history = train(settings, tmp_path / "run").history
    best = sorted(one.epoch for one in best_epochs(history, 2))
    assert sorted(path.name for path in (tmp_path / "run" / "epochs").iterdir()) == [f"{one:04d}.npz" for one in best]
    alone = average_epochs(tmp_path / "run", str(best[0]))
    assert alone.score.characters.rate == history[best[0] - 1].valid_cer
    other = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "run" / "best").iterdir()}
    both = average_epochs(tmp_path / "run", "best:2")
    assert both.epochs == tuple(best)
    bundle = load_bundle(both.bundle)
    assert bundle.provenance["averaged_epochs"] == best
    (rates,) = bundle.error_rates.values()
    assert rates["cer"] == both.score.characters.rate
    parts = [np.load(tmp_path / "run" / "epochs" / f"{one:04d}.npz") for one in best]
    for name, array in bundle.weights().items():
        mean = (parts[0][name].astype(float) + parts[1][name]) / 2
        np.testing.assert_allclose(array, mean, rtol=2e-3, atol=1e-6)
    assert other == {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in other}
    manifests["valid"].write_text("".join(manifests["valid"].read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(ConfigError, match=r"valid\.jsonl has changed since this run began"):
        average_epochs(tmp_path / "run", "best:2")
    for number in (1, 2):
        (tmp_path / "run" / "config.yaml").write_text(
            to_yaml(replace(settings, training=TrainingConfig(overfit=number)))
        )
        with pytest.raises(ConfigError, match=rf"no validation set: it learnt training\.overfit={number} utterances"):
            average_epochs(tmp_path / "run", "best:2")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no run"):
        average_epochs(tmp_path)


def test_a_run_may_keep_no_epochs():
    assert replace(TrainingConfig(), keep_epochs=0).keep_epochs == 0
