"""Digits said one by one, telephone numbers, and the numbers of rooms, pages and houses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from asr.punctuation.numbers.expressions import Expression, Kind
from asr.punctuation.numbers.grammar import (
    parse_below_hundred,
    parse_cardinal,
    parse_decimal,
    parse_halves,
)
from asr.punctuation.numbers.number_words import (
    BEFORE_PRONOUN,
    COUNTED,
    DETERMINERS,
    DIGITS,
    FUNCTION_WORDS,
    LABEL_LEADS,
    MULTIPLIERS,
    NUMBER_WORDS,
    REPEATS,
    SPOKEN_ZERO,
    STREETS,
    STRONG_LABELS,
    TIME_LEADS,
    UNITS,
    WEAK_LABELS,
)

_CODES = frozenset({"code", "pin", "error", "extension", "dial", "flight", "route", "highway", "call", "number"})
_LETTERED = frozenset({"apartment", "flat", "room", "section", "gate", "suite", "unit", "appendix"})
_COUNTED_LABELS = frozenset(
    {"room", "part", "step", "phase", "question", "unit", "item", "level", "grade", "act", "scene", "track"}
)
_LETTERS = frozenset("bcdefgh")
_LOCAL, _NATIONAL = 7, 10


def write_digits(words: Sequence[str], start: int) -> Expression | None:
    """Three digits or more, said one by one; seven, ten and eleven are telephone numbers. Counting stays in words."""
    if words[start] in UNITS and words[start - 1] in BEFORE_PRONOUN:
        return None
    if _is_clock(words, start):
        return None
    digits, end, words_used = _freephone(words, start) or _run(words, start)
    if len(digits) >= 3 and words_used >= 2:
        digits, end = _with_pairs(words, digits, end)
    is_code = words[start - 1] in _CODES or (words[start - 1] == "is" and len(digits) > 3)
    if len(digits) < 3 or words_used < 2 or (words[start] in SPOKEN_ZERO and len(digits) < 4 and not is_code):
        return None
    if _is_counting(digits) and not is_code and "0" not in digits:
        return Expression(start, end, None, Kind.KEPT)
    return Expression(start, end, _telephone(digits), Kind.DIGITS)


def _is_clock(words: Sequence[str], start: int) -> bool:
    """Whether "nine oh five" is a time: behind "at", or with a.m. or p.m."""
    end = start + 3
    if words[start] not in UNITS or words[start + 1] not in SPOKEN_ZERO or words[end - 1] not in UNITS:
        return False
    if words[end] in DIGITS or words[end] in SPOKEN_ZERO:
        return False
    is_led = words[start - 1] in TIME_LEADS and (words[start - 1] not in ("is", "was") or words[start - 2] == "it")
    return is_led or words[end] in ("am", "pm") or (words[end] in ("a", "p") and words[end + 1] == "m")


def _run(words: Sequence[str], start: int) -> tuple[str, int, int]:
    """The digits from a place on, the place behind them, and the number of words that stand for digits."""
    digits, place, count = "", start, 0
    while True:
        times = REPEATS.get(words[place], 1)
        first = place + (times > 1)
        word = words[first]
        if word not in DIGITS and word not in SPOKEN_ZERO:
            break
        following = words[first + 1]
        if following in MULTIPLIERS or following == "point" or (word == "one" and following == "of"):
            break  # the first digit of another number
        digits, place, count = digits + str(DIGITS.get(word, 0)) * times, first + 1, count + 1
    if count and words[place] in COUNTED and words[place - 1] in UNITS and words[place] != "second":
        return digits[:-1], place - 1, count - 1  # it counts what follows
    return digits, place, count


def _freephone(words: Sequence[str], start: int) -> tuple[str, int, int] | None:
    """One eight hundred, and seven digits."""
    prefix = "1" if words[start] == "one" else ""
    place = start + bool(prefix)
    if words[place] not in UNITS or words[place + 1] != "hundred":
        return None
    digits, end, count = _run(words, place + 2)
    return (f"{prefix}{UNITS[words[place]]}00{digits}", end, count) if len(digits) == _LOCAL else None


def _with_pairs(words: Sequence[str], digits: str, end: int) -> tuple[str, int]:
    """Telephone numbers that end in numbers of two digits: five five five twelve thirty four."""
    longer, place = digits, end
    while (found := parse_below_hundred(words, place)) and found[0] >= 10 and len(longer) < _NATIONAL:
        longer, place = longer + str(found[0]), found[1]
    return (longer, place) if len(longer) in (_LOCAL, _NATIONAL) else (digits, end)


def _is_counting(digits: str) -> bool:
    steps = {int(after) - int(before) for before, after in pairwise(digits)}
    return steps in ({1}, {-1})


def _telephone(digits: str) -> str:
    if len(digits) == _LOCAL and digits[0] != "0":
        return f"{digits[:3]}-{digits[3:]}"
    if len(digits) == _NATIONAL and digits[0] != "0":
        return f"{digits[:3]}-{digits[3:6]}-{digits[6:]}"
    if len(digits) == _NATIONAL + 1 and digits[0] == "1":
        return f"1-{digits[1:4]}-{digits[4:7]}-{digits[7:]}"
    return digits


def write_label(words: Sequence[str], start: int) -> Expression | None:
    """The number behind chapter, page, room, route and the like, and the number of a house before its street."""
    compressed = parse_halves(words, start)
    found = compressed or parse_cardinal(words, start)
    if found is None:
        return None
    value, end = found
    label = words[start - 1]
    if _is_label(words, start, value) and words[end] not in COUNTED:
        if decimal := parse_decimal(words, start):
            return Expression(start, decimal[1], decimal[0], Kind.LABEL)
        if label in _LETTERED and words[end] in _LETTERS:
            return Expression(start, end + 1, f"{value}{words[end].upper()}", Kind.LABEL)
        return Expression(start, end, str(value), Kind.LABEL) if label != "number" or value > 1 else None
    letter = words[end].upper() if words[end] in _LETTERS else ""
    if value > 1 and _is_before_street(words, end + bool(letter)):
        return Expression(start, end + bool(letter), f"{value}{letter}", Kind.LABEL)
    return None


def _is_label(words: Sequence[str], start: int, value: int) -> bool:
    label, lead = words[start - 1], words[start - 2]
    if parse_below_hundred(words, start) and words[start + 1] in ("other", "others", "more", "such"):
        return False  # write down in verse four other things
    if label in STRONG_LABELS:
        return value >= 10 or lead not in DETERMINERS
    is_led = lead in LABEL_LEADS or lead == "" or lead in UNITS or lead in STRONG_LABELS or lead in WEAK_LABELS
    return label in WEAK_LABELS and is_led and (value > 1 or label in _COUNTED_LABELS)


def write_hundreds(words: Sequence[str], start: int) -> Expression | None:
    """Six fifty words, nine ninety nine: hundreds without their word, where `write_time` found no time."""
    found = parse_halves(words, start)
    if found is None or words[start] not in UNITS or words[start + 1] in SPOKEN_ZERO:
        return None
    value, end = found
    if words[start - 1] in NUMBER_WORDS or words[start - 1] in BEFORE_PRONOUN:
        return None
    if words[end] in COUNTED:
        return None
    return Expression(start, end, str(value), Kind.CARDINAL)


def _is_before_street(words: Sequence[str], place: int) -> bool:
    """Whether the name of a street follows, of one word."""
    name = words[place]
    is_name = name not in FUNCTION_WORDS and name not in COUNTED and name not in NUMBER_WORDS
    return is_name and words[place + 1] in STREETS and words[place + 2] in FUNCTION_WORDS
