"""What a rule returns: an expression of numbers, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What an expression of numbers is."""

    CARDINAL = "cardinal"
    DATE = "date"
    DIGITS = "digits"
    KEPT = "kept"
    LABEL = "label"
    MEASURE = "measure"
    MONEY = "money"
    ORDINAL = "ordinal"
    PERCENT = "percent"
    TIME = "time"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Expression:
    """A range of words that is read as one."""

    start: int
    end: int
    text: str | None
    """as it is written; None: the words stay"""
    kind: Kind
    value: int | None = None
    """of a cardinal below ten that stays in words, unless its neighbour in a range is in figures"""
    in_range: str | None = None
    """the text behind "five to": 10 dollars for $10"""


Rule = Callable[[Sequence[str], int], Expression | None]
"""from words, with empty ones around them, and a place to the expression that begins there"""
