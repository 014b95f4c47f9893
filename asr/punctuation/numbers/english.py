"""Numbers of English text in the written form: the rules in their order, and how much text they look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asr.punctuation.numbers.amounts import write_measure, write_money, write_percent, write_seconds
from asr.punctuation.numbers.clock import write_time
from asr.punctuation.numbers.dates import write_date, write_decade, write_year
from asr.punctuation.numbers.digit_strings import write_digits, write_hundreds, write_label
from asr.punctuation.numbers.expressions import Expression, Kind, Rule
from asr.punctuation.numbers.grammar import (
    cardinal_text,
    ordinal_text,
    parse_cardinal,
    parse_decimal,
    parse_ordinal,
    parse_quantity,
)
from asr.punctuation.numbers.number_words import (
    DETERMINERS,
    FRACTIONS,
    MONTHS,
    MULTIPLIERS,
    NUMBER_WORDS,
    ORDINALS,
    REPEATS,
    SPOKEN_ZERO,
    TENS,
    UNITS,
)
from asr.punctuation.numbers.ranges import write_ranges

CONTEXT = 4
"""Words that a rule looks at before the first number word of an expression, and behind the last."""
_PADDING = [""] * (CONTEXT + 8)
_PHRASES = {
    ("twenty", "four", "seven"): "24/7",
    ("fifty", "fifty"): "50-50",
    ("twenty", "twenty", "vision"): "20/20 vision",
    ("nine", "eleven"): "9/11",
}
_STARTS = NUMBER_WORDS | MONTHS.keys() | REPEATS.keys() | SPOKEN_ZERO | {"a", "an", "point", "half", "quarter"}


def english_expressions(words: Sequence[str]) -> Iterator[Expression]:
    """The expressions of numbers in a text, those that stay in words too, in order."""
    for first, last in _islands(words):
        begin, end = max(0, first - CONTEXT), min(len(words), last + 1 + CONTEXT)
        shift = len(_PADDING) - begin
        padded = [*_PADDING, *words[begin:end], *_PADDING]
        found = list(_read(padded, begin + shift, last + 1 + shift))
        for one in write_ranges(padded, found):
            yield Expression(one.start - shift, one.end - shift, one.text, one.kind, one.value)


def _islands(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The first and last number words of passages with at most twice the context between any two of them."""
    places = [place for place, word in enumerate(words) if word in NUMBER_WORDS]
    if not places:
        return
    first = last = places[0]
    for place in places[1:]:
        if place - last > 2 * CONTEXT:
            yield first, last
            first = place
        last = place
    yield first, last


def _read(words: Sequence[str], begin: int, end: int) -> Iterator[Expression]:
    place = begin
    while place < end:
        found = _expression(words, place) if words[place] in _STARTS else None
        if found is None:
            place += 1
        else:
            yield found
            place = found.end


def _expression(words: Sequence[str], start: int) -> Expression | None:
    for rule in _RULES:
        if found := rule(words, start):
            return found
    return None


def _write_phrase(words: Sequence[str], start: int) -> Expression | None:
    for phrase, text in _PHRASES.items():
        end = start + len(phrase)
        if tuple(words[start:end]) == phrase and words[start - 1] not in ("at", "by", "until"):
            return None if words[end] in NUMBER_WORDS else Expression(start, end, text, Kind.DIGITS)
    return None


def _keep_old_order(words: Sequence[str], start: int) -> Expression | None:
    """Four and twenty blackbirds."""
    if words[start] in UNITS and words[start + 1] == "and" and words[start + 2] in TENS:
        is_number = (
            words[start + 3] not in UNITS and words[start - 1] not in MULTIPLIERS and words[start - 1] != "between"
        )
        return Expression(start, start + 3, None, Kind.KEPT) if is_number else None
    return None


def _keep_fraction(words: Sequence[str], start: int) -> Expression | None:
    """Two thirds, one fifth, a tenth of: words; only a numerator from ten on is written in figures."""
    if words[start] in ("a", "an") and (found := parse_ordinal(words, start + 1)) and words[found[1]] == "of":
        if words[found[1] + 1] in MONTHS:
            return None
        return Expression(start, found[1], None, Kind.KEPT)
    part = parse_ordinal(words, start)
    if part and words[part[1]] == "of" and words[part[1] + 1] in ("a", "an"):
        return Expression(start, part[1], None, Kind.KEPT)  # within the tenth of a second
    if words[start] == "one" and words[start + 1] in ORDINALS.keys() - {"first", "second"}:
        is_fraction = words[start + 1] not in ("hundredth", "thousandth") or words[start + 2] == "of"
        is_fraction &= words[start - 1] not in DETERMINERS
        return Expression(start, start + 2, None, Kind.KEPT) if is_fraction else None
    numerator = parse_cardinal(words, start)
    if numerator and words[numerator[1]] in FRACTIONS:
        text = None if numerator[0] < 10 else f"{numerator[0]:,} {words[numerator[1]]}"
        return Expression(start, numerator[1] + 1, text, Kind.KEPT)
    return None


def _write_ordinal(words: Sequence[str], start: int) -> Expression | None:
    found = parse_ordinal(words, start)
    if found is None:
        return None
    return Expression(start, found[1], ordinal_text(found[0]) if found[0] >= 10 else None, Kind.ORDINAL)


def _write_decimal(words: Sequence[str], start: int) -> Expression | None:
    quantity = parse_quantity(words, start)
    if quantity is None:
        return None
    if words[start] == "point" and (quantity.end <= start + 2 or words[start - 1] in DETERMINERS):
        return None  # most often the noun
    if not quantity.scale and parse_decimal(words, start) is None:
        if quantity.value.denominator == 1:
            return None
        if quantity.value < 10:
            return Expression(start, quantity.end, None, Kind.KEPT)  # three and a half
    return Expression(start, quantity.end, quantity.text, Kind.CARDINAL)


def _write_cardinal(words: Sequence[str], start: int) -> Expression | None:
    found = parse_cardinal(words, start)
    if found is None:
        return None
    value, end = found
    if value < 10:
        return Expression(start, end, None, Kind.CARDINAL, value)
    return Expression(start, end, cardinal_text(words, start, found), Kind.CARDINAL)


# The first that matches is taken.
_RULES: tuple[Rule, ...] = (
    _write_phrase,
    _keep_old_order,
    write_date,
    write_decade,
    write_digits,
    write_label,
    write_percent,
    write_money,
    write_seconds,
    _keep_fraction,
    _write_ordinal,
    write_year,
    write_time,
    write_hundreds,
    write_measure,
    _write_decimal,
    _write_cardinal,
)
