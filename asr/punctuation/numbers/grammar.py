"""The grammar of English cardinals, ordinals and decimal numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from asr.punctuation.numbers.number_words import (
    DIGITS,
    MULTIPLIERS,
    NOUGHT,
    NUMBER_WORDS,
    ORDINALS,
    SCALES,
    SPOKEN_ZERO,
    TEENS,
    TENS,
    UNITS,
)

# In words: nine hundred and ninety nine of each multiplier. A longer row of number words is several numbers.
_LONGEST_CARDINAL = 32
_ARTICLES = frozenset({"a", "an"})
# "Several hundred and fifty" is no number.
_INDEFINITE = frozenset({"several", "few", "many", "some", "couple", *UNITS, *TEENS, *TENS})

Parse = tuple[int, int]
"""a value, and the place behind its last word"""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that can count or measure something."""

    end: int
    """the place behind its last word"""
    value: Fraction
    text: str
    """as it is written in figures"""
    is_small: bool
    """whether running text has it in words: the whole numbers below ten"""
    scale: str = ""
    """the word that its text ends with: million, billion, trillion"""


def parse_below_hundred(words: Sequence[str], start: int) -> Parse | None:
    """One to ninety-nine."""
    word = words[start]
    if value := UNITS.get(word) or TEENS.get(word):
        return value, start + 1
    if value := TENS.get(word):
        unit = UNITS.get(words[start + 1], 0)
        return value + unit, start + 1 + bool(unit)
    return None


def parse_two_digits(words: Sequence[str], start: int) -> Parse | None:
    """The second half of a number that is spoken in two halves: oh five, ten to ninety-nine."""
    if words[start] in SPOKEN_ZERO and words[start + 1] in UNITS:
        return UNITS[words[start + 1]], start + 2
    found = parse_below_hundred(words, start)
    return found if found and found[0] >= 10 else None


def parse_halves(words: Sequence[str], start: int) -> Parse | None:
    """Three oh five, forty two ten: a number of three or four digits in two halves."""
    first = parse_below_hundred(words, start)
    second = parse_two_digits(words, first[1]) if first else None
    if first is None or second is None or words[second[1]] in NUMBER_WORDS:
        return None
    return first[0] * 100 + second[0], second[1]


def parse_cardinal(words: Sequence[str], start: int) -> Parse | None:
    """The longest cardinal from one on.

    Parameters
    ----------
    words : sequence of str
        With empty words behind the last.
    start : int

    Returns
    -------
    (int, int) or None
        The value, and the place behind the last word. A single "hundred" or "thousand", with "a" or without, is none.

    Notes
    -----
    A part is added to the number before it if it is smaller than the last multiplier of that, and no multiplier behind
    it says that it begins a new number: "one hundred two hundred" are two numbers. Behind
    "between", an "and" is no part of the number unless another one follows.
    """
    found = _cardinal(words, start, with_and=True)
    if found and words[start - 1] == "between" and words[found[1]] != "and":
        found = _cardinal(words, start, with_and=False)
    return found


def _cardinal(words: Sequence[str], start: int, *, with_and: bool) -> Parse | None:
    total, limit, place = 0, 0, start
    while True:
        first = place + (with_and and total > 0 and words[place] == "and")
        found = _below_ten_thousand(words, first, with_and=with_and) or (
            _lone_multiplier(words, start, *SCALES) if place == start else None
        )
        if found is None:
            break
        value, end = found
        scale = SCALES.get(words[end])
        if total and (value >= 1000 or value * (scale or 1) >= limit or (scale or 1) >= limit):
            break
        total, place = total + value * (scale or 1), end + (scale is not None)
        if scale is None:
            break
        limit = scale
    has_article = words[start] in _ARTICLES
    is_lone = (has_article or words[start] in MULTIPLIERS) and place <= start + 1 + has_article
    return (total, place) if total and not is_lone else None


def _lone_multiplier(words: Sequence[str], start: int, *multipliers: str) -> Parse | None:
    """The place of a multiplier with no number before it: "a hundred and one", "a good hundred and fifty"."""
    if words[start] in _ARTICLES and words[start + 1] in multipliers:
        return 1, start + 1
    if words[start] in multipliers and words[start - 1] not in _INDEFINITE and words[start + 1] == "and":
        return 1, start
    return None


