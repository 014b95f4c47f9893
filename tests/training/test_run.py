"""Training runs of a few seconds: what they write, how they stop, how they go on."""

from __future__ import annotations

import csv
import doctest
import json
import logging
import shutil
import signal
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from asr.bundle import Bundle, load_bundle
from asr.corpus.manifest import read_manifest
from asr.errors import ConfigError, DivergenceError, OutputError, TrainingError
from asr.files import OutputJournal
from asr.settings.augment import AugmentConfig
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.settings.training import OptimizerConfig, Schedule, TrainingConfig
from asr.settings.yaml_text import to_yaml
from asr.training.checkpoints import Progress, find_checkpoints, load_checkpoint
from asr.training.engine import Engine
from asr.training.epoch_record import EpochRecord
from asr.training.run import train
from asr.training.validation_report import report_best
from scripts.research import replay_batch

from ..conftest import REPOSITORY, smoke_manifests, write_rows

VOLATILE = {"train_seconds", "valid_seconds", "input_wait_share"}
LOSS_COLUMNS = ("epoch", "batch", "loss", "learning_rate")


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> TrainConfig:
    """Twelve utterances to train on and four to validate on."""
    manifests = smoke_manifests(tmp_path_factory.mktemp("data"), train=12, valid=4)
    return TrainConfig(
        data=DataConfig(train=[str(manifests["train"])], valid=[str(manifests["valid"])]),
        features=FeatureConfig(mels=16),
        augment=AugmentConfig(speeds=[1.0, 1.1], frequency_mask_mels=2),
        model=ModelConfig(depth=1, units=8, projection=8, channels=2, dropout=0.2),
        optimizer=OptimizerConfig(learning_rate=3e-3),
        training=TrainingConfig(epochs=3, batch_size=3),
    )


def without_times(history: Sequence[EpochRecord]) -> list[dict]:
    return [{key: value for key, value in asdict(record).items() if key not in VOLATILE} for record in history]


def losses(run_dir: Path) -> list[tuple[str, ...]]:
    """What a run wrote of its batches, but for the times."""
    with (run_dir / "batches.csv").open() as file:
        return [tuple(row[column] for column in LOSS_COLUMNS) for row in csv.DictReader(file)]


def after_batches(monkeypatch, count: int, action) -> None:
    """Have something happen when so many batches are done."""
    step, done = Engine.step, 0

    def counting(self, *args):
        nonlocal done
        result = step(self, *args)
        done += 1
        if done == count:
            action()
        return result

    monkeypatch.setattr(Engine, "step", counting)


@pytest.fixture(scope="module")
def whole_run(settings, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    return train(settings, run_dir)


@pytest.fixture(scope="module")
def made_stopped(settings, tmp_path_factory) -> tuple[TrainConfig, Path]:
    """A run that ended in its second epoch, after batch 6, with a checkpoint after every batch."""
    folder = tmp_path_factory.mktemp("stopped")
    data = replace(settings.data, train=[str(shutil.copy(settings.data.train[0], folder / "train.jsonl"))])
    every_batch = replace(settings, data=data, training=replace(settings.training, checkpoint_minutes=0))
    with pytest.MonkeyPatch.context() as patch:
        after_batches(patch, 6, lambda: signal.raise_signal(signal.SIGTERM))
        assert train(every_batch, folder / "run").stopped_by == signal.SIGTERM
    return every_batch, folder / "run"


@pytest.fixture
def stopped(made_stopped, tmp_path) -> tuple[TrainConfig, Path]:
    """A copy of that run."""
    settings, run_dir = made_stopped
    return settings, Path(shutil.copytree(run_dir, tmp_path / "run"))


def test_a_run_directory_holds_what_its_docstring_says(whole_run):
    folder = whole_run.run_dir
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in history] == [1, 2, 3]
    assert all(record["utterances"] == 12 and record["batches"] == 4 for record in history)
    assert all(0 <= record["padding_share"] < 0.6 and record["left_out"] == 0 for record in history)
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((folder / "validation" / "report.json").read_text())
    assert report["references"]["utterances"] == 4
    best = min(history, key=lambda record: record["valid_cer"])
    assert load_bundle(folder / "best").provenance["epoch"] == best["epoch"]
    assert load_bundle(folder / "last").provenance["epoch"] == 3
    assert len(losses(folder)) == 12
    assert [path.name for path in find_checkpoints(folder / "checkpoints")] == ["000000012.npz", "000000008.npz"]
    assert {path.name for path in folder.iterdir()} == {
        "best", "last", "checkpoints", "history.jsonl", "batches.csv", "run.json", "curves.png", "validation", ".lock",
        "tensorboard", "config.yaml", "epochs",
    }  # fmt: skip


