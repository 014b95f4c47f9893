"""The run of a training, for a command line or a job of a sweep: its folder, and imports that are slow."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from asr.cli.console import quiet_native_libraries
from asr.files import typed_path
from asr.machine import describe_machine, processor_features
from asr.packages import require_keras, require_training
from asr.settings.commands import TrainConfig
from asr.training.run_folder import (
    check_run_folder,
    check_settings_unchanged,
    flat_settings,
    new_run_dir,
    read_settings,
)

# Flags of TensorFlow are split at spaces.
_TENSORFLOW_CACHE = "--tf_xla_persistent_cache_directory"

if TYPE_CHECKING:
    from asr.training.average import Average
    from asr.training.epoch_record import EpochRecord
    from asr.training.rate_finder import RateCurve
    from asr.training.run import TrainingResult


def with_run_dir(settings: TrainConfig, names: Set[str]) -> TrainConfig:
    """Settings with the folder of the run filled in; those of the run in it, if its folder alone is given.

    Parameters
    ----------
    settings : TrainConfig
    names : set of str
        Of the settings that were given.

    Raises
    ------
    ConfigError
        If the folder holds something else, or a run with other settings.
    """
    if settings.run_dir is None:
        return replace(settings, run_dir=new_run_dir())
    run_dir = typed_path(settings.run_dir)
    check_run_folder(run_dir)
    earlier = read_settings(run_dir)
    names = names - {"run_dir", "log", "lr_finder"}
    if earlier and names <= flat_settings(earlier).keys():
        # Missing settings are those of the run; given ones must be equal to them, but for two that may change.
        before, now = flat_settings(earlier), flat_settings(settings)
        if all(before[name] == now[name] for name in names - {"training.epochs", "training.processes"}):
            epochs = settings.training.epochs if "training.epochs" in names else earlier.training.epochs
            processes = settings.training.processes if "training.processes" in names else earlier.training.processes
            training = replace(earlier.training, epochs=epochs, processes=processes)
            return replace(earlier, log=settings.log, training=training, lr_finder=settings.lr_finder)
    check_settings_unchanged(run_dir, settings, names)
    return replace(settings, run_dir=str(run_dir))


def train_run(settings: TrainConfig, watch: Callable[[EpochRecord], object] | None = None) -> TrainingResult:
    """Train, after the checks of the folder that need neither Keras nor its back end: these take seconds to import."""
    check_run_folder(Path(settings.run_dir or ""))
    import_keras("asr train")
    from asr.training.run import train

    return train(settings, watch=watch)


def find_rate(settings: TrainConfig) -> RateCurve:
    """Plot the loss against the learning rate, as `lr_finder=true` asks for."""
    import_keras("asr train")
    from asr.training.rate_finder import find_learning_rate

    return find_learning_rate(settings)


def average_run(run_dir: str, epochs: str) -> Average:
    """Average epochs of a run; see `asr.training.average.average_epochs`."""
    import_keras("asr average")
    from asr.training.average import average_epochs

    return average_epochs(run_dir, epochs)


def stopped_code(by: int | None) -> int:
    """The exit code of a training that a signal stopped."""
    return 128 + (by or signal.SIGINT)


def import_keras(command: str, *, speech: bool = True) -> None:
    """Import Keras and its back end without the messages that they print; `speech` needs what reads recordings, too."""
    (require_training if speech else require_keras)(command)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    keep_compiled_programs()
    with quiet_native_libraries():
        if speech:
            import asr.training.engine
        else:
            import asr.training.language_network  # noqa: F401


def keep_compiled_programs() -> None:
    """Let TensorFlow and JAX cache compiled code for later processes; they read these variables when they start.

    The folder is `ASR_COMPILED_DIR`, by default `~/.cache/asr/compiled`; an empty name disables the cache. Code
    compiled for one processor may not run on another: each kind has a folder of its own.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    root = os.environ.get("ASR_COMPILED_DIR", f"{cache}/asr/compiled")
    if not root:
        return
    machine = describe_machine()
    kind = f"{machine['processor']} {' '.join(sorted(processor_features()))}"
    folder = Path(root).expanduser() / hashlib.sha256(kind.encode()).hexdigest()[:12]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that is not writable: nothing is cached
        return
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "jax"))
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if _TENSORFLOW_CACHE not in flags and " " not in str(folder):
        os.environ["TF_XLA_FLAGS"] = f"{flags} {_TENSORFLOW_CACHE}={folder / 'tensorflow'}".lstrip()
