"""`asr train`."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from asr.cli.arguments import split_arguments
from asr.cli.command import show_composition, with_init
from asr.cli.console import configure_logging, percent
from asr.cli.streams import say
from asr.cli.training_run import find_rate, stopped_code, train_run, with_run_dir
from asr.errors import ConfigError, RankError, TrainingError
from asr.files import typed_path
from asr.settings.commands import TrainConfig
from asr.settings.yaml_text import to_yaml
from asr.training.epoch_record import EpochRecord, best_epoch
from asr.training.run_folder import CONFIG, LAST

_log = logging.getLogger(__name__)

USAGE = "asr train [config.yaml] [key=value...]"
TEXT = """
Trains an acoustic model on transcribed recordings and writes a run directory with the settings, the history, learning
curves, a report on the validation set, and two model bundles: best and last. All problems of the data are reported
before the first step. Ctrl-C saves and stops; the same command with run_dir=FOLDER, or run_dir alone, resumes there,
and a run that was killed resumes from its last checkpoint, with the same losses as without the interruption.
config.yaml of a run's folder, or any file of settings, starts a run with its settings; overrides may follow it.
KERAS_BACKEND=tensorflow (the default), jax or torch selects the back end of Keras.
"""
EXAMPLES = """\
  asr train data.train=train.jsonl data.valid=valid.jsonl
  asr train data.train=[a.jsonl,b.jsonl] data.valid=valid.jsonl model=small training.epochs=20
  asr train experiment=smoke
  asr train experiment=finetune init=en data.train=mine.jsonl data.hold_out=0.1         fine-tunes the English model
  asr train data.train=train.jsonl training=overfit             test: overfit eight utterances
  asr train data.train=train.jsonl data.hold_out=0.1 lr_finder=true      plots the loss against the learning rate
  asr train run_dir=runs/mine training.epochs=40                extends a finished run
  asr train run_dir=runs/2026-05-04_13-22-07                    resumes an interrupted run
  asr train runs/first/config.yaml run_dir=runs/again           starts the same run in another folder
  asr train --config-dir my_conf experiment=mine                my_conf/experiment/mine.yaml, an experiment of your own
  asr train data.train=train.jsonl data.hold_out=0.1 training.processes=4       four processes share every batch
  asr train experiment=smoke --multirun optimizer.learning_rate=1e-3,3e-4
  asr train experiment=smoke --multirun sweep=seeds hydra/launcher=joblib hydra.launcher.n_jobs=2
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    from asr.cli.composition import Composer
    from asr.cli.overrides import chosen_names

    multirun = "--multirun" in split.flags
    recipe = None if "--help" in split.flags else _recipe(split.files)
    with Composer.from_arguments("train", split, recipe=recipe) as composer:
        if "--help" in split.flags:
            from asr.cli.help import command_help

            print(command_help(composer, usage=USAGE, text=TEXT, examples=EXAMPLES))
            return 0
        if show_composition(composer, split):
            return 0
        if multirun:
            from asr.cli.sweep import sweep

            return sweep(composer, split)
        settings: TrainConfig = composer.compose(split.overrides)
        names = chosen_names(split.overrides) | composer.recipe_names
    if any(override.lstrip("+").startswith("sweep=") and override != "sweep=null" for override in split.overrides):
        raise ConfigError("sweep= chooses several values for a setting: add --multirun")
    settings = with_run_dir(with_init(settings, names), names)
    if "--show-config" in split.flags:
        print(to_yaml(settings), end="")
        return 0
    configure_logging(settings.log, split.flags)
    if settings.lr_finder:
        return _find_rate(settings)
    try:
        result = train_run(settings)
    except RankError as error:
        return _after_lost_rank(error)
    if result.rank:  # the first one reports
        return 0 if result.stopped_by is None else stopped_code(result.stopped_by)
    if result.stopped_by is not None:
        _log.warning("stopped and saved; to resume: asr train %s", shlex.quote(f"run_dir={settings.run_dir}"))
        return stopped_code(result.stopped_by)
    best = best_epoch(result.history)
    if settings.training.overfit:
        return _overfit_verdict(settings, best)
    if result.best_bundle is None:
        raise TrainingError(
            f"{result.run_dir}: no epoch is the best one, since the validation texts have no characters: there is no "
            f"CER, and {result.run_dir / LAST} is the model of the last epoch. Give other texts as data.valid, or "
            "data.hold_out=0.1"
        )
    print(f"{_result(result.history, best)}\n{result.run_dir / 'best'}")
    return 0


def _after_lost_rank(error: RankError) -> int:
    """Report that a rank has ended, unless another rank reports it."""
    if not error.is_reported:
        if not error.is_stuck:
            raise error
        say(f"asr: error: {error}")
    if error.is_stuck:  # a connection to a machine that does not answer keeps the process from ending
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
    return 1


def _find_rate(settings: TrainConfig) -> int:
    if settings.training.processes > 1:
        raise ConfigError("lr_finder=true runs in one process: add training.processes=1")
    from asr.training.run_folder import LR_FINDER_PICTURE

    curve = find_rate(settings)
    if curve.suggested is None:
        print("no learning rate is suggested: the loss does not fall")
    else:
        print(f"suggested: optimizer.learning_rate={curve.suggested:.1e}")
    print(typed_path(settings.run_dir or "") / LR_FINDER_PICTURE)
    return 0


def _result(history: Sequence[EpochRecord], best: EpochRecord) -> str:
    """The error rates of the best epoch, and of the starting model if there is one."""
    rates = f"CER {percent(best.valid_cer)}, WER {percent(best.valid_wer)} on the validation set"
    if history[0].epoch != 0:
        return f"best epoch {best.epoch}: {rates}"
    if best.epoch == 0:
        return f"no epoch is better than the starting model: {rates}"
    start = history[0]
    return (
        f"best epoch {best.epoch}: {rates} (the starting model: CER {percent(start.valid_cer)}, "
        f"WER {percent(start.valid_wer)})"
    )


def _recipe(files: Sequence[str]) -> Path | None:
    """The file of settings that a command line names, if it names one."""
    if not files:
        return None
    path = typed_path(files[0])
    if path.is_dir() and (path / CONFIG).is_file():
        raise ConfigError(
            f"{files[0]} is the folder of a run: run_dir={files[0]} resumes it, and {path / CONFIG} starts the same run"
        )
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"asr train takes settings, not files: data.train={files[0]} names a manifest to train on")
    if len(files) > 1:
        raise ConfigError(f"asr train takes one file of settings, not {len(files)}: {', '.join(files)}")
    if not path.is_file():
        raise ConfigError(f"{files[0]}: there is no such file of settings")
    return path


def _overfit_verdict(settings: TrainConfig, best: EpochRecord) -> int:
    count, cer = settings.training.overfit, percent(best.valid_cer)
    if best.valid_cer == 0:
        print(f"passed: {count} utterances were learned without an error in {best.epoch} epochs")
        return 0
    print(f"not passed: CER {cer} on the {count} utterances that it was trained on")
    _log.warning(
        "first train longer (training.epochs=%d) and with another optimizer.learning_rate; if CER stays high, look at "
        "the labels and at the audio of these utterances",
        3 * settings.training.epochs,
    )
    return 1
