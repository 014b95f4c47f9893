"""Overrides as they are typed, and as Hydra's grammar reads them: kinds, names, values, quotes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, OverrideType, ValueType
from hydra.core.override_parser.types import Override as ParsedOverride
from hydra.errors import HydraException

from asr.errors import ConfigError
from asr.files import typed_path
from asr.settings.checks import without_none

SEARCH_PATH = "hydra.searchpath"
_PREFIXES = {OverrideType.CHANGE: "", OverrideType.ADD: "+", OverrideType.FORCE_ADD: "++", OverrideType.DEL: "~"}
_FUNCTION = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag)\(.*\)", re.DOTALL)
_CLOSING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Key:
    """A setting that a command takes."""

    name: str
    kind: Any
    default: Any
    read_help: Callable[[], str]
    """reads the source of its class, which takes long: only help does"""

    @property
    def help(self) -> str:
        """What it means, in a sentence or two."""
        return self.read_help()

    @property
    def is_text(self) -> bool:
        """Whether its value is free text, such as a path."""
        return without_none(self.kind) is str

    @property
    def is_text_list(self) -> bool:
        """Whether its value is a list of texts."""
        return bool(without_none(self.kind) == list[str])

    @property
    def choices(self) -> list[str]:
        """The values it can have, if they are few."""
        kind = without_none(self.kind)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return list(kind.__members__)
        return ["true", "false"] if kind is bool else []


@dataclass(frozen=True)
class TypedOverride:
    """An override as it was typed: its head is read by Hydra's parser, its value is not read yet."""

    text: str
    prefix: str
    """"" to change, "+" to add, "++" to add or change, "~" to delete"""
    name: str
    """of the setting or the group"""
    package: str | None
    value: str | None
    """None for a deletion without a value"""

    @property
    def head(self) -> str:
        """The text before the equals sign."""
        return self.text.partition("=")[0]

    @property
    def is_hydra(self) -> bool:
        """Whether it is for Hydra itself."""
        return self.name.startswith(("hydra.", "hydra/")) or self.name == "hydra"


def read_override(text: str) -> TypedOverride:
    """Read the head of an override.

    Raises
    ------
    ConfigError
        If it is not an override.
    """
    head, equals, value = text.partition("=")
    try:
        parsed = _parser().parse_override(f"{head}=x" if equals else head)
    except HydraException:
        raise ConfigError(
            f"{text!r} is neither a file nor a setting: a setting is written key=value, and Hydra's other forms "
            "+key=value, ++key=value, ~key and group@package=option"
        ) from None
    return TypedOverride(text, _PREFIXES[parsed.type], parsed.key_or_group, parsed.package, value if equals else None)


def parse_value(text: str) -> ParsedOverride:
    """Read an override with its value.

    Raises
    ------
    ConfigError
        If the value does not fit Hydra's grammar.
    ValueError
        For a whole number of more digits than Python reads.
    """
    try:
        return _parser().parse_override(text)
    except HydraException:
        raise ConfigError(f"{text}: the value cannot be read; put it in quotes within quotes") from None


def single_values(parsed: ParsedOverride) -> list[str]:
    """The values of an override as they are typed; none where they cannot be listed here (`interval`, `glob`)."""
    if not parsed.is_sweep_override():
        return [parsed.get_value_element_as_str()]
    if isinstance(parsed._value, Glob) or not parsed.is_discrete_sweep():
        return []
    if parsed.value_type is ValueType.GLOB_CHOICE_SWEEP:
        return []
    return [str(value) for value in parsed.sweep_string_iterator()]


def chosen_names(overrides: Iterable[str]) -> set[str]:
    """The names of the settings and groups that overrides set, also within dictionaries."""
    names = set()
    for text in overrides:
        override = read_override(text)
        names.add(override.name)
        if override.value is not None and override.value.startswith("{"):
            value = parse_value(text).value()
            if isinstance(value, dict):
                names |= {name for name, _ in flat(value, override.name)}
    return names


