"""Training runs of a few seconds: what they write, how they stop, how they go on."""

from __future__ import annotations

import itertools
import json
import signal
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from asr.bundle import load_bundle
from asr.config import (
    AugmentConfig,
    DataConfig,
    FeatureConfig,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
    TrainingConfig,
)
from asr.errors import AsrError, ConfigError
from asr.training.callbacks import EpochWatch
from asr.training.checkpoints import load_checkpoint
from asr.training.loop import WarmupCosine, train

from ..conftest import SMOKE, write_rows

VOLATILE = {"train_seconds", "valid_seconds"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> TrainConfig:
    """Twelve utterances to train on and four to validate on."""
    folder = tmp_path_factory.mktemp("data")
    paths = []
    for part, count in (("train", 12), ("valid", 4)):
        rows = [json.loads(line) for line in (SMOKE / f"{part}.jsonl").read_text().splitlines()[:count]]
        rows = [row | {"audio_filepath": str(SMOKE / row["audio_filepath"])} for row in rows]
        paths.append(str(write_rows(folder / f"{part}.jsonl", rows)))
    return TrainConfig(
        data=DataConfig(train=[paths[0]], valid=[paths[1]]),
        features=FeatureConfig(mels=16),
        augment=AugmentConfig(speeds=[1.0, 1.1], frequency_mask_mels=2),
        model=ModelConfig(depth=1, units=8, projection=8, channels=2, dropout=0.2),
        optimizer=OptimizerConfig(learning_rate=3e-3),
        training=TrainingConfig(epochs=3, batch_size=3),
    )


def without_times(history: list[dict]) -> list[dict]:
    return [{key: value for key, value in record.items() if key not in VOLATILE} for record in history]


@pytest.fixture(scope="module")
def whole_run(settings, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    return train(settings, run_dir)


def test_a_run_directory_holds_history_curves_bundles_and_report(whole_run):
    folder = whole_run.run_dir
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert all(record["utterances"] == 12 and record["batches"] == 4 for record in history)
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((folder / "validation" / "report.json").read_text())
    assert report["utterances"]["total"] == 4
    best = min(history, key=lambda record: record["valid_cer"])
    assert load_bundle(folder / "best").provenance["epoch"] == best["epoch"]
    assert load_bundle(folder / "last").provenance["epoch"] == 3
    assert {path.name for path in folder.iterdir()} == {
        "best", "last", "checkpoint.npz", "history.jsonl", "curves.png", "validation",
    }  # fmt: skip


def test_the_loss_falls(whole_run):
    assert whole_run.history[-1]["train_loss"] < 0.95 * whole_run.history[0]["train_loss"]


@pytest.mark.parametrize("stop_after", [1, 4, 6])
def test_an_interrupted_run_goes_on_without_gap_or_repeat(settings, whole_run, tmp_path, monkeypatch, stop_after):
    """Ctrl-C within an epoch, at its end, and in the next one: history and weights are those of a run in one go."""
    batches = 0
    on_batch_end = EpochWatch.on_train_batch_end

    def interrupt(self, batch, logs=None):
        nonlocal batches
        batches += 1
        if batches == stop_after:
            signal.raise_signal(signal.SIGINT)
        on_batch_end(self, batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(EpochWatch, "on_train_batch_end", interrupt)
        first = train(settings, tmp_path)
    assert first.stopped_by == signal.SIGINT
    assert len(first.history) == stop_after // 4
    second = train(settings, tmp_path)
    assert second.stopped_by is None
    ours, theirs = without_times(second.history), without_times(whole_run.history)
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    weights = load_bundle(whole_run.run_dir / "last").weights()
    for name, array in load_bundle(tmp_path / "last").weights().items():
        np.testing.assert_allclose(array, weights[name], atol=1e-4)
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in history] == [1, 2, 3]


def test_batches_may_agree_in_shape_at_first_and_differ_later(settings, tmp_path, write_audio):
    rows = []
    for number in range(12):
        path = write_audio(f"{number:02d}.wav", seconds=1 if number < 6 else 2)
        rows.append({"audio_filepath": str(path), "text": "abc" if number < 6 else "abcdef"})
    data = replace(settings.data, train=[str(write_rows(tmp_path / "same.jsonl", rows))])
    same = replace(
        settings, data=data, augment=AugmentConfig(speeds=[1.0]), training=TrainingConfig(epochs=1, batch_size=3)
    )
    assert train(same, tmp_path / "run").history[0]["batches"] == 4


def test_a_finished_run_stays_finished(settings, whole_run):
    before = (whole_run.run_dir / "history.jsonl").read_bytes()
    assert len(train(settings, whole_run.run_dir).history) == 3
    assert (whole_run.run_dir / "history.jsonl").read_bytes() == before


def test_a_checkpoint_of_another_model_is_refused(settings, whole_run):
    with pytest.raises(ConfigError, match="another model"):
        train(replace(settings, model=replace(settings.model, units=9)), whole_run.run_dir)


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(b"PK\x03\x04 half a checkpoint")
    with pytest.raises(ConfigError, match=r"checkpoint\.npz: the checkpoint cannot be read"):
        load_checkpoint(path, None)


def test_early_stopping_ends_a_run_that_no_longer_improves(settings, tmp_path):
    hopeless = replace(
        settings,
        optimizer=OptimizerConfig(learning_rate=1e-9),
        training=replace(settings.training, epochs=9, patience=2),
    )
    assert len(train(hopeless, tmp_path).history) == 3


def test_a_loss_that_is_no_number_stops_the_run_with_advice(settings, tmp_path):
    wild = replace(settings, optimizer=OptimizerConfig(learning_rate=1e30, clip_norm=1e30, warmup_steps=0))
    with pytest.raises(AsrError, match=r"no longer a finite number .* lower optimizer\.learning_rate"):
        train(wild, tmp_path)


def test_other_front_ends_cells_and_normalisations_train(settings, tmp_path):
    from asr.config import Cell, FrontEnd, Normalization

    other = replace(
        settings,
        features=FeatureConfig(mels=16, normalization=Normalization.corpus, dither=1e-5),
        model=ModelConfig(front_end=FrontEnd.stack, cell=Cell.gru, bidirectional=False, depth=1, units=8, projection=0),
        training=TrainingConfig(epochs=1),
    )
    result = train(other, tmp_path)
    assert load_bundle(Path(result.run_dir) / "last").log_mel.mean.shape == (16,)


def test_the_rate_rises_then_falls_to_its_last_share():
    schedule = WarmupCosine(OptimizerConfig(learning_rate=2.0, warmup_steps=10, final_share=0.1), 200)
    rates = [float(keras.ops.convert_to_numpy(schedule(step))) for step in range(200)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(2.0)
    assert rates.index(max(rates)) in {9, 10}
    assert rates[-1] == pytest.approx(0.2, rel=0.01)
    assert all(left >= right for left, right in itertools.pairwise(rates[10:]))
