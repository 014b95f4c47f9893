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
    """fold case"""
    strip_punctuation: bool = True
    """turn every punctuation mark and symbol that is not in `keep` into a space"""
    keep: str = "'"
    """punctuation marks and invisible characters that are letters of the language; all apostrophes count as '"""

    def __post_init__(self) -> None:
        check_settings(self, "normalizer")


@dataclass(kw_only=True)
class AlphabetConfig:
    """The symbols a model can write. The blank of CTC is not among them: it is always number 0."""

    symbols: str = " 'abcdefghijklmnopqrstuvwxyz"
    """the characters, in the order of their symbol numbers, which start at 1"""
    from_data: bool = False
    """collect the characters of the (normalised) training texts instead of using `symbols`"""

    def __post_init__(self) -> None:
        check_settings(self, "alphabet")
