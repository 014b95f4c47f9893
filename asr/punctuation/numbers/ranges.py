"""Numbers that belong together: both sides of "or" and "to" are written in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asr.punctuation.numbers.expressions import Expression, Kind
from asr.punctuation.numbers.grammar import parse_cardinal
from asr.punctuation.numbers.number_words import BEFORE_PRONOUN, MULTIPLIERS, UNITS

_JOINTS = frozenset({("or",), ("to",), ("through",), ("by",), ("out", "of")})
_OF_QUANTITIES = frozenset({Kind.CARDINAL, Kind.PERCENT, Kind.MEASURE, Kind.MONEY, Kind.TIME, Kind.LABEL})


def write_ranges(words: Sequence[str], expressions: Sequence[Expression]) -> list[Expression]:
    """Expressions of one text, with those that are joined to others brought to their style."""
    written = list(expressions)
    for place in range(len(written) - 1):
        first, second = written[place], written[place + 1]
        if _are_joined(words, first, second):
            written[place], written[place + 1] = _in_one_style(words, first, second)
    return written


def _are_joined(words: Sequence[str], first: Expression, second: Expression) -> bool:
    joint = tuple(words[first.end : second.start])
    if first.kind not in (Kind.CARDINAL, Kind.LABEL) or second.kind not in _OF_QUANTITIES:
        return False
    if joint == ("and",):
        return words[first.start - 1] == "between" or words[first.start - 1] in ("chapters", "pages", "verses")
    if joint == ("in",):
        return first.value == 1 and second.kind is Kind.CARDINAL
    return joint in _JOINTS


def _in_one_style(words: Sequence[str], first: Expression, second: Expression) -> tuple[Expression, Expression]:
    if shared := _with_shared_multiplier(words, first, second):
        return shared
    if first.text is None and second.text is not None:
        first = _in_figures(words, first)
    if second.text is None and first.text is not None and second.kind is Kind.CARDINAL:
        second = _in_figures(words, second)
    if second.in_range and second.text is not None and first.kind is Kind.CARDINAL:
        second = replace(second, text=second.in_range)
    return first, second


def _with_shared_multiplier(
    words: Sequence[str], first: Expression, second: Expression
) -> tuple[Expression, Expression] | None:
    """Two or three hundred; ten or twelve thousand: a multiplier that belongs to both numbers stays a word."""
    if any(word in MULTIPLIERS for word in words[first.start : first.end]):
        return None
    number_end = second.end - (second.kind is Kind.MONEY)
    multipliers = words[second.start + 1 : number_end]
    is_round = words[second.start] in UNITS and all(word in MULTIPLIERS for word in multipliers)
    if first.value is not None and is_round and multipliers[:1] in (["hundred"], ["thousand"]):
        return replace(first, text=None), replace(second, text=None)
    if words[number_end - 1] != "thousand":
        return None
    coefficient = parse_cardinal(["", *words[second.start : number_end - 1], "", "", ""], 1)
    if coefficient is None or coefficient[1] != number_end - second.start:
        return None
    text = f"{coefficient[0]} {' '.join(words[number_end - 1 : second.end])}"
    return _in_figures(words, first), replace(second, text=text)


def _in_figures(words: Sequence[str], one: Expression) -> Expression:
    if one.value is None or (one.value == 1 and words[one.start - 1] in BEFORE_PRONOUN):
        return one
    return replace(one, text=str(one.value))
