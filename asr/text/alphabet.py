"""The alphabet: which number of the model's output is which character. Only this module says that blank is 0."""

from __future__ import annotations

import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from asr.errors import ConfigError
from asr.settings.checks import shown
from asr.text.words import cut_words

BLANK = 0
MOST_SYMBOLS = 65_535
# Control characters and surrogates (halves of characters), which no transcript can hold.
_UNUSABLE = ("Cc", "Cs")
_MOST_NAMED = 5


def describe_character(character: str) -> str:
    """A character as an error message shows it: itself, its code point, and its name where it has one.

    >>> describe_character("\u00ef")
    "'\u00ef' (U+00EF, LATIN SMALL LETTER I WITH DIAERESIS)"
    """
    name = unicodedata.name(character, "")
    return f"{character!r} (U+{ord(character):04X}{', ' + name if name else ''})"


def _describe(characters: Sequence[str]) -> str:
    names = [describe_character(one) for one in characters[:_MOST_NAMED]]
    return ", ".join(names) + (f" and {len(characters) - len(names)} more" if len(characters) > len(names) else "")


def check_characters(characters: str, name: str) -> None:
    """Refuse characters that cannot stand in a text: control characters, white space but the space.

    Raises
    ------
    ConfigError
        Naming the setting and the characters.
    """
    distinct = dict.fromkeys(characters)  # of thousands of pieces, few characters
    unusable = [one for one in distinct if unicodedata.category(one) in _UNUSABLE or (one.isspace() and one != " ")]
    if unusable:
        raise ConfigError(f"{name} holds {_describe(unusable)}: no control characters, no white space but the space")


@dataclass(frozen=True)
class Alphabet:
    """The characters a model can write, numbered from 1; number 0 is the blank of CTC.

    Parameters
    ----------
    symbols : str
        Distinct characters, in the order of their numbers.

    Raises
    ------
    ConfigError
        If a character comes twice or cannot stand in a text, or there is none.

    Examples
    --------
    >>> alphabet = Alphabet(" ab")
    >>> alphabet.encode("a b")
    [2, 1, 3]
    >>> alphabet.decode([2, 1, 3])
    'a b'
    """

    symbols: Sequence[str]

    def __post_init__(self) -> None:
        if not isinstance(self.symbols, str):
            raise ConfigError(f"alphabet.symbols must be a text, not {shown(self.symbols)}")
        if not self.symbols:
            raise ConfigError("alphabet.symbols is empty: name the characters, or set alphabet.from_data=true")
        if len(self.symbols) > MOST_SYMBOLS:
            raise ConfigError(f"alphabet.symbols must be at most {MOST_SYMBOLS} characters, not {len(self.symbols)}")
        twice = sorted(symbol for symbol, count in Counter(self.symbols).items() if count > 1)
        if twice:
            raise ConfigError(f"alphabet.symbols holds {_describe(twice)} more than once")
        check_characters(self.symbols, "alphabet.symbols")

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> Alphabet:
        """The alphabet of all characters in some (normalised) texts, in code point order."""
        return cls("".join(sorted(set().union(*texts))))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: number for number, symbol in enumerate(self.symbols, start=BLANK + 1)}

    @property
    def size(self) -> int:
        """Width of the model's output: all symbols and the blank."""
        return len(self.symbols) + 1

    @property
    def description(self) -> str:
        """The symbols as messages show them."""
        return repr(self.symbols)

    @property
    def word_starts(self) -> frozenset[int]:
        """The numbers of symbols that begin a word by themselves, without a separator before them."""
        return frozenset()

    @property
    def separator(self) -> str:
        """What separates words: a space, or nothing where the alphabet has none.

        Other marks between words, such as the Ethiopic wordspace, are punctuation to the normaliser, which makes spaces
        of them, or symbols like all others where it keeps them.
        """
        return " " if " " in self._numbers else ""

    @property
    def separator_number(self) -> int | None:
        """The number of a symbol that separates what precedes it from what follows, if there is one."""
        return self._numbers.get(" ")

    def words(self, text: str) -> list[tuple[int, int]]:
        """Where the words of a text that the alphabet writes begin and end; see `cut_words`."""
        return cut_words(text, spaced=bool(self.separator))

    def join(self, texts: Iterable[str]) -> str:
        """Texts one behind the other, as one: single separators between those that are not empty, and none around."""
        separator = self.separator
        if not separator:
            return "".join(texts)
        return separator.join(word for text in texts for word in text.split(separator) if word)

    def unknown(self, text: str) -> list[str]:
        """The distinct characters of a text that the alphabet cannot write, in order of appearance."""
        return [character for character in dict.fromkeys(text) if character not in self._numbers]

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's symbols.

        Raises
        ------
        ConfigError
            If a character is not in the alphabet; the message names it and its code point.
        """
        unknown = self.unknown(text)
        if unknown:
            names = ", ".join(map(describe_character, unknown))
            raise ConfigError(f"text {text!r} has {names}, not in the alphabet {self.symbols!r}")
        return [self._numbers[character] for character in text]

    def number(self, symbol: str) -> int | None:
        """The number of a symbol; None if the alphabet has no such symbol."""
        return self._numbers.get(symbol)

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of some numbers, none of which may be the blank."""
        return self.spell(numbers)[0]

    def spell(self, numbers: Sequence[int]) -> tuple[str, list[int]]:
        """The text of some numbers, and for each of its characters which of the numbers, from 0, wrote it."""
        return "".join(self.symbols[number - BLANK - 1] for number in numbers), list(range(len(numbers)))


def steps_needed(numbers: Sequence[int]) -> int:
    """The fewest model steps in which CTC can write a label: its symbols, and a blank between equal neighbours.

    Source: A. Graves et al., "Connectionist Temporal Classification", ICML 2006, section 3.
    """
    repeats = sum(left == right for left, right in itertools.pairwise(numbers))
    return len(numbers) + repeats
