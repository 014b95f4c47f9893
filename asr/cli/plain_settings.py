"""Settings of a command line of plain values, without Hydra, whose import and composition take longer than a network.

Only what is certain to mean the same is read here: a value whose form leaves no doubt how Hydra's grammar reads it, for
a setting that the command has, where the configuration files hold no values of their own. All else, and every error, is
left to `composition`.
"""

from __future__ import annotations

import os
import re
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

from asr.cli.arguments import Arguments
from asr.cli.roots import FOLDER_VARIABLE, GROUP_SCHEMAS, ROOTS, conf_dir
from asr.errors import ConfigError
from asr.settings.checks import without_none
from asr.settings.decoding import AutoConfig, BeamSettings

_FLAGS = {"--verbose", "--quiet"}
"""those that do not change the settings"""
_OPTION = re.compile(r"  - (\w+): (\w+)")
# Neither quotes nor what is special within them, such as ${...}, ??? and backslashes; no blanks at the ends.
_TEXT = re.compile(r"(?! )[\w./~@%+:=, -]+(?<! )")
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,14}")
_DECIMAL_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15}(e-?[0-9]{1,2})?|e-?[0-9]{1,2})")
_TRUTH = {"true": True, "false": False}


class _UncertainError(Exception):
    """A form that is left to Hydra."""


def plain_settings(command: str, split: Arguments) -> Any:
    """The settings of a command, the same as `Composer.compose` makes; None where that is not certain.

    Parameters
    ----------
    command : str
        A key of `ROOTS`.
    split : Arguments
    """
    if split.values or split.flags - _FLAGS or os.environ.get(FOLDER_VARIABLE):
        return None
    typed = dict(override.partition("=")[::2] for override in split.overrides)
    if len(typed) < len(split.overrides):  # some name twice
        return None
    try:
        options = _options(command, conf_dir(), typed)
        groups = {group: GROUP_SCHEMAS[group][option]() for group, option in options.items() if group in GROUP_SCHEMAS}
        settings = _with_values(ROOTS[command](**groups), "", typed)
    except (_UncertainError, ConfigError, OSError, ValueError):
        return None
    return None if typed else settings


def _options(command: str, folder: Path, typed: dict[str, str]) -> dict[str, str]:
    """The option of each group; those that are typed are removed from `typed`.

    Raises
    ------
    _UncertainError
        If a configuration file holds more than the names of options.
    """
    first, schema, *chosen, last = _lines(folder / f"{command}.yaml")
    options = {}
    for line in chosen:
        match = _OPTION.fullmatch(line)
        if match is None:
            raise _UncertainError(line)
        options[match[1]] = match[2]
    of_schemas = GROUP_SCHEMAS.keys() & ROOTS[command].__dataclass_fields__.keys()
    if [first, schema, last] != ["defaults:", f"  - {command}_schema", "  - _self_"] or of_schemas - options.keys():
        raise _UncertainError(command)
    for group in of_schemas & typed.keys():
        options[group] = typed.pop(group)
    for group, option in options.items():
        expected = ["defaults:", f"  - {option}_schema"] if group in GROUP_SCHEMAS else []
        if option not in GROUP_SCHEMAS.get(group, {option}) or _lines(folder / group / f"{option}.yaml") != expected:
            raise _UncertainError(group)
    return options


def _lines(path: Path) -> list[str]:
    """The lines of a configuration file but for comments.

    Raises
    ------
    ValueError
        If there is a character that is not in ASCII: some are ends of lines in YAML.
    _UncertainError
        If a comment might be one that Hydra reads (`# @package`).
    """
    text = path.read_text("ascii")
    if "@" in text:
        raise _UncertainError(path)
    lines = [line.rstrip() for line in text.split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


def _with_values(settings: Any, prefix: str, typed: dict[str, str]) -> Any:
    """Settings with values that are typed; these are removed from `typed`."""
    if not any(name.startswith(prefix) for name in typed):
        return settings
    kinds = get_type_hints(BeamSettings if isinstance(settings, AutoConfig) else type(settings))
    values = {}
    for one in fields(settings):
        name, value = prefix + one.name, getattr(settings, one.name)
        if is_dataclass(value):
            values[one.name] = _with_values(value, f"{name}.", typed)
        elif name in typed:
            values[one.name] = _value(typed.pop(name), kinds[one.name])
    return replace(settings, **values)


def _value(text: str, declared: Any) -> Any:
    """A value as Hydra's grammar reads it for a setting of a type.

    Raises
    ------
    _UncertainError
        If its form is not a plain one of this type.
    """
    kind = without_none(declared)
    if text == "null":
        if kind is not declared:
            return None
    elif kind is str:
        if _TEXT.fullmatch(text):
            return text
    elif kind is bool:
        if text in _TRUTH:
            return _TRUTH[text]
    elif kind is int:
        if _WHOLE_NUMBER.fullmatch(text):
            return int(text)
    elif kind is float:
        if _WHOLE_NUMBER.fullmatch(text) or _DECIMAL_NUMBER.fullmatch(text):
            return float(text)
    elif isinstance(kind, type) and issubclass(kind, Enum) and text in kind.__members__:
        return kind[text]
    raise _UncertainError(text)
