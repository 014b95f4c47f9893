"""The pronunciations of any words: from a dictionary, else by rule, else from their letters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from asr.pronunciation.dictionary import Pronunciation
from asr.pronunciation.g2p import G2p
from asr.pronunciation.inflection import inflect
from asr.pronunciation.spelling import american_spellings

LETTER_NAMES: Mapping[str, Pronunciation] = {
    "a": ("EY",),
    "b": ("B", "IY"),
    "c": ("S", "IY"),
    "d": ("D", "IY"),
    "e": ("IY",),
    "f": ("EH", "F"),
    "g": ("JH", "IY"),
    "h": ("EY", "CH"),
    "i": ("AY",),
    "j": ("JH", "EY"),
    "k": ("K", "EY"),
    "l": ("EH", "L"),
    "m": ("EH", "M"),
    "n": ("EH", "N"),
    "o": ("OW",),
    "p": ("P", "IY"),
    "q": ("K", "Y", "UW"),
    "r": ("AA", "R"),
    "s": ("EH", "S"),
    "t": ("T", "IY"),
    "u": ("Y", "UW"),
    "v": ("V", "IY"),
    "x": ("EH", "K", "S"),
    "w": ("D", "AH", "B", "AH", "L", "Y", "UW"),
    "y": ("W", "AY"),
    "z": ("Z", "IY"),
}
"""how single letters are spelled out, in US English"""


class Source(StrEnum):
    """Where a word's pronunciations come from."""

    dictionary = "dictionary"
    letter = "name of a letter"
    inflection = "rule for an inflected word"
    spelling = "American spelling"
    g2p = "letters (G2P)"


@dataclass(frozen=True, slots=True)
class Found:
    """The pronunciations of a word, the preferred one first."""

    pronunciations: tuple[Pronunciation, ...]
    source: Source


def look_up(
    words: Iterable[str],
    dictionary: Mapping[str, tuple[Pronunciation, ...]],
    g2p: G2p | None = None,
    *,
    n_best: int = 2,
    min_share: float = 0.3,
) -> dict[str, Found]:
    """Find the pronunciations of words.

    Parameters
    ----------
    words : iterable of str
        In lower case.
    dictionary : mapping
        Words to their pronunciations.
    g2p : G2p, optional
        For words that neither the dictionary nor a rule covers.
    n_best : int > 0
        The most pronunciations that a word gets from its letters.
    min_share : float
        Of these, those are left out whose probability is below this share of the first one's.

    Returns
    -------
    dict
        Without the words for which nothing was found: those with characters that `g2p` does not know, or all that only
        `g2p` could pronounce if there is none.
    """
    found: dict[str, Found | None] = {word: _without_g2p(word, dictionary) for word in words}
    if g2p:
        # The stem of a possessive is the more common sequence of letters, and a rule gives the ending.
        stems = {
            word: word.removesuffix("'s") or word
            for word, one in found.items()
            if one is None and g2p.spells(word.removesuffix("'s") or word)
        }
        distinct = list(dict.fromkeys(stems.values()))
        variants = {
            stem: _likely(results, min_share)
            for stem, results in zip(distinct, g2p.pronounce(distinct, n_best), strict=True)
        }
        for word, stem in stems.items():
            if variants[stem]:
                found[word] = Found(variants[stem] if word == stem else inflect(word, variants), Source.g2p)
    return {word: one for word, one in found.items() if one is not None}


def _without_g2p(word: str, dictionary: Mapping[str, tuple[Pronunciation, ...]]) -> Found | None:
    if word in dictionary:
        return Found(dictionary[word], Source.dictionary)
    if word in LETTER_NAMES:
        return Found((LETTER_NAMES[word],), Source.letter)
    inflected = inflect(word, dictionary)
    if inflected:
        return Found(inflected, Source.inflection)
    for spelling in american_spellings(word):
        respelled = dictionary.get(spelling) or inflect(spelling, dictionary)
        if respelled:
            return Found(respelled, Source.spelling)
    return None


def _likely(results: list[tuple[Pronunciation, float]], min_share: float) -> tuple[Pronunciation, ...]:
    """The pronunciations whose probability is at least a share of the first one's."""
    return tuple(phones for phones, log_prob in results if math.exp(log_prob - results[0][1]) >= min_share)
