"""Sphinx extension: the directives `settings-reference` and `settings-choices` document every setting.

Name, type, default, bounds and text come from the dataclasses of the settings; the choices (`model=gru`) come from the
files in `conf/`. Each setting is a target: `[...](#decoder.beam_width)` and `[...](#transcribe.format)` link to it.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from docutils import nodes
from omegaconf import DictConfig, OmegaConf
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from asr.cli import composition_schemas
from asr.cli.overrides import shown_value
from asr.cli.roots import ROOTS, conf_dir
from asr.settings.checks import Bounds, declared_bounds
from asr.settings.decoding import BeamConfig, DecoderConfig

_SINGULAR = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_PLURAL = {str: "texts", int: "whole numbers", float: "numbers"}


def sections() -> dict[str, type[Any]]:
    """The settings that commands share, by the name that opens their keys; where those of a command are others of the
    same name, by the command and the name."""
    found: dict[str, type[Any]] = {}
    for command, kind in ROOTS.items():
        for name, inner in _nested(kind):
            if found.setdefault(name, inner) is not inner:
                name = f"{command}.{name}"
                found[name] = inner
            for within, innermost in _nested(inner):
                found.setdefault(f"{name}.{within}", innermost)
    return found


def _nested(kind: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    """The fields of a dataclass that are dataclasses themselves."""
    for name, inner in typing.get_type_hints(kind).items():
        if isinstance(inner, type) and is_dataclass(inner):
            yield name, BeamConfig if inner is DecoderConfig else inner


def type_in_words(kind: Any) -> str:
    """A type as a user would describe a value of it."""
    if typing.get_origin(kind) is list:
        (item,) = typing.get_args(kind)
        return f"list of {_PLURAL[item]}"
    options = typing.get_args(kind)
    if options:  # T | None
        (inner,) = (one for one in options if one is not type(None))
        return f"{type_in_words(inner)}, or null"
    if issubclass(kind, Enum):
        return "one of " + ", ".join(kind.__members__)
    return _SINGULAR[kind]


def bounds_in_words(bounds: Bounds | None) -> str:
    """The bounds of a number."""
    if bounds is None:
        return ""
    if not (bounds.low_open or bounds.high_open):
        return f"{bounds.low:,g} to {bounds.high:,g}"
    low = f"above {bounds.low:,g}" if bounds.low_open else f"at least {bounds.low:,g}"
    high = f"below {bounds.high:,g}" if bounds.high_open else f"at most {bounds.high:,g}"
    return f"{low}, {high}"


class SettingsReference(SphinxDirective):  # type: ignore[misc]
    """All settings: a section for each command and for each group of settings that commands share."""

    def run(self) -> list[nodes.Node]:
        """The sections."""
        self.env.note_dependency(str(composition_schemas.__file__))
        made = [self._command(name, kind) for name, kind in ROOTS.items()]
        return made + [self._section(name, kind) for name, kind in sections().items()]

    def _command(self, name: str, kind: type[Any]) -> nodes.section:
        body = self._list(name, kind)
        listed = sections()
        nested = [inner if listed[inner] is one else f"{name}.{inner}" for inner, one in _nested(kind)]
        if nested:
            also = nodes.paragraph("", "Also: ")
            for number, inner in enumerate(nested):
                also += [nodes.Text(", ")] if number else []
                key = nodes.literal("", f"{inner.removeprefix(f'{name}.')}.*")
                also += nodes.reference("", "", key, internal=True, refid=f"settings-{inner}")
            also += nodes.Text(".")
            body.append(also)
        return self._titled(f"asr {name}", f"settings-of-{name}", body)

    def _section(self, name: str, kind: type[Any]) -> nodes.section:
        body = [_paragraph(" ".join((kind.__doc__ or "").split())), _paragraph(f"In Python: `{kind.__name__}`.")]
        return self._titled(name, f"settings-{name}", body + self._list(name, kind, dotted=True))

    def _titled(self, title: str, anchor: str, body: list[nodes.Node]) -> nodes.section:
        section = nodes.section("", nodes.title("", "", nodes.literal("", title)), *body, ids=[anchor], names=[anchor])
        self.state.document.note_explicit_target(section)
        return section

    def _list(self, prefix: str, kind: type[Any], *, dotted: bool = False) -> list[nodes.Node]:
        """The settings that belong to a dataclass itself, in the order of `--help`."""
        bounds = declared_bounds(kind)
        items = nodes.definition_list(classes=["settings"])
        for key in composition_schemas.walk_keys(kind()):
            if "." in key.name:
                continue  # of a dataclass within it
            anchor = f"{prefix}.{key.name}"
            facts = [type_in_words(key.kind), bounds_in_words(bounds[key.name]), f"default {shown_value(key.default)}"]
            term = nodes.term("", "", ids=[anchor], names=[anchor])
            typed = anchor.partition(".")[2] if anchor.partition(".")[0] in ROOTS else anchor
            term += [nodes.literal("", f"{typed if dotted else key.name}=", classes=["key"]), nodes.Text(" ")]
            term += nodes.inline("", " · ".join(fact for fact in facts if fact), classes=["facts"])
            self.state.document.note_explicit_target(term)
            items += nodes.definition_list_item("", term, nodes.definition("", _paragraph(key.help)))
        return [items] if len(items) else []


class SettingsChoices(SphinxDirective):  # type: ignore[misc]
    """The options of each group, and what each of them sets."""

    def run(self) -> list[nodes.Node]:
        """A table of all options."""
        rows = ["| choice | description | sets |", "|---|---|---|"]
        for file in sorted(conf_dir().glob("*/*.yaml")):
            self.env.note_dependency(str(file))
            comments = re.findall(r"^# (?!@package)(.*)$", file.read_text("utf-8"), re.MULTILINE)
            sets = " ".join(f"`{one}`" for one in option_sets(file))
            rows.append(f"| `{file.parent.name}={file.stem}` | {' '.join(comments)} | {sets} |")
        made: list[nodes.Node] = self.parse_text_to_nodes("\n".join(rows))
        return made


def option_sets(file: Path) -> list[str]:
    """What an option of a group sets, as one would type it."""
    content = typing.cast(DictConfig, OmegaConf.load(file))
    found = []
    for entry in content.pop("defaults", []):
        pairs = entry.items() if OmegaConf.is_dict(entry) else []
        found += [f"{key.removeprefix('override /')}={value}" for key, value in pairs]
    if "@package _global_" in file.read_text("utf-8"):
        return found + list(_flat(content, ""))
    return found + list(_flat(content, f"{file.parent.name}."))


def _flat(content: DictConfig, prefix: str) -> Iterator[str]:
    for key, value in content.items_ex(resolve=False):
        if OmegaConf.is_dict(value):
            yield from _flat(value, f"{prefix}{key!s}.")
        else:
            plain = OmegaConf.to_container(value) if OmegaConf.is_list(value) else value
            yield f"{prefix}{key!s}={shown_value(plain)}".removeprefix("hydra.sweeper.params.")


def _paragraph(text: str) -> nodes.paragraph:
    """A paragraph in which text between backticks is code."""
    paragraph = nodes.paragraph()
    for number, part in enumerate(text.split("`")):
        paragraph += nodes.literal("", part) if number % 2 else nodes.Text(part)
    return paragraph


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("settings-reference", SettingsReference)
    app.add_directive("settings-choices", SettingsChoices)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
