"""Settings of text: its normalisation, and the symbols that a model writes."""

from __future__ import annotations

from dataclasses import dataclass

from asr.settings.checks import ConfigEnum, check_settings


class UnicodeForm(ConfigEnum):
    """Unicode normalisation form of labels and scored text."""

    NFC = "NFC"
    NFKC = "NFKC"


@dataclass(kw_only=True)
class NormalizerConfig:
    """Text normalisation, for labels and for scoring. Invisible characters are removed in any case."""

    unicode_form: UnicodeForm = UnicodeForm.NFKC
    """Unicode normalisation form"""
    lowercase: bool = True
    """convert to lower case"""
    strip_punctuation: bool = True
    """replace punctuation marks and symbols by spaces, except those in `keep`"""
    keep: str = "'"
    """punctuation marks and invisible characters that are kept as letters of the language; all apostrophes become '"""

    def __post_init__(self) -> None:
        check_settings(self, "normalizer")


@dataclass(kw_only=True)
class AlphabetConfig:
    """The symbols that a model can write, without the blank of CTC, which is always number 0."""

    symbols: str = " 'abcdefghijklmnopqrstuvwxyz"
    """the characters, in the order of their symbol numbers, which start at 1"""
    from_data: bool = False
    """use the characters of the (normalised) training texts instead of `symbols`"""

    def __post_init__(self) -> None:
        check_settings(self, "alphabet")
