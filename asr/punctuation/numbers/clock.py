"""Times of day in English."""

from __future__ import annotations

from collections.abc import Sequence

from asr.punctuation.numbers.expressions import Expression, Kind
from asr.punctuation.numbers.grammar import Parse, parse_below_hundred, parse_two_digits
from asr.punctuation.numbers.number_words import (
    AFTER_TIME,
    BEFORE_PRONOUN,
    COUNTED,
    DIGITS,
    FUNCTION_WORDS,
    MULTIPLIERS,
    NUMBER_WORDS,
    SPOKEN_ZERO,
    TEENS,
    TENS,
    TIME_LEADS,
    UNITS,
)

_HOURS = {**UNITS, **{word: value for word, value in TEENS.items() if value <= 12}}
_LATE_HOURS = {**TEENS, "twenty": 20}
# Minutes that are said without the word, before and after the hour.
_ROUND_MINUTES = frozenset({5, 10, 20, 25})
_FIRM_LEADS = TIME_LEADS - {"is", "was", "it's", "about", "nearly", "almost"}
_NO_TIME = frozenset({"from", "between", "of"})


def write_time(words: Sequence[str], start: int) -> Expression | None:
    """Nine thirty, nine p.m., fourteen thirty, five o'clock; half past nine and ten to one stay in words."""
    if idiom := _in_words(words, start):
        return idiom
    hour = _HOURS.get(words[start])
    if hour is None:
        return _of_twenty_four_hours(words, start)
    after = start + 1
    if words[after] == "o'clock":
        return Expression(start, after + 1, f"{hour} o'clock", Kind.TIME)
    minutes = _minutes(words, after)
    text, end = (f"{hour}:{minutes[0]:02d}", minutes[1]) if minutes else (str(hour), after)
    if half := _half_of_day(words, end):
        return Expression(start, half[1], f"{text} {half[0]}", Kind.TIME)
    if minutes and _is_time(words, start, minutes):
        return Expression(start, end, text, Kind.TIME)
    return None


def _minutes(words: Sequence[str], start: int) -> Parse | None:
    found = parse_two_digits(words, start)
    return found if found and found[0] < 60 else None


def _half_of_day(words: Sequence[str], start: int) -> tuple[str, int] | None:
    if words[start] in ("a", "p") and words[start + 1] == "m":
        return f"{words[start]}.m.", start + 2
    if words[start] in ("am", "pm") and words[start + 1] not in ("i", "not"):
        return f"{words[start][0]}.m.", start + 1
    return None


def _is_time(words: Sequence[str], start: int, minutes: Parse) -> bool:
    """Whether two halves without "a.m." are a time, and neither digits nor two numbers."""
    following, is_led = words[minutes[1]], words[start - 1] in TIME_LEADS
    if following in COUNTED or following in MULTIPLIERS or following in ("point", "street"):
        return False
    if words[start + 1] in SPOKEN_ZERO:
        return is_led and following not in DIGITS and following not in SPOKEN_ZERO
    if words[start - 1] in _FIRM_LEADS:
        return True
    if following in NUMBER_WORDS or words[start - 1] in NUMBER_WORDS or words[start - 1] in BEFORE_PRONOUN - {"the"}:
        return False
    return is_led or following in FUNCTION_WORDS or following in AFTER_TIME


def _of_twenty_four_hours(words: Sequence[str], start: int) -> Expression | None:
    hour = _LATE_HOURS.get(words[start])
    if hour is None:
        return None
    if words[start + 1] == "hundred" and words[start + 2] == "hours":
        return Expression(start, start + 2, f"{hour}00", Kind.TIME)
    minutes = _minutes(words, start + 1)
    is_led = words[start - 1] in TIME_LEADS
    if minutes and is_led and words[minutes[1]] not in COUNTED and words[minutes[1]] not in MULTIPLIERS:
        return Expression(start, minutes[1], f"{hour}:{minutes[0]:02d}", Kind.TIME)
    return None


def _in_words(words: Sequence[str], start: int) -> Expression | None:
    """Half past nine, a quarter to ten, twenty past eight, ten minutes to one: the words of a time that stay."""
    if words[start] in ("half", "quarter"):
        return _kept_hour(words, start, start + 2) if words[start + 1] in ("past", "to", "after") else None
    minutes = parse_below_hundred(words, start)
    if minutes is None or minutes[0] > 29:
        return None
    relation = minutes[1] + (words[minutes[1]] in ("minute", "minutes"))
    if words[relation] not in ("past", "to") and not (words[relation] == "of" and relation > minutes[1]):
        return None
    if relation == minutes[1] and minutes[0] not in _ROUND_MINUTES:
        return None
    is_led = words[start - 1] in TIME_LEADS
    if words[relation] == "to" and relation == minutes[1] and not is_led:
        return None
    return None if words[start - 1] in _NO_TIME else _kept_hour(words, start, relation + 1)


def _kept_hour(words: Sequence[str], start: int, hour: int) -> Expression | None:
    following = words[hour + 1]
    if words[hour] not in _HOURS or following in COUNTED or following in MULTIPLIERS or following in TENS:
        return None
    if following == "o'clock" or _half_of_day(words, hour + 1):
        return Expression(start, hour, None, Kind.KEPT)  # ten to 11 p.m.
    return Expression(start, hour + 1, None, Kind.KEPT)
