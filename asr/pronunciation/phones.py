"""The phones of English, and the numbers of phones in a phone output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from asr.errors import ConfigError
from asr.text.alphabet import BLANK

PHONES: tuple[str, ...] = (
    *(
        "AA",
        "AE",
        "AH",
        "AO",
        "AW",
        "AY",
        "B",
        "CH",
        "D",
        "DH",
        "EH",
        "ER",
        "EY",
        "F",
        "G",
        "HH",
        "IH",
        "IY",
        "JH",
        "K",
    ),
    *("L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"),
)
"""The 39 phones of CMUdict in ARPAbet, without stress."""


@dataclass(frozen=True)
class PhoneSet:
    """Numbers for phones; a phone at the beginning of a word has another number than the same phone elsewhere.

    Number 0 is the blank of CTC, 1 to n are the n phones at the beginning of a word, n + 1 to 2 n the phones elsewhere,
    so that a sequence of numbers says where its words begin.

    Parameters
    ----------
    phones : tuple of str
        Distinct names.

    Raises
    ------
    ConfigError
        If a phone comes twice, or there is none.

    Examples
    --------
    >>> phones = PhoneSet(("AH", "B", "T"))
    >>> phones.encode(("B", "AH", "T")) + phones.encode(("AH",))
    [2, 4, 6, 1]
    >>> phones.decode([2, 4, 6, 1])
    [['B', 'AH', 'T'], ['AH']]
    """

    phones: tuple[str, ...] = PHONES

    def __post_init__(self) -> None:
        if not self.phones:
            raise ConfigError("a phone set needs at least one phone")
        twice = sorted({phone for phone in self.phones if self.phones.count(phone) > 1})
        if twice:
            raise ConfigError(f"the phone set holds {', '.join(twice)} more than once")

    @property
    def size(self) -> int:
        """Width of a phone output: each phone twice, and the blank."""
        return 1 + 2 * len(self.phones)

    @cached_property
    def initial(self) -> frozenset[int]:
        """The numbers that begin a word."""
        return frozenset(range(BLANK + 1, BLANK + 1 + len(self.phones)))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names for the numbers from 1 on: "_AA" at the beginning of a word, "AA" elsewhere."""
        return (*(f"_{phone}" for phone in self.phones), *self.phones)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {phone: place for place, phone in enumerate(self.phones)}

    def encode(self, pronunciation: Sequence[str]) -> list[int]:
        """The numbers of one word's phones.

        Raises
        ------
        ConfigError
            If the pronunciation is empty, or the set lacks one of its phones.
        """
        if isinstance(pronunciation, str) or not pronunciation:
            raise ConfigError(f"a pronunciation is a sequence of at least one phone, not {pronunciation!r}")
        unknown = [phone for phone in dict.fromkeys(pronunciation) if phone not in self._places]
        if unknown:
            raise ConfigError(
                f"the phone set lacks {', '.join(map(repr, unknown))} of {' '.join(map(str, pronunciation))}; "
                f"it holds {' '.join(self.phones)}"
            )
        first, *others = (self._places[phone] + BLANK + 1 for phone in pronunciation)
        return [first, *(number + len(self.phones) for number in others)]

    def decode(self, numbers: Iterable[int]) -> list[list[str]]:
        """The words, as lists of phones, that a sequence of numbers spells.

        Phones before the first word-initial phone are a word of their own.

        Raises
        ------
        ConfigError
            If a number is the blank's or past the last.
        """
        words: list[list[str]] = []
        for number in numbers:
            if not BLANK < number < self.size:
                raise ConfigError(f"{number} is no phone's number: those are {BLANK + 1} to {self.size - 1}")
            if number in self.initial or not words:
                words.append([])
            words[-1].append(self.phones[(number - BLANK - 1) % len(self.phones)])
        return words
