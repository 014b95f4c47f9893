"""The run of a training, for one command line or one job of a sweep: its folder, and what is heavy to import."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr.cli.console import quiet_native_libraries
from asr.errors import ConfigError, OutputError
from asr.files import typed_path, write_atomically
from asr.packages import is_installed, require_training
from asr.settings.commands import TrainConfig

_log = logging.getLogger(__name__)

OUTCOME = "sweep_run.json"
"""in a run's folder: what a sweep writes of it"""
_CONFIG = "config.yaml"


def with_run_dir(settings: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
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
    names = {override.partition("=")[0] for override in overrides}
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
        raise OutputError(run_dir, "is not a folder; take another run_dir")
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
