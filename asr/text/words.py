"""Words of a text, in scripts with and without spaces between words."""

from __future__ import annotations

import itertools
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence

# Scripts written without spaces between words: the Unicode line breaking classes ID (ideographs and kana) and SA (South
# East Asian), Unicode Standard Annex 14. First and last code points.
_UNSPACED = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19FF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x2FDF),  # radicals of Han
    (0x3005, 0x3007),  # iteration mark, closing mark, zero of Han
    (0x3021, 0x3029),
    (0x3031, 0x30FF),  # Hiragana, Katakana
    (0x3100, 0x312F),  # Bopomofo
    (0x31A0, 0x31FF),  # Bopomofo, Katakana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0xA4CF),  # Han, Yi
    (0xA980, 0xA9FF),  # Javanese, Myanmar
    (0xAA60, 0xAADF),  # Myanmar, Tai Viet
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFF9F),  # halfwidth Katakana
    (0x1AFF0, 0x1B16F),  # Kana
    (0x20000, 0x3FFFF),  # Han
)
_FIRST_CODES = [first for first, _ in _UNSPACED]
# Vowel signs that are letters by their category, and are never written without a preceding consonant.
_DEPENDENT = "\u0e33\u0eb3"
_JOINERS = "\u200c\u200d"
_VIRAMA_CLASS = 9


def one_line(text: str) -> str:
    """A text as valid Unicode in one line: white space and control characters become single spaces.

    Half a surrogate pair, which no encoding can write, becomes the replacement character U+FFFD.

    Examples
    --------
    >>> one_line(" one\\r\\n two\\x00")
    'one two'
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return " ".join("".join(" " if unicodedata.category(one) == "Cc" else one for one in text).split())


def is_unspaced(character: str) -> bool:
    """Whether a character is of a script that is written without spaces between words."""
    code = ord(character)
    place = bisect_right(_FIRST_CODES, code) - 1
    return place >= 0 and code <= _UNSPACED[place][1]


def cut_words(text: str, *, spaced: bool = True) -> list[tuple[int, int]]:
    """Start and end of every word of a text.

    Parameters
    ----------
    text : str
    spaced : bool
        Whether white space separates words. In any case, each character of a script without spaces is a word.

    Returns
    -------
    list of (start, end)
        Indices of runs of characters other than white space. Without spaces, only a dictionary knows where words end:
        each character is a word, together with its marks and punctuation.

    Examples
    --------
    >>> [text[start:end] for text in ["ab cd \u6f22\u5b57."] for start, end in cut_words(text)]
    ['ab', 'cd', '\u6f22', '\u5b57.']
    """
    spans: list[tuple[int, int]] = []
    start, alone = None, False
    for place, character in enumerate(text):
        if character.isspace():
            if start is not None:
                spans.append((start, place))
            start = None
            continue
        unspaced = not spaced or is_unspaced(character)
        if start is not None and (unspaced or alone) and _begins(text, place):
            spans.append((start, place))
            start = None
        if start is None:
            start, alone = place, unspaced
    if start is not None:
        spans.append((start, len(text)))
    return spans


def _begins(text: str, place: int) -> bool:
    """Whether a character begins a word: marks and punctuation belong to the character before them."""
    character, before = text[place], text[place - 1]
    if character in _DEPENDENT or before in _JOINERS or unicodedata.combining(before) == _VIRAMA_CLASS:
        return False
    return unicodedata.category(character)[0] in "LN"


def spaces_before(text: str, words: Sequence[str]) -> list[str]:
    """What precedes each word in a text: a space, or nothing.

    Parameters
    ----------
    text : str
    words : sequence of str
        In the order of the text; a word that the text lacks gets a space.

    Examples
    --------
    >>> spaces_before("ab \u6f22\u5b57", ["ab", "\u6f22", "\u5b57"])
    ['', ' ', '']
    """
    spaces = []
    position = 0
    for number, word in enumerate(words):
        start = position
        while start < len(text) and text[start].isspace():
            start += 1
        found = bool(word) and text.startswith(word, start)
        spaces.append("" if not number or (found and start == position) else " ")
        if found:
            position = start + len(word)
    return spaces


def join_words(words: Sequence[str], *, spaced: bool = False) -> str:
    """Words as a text, when their original spaces are unknown.

    Parameters
    ----------
    words : sequence of str
    spaced : bool
        Whether characters of scripts without spaces are separated too, as in texts that were cut into words.

    Examples
    --------
    >>> join_words(["ab", "cd", "\u6f22", "\u5b57"])
    'ab cd \u6f22\u5b57'
    """
    pieces: list[str] = []
    for word in filter(None, words):
        if pieces and (spaced or not _written_together(pieces[-1], word)):
            pieces.append(" ")
        pieces.append(word)
    return "".join(pieces)


def has_cut_words(text: str) -> bool:
    """Whether a text has a space between two characters of scripts without spaces."""
    return any(itertools.starmap(_written_together, itertools.pairwise(text.split())))


def _written_together(before: str, after: str) -> bool:
    """Whether the adjoining characters of two words, without marks and punctuation, are of scripts without spaces."""
    return is_unspaced(next(filter(str.isalnum, reversed(before)), " ")) and is_unspaced(after[0])
