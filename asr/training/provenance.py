"""The provenance of a run: command, versions, hashes of the data, code and machine; written to `run.json`."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import keras

from asr.bundle.store import BUNDLE_FILES, bundle_folder
from asr.errors import ConfigError
from asr.files import typed_path, write_atomically
from asr.machine import describe_machine
from asr.settings.commands import TrainConfig, TrainTextConfig

_PACKAGES = ("asr", "keras", "tensorflow", "jax", "torch", "numpy", "librosa", "soundfile", "soxr", "onnx")
_TEXTS = "the texts"


def training_inputs(settings: TrainConfig) -> dict[str, Any]:
    """What a run of `asr train` is made of: the hashes of manifests and the lexicon, and those of bundles."""
    data, augment = settings.data, settings.augment
    names = (*data.train, *data.valid, *data.quarantine, *augment.noise_manifests, *augment.reverb_manifests)
    has_lexicon = settings.model.phone_output and data.lexicon
    return {
        "manifests": {name: _sha256(typed_path(name)) for name in names},
        "files": {f"data.lexicon={data.lexicon}": _sha256(typed_path(str(data.lexicon)))} if has_lexicon else {},
        "init": _bundle_files(settings.init),
        "training.teacher": _bundle_files(settings.training.teacher),
    }


def text_inputs(settings: TrainTextConfig, texts: Sequence[str | Path]) -> dict[str, Any]:
    """What a run of `asr train-text` is made of: the hashes of the texts and of the files that settings name."""
    files: dict[str, Sequence[str | None]] = {
        "pauses": settings.pauses,
        "confusions": [settings.confusions],
        "spellings": [settings.spellings],
    }
    init = settings.init
    if init and typed_path(init).is_file():
        files, init = files | {"init": [init]}, None
    return {
        "texts": [{"name": str(one), "sha256": _sha256(typed_path(one))} for one in texts],
        "files": {f"{name}={one}": _sha256(typed_path(one)) for name, of in files.items() for one in of if one},
        "init": _bundle_files(init),
    }


def check_inputs(path: Path, inputs: Mapping[str, Any]) -> None:
    """Refuse to go on from other inputs than those that a run began with.

    What the record does not name, since an earlier version wrote it, is not compared.

    Parameters
    ----------
    path : Path
        The record of the run; there may be none.
    inputs : mapping
        As `training_inputs` and `text_inputs` return them.

    Raises
    ------
    ConfigError
        Naming what has changed.
    """
    before: dict[str, Any] = {}
    for start in _read_record(path)["starts"]:
        before = _digests(start) | before
    changed = [name for name, digest in _digests(inputs).items() if before.get(name, digest) != digest]
    if _TEXTS in changed:
        changed[changed.index(_TEXTS) : changed.index(_TEXTS) + 1] = _changed_texts(path, inputs["texts"])
    if changed:
        several = len(changed) > 1 or changed[0].startswith(_TEXTS)
        raise ConfigError(
            f"{path.parent}: {', '.join(changed)} {'have' if several else 'has'} changed since this run began: choose "
            f"another run_dir, or restore {'them' if several else 'it'}"
        )


def _changed_texts(path: Path, texts: Sequence[Mapping[str, str]]) -> list[str]:
    """The names of texts with other contents; all texts, then and now, where other files are named."""
    before = next(start["texts"] for start in _read_record(path)["starts"] if "texts" in start)
    then, now = ([one["name"] for one in of] for of in (before, texts))
    if then != now:
        return [f"{_TEXTS} ({', '.join(then)} then, {', '.join(now)} now)"]
    return [one["name"] for one, other in zip(texts, before, strict=True) if one["sha256"] != other["sha256"]]


def _digests(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The hashes of inputs, by their names in messages."""
    found: dict[str, Any] = {**inputs.get("manifests", {}), **inputs.get("files", {})}
    for name in ("init", "training.teacher"):
        if one := inputs.get(name):
            found[f"{name}={one['bundle']}"] = {
                file: digest for file, digest in one["files"].items() if file in BUNDLE_FILES
            }
    if "texts" in inputs:
        found[_TEXTS] = [one["sha256"] for one in inputs["texts"]]
    return found


def record_start(path: Path, inputs: Mapping[str, Any], *, ranks: Sequence[str] = ()) -> None:
    """Add an entry to the record of a run, each time that it is started or continued.

    Parameters
    ----------
    path : Path
    inputs : mapping
        As `training_inputs` and `text_inputs` return them.
    ranks : sequence of str, optional
        Where each rank runs, if there are several.

    Raises
    ------
    ConfigError
        If an input has changed since the run began.
    """
    check_inputs(path, inputs)
    record = _read_record(path)
    record["starts"].append(
        {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "command": sys.argv,
            "backend": keras.backend.backend(),
            "python": platform.python_version(),
            "versions": _versions(),
            "git": git_state(),
            "machine": {**describe_machine(), "accelerators": _accelerators()},
            **inputs,
            **({"ranks": list(ranks)} if len(ranks) > 1 else {}),
        }
    )
    write_atomically(path, (json.dumps(record, indent=2) + "\n").encode())


def _read_record(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {"starts": []}
    return found


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


def _bundle_files(name: str | None) -> dict[str, Any] | None:
    """A bundle that the training starts or learns from, and the hashes of its files."""
    if name is None:
        return None
    folder = bundle_folder(name)
    return {
        "bundle": name,
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
