"""Errors of Hydra, OmegaConf and the YAML parser on one line: what is wrong, and in which file and line."""

from __future__ import annotations

import os
import re
import typing
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from asr.cli.arguments import did_you_mean
from asr.cli.composition_files import shown_path
from asr.cli.composition_schemas import declared_keys, describe_type
from asr.cli.overrides import Key, flat, read_override
from asr.cli.roots import ROOTS
from asr.errors import ConfigError
from asr.settings.checks import shown
from asr.settings.yaml_text import first_line, parse_yaml, syntax_problem

if TYPE_CHECKING:
    from asr.cli.composition import Composer

# Hydra raises the last four for a malformed defaults list or file; ValueError also for a whole number
# of more digits than Python reads, and for a file that is not UTF-8 text.
FAILURES = (
    HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError, AttributeError, AssertionError,
)  # fmt: skip


def describe_error(error: Exception, composer: Composer, overrides: Sequence[str] = ()) -> str:
    """The message of an error on one line, with file and line where a file is at fault."""
    files = composer.files
    if isinstance(error, UnicodeDecodeError):
        return f"{files.not_text() or composer.config_name}: not UTF-8 text"
    if isinstance(error, yaml.YAMLError):
        mark = getattr(error, "problem_mark", None)
        return syntax_problem(error, shown_path(Path(mark.name)) if mark else composer.config_name)
    text = str(error) or str(error.__cause__ or "")
    within = re.match(r"In '([^']+)': (\w+) raised while composing config:\n(.*)", text, re.DOTALL)
    if within:
        return _describe_merge(composer, config_path=within[1], detail=within[3])
    cause = error.__cause__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    message = lines[0] if lines else type(error).__name__
    if isinstance(cause, OmegaConfBaseException) and first_line(cause) not in message:
        message = f"{message}: {first_line(cause)}"
    named = re.match(r"In '([^']+)'", message)
    place = files.place(named[1], "defaults") if named else None
    missing = re.search(r"Could not (?:load|find) '([^']+)'", message)
    near = did_you_mean(missing[1].rpartition("/")[2], files.options_near(missing[1])) if missing else ""
    if place is None and not isinstance(error, OmegaConfBaseException | OverrideParseException):
        place = _suspect(composer, overrides)
    return f"{place}: {message.split(': ', 1)[-1].rstrip('.') if named else message}{near}"


def _describe_merge(composer: Composer, *, config_path: str, detail: str) -> str:
    """The message for a file whose values do not fit the settings."""
    files = composer.files
    path = files.file_of(config_path)
    if path is not None:
        try:
            parse_yaml(path.read_text("utf-8"), shown_path(path))
        except ConfigError as found:  # a list, or one word
            return str(found)
    full_key = (re.search(r"full_key: (\S+)", detail) or ["", ""])[1]
    place = files.place(config_path, full_key, _package_of(config_path)) or config_path
    keys = declared_keys(composer.command)
    if re.match(r"Key '.*' not in", detail):
        return f"{place}: {_unknown_name(composer.command, full_key, keys)}"
    if full_key in keys and (value := re.match(r"(?:Value|Invalid value) '(.*?)'[ ,]", detail)):
        key = keys[full_key]
        if key.choices:
            choices = ", ".join(key.choices)
            near = did_you_mean(value[1], key.choices)
            return f"{place}: {full_key} must be one of {choices}, not {value[1]!r}{near}"
        return f"{place}: {full_key} must be {describe_type(key.kind)}, not {value[1]!r}"
    merge = re.match(r"Merge error: \w+ is not a subclass of (\w+)\. value: (.*)", detail)
    if merge:  # the message of OmegaConf names no key
        kinds = {one.name: one.type for one in fields(ROOTS[composer.command]) if merge[1] in str(one.type)}
        for section in kinds:
            place = files.place(config_path, section) or place
            return f"{place}: {section} is a section of settings, one per line below it, not {shown(merge[2])}"
    name = f"{full_key}: " if full_key else ""
    return f"{place}: {name}{detail.splitlines()[0]}"


def locate(error: ConfigError, composer: Composer, node: DictConfig, overrides: Sequence[str]) -> ConfigError:
    """An error in a composed value, with the file and line that set it where the command line did not."""
    key = str(error).split(" ", 1)[0].split("[")[0]
    names = {read_override(override).name for override in overrides}
    if key in declared_keys(composer.command) and not names & {key, key.split(".")[0]}:
        place = _place_in_files(composer, key, overrides)
        if place:
            return ConfigError(f"{place}: {error}")
    if "${" in "".join(overrides):
        composer.check(overrides)
    missing = re.match(r"Interpolation key '(.*?)' not found", str(error))
    if missing:
        values = typing.cast(dict[str, Any], OmegaConf.to_container(node, resolve=False))
        for name, value in flat(values, ""):
            key = name.removeprefix(".")
            if f"${{{missing[1]}" in str(value) and (place := _place_in_files(composer, key, overrides)):
                near = did_you_mean(missing[1], declared_keys(composer.command))
                return ConfigError(f"{place}: {key}: ${{{missing[1]}}} names no setting{near}")
    return error


def _place_in_files(composer: Composer, key: str, overrides: Sequence[str]) -> str | None:
    """File and line that set a key last, of those that were composed."""
    safe = composer.for_hydra([read_override(override) for override in overrides])
    defaults = composer.loader.compute_defaults_list(composer.config_name, safe, RunMode.RUN).defaults
    for default in reversed(defaults):
        place = composer.files.place(default.config_path or "", key, default.package or "")
        if place and ":" in place.rpartition(os.sep)[2]:
            return place
    return None


def _suspect(composer: Composer, overrides: Sequence[str]) -> str:
    """The file that is at fault where an error names none: that of the only option chosen, or the primary one."""
    files = composer.files
    groups = files.groups()
    typed = [one for one in map(read_override, overrides) if one.name in groups]
    paths = [f"{one.name}/{one.value}" for one in typed if files.file_of(f"{one.name}/{one.value}") is not None]
    path = files.file_of(paths[0] if len(paths) == 1 else composer.config_name)
    return shown_path(path) if path is not None and len(paths) < 2 else ", ".join(paths)


def _package_of(config_path: str) -> str:
    group = config_path.rpartition("/")[0]
    return "" if group in ("experiment", "sweep") else group.replace("/", ".")


def _unknown_name(command: str, name: str, keys: dict[str, Key]) -> str:
    last_parts = {key.rpartition(".")[2]: key for key in keys}
    near = did_you_mean(name, keys) or did_you_mean(name.rpartition(".")[2], last_parts)
    section = name.split(".")[0]
    if not near and not any(key.startswith(f"{section}.") for key in keys):
        near = " (a file of a group of its own sets values of the command if it begins with `# @package _global_`)"
    return f"`asr {command}` has no setting {name!r}{near}"