def test_training_returns_the_history_the_best_bundle_and_how_it_ended(whole_run):
    lines = (whole_run.run_dir / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [record.as_dict() for record in whole_run.history]
    assert whole_run.best_bundle == whole_run.run_dir / "best"
    assert whole_run.stopped_by is None


@pytest.mark.slow
def test_the_example_of_the_docstring_runs(tmp_path, monkeypatch):
    """Its quick sibling is the test above: the example is a training on the samples that come with the repository."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(REPOSITORY / "data")
    source = (train.__doc__ or "").replace("# doctest: +SKIP", "")
    example = doctest.DocTestParser().get_doctest(source, {}, "train", None, None)
    assert len(example.examples) == 5
    assert doctest.DocTestRunner().run(example).failed == 0


def test_a_folder_of_something_else_is_refused_before_anything_is_written(settings, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"'thesis\.txt' is there"):
        train(settings, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_with_mmi_learns_what_stands_out_among_the_letters_of_its_transcripts(settings, tmp_path):
    training = TrainingConfig(epochs=2, batch_size=3, mmi_weight=0.5, mmi_order=3)
    first, second = (
        record.train_loss for record in train(replace(settings, training=training), tmp_path / "mmi").history
    )
    assert 0 < second < first


def test_the_loss_falls(whole_run):
    assert whole_run.history[-1].train_loss < 0.95 * whole_run.history[0].train_loss


def test_the_loss_of_an_epoch_lies_between_those_of_its_batches(whole_run):
    by_batch = [float(row[2]) for row in losses(whole_run.run_dir) if row[0] == "1"]
    assert min(by_batch) < whole_run.history[0].train_loss < max(by_batch)


@pytest.mark.parametrize(("stop_after", "workers"), [(1, 1), (4, 0), (6, 1)])
def test_an_interrupted_run_goes_on_without_gap_or_repeat(
    settings, whole_run, tmp_path, monkeypatch, stop_after, workers
):
    """Ctrl-C within an epoch, at its end, and in the next one: every loss is that of a run in one go, to the bit."""
    settings = replace(settings, training=replace(settings.training, workers=workers))
    with monkeypatch.context() as patch:
        after_batches(patch, stop_after, lambda: signal.raise_signal(signal.SIGINT))
        first = train(settings, tmp_path)
    assert first.stopped_by == signal.SIGINT
    assert len(first.history) == stop_after // 4
    assert len(losses(tmp_path)) == stop_after
    second = train(settings, tmp_path)
    assert second.stopped_by is None
    assert losses(tmp_path) == losses(whole_run.run_dir)
    assert without_times(second.history) == without_times(whole_run.history)
    weights = load_bundle(whole_run.run_dir / "last").weights()
    for name, array in load_bundle(tmp_path / "last").weights().items():
        np.testing.assert_array_equal(array, weights[name])
    history = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in history] == [1, 2, 3]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(whole_run, stopped, caplog):
    """Cut short, and with one bit turned."""
    every_batch, run_dir = stopped
    newest = find_checkpoints(run_dir / "checkpoints")[0]
    content = newest.read_bytes()
    turned = bytearray(content)
    turned[len(turned) // 2] ^= 1
    with np.load(newest, allow_pickle=False) as arrays:
        variables = {name: keras.Variable(arrays[name], trainable=False) for name in arrays.files if name != "state"}
    for damaged in (content[:-1000], b"", bytes(turned)):
        newest.write_bytes(damaged)
        caplog.clear()
        progress = load_checkpoint(newest.parent, variables)
        assert f"{newest.name} cannot be read" in caplog.text
        assert progress is not None
        assert (progress.epoch, progress.batch) == (1, 1)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        train(every_batch, run_dir)
    assert f"{newest.name} cannot be read" in caplog.text
    assert "resuming from epoch 2, batch 2" in caplog.text
    assert losses(run_dir) == losses(whole_run.run_dir)


def test_a_run_whose_checkpoints_are_all_damaged_is_refused(settings, whole_run, tmp_path):
    shutil.copytree(whole_run.run_dir, tmp_path / "run")
    for path in find_checkpoints(tmp_path / "run" / "checkpoints"):
        path.write_bytes(b"PK\x03\x04 half a checkpoint")
    with pytest.raises(ConfigError, match="none of the 2 checkpoints can be read"):
        train(settings, tmp_path / "run")


def test_a_finished_run_stays_finished(settings, whole_run, caplog):
    before = (whole_run.run_dir / "history.jsonl").read_bytes()
    with caplog.at_level(logging.INFO):
        assert len(train(settings, whole_run.run_dir).history) == 3
    assert "the run is complete" in caplog.text
    assert "resuming" not in caplog.text
    assert (whole_run.run_dir / "history.jsonl").read_bytes() == before


def test_a_run_is_not_continued_with_other_settings(settings, whole_run):
    with pytest.raises(ConfigError, match=r"other settings: model\.units is 8 there and 9 here\. `asr train run_dir="):
        train(replace(settings, model=replace(settings.model, units=9)), whole_run.run_dir)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_finished_run_goes_on_with_more_epochs_and_can_be_interrupted_there(settings, tmp_path, monkeypatch, caplog):
    """The epochs that were done stay as they were; an interruption later changes nothing."""
    longer = replace(settings, training=replace(settings.training, epochs=3))
    short = replace(settings, training=replace(settings.training, epochs=1))
    first = train(short, tmp_path / "one").history
    done = losses(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with caplog.at_level(logging.INFO):
        history = train(longer, tmp_path / "one").history
    assert "continuing after epoch 1, to 3 epochs instead of 1" in caplog.text
    assert [one.epoch for one in history] == [1, 2, 3]
    assert history[0] == first[0]
    assert losses(tmp_path / "one")[: len(done)] == done
    assert "epochs: 3" in (tmp_path / "one" / "config.yaml").read_text()
    with monkeypatch.context() as patch:
        after_batches(patch, 2, lambda: signal.raise_signal(signal.SIGTERM))
        train(longer, tmp_path / "two")
    again = train(longer, tmp_path / "two").history
    assert losses(tmp_path / "two") == losses(tmp_path / "one")
    assert without_times(again) == without_times(history)


def test_a_model_card_and_what_others_put_beside_a_model_are_kept_and_end_no_training(
    settings, tmp_path, monkeypatch, caplog
):
    run_dir = tmp_path / "run"
    folders = [run_dir / "best", run_dir / "last"]
    train(replace(settings, training=replace(settings.training, epochs=1)), run_dir)
    for folder in folders:
        OutputJournal().write(folder / "README.md", b"a card, as `asr card` writes it")

    def meanwhile() -> None:
        for folder in folders:
            (folder / "notes").mkdir()
            (folder / "notes" / "mine.txt").write_text("mine")

    after_batches(monkeypatch, 2, meanwhile)
    history = train(replace(settings, training=replace(settings.training, epochs=2)), run_dir).history
    assert [one.epoch for one in history] == [1, 2]
    for folder in folders:
        assert OutputJournal().is_ours(folder / "README.md")
        assert (folder / "notes" / "mine.txt").read_text() == "mine"
        shutil.rmtree(folder / "notes")
    assert load_bundle(run_dir / "last").provenance["epoch"] == 2
    assert "last: kept beside the new model: .asr-outputs.jsonl, README.md, notes" in caplog.text
    (run_dir / "best" / "README.md").write_text("my own")
    with pytest.raises(OutputError, match=r"best: holds 'README\.md', .* move it out of there"):
        train(replace(settings, training=replace(settings.training, epochs=4)), run_dir)


def test_a_number_of_epochs_that_cannot_be_is_refused_with_the_command_that_works(settings, whole_run, stopped):
    three = replace(settings, training=replace(settings.training, epochs=2))
    with pytest.raises(
        ConfigError, match=r"3 epochs are done, so training\.epochs=2 changes nothing: `asr train run_dir"
    ):
        train(three, whole_run.run_dir)
    every_batch, run_dir = stopped
    with pytest.raises(ConfigError, match=r"interrupted in epoch 2: `asr train run_dir=.*run` completes its 3 epochs"):
        train(replace(every_batch, training=replace(every_batch.training, epochs=9)), run_dir)


def test_a_command_continues_a_run_unless_it_changes_something(settings, whole_run, tmp_path):
    """What is not given is as in the run: only what is given, and differs, is named."""
    from asr.cli.training_run import with_run_dir

    bare = TrainConfig(run_dir=str(whole_run.run_dir))  # all defaults: units=256 and much more differ
    assert with_run_dir(bare, {"run_dir"}) == replace(settings, run_dir=str(whole_run.run_dir))
    more = with_run_dir(replace(bare, training=TrainingConfig(epochs=40)), {"run_dir", "training.epochs"})
    assert more == replace(with_run_dir(bare, {"run_dir"}), training=replace(settings.training, epochs=40))
    same = replace(bare, data=DataConfig(train=settings.data.train))
    assert with_run_dir(same, {"run_dir", "data.train"}).training.epochs == 3
    rate = replace(bare, optimizer=OptimizerConfig(learning_rate=1e-4))
    with pytest.raises(ConfigError) as caught:
        with_run_dir(rate, {"run_dir", "optimizer.learning_rate"})
    message = str(caught.value)
    assert "other settings: optimizer.learning_rate is 0.003 there and 0.0001 here. `asr train run_dir=" in message
    assert "model.units" not in message
    with pytest.raises(ConfigError, match=r"model\.depth is 1 there and 3 here"):
        with_run_dir(bare, {"run_dir", "model"})


def test_two_trainings_do_not_share_a_folder(settings, whole_run):
    import fcntl

    with (whole_run.run_dir / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another process is training here"):
            train(settings, whole_run.run_dir)


def test_a_run_records_what_it_was_made_of(whole_run, settings):
    record = json.loads((whole_run.run_dir / "run.json").read_text())
    start = record["starts"][0]
    assert start["machine"]["cores"] >= 1
    assert start["versions"]["keras"]
    assert set(start["manifests"]) == {*settings.data.train, *settings.data.valid}
    assert all(len(digest) == 64 for digest in start["manifests"].values())
    assert {"of", "commit", "changed"} <= set(start["git"] or {"of": "", "commit": "", "changed": ""})
    assert start["init"] is None
    assert set(record["bundles"]) == {"best", "last"}
    assert set(record["bundles"]["best"]) == {
        "bundle.json",
        "weights.safetensors",
        "statistics.safetensors",
        "model.onnx",
    }


def test_a_manifest_that_changed_ends_a_run_that_would_go_on(stopped):
    settings, run_dir = stopped
    manifest = Path(settings.data.train[0])
    content = manifest.read_text()
    manifest.write_text("".join(content.splitlines(keepends=True)[1:]))
    try:
        with pytest.raises(ConfigError, match=r"train\.jsonl has changed since this run began"):
            train(settings, run_dir)
    finally:
        manifest.write_text(content)


def test_a_report_of_another_model_is_replaced_however_the_run_before_ended(settings, whole_run, tmp_path, monkeypatch):
    """As where a run was extended, and killed before it could report its new best model."""
    run_dir, names = Path(shutil.copytree(whole_run.run_dir, tmp_path / "run")), settings.data.valid
    report = partial(report_best, run_dir, settings, read_manifest(names[0]).utterances, names)

    def about() -> dict:
        return json.loads((run_dir / "validation" / "report.json").read_text())["systems"][0]["about"]

    bundle = load_bundle(run_dir / "best")
    assert about()["acoustic_digest"] == bundle.acoustic_digest
    assert about()["epoch"] == bundle.provenance["epoch"]
    assert report() == []
    monkeypatch.setattr(Bundle, "acoustic_digest", "of another model")
    assert len(report()) == 2
    assert about()["acoustic_digest"] == "of another model"
    assert report() == []
    # As in a report of an earlier version, which has no digest.
    monkeypatch.setattr("asr.training.validation_report._DIGEST", "missing")
    assert report() == []
    assert len(report(replace_earlier=True)) == 2


def test_settings_that_plan_other_batches_end_a_run_that_would_go_on(stopped):
    settings, run_dir = stopped
    other = replace(settings, training=replace(settings.training, batch_size=4))
    (run_dir / "config.yaml").write_text(to_yaml(other))
    with pytest.raises(TrainingError, match="after batch 6, which these settings plan as batch 5"):
        train(other, run_dir)


def test_batches_may_agree_in_shape_at_first_and_differ_later(settings, tmp_path, write_audio):
    rows = []
    for number in range(12):
        path = write_audio(f"{number:02d}.wav", seconds=1 if number < 6 else 2)
        rows.append({"audio_filepath": str(path), "text": "abc" if number < 6 else "abcdef"})
    data = replace(settings.data, train=[str(write_rows(tmp_path / "same.jsonl", rows))])
    same = replace(
        settings, data=data, augment=AugmentConfig(speeds=[1.0]), training=TrainingConfig(epochs=1, batch_size=3)
    )
    assert train(same, tmp_path / "run").history[0].batches == 4


def test_what_is_counted_in_an_epoch_is_counted_anew_in_the_next(whole_run):
    history = list(whole_run.history)
    progress = Progress(
        epoch=2, batch=4, batches=12, nats=9.0, symbols=7, utterances=30, left_out=2, skipped=1, seconds=8.0,
        waited=0.5, best_cer=0.3, best_epoch=1, history=history,
    )  # fmt: skip
    progress.next_epoch()
    assert progress == Progress(epoch=3, batches=12, skipped=1, best_cer=0.3, best_epoch=1, history=history)


def test_early_stopping_ends_a_run_that_no_longer_improves(settings, tmp_path):
    hopeless = replace(
        settings,
        optimizer=OptimizerConfig(learning_rate=1e-9),
        training=replace(settings.training, epochs=9, patience=2),
    )
    assert len(train(hopeless, tmp_path).history) == 3


def test_patience_is_tried_by_validations_alone(settings, tmp_path):
    """Not by epochs that pass without one: at the end there is always a best model."""
    hopeless = replace(
        settings,
        optimizer=OptimizerConfig(learning_rate=1e-9),
        training=TrainingConfig(epochs=8, batch_size=12, workers=0, valid_every=3, patience=2),
    )
    result = train(hopeless, tmp_path)
    assert [record.valid_cer is not None for record in result.history] == [False, False, True] * 2
    assert result.best_bundle == tmp_path / "best"
    assert len(train(hopeless, tmp_path).history) == 6


def test_a_run_without_a_step_of_the_optimizer_is_refused(settings, tmp_path, monkeypatch):
    """Two epochs of two batches."""

    class BegunError(Exception):
        pass

    def begin(*args, **more):
        raise BegunError

    monkeypatch.setattr("asr.training.run.make_engine", begin)
    training = TrainingConfig(epochs=2, batch_size=6, buckets=1, workers=0, accumulate=5)
    with pytest.raises(ConfigError, match=r"accumulate=5: .* training\.epochs=2 has only 4: lower"):
        train(replace(settings, training=training), tmp_path / "none")
    with pytest.raises(BegunError):
        train(replace(settings, training=replace(training, accumulate=4)), tmp_path / "one")


def with_an_impossible_label(settings: TrainConfig, monkeypatch) -> str:
    """One utterance of training gets a label that no alignment reaches, after all checks; its id."""
    from asr.training import training_data
    from asr.training.examples import Examples

    class Sabotaged(Examples):
        def label(self, index: int, epoch: int) -> list[int]:
            sabotaged = len(self.utterances) == 12 and index == 7
            return [1, 2] * 400 if sabotaged else super().label(index, epoch)

        def prepare(self, *args, **kwargs):
            import asr.training.examples as module

            needed, module.steps_needed = module.steps_needed, lambda label: 0
            try:
                return super().prepare(*args, **kwargs)
            finally:
                module.steps_needed = needed

    monkeypatch.setattr(training_data, "Examples", Sabotaged)
    return read_manifest(settings.data.train[0]).utterances[7].id


def test_a_loss_that_is_no_number_names_its_utterance_saves_the_batch_and_is_passed_over(
    settings, tmp_path, monkeypatch, caplog, capsys
):
    settings = replace(settings, training=replace(settings.training, workers=0))
    identity = with_an_impossible_label(settings, monkeypatch)
    with caplog.at_level(logging.WARNING):
        result = train(settings, tmp_path)
    messages = [message for message in caplog.messages if "is skipped" in message]
    assert len(messages) == 3  # once an epoch
    assert f"the loss of {identity} is not finite (epoch 1, batch " in messages[0]
    assert result.history[-1].skipped_batches == 3
    assert np.isfinite([record.train_loss for record in result.history]).all()
    saved = sorted((tmp_path / "non_finite").iterdir())
    assert len(saved) == 3
    with np.load(saved[0], allow_pickle=False) as arrays:
        row = arrays["ids"].tolist().index(identity)
        assert arrays["label_counts"][row] == 800
        assert "weights/symbols/bias" in arrays.files

    capsys.readouterr()
    replay_batch.main([str(saved[0])])
    replayed = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[4:] for line in replayed.splitlines()[1:4]}
    assert rows[identity] == ["inf", "finite"]
    assert sum(nats == "inf" for nats, _ in rows.values()) == 1
    assert "a step from here: not finite" in replayed


def test_too_many_such_batches_stop_the_run_with_advice(settings, tmp_path, monkeypatch):
    settings = replace(settings, training=replace(settings.training, workers=0, skip_batches=1))
    with_an_impossible_label(settings, monkeypatch)
    with pytest.raises(
        DivergenceError, match=r"one more than training\.skip_batches=1: lower optimizer\.learning_rate"
    ):
        train(settings, tmp_path)
    assert (tmp_path / "history.jsonl").exists()


def test_a_file_that_vanishes_in_epoch_3_is_said_counted_and_left_out(settings, tmp_path, monkeypatch, caplog):
    rows = [json.loads(line) for line in Path(settings.data.train[0]).read_text().splitlines()]
    copy = Path(shutil.copy(rows[5]["audio_filepath"], tmp_path / "going.opus"))
    rows[5]["audio_filepath"] = str(copy)
    data = replace(settings.data, train=[str(write_rows(tmp_path / "train.jsonl", rows))])
    settings = replace(settings, data=data, training=replace(settings.training, workers=0))
    after_batches(monkeypatch, 8, copy.unlink)
    with caplog.at_level(logging.WARNING):
        result = train(settings, tmp_path / "run")
    assert f"left out of a batch: {copy}: no such file" in caplog.text
    assert [record.left_out for record in result.history] == [0, 0, 1]
    assert [record.utterances for record in result.history] == [12, 12, 11]


def test_a_full_disk_is_said_and_loses_nothing_that_was_saved(settings, whole_run, tmp_path, monkeypatch):
    import os

    fsync, calls = os.fsync, 0

    def full(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 12:
            raise OSError(28, "No space left on device")
        fsync(handle)

    every_batch = replace(settings, training=replace(settings.training, checkpoint_minutes=0))
    with monkeypatch.context() as patch:
        patch.setattr("asr.files.os.fsync", full)
        with pytest.raises(TrainingError, match=r"No space left on device\. What was saved before is kept"):
            train(every_batch, tmp_path)
    assert find_checkpoints(tmp_path / "checkpoints")
    assert not list(tmp_path.rglob("*.part"))
    assert without_times(train(every_batch, tmp_path).history) == without_times(whole_run.history)


def test_overfitting_learns_some_utterances_by_heart(settings, tmp_path):
    quick = replace(
        settings,
        model=replace(settings.model, units=48, projection=0, channels=8),
        optimizer=OptimizerConfig(learning_rate=1e-2),
        training=TrainingConfig(overfit=2, epochs=60, sorted_first_epoch=False),
    )
    result = train(quick, tmp_path)
    assert result.history[-1].valid_cer == 0
    assert result.history[-1].utterances == 20


def test_the_plateau_of_blanks_is_recognised(settings, tmp_path, caplog):
    training = TrainingConfig(epochs=1, batch_size=3)
    slow = replace(settings, optimizer=OptimizerConfig(learning_rate=1e-9), training=training)
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch, caplog.at_level(logging.INFO):
        # A model that writes nothing at all: blank is far ahead everywhere.
        logits = Engine.logits
        patch.setattr(Engine, "logits", lambda self, batch: logits(self, batch) + np.eye(29)[0].astype(np.float32) * 99)
        result = train(slow, tmp_path)
    assert "the model's output is still empty: CTC begins with" in caplog.text
    assert result.history[0].blank_share == 1


def test_other_front_ends_cells_and_normalisations_train(settings, tmp_path):
    from asr.settings.features import Normalization
    from asr.settings.model import Cell, FrontEnd

    other = replace(
        settings,
        features=FeatureConfig(mels=16, normalization=Normalization.corpus, dither=1e-5),
        model=ModelConfig(front_end=FrontEnd.stack, cell=Cell.gru, bidirectional=False, depth=1, units=8, projection=0),
        training=TrainingConfig(epochs=1),
    )
    result = train(other, tmp_path)
    assert load_bundle(Path(result.run_dir) / "last").log_mel.mean.shape == (16,)


def test_speakers_are_held_out_where_no_validation_set_is_named(settings, tmp_path):
    held = replace(
        settings, data=DataConfig(train=settings.data.train, hold_out=0.2), training=TrainingConfig(epochs=1)
    )
    train(held, tmp_path / "run")
    manifest = tmp_path / "run" / "held_out.jsonl"
    speakers = {one.speaker for one in read_manifest(manifest).utterances}
    everyone = {one.speaker for one in read_manifest(settings.data.train[0]).utterances}
    assert speakers < everyone
    assert list(load_bundle(tmp_path / "run" / "best").error_rates) == [manifest.name]
    report = json.loads((tmp_path / "run" / "validation" / "report.json").read_text())
    assert report["references"]["names"] == [manifest.name]


def test_epochs_may_pass_without_validation_but_not_the_last(settings, tmp_path):
    sparse = replace(settings, training=TrainingConfig(epochs=5, batch_size=3, valid_every=2, average_epochs=1))
    history = train(sparse, tmp_path / "run").history
    assert [record.valid_cer is not None for record in history] == [False, True, False, True, True]
    assert (tmp_path / "run" / "curves.png").exists()


def test_averaged_weights_are_those_that_are_validated_and_saved(settings, whole_run, tmp_path):
    averaged = replace(settings, training=replace(settings.training, average_epochs=5))
    history, plain = train(averaged, tmp_path / "averaged").history, whole_run.history
    assert [one.train_loss for one in history] == [one.train_loss for one in plain]
    assert history[-1].valid_loss != plain[-1].valid_loss
    saved = [load_bundle(run_dir / "last").weights() for run_dir in (whole_run.run_dir, tmp_path / "averaged")]
    assert any((saved[0][name] != saved[1][name]).any() for name in saved[0])


def test_the_plateau_schedule_lowers_the_rate(settings, tmp_path):
    optimizer = OptimizerConfig(learning_rate=1e-5, schedule=Schedule.plateau, plateau_epochs=1, warmup_steps=0)
    stuck = replace(settings, optimizer=optimizer, training=TrainingConfig(epochs=4, batch_size=3, patience=0))
    rates = [record.learning_rate for record in train(stuck, tmp_path / "run").history]
    assert rates == pytest.approx([1e-5, 1e-5, 5e-6, 2.5e-6])
