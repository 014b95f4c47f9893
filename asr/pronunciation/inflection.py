"""Pronunciations of inflected English words from those of their stems: possessives, plurals, -ed, -ing and the like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from asr.pronunciation.dictionary import Pronunciation

_SIBILANTS = frozenset(("S", "Z", "SH", "ZH", "CH", "JH"))
_VOICELESS = frozenset(("P", "T", "K", "F", "TH", "S", "SH", "CH"))
_VOWELS = frozenset("aeiou")
# A stem of two letters is an abbreviation more often than a word.
_SHORTEST_STEM = 3


def inflect(word: str, dictionary: Mapping[str, tuple[Pronunciation, ...]]) -> tuple[Pronunciation, ...]:
    """The pronunciations of an inflected word whose stem is known; none where no rule applies.

    Parameters
    ----------
    word : str
        In lower case.
    dictionary : mapping
        Words to their pronunciations.

    Returns
    -------
    tuple of pronunciations
        One for each of the stem's, without repetition, in the stem's order.

    Examples
    --------
    >>> dictionary = {"dog": (("D", "AO", "G"),), "wish": (("W", "IH", "SH"),)}
    >>> inflect("dog's", dictionary)
    (('D', 'AO', 'G', 'Z'),)
    >>> inflect("wished", dictionary)
    (('W', 'IH', 'SH', 'T'),)
    >>> inflect("seldom", dictionary)
    ()
    """
    for ending, stems, attach in _RULES:
        if word.endswith(ending):
            for stem in stems(word[: -len(ending)]):
                if stem in dictionary and (len(stem) >= _SHORTEST_STEM or ending == "'s"):
                    return tuple(dict.fromkeys(attach(phones) for phones in dictionary[stem]))
    return ()


def _possessive_stems(stem: str) -> Iterator[str]:
    yield stem


def _plural_possessive_stems(stem: str) -> Iterator[str]:
    yield stem + "s"


def _plural_stems(stem: str) -> Iterator[str]:
    """Of what precedes -s: "dog" of "dogs", "wish" of "wishes", "city" of "cities"; "glass" has none."""
    if stem.endswith("ie"):
        yield stem[:-2] + "y"
    if stem.endswith(("she", "che", "xe", "sse", "zze", "oe")):
        yield stem[:-1]
    # -us and -is end singular words: "genius", "basis".
    if not stem.endswith(("s", "u", "i")):
        yield stem


def _verb_stems(stem: str) -> Iterator[str]:
    """Of what precedes -ed and -ing: "rate" of "rated", "hum" of "hummed", "seem" of "seemed"."""
    if stem.endswith(("a", "e", "o", "i")):
        yield stem
        return
    yield stem + "e"
    if len(stem) > 2 and stem[-1] == stem[-2]:
        yield stem[:-1]
    # After one vowel a single consonant would have been doubled, but where that vowel is not stressed: "wondered".
    one_vowel = len(stem) > 2 and stem[-2] in _VOWELS and stem[-3] not in _VOWELS and stem[-1] not in "wxy"
    if not one_vowel or sum(letter in _VOWELS for letter in stem) > 1:
        yield stem


def _past_stems(stem: str) -> Iterator[str]:
    if stem.endswith("i"):
        yield stem[:-1] + "y"
    else:
        yield from _verb_stems(stem)


def _poetic_past_stems(stem: str) -> Iterator[str]:
    """Of what precedes -'d: "look" of "look'd", "receive" of "receiv'd", "step" of "stepp'd", "carry" of "carry'd"."""
    yield from _past_stems(stem)
    yield stem


def _adjective_stems(stem: str) -> Iterator[str]:
    """Of what precedes -ness and -less: "happy" of "happiness", "home" of "homeless"."""
    yield stem[:-1] + "y" if stem.endswith("i") else stem


def _clipped_stems(stem: str) -> Iterator[str]:
    """Of what precedes -in for -ing: "coming" of "comin", as dialogue in books is spelled."""
    yield stem + "ing"


def _adverb_stems(stem: str) -> Iterator[str]:
    """Of what precedes -ly: "slow" of "slowly", "basic" of "basically", whose -al- is silent."""
    if stem.endswith("ical"):
        yield stem[:-2]
    yield stem


def _noun_stems(stem: str) -> Iterator[str]:
    yield stem


def _add_s(phones: Pronunciation) -> Pronunciation:
    if phones[-1] in _SIBILANTS:
        return (*phones, "IH", "Z")
    return (*phones, "S" if phones[-1] in _VOICELESS else "Z")


def _add_ed(phones: Pronunciation) -> Pronunciation:
    if phones[-1] in ("T", "D"):
        return (*phones, "IH", "D")
    return (*phones, "T" if phones[-1] in _VOICELESS else "D")


def _add_ly(phones: Pronunciation) -> Pronunciation:
    return (*phones, "IY") if phones[-1] == "L" else (*phones, "L", "IY")


def _clip(phones: Pronunciation) -> Pronunciation:
    return (*phones[:-1], "N")


def _add(*ending: str) -> Callable[[Pronunciation], Pronunciation]:
    return lambda phones: (*phones, *ending)


# The first rule whose stem is known applies, so a longer ending precedes the shorter ones that it contains.
_RULES: tuple[tuple[str, Callable[[str], Iterator[str]], Callable[[Pronunciation], Pronunciation]], ...] = (
    ("'s", _possessive_stems, _add_s),
    ("s'", _plural_possessive_stems, _add()),
    ("'d", _poetic_past_stems, _add_ed),
    ("ness", _adjective_stems, _add("N", "AH", "S")),
    ("less", _adjective_stems, _add("L", "AH", "S")),
    ("s", _plural_stems, _add_s),
    ("ed", _past_stems, _add_ed),
    ("ing", _verb_stems, _add("IH", "NG")),
    ("est", _past_stems, _add("AH", "S", "T")),
    ("eth", _past_stems, _add("IH", "TH")),
    ("in'", _clipped_stems, _clip),
    ("in", _clipped_stems, _clip),
    ("ful", _noun_stems, _add("F", "AH", "L")),
    ("ship", _noun_stems, _add("SH", "IH", "P")),
    ("like", _noun_stems, _add("L", "AY", "K")),
    ("ly", _adverb_stems, _add_ly),
)
