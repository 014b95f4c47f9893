"""Sphinx extension: the directive `public-names` documents every name of `asr.__all__`, from its docstring.

    ```{public-names} functions
    ```

The argument is one of the kinds below. Every public name belongs to exactly one kind, so that a page with all kinds
has every name.
"""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import asr

KINDS = ("functions", "classes", "settings", "errors", "modules", "constants")


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
        lines = ["```{eval-rst}", ".. currentmodule:: asr", ""]
        for name in sorted(asr.__all__):
            if kind_of(name) == kind:
                lines += [_DIRECTIVES[kind].format(name=name), ""]
        made: list[nodes.Node] = self.parse_text_to_nodes("\n".join([*lines, "```"]))
        return made


_MEMBERS = ".. autoclass:: {name}\n   :members:\n"
_DIRECTIVES = {
    "functions": ".. autofunction:: {name}\n",
    "classes": _MEMBERS,
    "errors": ".. autoexception:: {name}\n   :show-inheritance:\n",
    # Their fields are on the page of settings.
    "settings": ".. class:: {name}(**settings)\n   :canonical: asr.{name}\n",
    "modules": ".. automodule:: asr.{name}\n   :members:\n",
    "constants": ".. data:: {name}\n",
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("public-names", PublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
