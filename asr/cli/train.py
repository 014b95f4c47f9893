"""`asr train`."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr.cli.arguments import Arguments, split_arguments
from asr.cli.command import with_init
from asr.cli.console import configure_logging, quiet_native_libraries
from asr.cli.sweep import OUTCOME, error_rate, sweep
from asr.errors import ConfigError, OutputError
from asr.files import typed_path, write_atomically
from asr.packages import is_installed, require_training
from asr.settings.commands import TrainConfig

_log = logging.getLogger(__name__)

USAGE = "asr train [key=value...]"
TEXT = """
Trains an acoustic model on transcribed recordings and writes a run directory with the settings, the history, learning
curves, a report on the validation set, and two model bundles: best and last. All problems of the data are reported
before the first step. Ctrl-C saves and stops; the same command with run_dir=FOLDER, or run_dir alone, resumes there,
and a run that was killed resumes from its last checkpoint, with the same losses as without the interruption.
KERAS_BACKEND=tensorflow (the default), jax or torch selects the back end of Keras.
"""
EXAMPLES = """\
  asr train data.train=train.jsonl data.valid=valid.jsonl
  asr train data.train=[a.jsonl,b.jsonl] data.valid=valid.jsonl model=small training.epochs=20
  asr train experiment=smoke
  asr train experiment=finetune init=en data.train=mine.jsonl data.hold_out=0.1         fine-tunes the English model
  asr train data.train=train.jsonl training=overfit             test: overfit eight utterances
  asr train run_dir=runs/2026-05-04_13-22-07                    resumes an interrupted run
  asr train experiment=smoke --multirun optimizer.learning_rate=1e-3,3e-4
  asr train experiment=smoke --multirun sweep=seeds hydra/launcher=joblib hydra.launcher.n_jobs=2
"""

_CONFIG = "config.yaml"


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    from asr.cli.composition import Composer, to_yaml

    multirun = "--multirun" in split.flags
    with Composer("train") as composer:
        if "--help" in split.flags:
            from asr.cli.help import command_help

            print(command_help(composer, usage=USAGE, text=TEXT, examples=EXAMPLES))
            return 0
        if split.files:
            raise ConfigError(
                f"asr train takes settings, not files: data.train={split.files[0]} names a manifest to train on"
            )
        settings: TrainConfig = composer.compose(split.overrides, multirun=multirun)
        safe = composer.check(split.overrides, multirun=multirun)
    if multirun:
        configure_logging(settings.log, split.flags)
        return sweep(safe, split.flags)
    if any(override.startswith("sweep=") and override != "sweep=null" for override in split.overrides):
        raise ConfigError("sweep= chooses several values for a setting: add --multirun")
    settings = _with_run_dir(with_init(settings, split.overrides), split)
    if "--show-config" in split.flags:
        print(to_yaml(settings), end="")
        return 0
    configure_logging(settings.log, split.flags)
    result = train_run(settings)
    if result.stopped_by is not None:
        _log.warning("stopped and saved; to resume: asr train %s", shlex.quote(f"run_dir={settings.run_dir}"))
        return 143 if result.stopped_by == signal.SIGTERM else 130
    best = min(result.history, key=error_rate)
    if settings.training.overfit:
        return _overfit_verdict(settings, best)
    print(
        f"best epoch {best['epoch']}: CER {_percent(best['valid_cer'])}, WER {_percent(best['valid_wer'])} "
        f"on the validation set\n{Path(settings.run_dir or '') / 'best'}"
    )
    return 0


def _overfit_verdict(settings: TrainConfig, best: dict[str, Any]) -> int:
    count, cer = settings.training.overfit, _percent(best["valid_cer"])
    if best["valid_cer"] == 0:
        print(f"passed: {count} utterances were learnt without an error in {best['epoch']} epochs")
        return 0
    print(f"not passed: CER {cer} on the {count} utterances that it was trained on")
    _log.warning(
        "first give it more time (training.epochs=%d) and another optimizer.learning_rate; if CER stays high, look at "
        "the labels and at the audio of these utterances",
        3 * settings.training.epochs,
    )
    return 1


def _percent(rate: float | None) -> str:
    return "n/a" if rate is None else f"{100 * rate:.2f} %"


def _with_run_dir(settings: TrainConfig, split: Arguments) -> TrainConfig:
    """Settings with the folder of the run filled in; those of the run itself, if its folder alone is given."""
    from asr.cli.composition import from_yaml, to_yaml

    if settings.run_dir is None:
        return replace(settings, run_dir=f"runs/{time.strftime('%Y-%m-%d_%H-%M-%S')}")
    run_dir = typed_path(settings.run_dir)
    path = run_dir / _CONFIG
    if not path.exists():
        _check_run_dir(run_dir)
        return replace(settings, run_dir=str(run_dir))
    earlier = replace(from_yaml(TrainConfig, path.read_text("utf-8"), str(path)), run_dir=str(run_dir))
    names = {override.partition("=")[0] for override in split.overrides}
    if names <= {"run_dir", "log"}:
        return replace(earlier, log=settings.log)
    settings = replace(settings, run_dir=str(run_dir), log=earlier.log)
    before, now = to_yaml(earlier).splitlines(), to_yaml(settings).splitlines()
    changed = [line.strip() for line in now if line not in before]
    if before != now:
        raise ConfigError(
            f"{run_dir} holds a run with other settings (now: {'; '.join(changed) or 'some are missing'}): "
            "choose another run_dir, or give run_dir alone to resume that run"
        )
    return settings


def _check_run_dir(run_dir: Path) -> None:
    """Refuse a folder of something else: a run is only written into one of its own."""
    if os.path.lexists(run_dir) and not run_dir.is_dir():
        raise OutputError(run_dir, "is no folder; take another run_dir")
    # A run that was killed as it began leaves hidden, half-written files.
    entries = sorted(os.listdir(run_dir)) if run_dir.is_dir() else []
    others = [name for name in entries if not name.startswith(".") and name != OUTCOME]
    if others:
        detail = f"{_CONFIG} is missing, {others[0]!r} is there"
        raise OutputError(run_dir, f"the folder is not empty and holds no run ({detail}): take another run_dir")


def train_run(settings: TrainConfig) -> Any:
    """Import what is heavy, write the settings down, train."""
    from asr.cli.composition import to_yaml

    run_dir = Path(settings.run_dir or "")
    if not (run_dir / _CONFIG).exists():
        _check_run_dir(run_dir)
    train, read_corpus, check_run_outputs = _import_training()
    check_run_outputs(run_dir)
    fresh = not (run_dir / _CONFIG).exists()
    if not fresh and not (run_dir / "checkpoints").exists():
        _log.info("%s holds no checkpoint yet: starting from the beginning", run_dir)
    corpus = read_corpus(settings)  # before the folder is made: bad data leaves nothing behind
    if fresh:
        write_atomically(run_dir / _CONFIG, to_yaml(settings).encode("utf-8"))
    _log.info("run directory: %s", run_dir)
    return train(settings, run_dir, corpus)


def _import_training() -> tuple[Any, Any, Any]:
    """`train`, `read_corpus` and `check_run_outputs`; imports Keras and its back end, which takes seconds."""
    require_training("asr train")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_native_libraries():
        if is_installed("tensorflow"):  # Keras imports it on any back end, and then its messages would be seen
            import tensorflow  # noqa: F401

        from asr.training.loop import train
        from asr.training.outcome import check_run_outputs
        from asr.training.preflight import read_corpus
    return train, read_corpus, check_run_outputs
