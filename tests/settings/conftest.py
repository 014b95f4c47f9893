from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

import asr.settings


def settings_names() -> dict[str, Any]:
    """Everything that the modules of `asr.settings` define or import, by name."""
    modules = [import_module(f"asr.settings.{one.name}") for one in pkgutil.iter_modules(asr.settings.__path__)]
    return {name: value for module in modules for name, value in vars(module).items()}
