"""Money, percentages, measures and ages in English."""

from __future__ import annotations

from collections.abc import Sequence

from asr.punctuation.numbers.expressions import Expression, Kind
from asr.punctuation.numbers.grammar import Quantity, parse_below_hundred, parse_halves, parse_quantity
from asr.punctuation.numbers.number_words import (
    BEFORE_PRONOUN,
    DURATIONS,
    FUNCTION_WORDS,
    MEASURE_QUALIFIERS,
    MEASURES,
    OTHER_CURRENCIES,
    PLURAL_SYMBOLS,
    SINGULAR_MEASURES,
    SPENDING,
    SYMBOLS,
    TEENS,
    TENS,
    UNITS,
)

_HUNDREDTHS = {"$": ("cent", "cents"), "\u20ac": ("cent", "cents"), "\u00a3": ("pence", "penny", "p")}
# Ten behind pounds is shillings, fifty is pence.
_LEAST_BARE_HUNDREDTHS = {"$": 10, "\u20ac": 10, "\u00a3": 20}
_PERIODS = frozenset({"year", "month", "week", "day", "hour", "annum", "head"})
_BEFORE_ONE = BEFORE_PRONOUN | {"not", "nor", "even", "never"}
_BODY = frozenset({"his", "her", "its", "my", "your", "our", "their", "own", "on", "hind", "front", "little"})


def write_percent(words: Sequence[str], start: int) -> Expression | None:
    """Five percent, five per cent, point five percent."""
    quantity = parse_quantity(words, start)
    if quantity is None:
        return None
    end = quantity.end
    width = 1 if words[end] == "percent" else 2 if words[end] == "per" and words[end + 1] == "cent" else 0
    if not width:
        return None
    return Expression(start, end + width, f"{quantity.text}%", Kind.PERCENT)


def write_money(words: Sequence[str], start: int) -> Expression | None:
    """Dollars, euros and pounds with their symbols; other currencies with figures and their words."""
    halves = parse_halves(words, start) if words[start] in UNITS or words[start] in TEENS.keys() - {"ten"} else None
    if halves and words[halves[1]] in PLURAL_SYMBOLS:
        return Expression(start, halves[1] + 1, f"{SYMBOLS[words[halves[1]]]}{halves[0]:,}", Kind.MONEY)
    quantity = parse_quantity(words, start)
    if quantity is None:
        return None
    unit = words[quantity.end]
    if unit in OTHER_CURRENCIES:
        if quantity.value == 1 and words[start - 1] in _BEFORE_ONE:
            return None
        return Expression(start, quantity.end, quantity.text, Kind.MEASURE)
    if unit not in SYMBOLS:
        return None
    symbol, end = SYMBOLS[unit], quantity.end + 1
    hundredths = _hundredths(words, end, symbol) if quantity.value.denominator == 1 and not quantity.scale else None
    if symbol == "\u00a3" and not hundredths and not _are_pounds_money(words, start, end):
        return None
    if hundredths:
        return Expression(start, hundredths[1], f"{symbol}{quantity.text}.{hundredths[0]:02d}", Kind.MONEY)
    text = quantity.text
    if quantity.value.denominator != 1 and not quantity.scale and text[-2] == ".":
        text += "0"
    end += words[end] == "sterling"
    return Expression(start, end, f"{symbol}{text}", Kind.MONEY, in_range=f"{quantity.text} {unit}")


def _hundredths(words: Sequence[str], start: int, symbol: str) -> tuple[int, int] | None:
    """The cents behind dollars: and fifty cents, fifty."""
    after = start + (words[start] == "and")
    found = parse_below_hundred(words, after)
    if found is None:
        return None
    if words[found[1]] in _HUNDREDTHS[symbol]:
        return found[0], found[1] + 1
    if after == start and found[0] >= _LEAST_BARE_HUNDREDTHS[symbol] and words[found[1]] in FUNCTION_WORDS:
        return found
    return None


