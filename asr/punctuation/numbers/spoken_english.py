"""The words of English numbers in figures, as they are most often said."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from asr.punctuation.numbers.number_words import COUNTED, DIGITS, MONTHS, ORDINALS, SCALES, TEENS, TENS, UNITS

_BELOW_TWENTY = {value: word for word, value in {**UNITS, **TEENS}.items()}
_TENS = {value: word for word, value in TENS.items()}
_DIGITS = {str(value): word for word, value in DIGITS.items()}
_SCALES = {value: word for word, value in SCALES.items()}
_DECADES = {value: f"{word[:-1]}ies" for value, word in _TENS.items()}
_ORDINALS = {cardinal: ordinal for ordinal, cardinal in ORDINALS.items() if ordinal != "twelveth"}
_UNITS_OF_MONEY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "\u20ac": ("euro", "euros", "cent", "cents"),
    "\u00a3": ("pound", "pounds", "penny", "pence"),
}
_SAYABLE = 1000 * max(SCALES.values())
# A longer row of digits without separators is said digit by digit.
_LONGEST_PLAIN = 4
_YEARS = range(1010, 2100)
# Said as "twelve hundred".
_MANY_HUNDREDS = range(1100, 2000, 100)

_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"
_HUNDREDTHS = re.compile(r"([0-9,]+)\.([0-9][0-9])")
_TIME = re.compile(r"([0-9]{1,2}):([0-9][0-9])")
_TELEPHONE = re.compile(r"(?:1-)?(?:[0-9]{3}-)?[0-9]{3}-[0-9]{4}")
_DECADE = re.compile(r"([0-9][0-9])?([0-9]0)s")
_ORDINAL = re.compile(rf"({_NUMBER})(?:st|nd|rd|th)")
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){2,}")
_DAY = re.compile(r"[1-9]|[12][0-9]|3[01]")
_INITIALS = re.compile(r"[a-z](?:\.[a-z])+")
_RUNS = re.compile(r"[0-9]+|[^0-9]+")
_EDGES = re.compile(r"^[^\w$\u20ac\u00a3]+|[^\w%]+$")
_FIGURE = re.compile(r"[0-9]")

Spelling = Callable[[str], Sequence[str]]
"""from a piece of text without figures to its words"""


def say_english(tokens: Sequence[str], plain: Spelling) -> list[str]:
    """The words of a text, with those of its figures.

    Parameters
    ----------
    tokens : sequence of str
        What white space separates. Case, and marks around a token, make no difference.
    plain : callable
        Makes the words of what has no figures.

    Examples
    --------
    >>> " ".join(say_english("At 9:30 p.m. on May 4, 1984 it cost $2.50!".split(), str.split))
    'At nine thirty p m on May fourth nineteen eighty four it cost two dollars and fifty cents'
    """
    words: list[str] = []
    bare = [_EDGES.sub("", token.lower()) for token in tokens]
    shown = [(token, one) for token, one in zip(tokens, bare, strict=True) if one]
    place = 0
    while place < len(shown):
        token, one = shown[place]
        before = shown[place - 1][1] if place else ""
        after = shown[place + 1][1] if place + 1 < len(shown) else ""
        place += 1
        if not _FIGURE.search(one):
            words += one.split(".") if _INITIALS.fullmatch(one) else plain(token)
        elif one[0] in _UNITS_OF_MONEY and (amount := _money(one, before, after)):
            words += amount
            place += after in SCALES
        elif before in MONTHS and after not in COUNTED and _DAY.fullmatch(one):
            words += _ordinal(int(one))
        else:
            words += _figures(one, plain)
    return words


def _figures(token: str, plain: Spelling) -> list[str]:
    """A token with figures, in lower case and without marks around it."""
    if token[-1] == "%" and (words := _number(token[:-1])):
        return [*words, "percent"]
    if found := _TIME.fullmatch(token):
        return [*_cardinal(int(found[1])), *_minutes(int(found[2]))]
    if _TELEPHONE.fullmatch(token):
        return _one_by_one(token.replace("-", ""))
    if found := _DECADE.fullmatch(token):
        return [*(_cardinal(int(found[1])) if found[1] else []), _DECADES.get(int(found[2]), "hundreds")]
    if found := _ORDINAL.fullmatch(token):
        value = int(found[1].partition(".")[0].replace(",", ""))
        return _ordinal(value) if 0 < value < _SAYABLE else _one_by_one(str(value))
    if _VERSION.fullmatch(token):
        head, *parts = token.split(".")
        return [*_whole(head), *(word for part in parts for word in ["point", *_one_by_one(part, zero="zero")])]
    if words := _number(token):
        return words
    parts = [part for part in re.split(r"[-/\u2010-\u2015]", token) if part]
    if len(parts) > 1:
        return [word for part in parts for word in (_figures(part, plain) if _FIGURE.search(part) else plain(part))]
    runs = _RUNS.findall(token)
    return [word for run in runs for word in (_whole(run) if _FIGURE.match(run) else plain(run))]


def _number(text: str) -> list[str]:
    """The words of a number, with or without separators of thousands and decimals; none if it is no number."""
    if not re.fullmatch(_NUMBER, text):
        return []
    whole, _, fraction = text.partition(".")
    return [*_whole(whole), *(["point", *_one_by_one(fraction, zero="zero")] if fraction else [])]


def _money(token: str, before: str, after: str) -> list[str]:
    """An amount, with the million or billion behind it; none if it is none."""
    one, more, hundredth, hundredths = _UNITS_OF_MONEY[token[0]]
    if found := _HUNDREDTHS.fullmatch(token[1:]):
        rest = int(found[2])
        whole = _money(token[0] + found[1], before, "") if found[1] != "0" or not rest else []
        return [*whole, *(["and"] if whole and rest else []), *_counted(rest, hundredth, hundredths)]
    words = _number(token[1:])
    if not words:
        return []
    if after in SCALES:
        words.append(after)
    return [*words, one if words == ["one"] or before in ("a", "an") else more]  # a ten dollar bill


def _counted(number: int, one: str, more: str) -> list[str]:
    return [*_cardinal(number), one if number == 1 else more] if number else []


def _minutes(minutes: int) -> list[str]:
    return [*(["oh"] if minutes < 10 else []), *_cardinal(minutes)] if minutes else []


def _whole(text: str) -> list[str]:
    """A whole number: with separators a quantity, without perhaps a year, or digits said one by one."""
    value = int(text.replace(",", ""))
    if "," not in text:
        if (text[0] == "0" and len(text) > 1) or len(text) > _LONGEST_PLAIN:
            return _one_by_one(text)
        if len(text) == _LONGEST_PLAIN:
            return _year(value) if value in _YEARS else _four_digits(text)
    if value in _MANY_HUNDREDS:
        return [*_cardinal(value // 100), "hundred"]
    return _cardinal(value) if value < _SAYABLE else _one_by_one(str(value))


def _year(value: int) -> list[str]:
    century, rest = divmod(value, 100)
    if century == 20 and rest < 10:
        return _cardinal(value)
    second = ["hundred"] if not rest else [*(["oh"] if rest < 10 else []), *_cardinal(rest)]
    return [*_cardinal(century), *second]


def _four_digits(text: str) -> list[str]:
    value = int(text)
    if value % 1000 == 0:
        return _cardinal(value)
    return [*_cardinal(value // 100), "hundred"] if value % 100 == 0 else _one_by_one(text)


def _one_by_one(digits: str, *, zero: str = "oh") -> list[str]:
    zero = "zero" if digits[0] == "0" else zero
    return [zero if digit == "0" else _DIGITS[digit] for digit in digits]


def _cardinal(value: int) -> list[str]:
    """The words of a number, with "and" before what is below a hundred."""
    if value < 100:
        if value < 20:
            return [_BELOW_TWENTY.get(value, "zero")]
        return [_TENS[value // 10 * 10], *([_BELOW_TWENTY[value % 10]] if value % 10 else [])]
    if value < 1000:
        hundreds, rest = divmod(value, 100)
        return [_BELOW_TWENTY[hundreds], "hundred", *(["and", *_cardinal(rest)] if rest else [])]
    words: list[str] = []
    for scale, name in sorted(_SCALES.items(), reverse=True):
        count, value = divmod(value, scale)
        words += [*_cardinal(count), name] if count else []
    return [*words, *(["and"] if 0 < value < 100 else []), *(_cardinal(value) if value else [])]


def _ordinal(value: int) -> list[str]:
    if value in (100, 1000):
        return ["hundredth" if value == 100 else "thousandth"]  # "one" would be a digit of a row before it
    *first, last = _cardinal(value)
    return [*first, _ORDINALS.get(last, f"{last}th")]
