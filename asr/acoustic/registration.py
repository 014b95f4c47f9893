"""Registers the Keras classes of this package as soon as Keras is imported, in whichever order the two are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_PACKAGE = __name__.rpartition(".")[0]

HOMES = ("dataset", "keras_layers", "keras_model", "loss", "metrics", "rnn")
"""modules of this package whose import registers a class, or has a public name"""


def register_classes() -> None:
    """Import the modules in `HOMES`, each of which registers its classes for `keras.saving.load_model`.

    Nothing is done while a module of this package is being imported: it imports those that it needs, and must not be
    imported by them half finished.
    """
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(f"{_PACKAGE}.")]
    if any(getattr(module.__spec__, "_initializing", False) for module in modules if module is not None):
        return
    for home in HOMES:
        import_module(f"{_PACKAGE}.{home}")


class _KerasImport(MetaPathFinder):
    """Finds Keras as Python does, and registers the classes once it is imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "keras":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            import_keras = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                import_keras(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                register_classes()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def register_with_keras() -> None:
    """Register the classes now if Keras is imported, and else when it is.

    Keras itself is not imported: this package is also that of inference, which works without it.
    """
    if sys.modules.get("keras") is not None:
        register_classes()
    else:
        sys.meta_path.insert(0, _KerasImport())
