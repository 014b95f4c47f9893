"""Dates, years and decades in English."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asr.punctuation.numbers.expressions import Expression, Kind
from asr.punctuation.numbers.grammar import (
    Parse,
    ordinal_text,
    parse_below_hundred,
    parse_cardinal,
    parse_ordinal,
    parse_two_digits,
)
from asr.punctuation.numbers.number_words import (
    COUNTED,
    DATE_LEADS,
    DECADES,
    FUNCTION_WORDS,
    MONTHS,
    MULTIPLIERS,
    PRONOUNS,
    TEENS,
    TENS,
    TIME_LEADS,
    VERB_MONTHS,
    WEEKDAYS,
    YEAR_LEADS,
    YEAR_NOUNS,
)

_BEFORE_ROW = frozenset({*TEENS, *TENS})
_CENTURIES = {**TEENS, "twenty": 20}
# Adverbs and verbs that follow "may" and "march" as verbs.
_MODAL_ORDINALS = 3
# With the words that decide whether it is one.
_LONGEST_YEAR = 10
Parser = Callable[[Sequence[str], int], Parse | None]


def parse_halved_year(words: Sequence[str], start: int) -> Parse | None:
    """A year in two halves, the way no other number is said: nineteen eighty four, twenty ten, nineteen oh five."""
    century = _CENTURIES.get(words[start])
    half = parse_two_digits(words, start + 1) if century else None
    if century is None or half is None or words[half[1]] in MULTIPLIERS or words[half[1]] == "point":
        return None
    if words[half[1]] in COUNTED and half[1] == start + 3 and words[start - 1] in ("in", "since"):
        return century * 100 + TENS.get(words[start + 1], 0), start + 2  # in nineteen twenty two percent
    if words[half[1]] in COUNTED or _counts_on(words, start, half):
        return None  # fifteen, twenty minutes
    if century <= 12 and half[0] <= 59 and not (words[start - 1] == "in" or words[start - 1] in MONTHS):
        return None  # a time
    return century * 100 + half[0], half[1]


def _counts_on(words: Sequence[str], start: int, half: Parse) -> bool:
    """Twenty, thirty, forty: round numbers in a row are no year."""
    following = parse_below_hundred(words, half[1])
    is_row = (following is not None and following[0] >= 10) or words[start - 1] in _BEFORE_ROW
    return is_row and half[0] % 10 == 0 and words[start - 1] not in YEAR_LEADS


def _year_as_cardinal(words: Sequence[str], start: int) -> Parse | None:
    """A year said as a number: two thousand and six, nineteen hundred. Only what no noun follows."""
    found = parse_cardinal(words, start)
    if found is None or not 1000 < found[0] < 2200 or words[start] in ("a", "an"):
        return None
    return found if words[found[1]] in FUNCTION_WORDS else None


def _year(words: Sequence[str], start: int) -> Parse | None:
    return parse_halved_year(words, start) or _year_as_cardinal(words, start)


def write_year(words: Sequence[str], start: int) -> Expression | None:
    """A year in two halves anywhere; a year said as a number behind a word such as "in"; years before Christ."""
    if words[start] == "a" and words[start + 1] == "d":
        found = parse_halved_year(words, start + 2) or parse_cardinal(words, start + 2)
        return Expression(start, found[1], f"A.D. {found[0]}", Kind.YEAR) if found else None
    if found := parse_halved_year(words, start):
        if words[start - 1] in TIME_LEADS - YEAR_LEADS and found[0] % 100 < 60 and found[0] < 2400:
            return None  # at fourteen thirty
        return _with_era(words, start, found) or Expression(start, found[1], str(found[0]), Kind.YEAR)
    hundreds = _parse_three_digits(words, start) or parse_cardinal(words, start)
    if hundreds and (before_christ := _with_era(words, start, hundreds)):
        return before_christ
    found = _year_as_cardinal(words, start)
    lead, earlier = words[start - 1], words[start - 2]
    if found and (lead in YEAR_LEADS or (lead == "of" and (earlier in YEAR_NOUNS or earlier in MONTHS))):
        return Expression(start, found[1], str(found[0]), Kind.YEAR)
    return None


def _parse_three_digits(words: Sequence[str], start: int) -> Parse | None:
    """Four fifty: hundreds without their word."""
    first, half = parse_below_hundred(words, start), parse_two_digits(words, start + 1)
    return (first[0] * 100 + half[0], half[1]) if first and first[0] < 10 and half else None


def _with_era(words: Sequence[str], start: int, year: Parse) -> Expression | None:
    value, end = year
    if words[end] == "b" and words[end + 1] == "c":
        is_common = words[end + 2] == "e"
        return Expression(start, end + 2 + is_common, f"{value} B.C.{'E.' * is_common}", Kind.YEAR)
    if words[end] in ("bc", "bce"):
        return Expression(start, end + 1, f"{value} {'.'.join(words[end].upper())}.", Kind.YEAR)
    return None


def write_decade(words: Sequence[str], start: int) -> Expression | None:
    """The nineteen eighties, the eighties, the eighteen hundreds."""
    century, word = _CENTURIES.get(words[start]), words[start + 1]
    if century and (word in DECADES or word == "hundreds"):
        return Expression(start, start + 2, f"{century * 100 + DECADES.get(word, 0)}s", Kind.YEAR)
    if words[start] in DECADES:
        return Expression(start, start + 1, f"{DECADES[words[start]]}s", Kind.YEAR)
    return None


def write_date(words: Sequence[str], start: int) -> Expression | None:
    """May fourth, the fourth of May, May the fourth, with a year or without; a month with a year; Monday the third."""
    if words[start] in MONTHS:
        return _month_first(words, start)
    found = parse_ordinal(words, start)
    if found is None or not 1 <= found[0] <= 31:
        return None
    day, end = found
    month = end + (words[end] == "of")
    if words[month] in MONTHS and (month > end or words[month] not in VERB_MONTHS):
        text = ordinal_text(day) + " of" * (month > end) + f" {MONTHS[words[month]]}"
        return _with_year(words, start, month + 1, text, separator=" ")
    if words[start - 1] == "the" and words[start - 2] in WEEKDAYS:
        return Expression(start, end, ordinal_text(day), Kind.DATE)
    return None


def _month_first(words: Sequence[str], start: int) -> Expression | None:
    month, after = MONTHS[words[start]], start + 1
    is_named = words[start] not in VERB_MONTHS or words[start - 1] in DATE_LEADS
    if words[after] == "the" and is_named and (found := _day(words, after + 1, parse_ordinal)):
        return _with_year(words, start, found[1], f"{month} the {ordinal_text(found[0])}", separator=", ")
    day = _day(words, after, parse_below_hundred)
    if day and _year_behind(words, day[1], parse_halved_year):
        return _with_year(words, start, day[1], f"{month} {day[0]}", separator=", ")  # March twenty, twenty twenty
    if found := parse_halved_year(words, after):
        return Expression(start, found[1], f"{month} {found[0]}", Kind.DATE)
    if found := _day(words, after, parse_ordinal):
        is_alone = words[start - 1] == "" and words[found[1]] == ""
        is_adverb = found[0] <= _MODAL_ORDINALS and words[found[1]] not in ("is", "was") and not is_alone
        is_verb = words[start - 1] in PRONOUNS or is_adverb
        if not is_named and is_verb and not _year_behind(words, found[1], _year):
            return None
        return _with_year(words, start, found[1], f"{month} {found[0]}", separator=", ")
    if is_named and (found := _year_as_cardinal(words, after)):
        return Expression(start, found[1], f"{month} {found[0]}", Kind.DATE)
    if is_named and day and (day[0] > 1 or words[day[1]] in FUNCTION_WORDS - {"of"}):
        return _with_year(words, start, day[1], f"{month} {day[0]}", separator=", ")
    return None


def _day(words: Sequence[str], start: int, parse: Parser) -> Parse | None:
    found = parse(words, start)
    if found is None or not 1 <= found[0] <= 31 or words[found[1]] in MULTIPLIERS or words[found[1]] in COUNTED:
        return None
    return found


def _year_behind(words: Sequence[str], start: int, parse: Parser) -> Parse | None:
    """The year behind a date, where the day is no number of a row before it."""
    found = parse(["in", *words[start : start + _LONGEST_YEAR], "", "", ""], 1)
    return (found[0], found[1] + start - 1) if found else None


def _with_year(words: Sequence[str], start: int, end: int, text: str, *, separator: str) -> Expression:
    if year := _year_behind(words, end, _year):
        return Expression(start, year[1], f"{text}{separator}{year[0]}", Kind.DATE)
    return Expression(start, end, text, Kind.DATE)
