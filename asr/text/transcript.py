"""The records of a transcript: words with their times, and the text that they make."""

from __future__ import annotations

from dataclasses import dataclass

from asr.text.words import spaces_before


@dataclass(frozen=True, slots=True)
class Word:
    """A word and when it is said, in seconds from the start of the recording."""

    text: str
    start: float
    end: float
    confidence: float | None = None
    """the share of such words that are right; None where the bundle was not calibrated (`asr tune` does)"""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in a recording."""

    path: str
    """"" for samples from memory"""
    text: str
    duration: float
    """seconds"""
    score: float
    """natural log-probability that the decoder gave"""
    words: tuple[Word, ...]
    alternatives: tuple[str, ...]
    """further texts, best first, if the decoder was asked for more than one"""
    offset: float | None = None
    """seconds from the start of the recording to the segment that was transcribed; None for a whole recording"""
    notes: tuple[str, ...] = ()
    """what a user should know about how the recording was read: which of several audio tracks, for example"""

    @property
    def spaces(self) -> list[str]:
        """What stands before each word in the text: a space, or nothing where a script has none."""
        return spaces_before(self.text, [word.text for word in self.words])
