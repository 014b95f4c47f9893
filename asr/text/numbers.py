"""Numbers in digits, spelled out as they are spoken, by num2words."""

from __future__ import annotations

import re
from decimal import Decimal

from asr.errors import ConfigError
from asr.packages import require_packages

# Languages that write 1,234.5; all others write 1.234,5 or 1 234,5.
_DECIMAL_POINT = frozenset({"am", "bn", "cy", "en", "fa", "he", "ja", "kn", "ko", "te", "th"})
_SPACES = "\u00a0\u202f\u2009"
_ORDINAL = r"(?:(?i:st|nd|rd|th)\b|)"
# What is spoken as words of its own, which depend on the language and on the number: $5, 20 %, 3 °C, ½.
_SYMBOLS = re.compile(r"[$\u00a2\u00a3\u00a5\u20a0-\u20cf%\u2030\u00b0]")
_NEAR = 2


def has_digits(text: str) -> bool:
    """Whether a text has a decimal digit of any script."""
    return any(character.isdecimal() for character in text)


def check_language(language: str) -> None:
    """Refuse a language in which numbers cannot be spelled.

    Raises
    ------
    MissingPackageError
        If num2words is not installed.
    ConfigError
        Naming the languages that it has.
    """
    require_packages("num2words", extra="numbers", purpose="numbers=words")
    import num2words

    known = num2words.CONVERTER_CLASSES
    if language not in known and language.split("_")[0] not in known:
        raise ConfigError(f"language must be one of {', '.join(sorted(known))}, not {language!r}")


def spell_numbers(text: str, language: str = "en") -> str:
    """A text with its numbers spelled out.

    Parameters
    ----------
    text : str
        As it is written, before normalisation.
    language : str
        A language of num2words, such as en, de, pt_BR.

    Returns
    -------
    str
        Whole numbers (with the language's separators of thousands), decimal numbers, numbers with a minus before them,
        and English ordinals (21st) are spelled out. A number that begins with 0 is spelled digit by digit. A number is
        read as a quantity, also where it is a year or a house number.

    Raises
    ------
    ConfigError
        If a number is too large to be spelled.

    Examples
    --------
    >>> spell_numbers("The 3rd of 1,200 costs 2.5 times as much.")
    'The third of one thousand, two hundred costs two point five times as much.'
    """
    in_english = language.split("_")[0] == "en"
    point, separators = (".", ",") if language.split("_")[0] in _DECIMAL_POINT else (",", "." + _SPACES)

    def spell(found: re.Match[str]) -> str:
        digits = "".join("." if one == point else str(int(one)) for one in found["number"] if one not in separators)
        if found["ordinal"] and in_english and "." not in digits:
            words = _spell(digits, language, to="ordinal")
        else:
            words = _spell(found["minus"] + digits, language) + found["ordinal"]
        before, after = text[: found.start()][-1:], text[found.end() :][:1]
        return " " * before.isalpha() + words + " " * after.isalpha()

    return re.sub(_number_pattern(point, separators, ordinals=in_english), spell, text)


def _number_pattern(point: str, separators: str, *, ordinals: bool) -> str:
    whole = rf"\d{{1,3}}(?:[{re.escape(separators)}]\d{{3}})+"
    fraction = rf"{re.escape(point)}\d+"
    # Of dates, versions and lists (1.2.2003), each number is one of its own.
    alone, end = r"(?<!\d)(?<!\d[.,])", r"(?![.,]?\d)"
    number = rf"{alone}(?:{whole}(?:{fraction})?|\d+{fraction}){end}|\d+"
    return rf"(?P<minus>(?<!\S)-|)(?P<number>{number})(?P<ordinal>{_ORDINAL if ordinals else ''})"


def _spell(number: str, language: str, to: str = "cardinal") -> str:
    """The words of a number in ASCII digits with a decimal point."""
    import num2words

    try:
        if re.match(r"0\d", number):
            return " ".join(num2words.num2words(int(digit), lang=language) for digit in number if digit != ".")
        value = Decimal(number) if "." in number else int(number)
        return str(num2words.num2words(value, lang=language, to=to))
    except (OverflowError, NotImplementedError) as error:
        raise ConfigError(f"{number} cannot be spelled in {language}: {error}") from error


def unspoken_symbols(text: str) -> list[str]:
    """Symbols beside numbers that are spoken as words, which `spell_numbers` does not write: $5, 20 %, 3 °C."""
    return [
        found[0]
        for found in _SYMBOLS.finditer(text)
        if has_digits(text[max(0, found.start() - _NEAR) : found.end() + _NEAR])
    ]
