"""Settings of the data that a training uses."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.errors import ConfigError
from asr.settings.checks import above, at_least, between, check_settings, require


@dataclass(kw_only=True)
class DataConfig:
    """The utterances to train on and to validate on."""

    train: list[str] = field(default_factory=list)
    """manifests to train on; relative paths are relative to the working directory"""
    valid: list[str] = field(default_factory=list)
    """manifests for validation: their error rates choose the best epoch; never trained on"""
    hold_out: float = field(default=0.0, metadata=between(0.0, 1.0, high_open=True))
    """share of the utterances of data.train that is held out for validation where data.valid is empty: whole speakers
    where the manifests name speakers, the same ones every time"""
    quarantine: list[str] = field(default_factory=list)
    """lists of utterances to leave out (they are counted), as `asr doctor` writes them"""
    max_faulty: float = field(default=0.0, metadata=between(0.0, 1.0, high_open=True))
    """largest share of unusable utterances: they are left out and counted; above this share, training is refused"""
    min_seconds: float = field(default=0.1, metadata=at_least(0, at_most=86_400))
    """utterances shorter than this are left out of training, and counted"""
    max_seconds: float = field(default=20.0, metadata=above(0, at_most=86_400))
    """utterances longer than this are left out of training, and counted"""
    language: str = "en"
    """language in which numbers are spelled where a fault of a text suggests it: en, de, fr, pt_BR"""
    lexicon: str | None = None
    """file with the pronunciations of all words of the texts, in CMUdict's format; for model.phone_output"""
    cache_dir: str | None = None
    """folder in which the features of clean speech are kept between epochs and runs (about 30 MB per hour of speech
    and speed); null computes them each time"""

    def __post_init__(self) -> None:
        check_settings(self, "data")
        if self.hold_out and self.valid:
            raise ConfigError(
                "data.hold_out and data.valid both choose the validation set: set data.hold_out=0 or data.valid=[]"
            )
        require(self.max_seconds > self.min_seconds, "data.max_seconds", "above data.min_seconds", self.max_seconds)
