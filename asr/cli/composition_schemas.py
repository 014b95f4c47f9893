"""The dataclasses of the commands (`roots`): as schemas for Hydra, and as settings by name with their help."""

from __future__ import annotations

import itertools
import typing
from dataclasses import fields, is_dataclass
from functools import cache, partial
from typing import Any

from hydra.core.config_store import ConfigStore

from asr.cli.overrides import Key
from asr.cli.roots import GROUP_SCHEMAS, ROOTS
from asr.settings import decoding
from asr.settings.checks import KINDS, without_none
from asr.settings.sweeps import StudyConfig


@cache
def register_schemas(*names: str) -> None:
    """Register the dataclasses of commands, of all by default, and those of sweeps with Hydra; once each."""
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="optuna", node=StudyConfig(), provider="asr")
    for command in names or ROOTS:
        kind = ROOTS[command]
        # A group's option may only replace its base class, not a sibling.
        bases = {one.name: decoding.DecoderConfig() for one in fields(kind) if one.name == "decoder"}
        store.store(name=f"{command}_schema", node=kind(**bases))
    for group, options in GROUP_SCHEMAS.items():
        for option, kind in options.items():
            store.store(group=group, name=f"{option}_schema", node=kind)


def walk_keys(settings: Any, prefix: str = "") -> list[Key]:
    """All settings of a dataclass and of those within it, with the docstring under each field."""
    kind = type(settings)
    types = typing.get_type_hints(decoding.BeamSettings if kind is decoding.AutoConfig else kind)
    keys = []
    for name in _in_order_of_help(kind):
        value = getattr(settings, name)
        if is_dataclass(value):
            keys += walk_keys(value, f"{prefix}{name}.")
        else:
            keys.append(Key(prefix + name, types[name], value, partial(_field_doc, kind, name)))
    return keys


def _in_order_of_help(kind: type[Any]) -> list[str]:
    """The fields of a dataclass: first the bundle, then the others, those that it shares with other commands last."""
    names = [one.name for one in fields(kind)]
    shared = {one.name for base in kind.__bases__ if is_dataclass(base) for one in fields(base)}
    return sorted(names, key=lambda name: (name != "bundle", name in shared if shared != set(names) else False))


def _field_doc(kind: type[Any], name: str) -> str:
    return _field_docs(typing.cast(Any, kind)).get(name, "")


@cache
def _field_docs(kind: type[Any]) -> dict[str, str]:
    """The docstrings below the fields of a class, which Python does not keep at run time."""
    import ast
    import inspect
    import textwrap

    docs: dict[str, str] = {}
    for base in kind.__bases__:
        if is_dataclass(base):
            docs |= _field_docs(base)
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    body = typing.cast(ast.ClassDef, definition).body
    for statement, following in itertools.pairwise(body):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            docs[statement.target.id] = " ".join(str(following.value.value).split())
    return docs


@cache
def declared_keys(command: str) -> dict[str, Key]:
    """The declared settings of a command by name, including those of every class that a group stands for."""
    keys: dict[str, Key] = {}
    for group, options in GROUP_SCHEMAS.items():
        if group in ROOTS[command].__dataclass_fields__:
            for kind in options.values():
                keys |= {key.name: key for key in walk_keys(ROOTS[command](**{group: kind()}))}
    return keys or {key.name: key for key in walk_keys(ROOTS[command]())}


def describe_type(kind: Any) -> str:
    """What a value of a setting must be, in words."""
    kind = without_none(kind)
    if typing.get_origin(kind) is list:
        return "a list in brackets, such as [a,b]"
    return KINDS.get(kind, str(kind))
