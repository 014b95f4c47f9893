"""ONNX Runtime Web, which runs the network in a browser: two files of an npm package, of one version."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from asr.errors import ConfigError

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
MODULE, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
DIGESTS = {
    MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""SHA-256 of each file"""
_FOLDER = "package/dist/"
VARIABLE = "ASR_WEB_RUNTIME"
_HOW = f"fetch it by `npm pack {PACKAGE}@{VERSION}`, and name the file by {VARIABLE}=FILE"


@dataclass(frozen=True, slots=True)
class WebRuntime:
    """The content of the two files."""

    module: bytes
    """JavaScript"""
    wasm: bytes


def web_runtime(source: str | Path | None = None) -> WebRuntime:
    """ONNX Runtime Web of the version that the page was tested with.

    Parameters
    ----------
    source : str or Path, optional
        The npm package: its .tgz file, or a folder with it unpacked. By default the one that the environment variable
        `ASR_WEB_RUNTIME` names, or npm downloads it.

    Raises
    ------
    ConfigError
        If there is no npm to download it, npm fails, the package lacks a file, or a file is of another version.
    """
    source = source or os.environ.get(VARIABLE)
    if source:
        return _read(Path(source))
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigError(f"the page needs {PACKAGE} {VERSION}, and there is no npm to download it: {_HOW}")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", folder]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        found = list(Path(folder).glob("*.tgz"))
        if done.returncode or not found:
            reason = (done.stderr.strip().splitlines() or ["it wrote no file"])[-1]
            raise ConfigError(f"npm cannot download {PACKAGE} {VERSION} ({reason[:200]}): {_HOW}")
        return _read(found[0])


def _read(source: Path) -> WebRuntime:
    contents = _from_folder(source) if source.is_dir() else _from_archive(source)
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != DIGESTS[name]:
            raise ConfigError(f"{source}: {name} is not that of {PACKAGE} {VERSION}: {_HOW}")
    return WebRuntime(contents[MODULE], contents[WASM])


def _from_folder(folder: Path) -> dict[str, bytes]:
    found = {}
    for name in DIGESTS:
        places = [folder / name, folder / "dist" / name, folder / _FOLDER / name]
        path = next((one for one in places if one.is_file()), None)
        if path is None:
            raise ConfigError(f"{folder}: has no {name} of {PACKAGE} {VERSION}: {_HOW}")
        found[name] = path.read_bytes()
    return found


def _from_archive(path: Path) -> dict[str, bytes]:
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes()), mode="r:gz") as archive:
            for name in DIGESTS:
                file = archive.extractfile(_FOLDER + name)
                if file is None:
                    raise KeyError(name)
                found[name] = file.read()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}): {_HOW}") from error
    except (KeyError, tarfile.TarError, EOFError) as error:
        raise ConfigError(f"{path}: is not the npm package {PACKAGE} {VERSION}: {_HOW}") from error
    return found
