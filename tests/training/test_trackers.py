from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from asr.errors import ConfigError
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.settings.training import TrackingConfig, TrainingConfig
from asr.training.run import train
from asr.training.trackers import BackgroundTracker, MLflow, TensorBoard, Tracker, WeightsAndBiases, start_trackers

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
    assert found["train/gradient_norm"] == found["time/batch_seconds"] == [1, 2, 3, 4]
    for tag in ("train/loss", "valid/loss", "valid/cer", "valid/wer", "train/features", "valid/examples/text_summary"):
        assert found[tag] == [2, 4], tag
    for tag in ("time/train_seconds", "time/valid_seconds", "memory/peak_mb"):
        assert found[tag] == [2, 4], tag
    assert found["best/cer"] == [4]


def test_tensorboard_compares_runs_by_their_settings(settings, tmp_path):
    """The tab of hyperparameters: settings, and the metrics to compare by, as TensorBoard's own plugin reads them."""
    oracle_module("tensorboard.backend.event_processing.event_accumulator")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    board = TensorBoard(tmp_path, 0, settings)
    board.scalars(7, {"valid/cer": 0.5})
    board.results({"best/cer": 0.25})
    board.close()
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    content = accumulator.PluginTagToContent("hparams")
    session = plugin_data_pb2.HParamsPluginData.FromString(content["_hparams_/session_start_info"])
    hparams = session.session_start_info.hparams
    assert hparams["model.units"].number_value == 8
    assert hparams["optimizer.schedule"].string_value == "cosine"
    experiment = plugin_data_pb2.HParamsPluginData.FromString(content["_hparams_/experiment"])
    assert [one.name.tag for one in experiment.experiment.metric_infos] == ["best/cer"]
    assert [(event.step, event.value) for event in accumulator.Scalars("best/cer")] == [(7, 0.25)]


def test_what_an_interrupted_run_sent_twice_is_shown_once(tmp_path):
    for first, last in ((0, 5), (3, 7)):
        board = TensorBoard(tmp_path, first)
        for step in range(first + 1, last + 1):
            board.scalars(step, {"loss": 1.0})
        board.close()
    assert events(tmp_path)["loss"] == [1, 2, 3, 4, 5, 6, 7]


def test_tensorboard_can_be_turned_off(settings, tmp_path):
    (on,) = start_trackers(settings, tmp_path / "on", 0)
    on.close()
    assert list((tmp_path / "on" / "tensorboard").iterdir())
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


