"""Types and bounds of settings: declared where a field is, checked by one function.

A dataclass of settings declares the bounds of a number in the metadata of its field and calls `check_settings` from
`__post_init__`. Bundle cards, YAML and Python code thus meet the same check, with the same messages.
"""

from __future__ import annotations

import math
import os
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from numbers import Integral, Real
from types import MappingProxyType, NoneType
from typing import Any, get_args, get_origin, get_type_hints

from asr.errors import ConfigError

KINDS: Mapping[type, str] = MappingProxyType(
    {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
)
"""what messages call a type"""

# NumPy's and Keras's seeds have 32 bits.
LARGEST_SEED = 2**32 - 1

_KEY = "bounds"
_NOTHING = object()
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80


@dataclass(frozen=True)
class Bounds:
    """The values that a number can have."""

    low: float
    high: float
    low_open: bool = False
    """whether `low` itself is refused"""
    high_open: bool = False
    """whether `high` itself is refused"""
    wanted: str | None = None
    """what messages say; None names the bound that a value is beyond"""

    def problem(self, value: float) -> str | None:
        """What the value must be, if it is out of bounds."""
        if value < self.low or (self.low_open and value == self.low):
            low = f"above {self.low}" if self.low_open else "0 or more" if self.low == 0 else f"at least {self.low}"
            return self.wanted or low
        if value > self.high or (self.high_open and value == self.high):
            high = f"below {self.high}" if self.high_open else "0 or less" if self.high == 0 else f"at most {self.high}"
            return self.wanted or high
        return None


def between(
    low: float, high: float, *, unit: str = "", low_open: bool = False, high_open: bool = False
) -> dict[str, Bounds]:
    """Metadata of a field whose two bounds belong to its meaning: messages name both."""
    if low_open or high_open:
        wanted = f"{'above' if low_open else 'at least'} {low:g} and {'below' if high_open else 'at most'} {high:g}"
    elif isinstance(high, float):
        wanted = f"between {low:g} and {high:g}"
    else:
        wanted = f"{low} to {high}"
    return {_KEY: Bounds(low, high, low_open, high_open, f"{wanted} {unit}".rstrip())}


def at_least(low: float, *, at_most: float) -> dict[str, Bounds]:
    """Metadata of a field whose upper bound only refuses what cannot be meant: messages name the bound that counts."""
    return {_KEY: Bounds(low, at_most)}


def above(low: float, *, at_most: float) -> dict[str, Bounds]:
    """As `at_least`, with `low` itself refused."""
    return {_KEY: Bounds(low, at_most, low_open=True)}


def at_most(high: float, *, at_least: float) -> dict[str, Bounds]:
    """Metadata of a field whose lower bound only refuses what cannot be meant."""
    return {_KEY: Bounds(at_least, high)}


def below(high: float, *, at_least: float) -> dict[str, Bounds]:
    """As `at_most`, with `high` itself refused."""
    return {_KEY: Bounds(at_least, high, high_open=True)}


def declared_bounds(kind: type[Any]) -> dict[str, Bounds | None]:
    """The bounds of every field of a dataclass; None where it declares none."""
    return {one.name: one.metadata.get(_KEY) for one in fields(kind)}


def check_settings(
    settings: Any, section: str = "", *, declared: type[Any] | None = None, unset: object = _NOTHING
) -> None:
    """Check the type and the bounds of every field, and bring what is spelled otherwise to its declared type.

    A whole number becomes a float where one is declared, a name the member of an enumeration, a path a text, a tuple a
    list.

    Parameters
    ----------
    settings : dataclass instance
    section : str
        What opens the names of its fields in messages, as in `decoder.beam_width`.
    declared : type, optional
        A dataclass with the same fields that declares their types and bounds; that of `settings` by default.
    unset : object
        A value that is not checked.

    Raises
    ------
    ConfigError
        Names the setting, what it must be, and what came.
    """
    kind: Any = declared or type(settings)
    types = _types(kind)
    for name, bounds in declared_bounds(kind).items():
        value = getattr(settings, name)
        if value == unset:
            continue
        checked = _checked(value, types[name], bounds, f"{section}.{name}" if section else name)
        if checked is not value:
            setattr(settings, name, checked)


def shown(value: Any) -> str:
    """A value as a message shows it: on one line, and no longer than that can hold."""
    if isinstance(value, int) and value.bit_length() > 256:  # which Python may refuse to spell
        return f"a whole number of {value.bit_length()} bits"
    return _REPR.repr(value)


def number_from_1(text: str) -> int | None:
    """The number from 1 that some digits mean; None for anything else, and for what Python may refuse to read."""
    number = int(text) if re.fullmatch(r"\d{1,18}", text) else 0
    return number or None


def without_none(kind: Any) -> Any:
    """A declared type without its None."""
    parts = [part for part in get_args(kind) if part is not NoneType]
    return parts[0] if NoneType in get_args(kind) and len(parts) == 1 else kind


@cache
def _types(kind: Any) -> dict[str, Any]:
    types: dict[str, Any] = get_type_hints(kind)
    return types


def _checked(value: Any, kind: Any, bounds: Bounds | None, name: str) -> Any:
    optional = NoneType in get_args(kind)
    if optional:
        if value is None:
            return None
        kind = without_none(kind)
    if get_origin(kind) is list:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name} must be a list, not {shown(value)}")
        (inner,) = get_args(kind)
        checked = [_checked(one, inner, bounds, f"{name}[{index}]") for index, one in enumerate(value)]
        same = isinstance(value, list) and all(new is old for new, old in zip(checked, value, strict=True))
        return value if same else checked
    value = _of_type(value, kind, bounds, name)
    problem = bounds.problem(value) if bounds is not None else None
    if problem:
        raise ConfigError(f"{name} must be {problem}{', or null' if optional else ''}, not {shown(value)}")
    return value


def _of_type(value: Any, kind: Any, bounds: Bounds | None, name: str) -> Any:
    """The value as a plain object of its declared type."""
    if isinstance(kind, type) and is_dataclass(kind):
        if isinstance(value, kind):
            return value
        raise ConfigError(f"{name} must be a {kind.__name__}, not {shown(value)}")
    if issubclass(kind, Enum):
        if isinstance(value, str) and value in kind.__members__:
            return kind[value]
        if isinstance(value, kind):
            return value
        raise ConfigError(f"{name} must be one of {', '.join(kind.__members__)}, not {shown(value)}")
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if kind is float and isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond all floats
            number = math.inf
        if not math.isfinite(number):
            wanted = bounds.wanted if bounds is not None and bounds.wanted else "a finite number"
            raise ConfigError(f"{name} must be {wanted}, not {shown(value)}")
        return number
    if kind is str and isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        if isinstance(text, str) and "\0" not in text:
            return text
        raise ConfigError(f"{name} must be a text without the character NUL, not {shown(value)}")
    raise ConfigError(f"{name} must be {KINDS[kind]}, not {shown(value)}")


class ConfigEnum(Enum):
    """An enumeration whose members are written in lower case, as a user types them."""

    def __str__(self) -> str:
        return str(self.value)


def require(condition: bool, name: str, wanted: str, value: object) -> None:
    """Raise `ConfigError` naming a setting, what it must be and what it is, unless the condition holds."""
    if not condition:
        raise ConfigError(f"{name} must be {wanted}, not {shown(value)}")
