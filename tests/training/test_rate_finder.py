"""The learning-rate range test: what it tries, what it suggests, and that it changes nothing else."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from asr.errors import ConfigError
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.settings.training import TrainingConfig
from asr.training.rate_finder import draw_rate_curve, find_learning_rate, make_curve, smooth
from asr.training.run import train
from asr.training.run_folder import check_run_folder

from ..conftest import smoke_manifests


def test_the_moving_average_of_a_constant_is_that_constant():
    np.testing.assert_allclose(smooth([3.0] * 7), 3.0)
    np.testing.assert_allclose(smooth([1.0, 2.0])[1], (0.85 * 1 + 2) / 1.85)


def test_the_suggested_rate_is_where_the_loss_falls_fastest():
    """A loss that falls as a logistic curve over the logarithm of the rate is steepest at its middle, then diverges."""
    rates = np.logspace(-6, 0, 400)
    # The logarithm of the loss is that curve.
    losses = np.exp(3 - 2 / (1 + np.exp(-4 * (np.log10(rates) + 3)))) + np.where(rates > 0.1, 20 * (rates - 0.1), 0)
    curve = make_curve(rates.tolist(), losses.tolist())
    assert curve.suggested == pytest.approx(1e-3, rel=0.1)


def test_single_batches_of_a_much_larger_loss_change_little():
    rates = np.logspace(-6, 0, 200)
    losses = 5 - 4 / (1 + np.exp(-4 * (np.log10(rates) + 3)))
    spoilt = losses.copy()
    spoilt[3::13] *= 8
    plain, other = (make_curve(rates.tolist(), one.tolist()).suggested for one in (losses, spoilt))
    assert other == pytest.approx(plain, rel=0.5)


@pytest.mark.parametrize("losses", [np.linspace(1, 2, 50), np.ones(50), np.linspace(2, 1, 5)])
def test_nothing_is_suggested_where_the_loss_does_not_fall_or_is_too_short(losses):
    assert make_curve(np.logspace(-6, 0, len(losses)).tolist(), losses.tolist()).suggested is None


@pytest.mark.parametrize("count", [0, 1, 50])
def test_a_curve_of_any_length_can_be_drawn(count):
    curve = make_curve(np.logspace(-6, 0, count).tolist(), np.linspace(2, 1, count).tolist())
    assert draw_rate_curve(curve, loss_name="CTC").startswith(b"\x89PNG")


def test_rates_rise_from_batch_to_batch_and_a_training_may_follow_in_the_folder(tmp_path):
    manifests = smoke_manifests(tmp_path, train=6, valid=2)
    settings = TrainConfig(
        data=DataConfig(train=[str(manifests["train"])], valid=[str(manifests["valid"])]),
        features=FeatureConfig(mels=8),
        model=ModelConfig(depth=1, units=8, projection=0, channels=2),
        training=TrainingConfig(epochs=1, batch_size=3, workers=0),
        lr_finder=True,
    )
    curve = find_learning_rate(settings, tmp_path / "run", batches=25)
    assert sorted(path.name for path in (tmp_path / "run").glob("[!.]*")) == ["lr_finder.csv", "lr_finder.png"]
    with (tmp_path / "run" / "lr_finder.csv").open() as file:
        rows = list(csv.DictReader(file))
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates[0] == pytest.approx(1e-6)
    np.testing.assert_allclose(np.diff(np.log(rates)), np.log(1e6) / 24, rtol=1e-3)
    assert len(curve.losses) == len(rows)
    check_run_folder(tmp_path / "run")
    with pytest.raises(ConfigError, match="lr_finder=true does not train"):
        train(settings, tmp_path / "run")
    find_learning_rate(settings, tmp_path / "run", batches=12)  # replaces its own picture
