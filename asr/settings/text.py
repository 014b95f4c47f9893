"""Settings of text: its normalisation, and the symbols that a model writes."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.errors import ConfigError
from asr.settings.checks import ConfigEnum, at_least, check_settings


class UnicodeForm(ConfigEnum):
    """Unicode normalisation form of labels and scored text."""

    NFC = "NFC"
    NFKC = "NFKC"


class Numbers(ConfigEnum):
    """What becomes of numbers in digits."""

    keep = "keep"
    words = "words"


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


class AlphabetUnit(ConfigEnum):
    """What a symbol of the model is."""

    characters = "characters"
    pieces = "pieces"


@dataclass(kw_only=True)
class AlphabetConfig:
    """The symbols that a model can write, without the blank of CTC, which is always number 0."""

    unit: AlphabetUnit = AlphabetUnit.characters
    """characters, or pieces: parts of words, chosen from the (normalised) training texts by SentencePiece"""

    symbols: str = " 'abcdefghijklmnopqrstuvwxyz"
    """the characters, in the order of their symbol numbers, which start at 1"""
    from_data: bool = False
    """use the characters of the (normalised) training texts instead of `symbols`"""
    pieces: int = field(default=256, metadata=at_least(2, at_most=65_535))
    """with unit=pieces: their number; fewer if the texts do not hold so many"""
    vocabulary: list[str] = field(default_factory=list)
    """with unit=pieces: the pieces of an earlier training, each followed by a space and its score, instead of new ones;
    init=BUNDLE sets it"""

    def __post_init__(self) -> None:
        check_settings(self, "alphabet")
        if self.vocabulary and self.unit is not AlphabetUnit.pieces:
            raise ConfigError("alphabet.vocabulary is for alphabet.unit=pieces")