def flat(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """The values of a dictionary and of those within it, by dotted name."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", value


def search_path(overrides: Iterable[str]) -> list[str]:
    """The folders that `hydra.searchpath=[...]` names.

    Raises
    ------
    ConfigError
        If it is no list of texts.
    """
    folders: list[str] = []
    for text in overrides:
        override = read_override(text)
        if override.name == SEARCH_PATH:
            value = parse_value(text).value() if override.value is not None else None
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise ConfigError(f"{text}: must be a list of folders, such as {SEARCH_PATH}=[file://my_conf]")
            folders = value
    return folders


def for_hydra(override: TypedOverride, key: Key | None, *, multirun: bool) -> str:
    """An override as Hydra's grammar reads it; `key` is the setting that it is for, if there is one."""
    if override.value is None or key is None:
        return override.text
    return f"{override.head}={quote(key, override.value, multirun=multirun)}"


def quote(key: Key, value: str, *, multirun: bool) -> str:
    """A value quoted for Hydra's grammar: file names may have any character, interpolations may have commas."""
    if multirun and _FUNCTION.fullmatch(value) and not _exists(value):
        return value
    if key.is_text:
        if _is_quoted(value):
            return value
        optional = without_none(key.kind) is not key.kind
        several = multirun and "," in value and not _exists(value)
        parts = split_commas(value) if several else [value]
        return ",".join(part if (part == "null" and optional) or _is_quoted(part) else _quoted(part) for part in parts)
    if is_interpolation(value):
        return _quoted(value)
    if key.is_text_list:
        if multirun and value.startswith("[") and len(lists := split_commas(value)) > 1:
            return ",".join(quote(key, one, multirun=False) for one in lists)
        if _exists(value) or not value.startswith("["):
            return f"[{value if _is_quoted(value) else _quoted(value)}]"
        parts = split_commas(value.removeprefix("[").removesuffix("]"))
        return "[" + ",".join(part if _is_quoted(part) else _quoted(part) for part in parts if part) + "]"
    if multirun and "${" in value:
        return ",".join(_quoted(part) if is_interpolation(part) else part for part in split_commas(value))
    return value


def split_commas(text: str) -> list[str]:
    """Parts between commas that are not within quotes, brackets or interpolations, without surrounding blanks.

    Brackets that are not closed are plain characters.
    """
    parts, start, place = [], 0, 0
    while place < len(text):
        character = text[place]
        if character == ",":
            parts.append(text[start:place].strip())
            start = place + 1
        elif character in "'\"" and not text[start:place].strip():
            end = _end_of_quote(text, place)
            place = end if end is not None else place
        elif character in _CLOSING:
            end = _end_of_bracket(text, place)
            place = end if end is not None else place
        place += 1
    return [*parts, text[start:].strip()]


def _end_of_quote(text: str, start: int) -> int | None:
    match = re.compile(r"(?:\\.|[^\\])*?" + text[start]).match(text, start + 1)
    return match.end() - 1 if match else None


def _end_of_bracket(text: str, start: int) -> int | None:
    open_brackets = []
    for place in range(start, len(text)):
        if text[place] in _CLOSING:
            open_brackets.append(_CLOSING[text[place]])
        elif text[place] == open_brackets[-1]:
            open_brackets.pop()
            if not open_brackets:
                return place
    return None


def is_interpolation(value: str) -> bool:
    """Whether a value is one interpolation and nothing else."""
    return value.startswith("${") and _end_of_bracket(value, 1) == len(value) - 1


def shown_value(value: Any) -> str:
    """A setting's value as it is typed."""
    if value is None:
        return "null"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(shown_value(one) for one in value) + "]"
    return repr(value) if isinstance(value, str) and (not value or value != value.strip()) else str(value)


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def _exists(value: str) -> bool:
    """Whether a value is the name of a file or folder; a URL, which some settings take, is not."""
    return "://" not in value and typed_path(value).exists()


def _is_quoted(value: str) -> bool:
    return len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""


def _quoted(value: str) -> str:
    is_file = "${" in value and _exists(value)
    if "${" in value and not is_file and "'" in value and '"' not in value and not value.endswith("\\"):
        return f'"{value}"'  # OmegaConf would find the backslash before a quote in an interpolation
    # In Hydra's grammar a backslash escapes only a quote, or a backslash before one.
    escaped = re.sub(r"(\\*)(')", lambda match: match[1] * 2 + "\\'", value)
    escaped = re.sub(r"(\\+)$", lambda match: match[1] * 2, escaped)
    if is_file:  # not an interpolation
        escaped = escaped.replace("${", "\\${")
    return "'" + escaped + "'"