def test_weights_and_biases_gets_settings_metrics_and_results_and_goes_on_under_its_id(settings, tmp_path, monkeypatch):
    """Offline, without an account: read from the file that `wandb sync` would send."""
    pytest.importorskip("wandb", reason="needs wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracked = replace(settings, tracking=TrackingConfig(wandb="speech", tensorboard=False))
    for number in range(2):
        tracker = WeightsAndBiases(tracked, tmp_path)
        tracker.scalars(20 * (number + 1), {"train/batch_loss": 1.5}, every_batch=True)
        tracker.scalars(21, {"train/batch_loss": 99.5}, every_batch=True)  # one batch in twenty is enough
        tracker.examples(20, [("a", "one two", "one too")])
        tracker.spectrogram(20, np.zeros((30, 20), np.float32))
        tracker.results({"best/cer": 0.25})
        tracker.conclude([])
        tracker.close()
    run_id = json.loads((tmp_path / "wandb.json").read_text())["run_id"]
    files = sorted((tmp_path / "wandb").glob(f"offline-run-*-{run_id}/run-{run_id}.wandb"))
    assert files
    content = files[-1].read_bytes()
    for text in (b"speech", b"model.units", b"train/batch_loss", b"best/cer", b"valid/examples"):
        assert text in content, text
    assert b"99.5" not in content


def test_weights_and_biases_that_is_not_installed_is_named_before_the_training(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("asr.packages.find_spec", lambda name: None)
    tracked = replace(settings, tracking=TrackingConfig(wandb="speech", tensorboard=False))
    with pytest.raises(ConfigError, match=r"tracking\.wandb.*pip install 'asr\[wandb\]'"):
        start_trackers(tracked, tmp_path, 0)


class BlockedTracker(Tracker):
    """Makes no call before it is released, as with a server that does not answer."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.steps: list[int] = []
        self.calls: list[str] = []

    def scalars(self, step, values, *, every_batch=False):
        self.release.wait(60)
        self.steps.append(step)

    def conclude(self, artifacts):
        self.calls.append("conclude")

    def close(self):
        self.calls.append("close")


def test_a_tracker_that_is_blocked_delays_no_call_and_gets_the_newest_epochs(caplog):
    blocked = BlockedTracker()
    tracker = BackgroundTracker(blocked, name="MLflow")
    with caplog.at_level("WARNING"):
        for step in range(1500):
            tracker.scalars(step, {"train/batch_loss": 1.0}, every_batch=True)
            if step % 100 == 99:
                tracker.scalars(step, {"valid/cer": 0.5})
    assert blocked.steps == []
    assert caplog.text.count("MLflow is slower than the training") == 1
    blocked.release.set()
    tracker.conclude([])
    tracker.close()
    assert blocked.calls == ["conclude", "close"]
    assert 1000 <= len(blocked.steps) < 1030
    # Of the batches the first are kept, of the epochs all.
    assert [step for step in blocked.steps if step % 100 == 99][-5:] == [1099, 1199, 1299, 1399, 1499]
    assert "MLflow has not received" in caplog.text


def test_the_end_of_a_run_waits_for_a_blocked_tracker_no_longer_than_agreed(caplog):
    blocked = BlockedTracker()
    tracker = BackgroundTracker(blocked, name="MLflow", flush_seconds=0.2)
    for step in range(5):
        tracker.scalars(step, {"valid/cer": 0.5})
    tracker.conclude([])
    started = time.monotonic()
    with caplog.at_level("WARNING"):
        tracker.close()
    assert time.monotonic() - started < 10  # 60 s and more if it waited for the tracker
    assert "MLflow has not received 6 updates of this run" in caplog.text
    blocked.release.set()


def test_everything_is_sent_in_order_before_the_end():
    class Slow(BlockedTracker):
        def scalars(self, step, values, *, every_batch=False):
            time.sleep(0.005)
            self.steps.append(step)

    slow = Slow()
    tracker = BackgroundTracker(slow, name="TensorBoard")
    for step in range(20):
        tracker.scalars(step, {"train/batch_loss": 1.0}, every_batch=True)
    tracker.close()
    assert slow.steps == list(range(20))
    assert slow.calls == ["close"]


def test_values_are_those_of_the_moment_when_they_were_given():
    seen = []

    class Keeper(BlockedTracker):
        def scalars(self, step, values, *, every_batch=False):
            self.release.wait(60)
            seen.append(dict(values))

    keeper, values = Keeper(), {"valid/cer": 0.5}
    tracker = BackgroundTracker(keeper, name="TensorBoard")
    tracker.scalars(1, values)
    values["valid/cer"] = 0.1
    keeper.release.set()
    tracker.close()
    assert seen == [{"valid/cer": 0.5}]


def test_a_server_that_is_gone_does_not_end_a_training_and_may_come_back(settings, tmp_path, caplog, monkeypatch):
    pytest.importorskip("mlflow", reason="needs mlflow-skinny")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    tracked = replace(settings, tracking=TrackingConfig(mlflow=f"file:{tmp_path}/mlruns", tensorboard=False))
    server = MLflow(tracked, tmp_path)
    log_metric, sent = server._client.log_metric, []

    def refuse_most(run_id: str, name: str, value: float, step: int) -> None:
        if step < 80:
            raise ConnectionError("no route")
        sent.append(step)
        log_metric(run_id, name, value, step=step)

    server._client.log_metric = refuse_most
    tracker = BackgroundTracker(server, name="MLflow")
    with caplog.at_level("WARNING"):
        for step in range(100):
            tracker.scalars(step, {"train/loss": 1.0}, every_batch=True)
        tracker.close()
    assert sent == [80]
    assert caplog.text.count("MLflow does not accept what is sent to it (no route)") == 1
    assert "MLflow has not received 4 updates" in caplog.text


def test_mlflow_that_is_not_installed_is_a_configuration_error(settings, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"pip install 'asr\[mlflow\]'"):
        MLflow(replace(settings, tracking=TrackingConfig(mlflow="file:x")), tmp_path)


def test_pictures_are_of_any_level(tmp_path):
    board = TensorBoard(tmp_path, 0)
    board.spectrogram(1, np.linspace(-9, 9, 600, dtype=np.float32).reshape(30, 20))
    board.close()
    assert events(tmp_path)["train/features"] == [1]
