"""Sphinx extension: the directive `public-names` documents every name of `asr.__all__`, from its docstring.

    ```{public-names} functions
    ```

The argument is one of the kinds below. Every public name belongs to exactly one kind, so that a page with all kinds
has every name. `keras` is the kind of the names of `asr.acoustic.__all__`.
"""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass
from typing import Any

from docutils import nodes
from settings_reference import sections
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import asr
from asr import acoustic
from asr.cli.roots import ROOTS
from asr.settings.decoding import AutoConfig, BeamConfig

KINDS = ("functions", "classes", "settings", "errors", "modules", "constants", "keras")


def kind_of(name: str) -> str:
    """The kind of a public name."""
    value = getattr(asr, name)
    if inspect.ismodule(value):
        return "modules"
    if inspect.isclass(value):
        if issubclass(value, Exception):
            return "errors"
        return "settings" if is_dataclass(value) and name.endswith("Config") else "classes"
    return "functions" if callable(value) else "constants"


class PublicNames(SphinxDirective):  # type: ignore[misc]
    """Documents the public names of a kind."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The documentation of each name, by autodoc."""
        (kind,) = self.arguments
        if kind not in KINDS:
            raise self.error(f"public-names: {kind!r} is none of {', '.join(KINDS)}")
        module = acoustic if kind == "keras" else asr
        lines = ["```{eval-rst}", f".. currentmodule:: {module.__name__}", ""]
        for name in sorted(module.__all__):
            value = getattr(module, name)
            if kind == "keras":  # not the members that every layer and loss has
                lines += [f".. {'autoclass' if inspect.isclass(value) else 'autofunction'}:: {name}", ""]
            elif kind_of(name) == kind:
                lines += [_DIRECTIVES[kind].format(name=name, **_settings(value)), ""]
        made: list[nodes.Node] = self.parse_text_to_nodes("\n".join([*lines, "```"]))
        return made


_DIRECTIVES = {
    "functions": ".. autofunction:: {name}\n",
    "classes": ".. autoclass:: {name}\n   :members:\n",
    "errors": ".. autoexception:: {name}\n   :show-inheritance:\n",
    "settings": ".. class:: {name}(**settings)\n\n   {summary} {link}\n",
    "modules": ".. automodule:: asr.{name}\n   :members:\n",
    "constants": ".. data:: {name}\n",
}


def _settings(value: Any) -> dict[str, str]:
    """The first sentence about a class of settings, and the link to its fields."""
    targets = {kind: f"settings-{name}" for name, kind in sections().items()}
    targets |= {kind: f"settings-of-{name}" for name, kind in ROOTS.items()}
    summary = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
    target = targets.get(BeamConfig if value is AutoConfig else value)
    return {"summary": summary, "link": f"Fields: :ref:`{target}`." if target else ""}


def shorten_signature(app: Sphinx, what: str, name: str, value: Any, *details: Any) -> tuple[str, None] | None:
    """Leave out the signature of a record: its fields follow, each with its type."""
    return ("", None) if what == "class" and is_dataclass(value) else None


def keep_colons(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Keep a colon in the docstring of an attribute: in a first line, Napoleon takes it for the end of a type."""
    if what in {"attribute", "property"}:
        lines[:0] = ["..", ""]  # an empty comment


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)  # before Napoleon, at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
