"""The events of live recognition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from asr.text.transcript import Word


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The first words of a segment are recognised."""

    type: ClassVar[str] = "speech_started"
    time: float
    """when the first word began, in seconds from the start of the stream"""

    def to_json(self) -> dict[str, Any]:
        """The event for JSON."""
        return {"type": self.type, "time": self.time}


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """A segment is complete; its `Final` follows, unless the second pass found no words in it."""

    type: ClassVar[str] = "speech_ended"
    time: float
    """when the last word ended, in seconds from the start of the stream"""

    def to_json(self) -> dict[str, Any]:
        """The event for JSON."""
        return {"type": self.type, "time": self.time}


@dataclass(frozen=True, slots=True)
class Partial:
    """The text of a segment so far; it replaces the one before. Empty if its words were withdrawn."""

    type: ClassVar[str] = "partial"
    segment: int
    """number of the segment, from 0"""
    text: str
    settled: int
    """characters at its beginning that no later text of the segment changes; 0 with a second pass"""
    start: float
    """of the first word, in seconds from the start of the stream"""

    def to_json(self) -> dict[str, Any]:
        """The event for JSON."""
        return {
            "type": self.type,
            "segment": self.segment,
            "text": self.text,
            "settled": self.settled,
            "start": self.start,
        }


@dataclass(frozen=True, slots=True)
class WrittenText:
    """The text of a segment as people write it."""

    text: str
    words: tuple[Word, ...]
    """as they are written, with the times of the words that they stand for"""


@dataclass(frozen=True, slots=True)
class Final:
    """The text of a segment, which no later event changes."""

    type: ClassVar[str] = "final"
    segment: int
    """number of the segment, from 0"""
    text: str
    start: float
    """of the segment's audio, in seconds from the start of the stream"""
    end: float
    words: tuple[Word, ...]
    """with their times in seconds from the start of the stream, and confidences if the bundle has them"""
    written: WrittenText | None = None
    """the same with capitals and punctuation, and perhaps numbers in digits; None where no model predicts them"""

    @property
    def to_read(self) -> WrittenText:
        """The text for people: as it is written, if that is known."""
        return WrittenText(self.text, self.words) if self.written is None else self.written

    def to_json(self) -> dict[str, Any]:
        """The event for JSON."""
        event = {
            "type": self.type,
            "segment": self.segment,
            "text": self.text,
            "start": self.start,
            "end": self.end,
            "words": _words(self.words),
        }
        if self.written is not None:
            event["written"] = {"text": self.written.text, "words": _words(self.written.words)}
        return event


def _words(words: Sequence[Word]) -> list[dict[str, Any]]:
    return [
        {"text": word.text, "start": word.start, "end": word.end}
        | ({} if word.confidence is None else {"confidence": word.confidence})
        for word in words
    ]


LiveEvent = SpeechStarted | SpeechEnded | Partial | Final
