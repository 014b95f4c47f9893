"""The one normaliser: labels, references and hypotheses are all brought to the same spelling here, nowhere else.

It does not spell numbers out, expand abbreviations or correct spelling.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Literal

from asr.config import NormalizerConfig, UnicodeForm

# Characters that readers and keyboards use for the apostrophe (U+0027).
_APOSTROPHES = dict.fromkeys(map(ord, "\u2019\u2018\u02bc\u00b4\u0060\uff07"), "'")


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
        The text with single spaces between words and none at its ends. Normalising it again changes nothing.

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


@lru_cache
def _ascii_table(lowercase: bool, strip_punctuation: bool, keep: str) -> dict[int, str]:
    """What becomes of each ASCII character: millions of lines for a language model go through here."""
    settings = NormalizerConfig(lowercase=lowercase, strip_punctuation=strip_punctuation, keep=keep)
    return {code: _normalize(f"a{chr(code)}a", settings)[1:-1] or " " for code in range(128)}


def _normalize(text: str, settings: NormalizerConfig) -> str:
    # Apostrophes first: NFKC would turn an acute accent standing alone into a space and a combining accent.
    text = text.translate(_APOSTROPHES)
    form: Literal["NFC", "NFKC"] = "NFC" if settings.unicode_form is UnicodeForm.NFC else "NFKC"
    text = unicodedata.normalize(form, text)
    if settings.lowercase:
        # lower() can leave a decomposed letter behind (the Turkish dotted capital I does).
        text = unicodedata.normalize(form, text.lower())
    if settings.strip_punctuation:
        text = "".join(
            " " if unicodedata.category(character)[0] in "PS" and character not in settings.keep else character
            for character in text
        )
    return " ".join(text.split())
