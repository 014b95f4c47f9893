"""Messages of clients: JSON objects whose fields are checked one by one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from asr.serving.refusals import ApiError
from asr.settings.checks import shown

# Half of a character as JSON escapes it; two in a row are whole.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Fields:
    """The fields of a JSON object. Those that are read are known: `refuse_unknown` refuses the others.

    Parameters
    ----------
    value : object
        Anything that JSON has.
    path : str
        Of the object within the message; empty for the message itself.

    Raises
    ------
    ApiError
        400 if it is no object. The other methods raise the same for a value that cannot be.
    """

    def __init__(self, value: Any, path: str = "") -> None:
        self._path = path
        if not isinstance(value, dict):
            _refuse(path or None, f"{path or 'a message'} must be an object, not {shown(value)}")
        self._values = value
        self._known: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._values

    @property
    def values(self) -> Mapping[str, Any]:
        """All fields."""
        return self._values

    def path(self, name: str) -> str:
        """The path of a field."""
        return f"{self._path}.{name}" if self._path else name

    def take(self, name: str) -> Any:
        """A value, of any type; None if it is not there."""
        self._known.add(name)
        return self._values.get(name)

    def object(self, name: str) -> Fields | None:
        """An object; None if it is null, or not there."""
        value = self.take(name)
        return None if value is None else Fields(value, self.path(name))

    def text(self, name: str, *, one_of: Collection[str] = (), longest: int = 5000) -> str | None:
        """A text, which may have to be one of some; None if it is null, or not there."""
        value = self.take(name)
        if value is None:
            return None
        if one_of and (not isinstance(value, str) or value not in one_of):
            self.refuse(name, f"must be one of {', '.join(one_of)}, not {shown(value)}")
        if not isinstance(value, str) or len(value) > longest:
            self.refuse(name, f"must be a text of at most {longest} characters, not {shown(value)}")
        return value

    def texts(self, name: str, *, most: int = 1000) -> tuple[str, ...]:
        """A list of texts; empty if it is null, or not there."""
        value = self.take(name)
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > most or not all(isinstance(one, str) for one in value):
            self.refuse(name, f"must be a list of at most {most} texts, not {shown(value)}")
        return tuple(value)

    def number(self, name: str, low: float, high: float) -> float | None:
        """A number within bounds; None if it is null, or not there."""
        value = self.take(name)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= high or not math.isfinite(value):
            self.refuse(name, f"must be a number between {low:.12g} and {high:.12g}, not {shown(value)}")
        return float(value)

    def whole(self, name: str, low: int, high: int) -> int | None:
        """A whole number within bounds, which may be written as 8000.0; None if it is null, or not there."""
        value = self.number(name, low, high)
        if value is not None and not value.is_integer():
            self.refuse(name, f"must be a whole number, not {shown(value)}")
        return None if value is None else int(value)

    def truth(self, name: str) -> bool | None:
        """True or false; None if it is null, or not there."""
        value = self.take(name)
        if value is not None and not isinstance(value, bool):
            self.refuse(name, f"must be true or false, not {shown(value)}")
        return value

    def refuse(self, name: str, problem: str, *, code: str = "invalid_value") -> NoReturn:
        """Refuse a field.

        Raises
        ------
        ApiError
            400.
        """
        _refuse(self.path(name), f"{self.path(name)} {problem}", code)

    def refuse_unknown(self) -> None:
        """Refuse fields that were not read."""
        for name in self._values:
            if name not in self._known:
                _refuse(
                    self.path(shown(name)[1:-1]), f"Unknown parameter: {shown(self.path(name))}", "unknown_parameter"
                )


def read_object(text: str | bytes) -> Fields:
    """The fields of a message.

    Raises
    ------
    ApiError
        400 if it is no JSON object.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()  # an answer may repeat it
    except (ValueError, RecursionError):  # the latter for what is nested a thousand times
        raise ApiError(400, "a message must be a JSON object; this one is no JSON", code="invalid_json") from None
    return Fields(value)


def _refuse_constant(name: str) -> NoReturn:
    """NaN and the infinities, which Python's parser takes for JSON."""
    raise ValueError(name)


def _refuse(param: str | None, message: str, code: str = "invalid_value") -> NoReturn:
    raise ApiError(400, f"{message}.", code=code, param=param)