def _below_ten_thousand(words: Sequence[str], start: int, *, with_and: bool) -> Parse | None:
    found = parse_below_hundred(words, start) or _lone_multiplier(words, start, "hundred")
    if found is None or words[found[1]] != "hundred":
        return found
    value, end = found[0] * 100, found[1] + 1
    rest = parse_below_hundred(words, end + (with_and and words[end] == "and"))
    if rest and words[rest[1]] != "hundred":
        return value + rest[0], rest[1]
    return value, end


def parse_ordinal(words: Sequence[str], start: int) -> Parse | None:
    """An ordinal: first, twenty-first, two hundred and twelfth. "One hundredth" is one; "a hundredth" is none."""
    last = start
    while last < start + _LONGEST_CARDINAL and (words[last] in NUMBER_WORDS or (words[last] == "and" and last > start)):
        if words[last] in ORDINALS:
            break
        last += 1
    if words[last] not in ORDINALS:
        return None
    if last == start and words[last] in ("hundredth", "thousandth"):
        return MULTIPLIERS[ORDINALS[words[last]]], last + 1
    cardinal = [words[start - 1], *words[start:last], ORDINALS[words[last]], "", ""]
    found = parse_cardinal(cardinal, 1)
    return (found[0], last + 1) if found and found[1] == len(cardinal) - 2 else None


def ordinal_text(value: int) -> str:
    """An ordinal in figures.

    Examples
    --------
    >>> [ordinal_text(value) for value in (1, 2, 3, 11, 112, 1023)]
    ['1st', '2nd', '3rd', '11th', '112th', '1,023rd']
    """
    ending = "th" if value % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value:,}{ending}"


def cardinal_text(words: Sequence[str], start: int, found: Parse) -> str:
    """A cardinal in figures; behind a round number of millions, billions or trillions their word stays."""
    value, end = found
    coefficient, rest = divmod(value, SCALES.get(words[end - 1], 1))
    if words[end - 1] in SCALES and words[end - 1] != "thousand" and not rest and coefficient < 1000:
        return f"{coefficient} {words[end - 1]}"
    return f"{value:,}"


def parse_decimal(words: Sequence[str], start: int) -> tuple[str, int] | None:
    """A number with a point, or with several (versions), in figures: "three point one four" is 3.14.

    "Point five" is one too, though running text has the noun more often: its caller looks at what follows.
    """
    if words[start] == "point":
        text, place = "0", start
    elif words[start] in NOUGHT or words[start] == "zero":
        text, place = "0", start + 1
    elif found := parse_cardinal(words, start):
        text, place = str(found[0]), found[1]
    else:
        return None
    if words[start - 1] == "at" and words[start] == "one" and place == start + 1:
        return None  # "at one point"
    whole = place
    while words[place] == "point":
        digits, end = _fraction_digits(words, place + 1)
        if not digits:
            break
        text, place = f"{text}.{digits}", end
    if place == whole:
        return None
    head, *parts = text.split(".")
    return ".".join([f"{int(head):,}", *parts]), place


def _fraction_digits(words: Sequence[str], start: int) -> tuple[str, int]:
    digits, place = "", start
    while words[place] in DIGITS or words[place] in SPOKEN_ZERO:
        if words[place] == "one" and words[place + 1] == "of":
            break
        digits, place = digits + str(DIGITS.get(words[place], 0)), place + 1
    if not digits and (found := parse_two_digits(words, start)):
        return f"{found[0]:02d}", found[1]
    return digits, place


def parse_quantity(words: Sequence[str], start: int) -> Quantity | None:
    """A decimal number, a number and a half, zero, or a cardinal; with million, billion or trillion behind it."""
    if decimal := parse_decimal(words, start):
        return _scaled(words, decimal[1], decimal[0])
    if words[start] == "zero":
        return Quantity(start + 1, Fraction(0), "0", is_small=True)
    if (found := parse_cardinal(words, start)) is None:
        return None
    value, end = found
    if words[end] == "and" and words[end + 1] == "a" and words[end + 2] == "half" and words[end - 1] not in MULTIPLIERS:
        return _scaled(words, end + 3, f"{value:,}.5")
    text = cardinal_text(words, start, found)
    return Quantity(end, Fraction(value), text, is_small=value < 10, scale=text.partition(" ")[2])


def _scaled(words: Sequence[str], end: int, text: str) -> Quantity | None:
    if text.count(".") > 1:
        return Quantity(end, Fraction(0), text, is_small=False)
    value, scale = Fraction(text.replace(",", "")), SCALES.get(words[end])
    if scale is None:
        return Quantity(end, value, text, is_small=False)
    return Quantity(end + 1, value * scale, f"{text} {words[end]}", is_small=False, scale=words[end])
