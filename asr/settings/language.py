"""Settings of language models."""

from __future__ import annotations

from asr.settings.checks import ConfigEnum


class LanguageUnit(ConfigEnum):
    """What a language model counts."""

    words = "words"
    characters = "characters"
