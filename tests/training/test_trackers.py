from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from asr.errors import ConfigError
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.settings.training import TrackingConfig, TrainingConfig
from asr.training.loop import train
from asr.training.trackers import MLflow, TensorBoard, start_trackers

from ..conftest import oracle_module, smoke_manifests


@pytest.fixture
def settings(tmp_path) -> TrainConfig:
    manifests = smoke_manifests(tmp_path, train=6, valid=4)
    return TrainConfig(
        data=DataConfig(train=[str(manifests["train"])], valid=[str(manifests["valid"])]),
        features=FeatureConfig(mels=20),
        model=ModelConfig(depth=1, units=8, projection=0, channels=2),
        training=TrainingConfig(epochs=2, batch_size=3, workers=0),
        tracking=TrackingConfig(examples=2),
    )


def events(folder) -> dict[str, list[int]]:
    """Steps by tag, read by TensorBoard itself."""
    loader = oracle_module("tensorboard.backend.event_processing.event_accumulator")
    accumulator = loader.EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    accumulator.Reload()
    tags = accumulator.Tags()
    found = {tag: [event.step for event in accumulator.Scalars(tag)] for tag in tags["scalars"]}
    found |= {tag: [event.step for event in accumulator.Images(tag)] for tag in tags["images"]}
    return found | {tag: [event.step for event in accumulator.Tensors(tag)] for tag in tags["tensors"]}


def test_tensorboard_gets_scalars_examples_and_a_spectrogram(settings, tmp_path):
    train(settings, tmp_path / "run")
    found = events(tmp_path / "run" / "tensorboard")
    assert found["train/batch_loss"] == found["train/learning_rate"] == [1, 2, 3, 4]
    for tag in ("train/loss", "valid/loss", "valid/cer", "valid/wer", "train/features", "valid/examples/text_summary"):
        assert found[tag] == [2, 4], tag


def test_what_an_interrupted_run_sent_twice_is_shown_once(tmp_path):
    for first, last in ((0, 5), (3, 7)):
        board = TensorBoard(tmp_path, first)
        for step in range(first + 1, last + 1):
            board.scalars(step, {"loss": 1.0})
        board.close()
    assert events(tmp_path)["loss"] == [1, 2, 3, 4, 5, 6, 7]


def test_tensorboard_can_be_turned_off(settings, tmp_path):
    assert [type(one) for one in start_trackers(settings, tmp_path / "on", 0)] == [TensorBoard]
    assert start_trackers(replace(settings, tracking=TrackingConfig(tensorboard=False)), tmp_path / "off", 0) == []
    assert not (tmp_path / "off").exists()


def test_mlflow_gets_settings_metrics_and_artifacts_and_goes_on_under_its_id(settings, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow-skinny")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # databases need more than mlflow-skinny
    uri = f"file:{tmp_path}/mlruns"
    tracked = replace(settings, tracking=TrackingConfig(mlflow=uri, tensorboard=False))
    train(tracked, tmp_path / "run")
    run_id = json.loads((tmp_path / "run" / "mlflow.json").read_text())["run_id"]
    client = mlflow.MlflowClient(tracking_uri=uri)
    run = client.get_run(run_id)
    assert run.data.params["model.units"] == "8"
    assert {"train/loss", "valid/cer"} <= set(run.data.metrics)
    assert run.info.status == "FINISHED"
    again = MLflow(tracked, tmp_path / "run")
    again.scalars(9, {"valid/cer": 0.5})
    assert [metric.step for metric in client.get_metric_history(run_id, "valid/cer")][-1] == 9


def test_a_server_that_is_gone_does_not_end_a_training(settings, tmp_path, caplog, monkeypatch):
    pytest.importorskip("mlflow", reason="needs mlflow-skinny")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    tracked = replace(settings, tracking=TrackingConfig(mlflow=f"file:{tmp_path}/mlruns", tensorboard=False))
    tracker = MLflow(tracked, tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    tracker._client.log_metric = refuse
    with caplog.at_level("WARNING"):
        for step in range(40):
            tracker.scalars(step, {"train/loss": 1.0}, every_batch=True)
    assert caplog.text.count("MLflow does not take what is sent to it (no route)") == 1


def test_mlflow_that_is_not_installed_is_a_configuration_error(settings, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"pip install 'asr\[mlflow\]'"):
        MLflow(replace(settings, tracking=TrackingConfig(mlflow="file:x")), tmp_path)


def test_pictures_are_of_any_level(tmp_path):
    board = TensorBoard(tmp_path, 0)
    board.spectrogram(1, np.linspace(-9, 9, 600, dtype=np.float32).reshape(30, 20))
    board.close()
    assert events(tmp_path)["train/features"] == [1]
