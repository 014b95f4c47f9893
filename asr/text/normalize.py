"""The one normaliser: labels, references and hypotheses are all brought to the same spelling here, nowhere else.

It does not spell numbers out, expand abbreviations or correct spelling.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import Literal

from asr.settings.text import NormalizerConfig, UnicodeForm

NORMALIZERS = {
    "none": NormalizerConfig(unicode_form=UnicodeForm.NFC, lowercase=False, strip_punctuation=False),
    "standard": NormalizerConfig(),
}
"""by the names that the commands give them (`conf/normalizer`)"""

# Characters that readers and keyboards use for the apostrophe (U+0027). U+1FFD is canonically equivalent to U+00B4.
_APOSTROPHES = dict.fromkeys(map(ord, "\u2019\u2018\u02bc\u00b4\u1ffd\u0060\uff07"), "'")
# Control characters that are no white space, and Unicode's Default_Ignorable_Code_Point without the joiners, with the
# interlinear annotation marks: none of them has a glyph of its own.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
# Zero-width non-joiner, zero-width joiner, Mongolian vowel separator: spelling in some scripts, invisible in others.
_JOINERS = re.compile("[\u180e\u200c\u200d]+")
# As the names of their characters begin.
_JOINING_SCRIPTS = frozenset(
    {
        "ADLAM", "ARABIC", "BALINESE", "BENGALI", "BHAIKSUKI", "BRAHMI", "CHAKMA", "DEVANAGARI", "GRANTHA",
        "GUJARATI", "GURMUKHI", "HANIFI", "JAVANESE", "KAITHI", "KANNADA", "KHMER", "MALAYALAM", "MANDAIC",
        "MANICHAEAN", "MONGOLIAN", "MYANMAR", "NEWA", "NKO", "ORIYA", "PHAGS-PA", "SINHALA", "SOGDIAN", "SYRIAC",
        "TAMIL", "TELUGU", "TIBETAN", "TIRHUTA"
    }
)  # fmt: skip
# The combining class of the signs that silence the vowel of an Indic consonant.
_VIRAMA = 9


def normalize_text(text: str, settings: NormalizerConfig) -> str:
    """Bring a text to the spelling that a model is trained on and scored in.

    Parameters
    ----------
    text : str
        Any Unicode text.
    settings : NormalizerConfig
        The policy: Unicode form, case, punctuation.

    Returns
    -------
    str
        The text with single spaces between words and none at its ends, without invisible characters (see
        `remove_invisible`). Normalising it again changes nothing.

    Examples
    --------
    >>> normalize_text("It\u2019s 5 o\u2019clock \u2013 wake UP!", NormalizerConfig())
    "it's 5 o'clock wake up"
    """
    if text.isascii():
        return " ".join(
            text.translate(_ascii_table(settings.lowercase, settings.strip_punctuation, settings.keep)).split()
        )
    return _normalize(text, settings)


def remove_invisible(text: str, *, keep: str = "") -> str:
    """Remove characters that cannot be seen or spoken, in every policy: they are neither labels nor errors.

    Parameters
    ----------
    text : str
    keep : str
        Characters that stay nevertheless.

    Notes
    -----
    These are control characters, soft hyphens, zero-width spaces, word joiners, direction marks, byte order marks,
    variation selectors, and the rest of Unicode's Default_Ignorable_Code_Point. Zero-width joiner and non-joiner stay
    where they are spelling: between two letters (or their marks) of a script that uses them, such as Arabic, Devanagari
    or Bengali, and behind a virama. Of several in a row the first stays.

    Examples
    --------
    >>> remove_invisible("soft\u00adhyphen")
    'softhyphen'
    >>> ascii(remove_invisible("\u0645\u06cc\u200c\u062e"))  # Persian
    "'\\\\u0645\\\\u06cc\\\\u200c\\\\u062e'"
    """
    text = _INVISIBLE.sub(lambda found: found[0] if found[0] in keep else "", text)
    return _JOINERS.sub(_spelled_joiner, text) if _JOINERS.search(text) else text


def _spelled_joiner(found: re.Match[str]) -> str:
    before, after = found.string[: found.start()][-1:], found.string[found.end() :][:1]
    is_spelling = before and (unicodedata.combining(before) == _VIRAMA or (_joins(before) and after and _joins(after)))
    return found[0][0] if is_spelling else ""


@cache
def _joins(character: str) -> bool:
    """Whether it is a letter or a mark of a script that uses joiners."""
    script = unicodedata.name(character, "").partition(" ")[0]
    return unicodedata.category(character)[0] in "LM" and script in _JOINING_SCRIPTS


@lru_cache
def _ascii_table(lowercase: bool, strip_punctuation: bool, keep: str) -> dict[int, str]:
    """What becomes of each ASCII character: millions of lines for a language model go through here."""
    settings = NormalizerConfig(lowercase=lowercase, strip_punctuation=strip_punctuation, keep=keep)
    return {code: _normalize(f"a{chr(code)}a", settings)[1:-1] for code in range(128)}


def _normalize(text: str, settings: NormalizerConfig) -> str:
    form: Literal["NFC", "NFKC"] = "NFC" if settings.unicode_form is UnicodeForm.NFC else "NFKC"
    # Invisible characters first: they separate a letter from its combining mark. Apostrophes before the Unicode form,
    # as NFKC would turn an acute accent standing alone into a space and a combining accent, and after it, as it makes
    # some (of U+0149 and U+1FEF).
    text = remove_invisible(text, keep=settings.keep).translate(_APOSTROPHES)
    text = unicodedata.normalize(form, text).translate(_APOSTROPHES)
    if settings.lowercase:
        # lower() can leave a decomposed letter behind (the Turkish dotted capital I does).
        text = unicodedata.normalize(form, text.lower())
    if settings.strip_punctuation:
        text = "".join(
            " " if unicodedata.category(character)[0] in "PS" and character not in settings.keep else character
            for character in text
        )
    before = ""
    while _JOINERS.search(text) and text != before:  # a neighbour may have become another one, or a space
        before, text = text, unicodedata.normalize(form, remove_invisible(text, keep=settings.keep))
    return " ".join(text.split())
