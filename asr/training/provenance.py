"""The provenance of a run: command, versions, hashes of the data, code and machine; written to `run.json`."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from asr.bundle.store import BUNDLE_FILES, bundle_folder
from asr.errors import ConfigError
from asr.files import typed_path, write_atomically
from asr.machine import describe_machine
from asr.settings.commands import TrainConfig

_PACKAGES = ("asr", "keras", "tensorflow", "jax", "torch", "numpy", "librosa", "soundfile", "soxr", "onnx")


def record_start(path: Path, settings: TrainConfig, *, ranks: Sequence[str] = ()) -> None:
    """Add an entry to the record of a run, each time that it is started or continued.

    Parameters
    ----------
    path : Path
    settings : TrainConfig
    ranks : sequence of str, optional
        Where each rank runs, if there are several.

    Raises
    ------
    ConfigError
        If a manifest has changed since the run began.
    """
    record = json.loads(path.read_text("utf-8")) if path.exists() else {"starts": []}
    data, augment = settings.data, settings.augment
    names = (*data.train, *data.valid, *data.quarantine, *augment.noise_manifests, *augment.reverb_manifests)
    manifests = {name: _sha256(typed_path(name)) for name in names}
    if record["starts"]:
        before = record["starts"][0]["manifests"]
        changed = [name for name, digest in manifests.items() if before.get(name) != digest]
        if changed:
            raise ConfigError(
                f"{path.parent}: {', '.join(changed)} has changed since this run began: choose another run_dir, "
                "or restore the manifest"
            )
    record["starts"].append(
        {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "command": sys.argv,
            "backend": keras.backend.backend(),
            "python": platform.python_version(),
            "versions": _versions(),
            "git": git_state(),
            "machine": {**describe_machine(), "accelerators": _accelerators()},
            "manifests": manifests,
            "init": _init_files(settings.init),
            **({"ranks": list(ranks)} if len(ranks) > 1 else {}),
        }
    )
    write_atomically(path, (json.dumps(record, indent=2) + "\n").encode())


def record_bundles(path: Path, bundles: Iterable[Path]) -> None:
    """Add the hashes of the files of a run's bundles."""
    record = json.loads(path.read_text("utf-8"))
    record["bundles"] = {
        bundle.name: {name: _sha256(file) for name in sorted(BUNDLE_FILES) if (file := bundle / name).is_file()}
        for bundle in bundles
        if bundle.is_dir()
    }
    write_atomically(path, (json.dumps(record, indent=2) + "\n").encode())


def _accelerators() -> list[str]:
    try:
        return [one for one in keras.distribution.list_devices() if not one.startswith("cpu")]
    except (NotImplementedError, RuntimeError, AttributeError):
        return []


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _init_files(init: str | None) -> dict[str, Any] | None:
    """The bundle that the training starts from, and the hashes of its files."""
    if init is None:
        return None
    folder = bundle_folder(init)
    return {
        "bundle": init,
        "files": {file.name: _sha256(file) for file in sorted(folder.iterdir()) if file.is_file()},
    }


@cache
def git_state() -> dict[str, Any] | None:
    """The commit of the code, or of the working directory where the code is installed outside of a git checkout."""
    # site-packages may be inside another repository
    if state := _git_state(Path(__file__).parent, "__init__.py"):
        return {"of": "code", **state}
    if state := _git_state(Path.cwd()):
        return {"of": "working directory", **state}
    return None


def _git_state(folder: Path, tracked: str | None = None) -> dict[str, Any] | None:
    """Commit of a folder's repository, and whether the folder was changed since; None outside of one."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()

    try:
        if tracked:
            git("ls-files", "--error-unmatch", tracked)
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "."))}
    except (OSError, subprocess.SubprocessError):
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
