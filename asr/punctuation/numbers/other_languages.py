"""Cardinals of languages other than English, by text2num."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from asr.errors import ConfigError

if TYPE_CHECKING:
    from text_to_num import Token

# What separates thousands, and what the decimal part. Numbers of four digits are written without.
_SEPARATORS = {
    "da": (".", ","), "de": (".", ","), "es": (".", ","), "fr": ("\u202f", ","), "it": (".", ","), "nl": (".", ","),
    "pt": (".", ","),
}  # fmt: skip
LANGUAGES = ("en", *_SEPARATORS)
"""the languages that numbers can be written in"""
_SMALL = 10


class _Word:
    """A word as text2num takes it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def text(self) -> str:
        return self._text

    def nt_separated(self, previous: Token) -> bool:
        return False

    def not_a_number_part(self) -> bool:
        return False


def check_written_language(language: str, setting: str = "language") -> str:
    """The language of two letters of a language tag (`en_US` is `en`); `setting` is its name in messages.

    Raises
    ------
    ConfigError
        If numbers cannot be written in it: the message names those in which they can.
    """
    base = language.replace("-", "_").partition("_")[0].lower()
    if base not in LANGUAGES:
        raise ConfigError(f"{setting} must be one of {', '.join(LANGUAGES)}, not {language!r}")
    return base


def cardinals(words: Sequence[str], language: str) -> Iterator[tuple[int, int, str]]:
    """Whole and decimal numbers from ten on, and decimal numbers below: start, end, and the text in figures."""
    from text_to_num import find_numbers

    tokens: list[Token] = [_Word(word) for word in words]
    thousands, point = _SEPARATORS[language]
    for found in find_numbers(tokens, language, 0.0):
        whole, _, fraction = found.text.replace(",", ".").partition(".")
        if found.is_ordinal or not (whole + fraction).isdigit() or (int(whole) < _SMALL and not fraction):
            continue
        if len(whole) > 4:
            whole = f"{int(whole):,}".replace(",", thousands)
        yield found.start, found.end, whole + (point + fraction if fraction else "")