def _are_pounds_money(words: Sequence[str], start: int, end: int) -> bool:
    """Whether pounds are money: sterling, a year, a note, shillings behind them, or a word of spending before them."""
    following = words[end : end + 3]
    if following[0] in ("sterling", "note", "notes") or (following[0] in ("a", "per") and following[1] in _PERIODS):
        return True
    shillings = start if following[0] == "" else end + (following[0] == "and")
    found = parse_below_hundred(words, shillings) if shillings != start else None
    if found and words[found[1]] in ("shilling", "shillings"):
        return True
    return any(word in SPENDING for word in words[start - 3 : start])


def write_measure(words: Sequence[str], start: int) -> Expression | None:
    """Ages, and numbers with a unit of measure: figures, and a hyphen where both are one adjective."""
    quantity = parse_quantity(words, start)
    if quantity is None:
        return None
    return _age(words, start, quantity) or _measure(words, start, quantity) or _duration(words, start, quantity)


def _age(words: Sequence[str], start: int, quantity: Quantity) -> Expression | None:
    end, text = quantity.end, quantity.text
    unit, following = words[end], words[end + 1]
    if unit in ("year", "month", "week", "day") and following in ("old", "olds"):
        return Expression(start, end + 2, f"{text}-{unit}-{following}", Kind.MEASURE)
    is_age = unit in ("years", "months", "weeks", "days") and following == "old"
    is_age |= words[start - 1] in ("age", "aged") or (words[start - 1] == "of" and words[start - 2] == "age")
    is_age &= quantity.value != 1 or words[start - 1] == "aged" or unit in ("year", "month")
    return Expression(start, end, text, Kind.MEASURE) if is_age else None


def _measure(words: Sequence[str], start: int, quantity: Quantity) -> Expression | None:
    end, text = quantity.end, quantity.text
    if words[end] == "percentage" and words[end + 1] in ("point", "points"):
        return Expression(start, end, text, Kind.MEASURE)
    if words[end] in MEASURE_QUALIFIERS and words[end + 1] in MEASURES:
        return Expression(start, end, text, Kind.MEASURE)
    unit = words[end]
    if unit in MEASURES:
        if quantity.value == 1 and (unit == "foot" or words[start - 1] in _BEFORE_ONE):
            return None  # of a body; not one inch
        if unit == "feet" and quantity.value == 2 and (words[start - 1] in _BODY or words[start - 1].endswith("'s")):
            return None
        return _as_adjective(words, start, quantity) if unit in SINGULAR_MEASURES else _plain(start, quantity)
    if words[start - 1] in ("foot", "feet") and words[start - 2] in UNITS and quantity.value < 12:
        return _plain(start, quantity)
    return None


def _duration(words: Sequence[str], start: int, quantity: Quantity) -> Expression | None:
    """A twenty minute walk; a duration below ten stays in words."""
    is_adjective = words[quantity.end] in DURATIONS and not quantity.is_small
    return _as_adjective(words, start, quantity) if is_adjective else None


def _plain(start: int, quantity: Quantity) -> Expression:
    return Expression(start, quantity.end, quantity.text, Kind.MEASURE)


def _as_adjective(words: Sequence[str], start: int, quantity: Quantity) -> Expression:
    end, following = quantity.end, words[quantity.end + 1]
    is_height = words[end] == "foot" and parse_below_hundred(words, end + 1) is not None
    if quantity.value == 1 or is_height or following in MEASURES or following in FUNCTION_WORDS:
        return _plain(start, quantity)
    return Expression(start, end + 1, f"{quantity.text}-{words[end]}", Kind.MEASURE)


def write_seconds(words: Sequence[str], start: int) -> Expression | None:
    """A thirty second pause, where "a" says that it is no ordinal."""
    is_adjective = words[start] in TENS and words[start + 1] == "second" and words[start - 1] in ("a", "every")
    if is_adjective and words[start + 2] not in FUNCTION_WORDS and words[start + 2] != "time":
        return Expression(start, start + 2, f"{TENS[words[start]]}-second", Kind.MEASURE)
    return None
