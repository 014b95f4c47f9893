from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.browser.model_files import model_files
from asr.bundle import Bundle
from asr.settings.decoding import DecoderConfig

from ..conftest import CLIENTS, REPOSITORY, _missing, oracle_engine

PACKAGE = REPOSITORY / "asr" / "browser"


def packed(array: np.ndarray) -> dict[str, Any]:
    """An array as the program of the tests reads it."""
    array = np.ascontiguousarray(array)
    return {"type": array.dtype.name, "shape": list(array.shape), "data": base64.b64encode(array.tobytes()).decode()}


def unpacked(value: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(value["data"]), value["type"]).reshape(value["shape"])


def oracle_web_runtime() -> Path:
    """The folder with the files of ONNX Runtime Web; without it the test is skipped."""
    named = os.environ.get("ASR_WEB_RUNTIME")
    folder = Path(named) if named else CLIENTS / "node_modules" / "onnxruntime-web" / "dist"
    if not (folder / "ort-wasm-simd-threaded.wasm").is_file():
        _missing(f"needs the JavaScript package onnxruntime-web in {CLIENTS}, or its folder `dist` in ASR_WEB_RUNTIME")
    return folder


@pytest.fixture(scope="session")
def run_engine() -> Callable[..., list[Any]]:
    """Runs the modules of the page in node; every call is a name, and what the program wants for it."""

    def run(*calls: tuple[str, dict[str, Any]], runtime: Path | None = None) -> list[Any]:
        request = {
            "folder": str(PACKAGE / "engine"),
            "page": str(PACKAGE / "page"),
            "runtime": str(runtime),
            "calls": [{"name": name, **details} for name, details in calls],
        }
        done = subprocess.run(
            [oracle_engine(), Path(__file__).parent / "engine.mjs"],
            input=json.dumps(request), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def write_model(tmp_path: Path) -> Callable[..., str]:
    """Writes the files of a model as the page loads them."""

    def write(bundle: Bundle, decoder: DecoderConfig | None = None, name: str = "model") -> str:
        folder = tmp_path / name
        folder.mkdir()
        for file, content in model_files(bundle, decoder).contents.items():
            (folder / file).write_bytes(content)
        return str(folder)

    return write
