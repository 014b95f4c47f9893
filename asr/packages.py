"""Installed packages: the version of this one, and an error that names the extra for those that are missing."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from asr.errors import ConfigError, MissingPackageError

BACKENDS = {"tensorflow": "train", "jax": "jax", "torch": "torch"}
"""What Keras runs on, and the extra that installs each."""

_TRAINING = ("keras", "librosa", "matplotlib", "numba", "tensorboardX")


def asr_version() -> str:
    """The version of this program; "unknown" for a source tree that is used without being installed."""
    from importlib import metadata  # which imports 30 modules, for e-mail among others

    try:
        return metadata.version("asr")
    except metadata.PackageNotFoundError:
        return "unknown"


def is_installed(package: str) -> bool:
    """Whether a package can be imported; nothing is imported but the packages above one with dots in its name."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # a package above it
        return False


def require_packages(*packages: str, extra: str, purpose: str) -> None:
    """Refuse work whose packages are not installed, before it begins.

    Parameters
    ----------
    *packages : str
        As they are imported.
    extra : str
        The extra of `pyproject.toml` that installs them.
    purpose : str
        What needs them, as the message names it: a command, a setting.

    Raises
    ------
    MissingPackageError
        Naming those that are missing, and what to type.
    """
    missing = [name for name in packages if not is_installed(name)]
    if missing:
        raise MissingPackageError(
            f"{purpose} needs {', '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} not installed: "
            f"pip install 'asr[{extra}]' (in a clone of the repository: pip install '.[{extra}]')"
        )


def require_keras(purpose: str) -> None:
    """Refuse work that needs Keras and the back end that KERAS_BACKEND names, if one of them is not installed.

    Raises
    ------
    MissingPackageError
        As in `require_packages`.
    ConfigError
        If there is no such back end.
    """
    require_packages("keras", extra="train", purpose=purpose)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend not in BACKENDS:
        raise ConfigError(f"KERAS_BACKEND={backend} cannot be used: it must be {', '.join(BACKENDS)}")
    if backend == "tensorflow" and sys.version_info >= (3, 14) and not is_installed(backend):
        raise MissingPackageError(
            f"{purpose} needs TensorFlow, which the extra `train` does not install for Python 3.14 and above: use "
            "Python 3.13, or KERAS_BACKEND=torch after pip install 'asr[torch]'"
        )
    require_packages(backend, extra=BACKENDS[backend], purpose=f"{purpose} with KERAS_BACKEND={backend}")


def require_training(purpose: str) -> None:
    """Refuse work that needs what a training needs, if it is not installed.

    Raises
    ------
    MissingPackageError, ConfigError
        As in `require_keras`.
    """
    require_packages(*_TRAINING, extra="train", purpose=purpose)
    require_keras(purpose)


def import_public(module: str, name: str) -> ModuleType:
    """Import the module of a public name, which may need the packages of a training.

    Raises
    ------
    MissingPackageError
        Naming those that are missing, and what to type.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError:
        require_training(name)
        raise
