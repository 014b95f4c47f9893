"""The records of a transcript: words with their times, the text that they make, and its segments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from asr.text.segments import cut_cues, doubtful
from asr.text.words import spaces_before


@dataclass(frozen=True, slots=True)
class Word:
    """A word and its time, in seconds from the start of the recording."""

    text: str
    start: float
    end: float
    confidence: float | None = None
    """estimated probability that the word is right; None if the bundle has no calibration (`asr tune` makes one)"""


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive words that are shown together, as one subtitle."""

    start: float
    """seconds, to the millisecond"""
    end: float
    """seconds, to the millisecond; at the earliest the end of the last word"""
    text: str
    """in one line"""
    lines: tuple[str, ...]
    """the same text as it is shown: two lines at most, unless a word is longer than a line"""
    words: tuple[Word, ...]


# No slots: `segments` is computed once and kept in the instance's __dict__.
@dataclass(frozen=True)
class Transcript:
    """The transcript of a recording, or of a segment of one. `asr.write` formats it.

    Examples
    --------
    >>> words = (Word("good", 0.5, 0.7), Word("morning", 0.8, 1.3), Word("yes", 4.0, 4.2))
    >>> transcript = Transcript("call.wav", "good morning yes", 5.0, -3.2, words, ())
    >>> [(segment.start, segment.end, segment.text) for segment in transcript.segments]
    [(0.5, 1.5, 'good morning'), (4.0, 5.0, 'yes')]
    """

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
    """seconds from the start of the recording to the transcribed segment; None for a whole recording"""
    notes: tuple[str, ...] = ()
    """warnings about how the recording was read: which of several audio tracks, for example"""
    written: Transcript | None = None
    """the same as people write it, with capitals and punctuation and perhaps numbers in digits; None where no model
    predicts them. Its words have the same times"""

    @property
    def spaces(self) -> list[str]:
        """What precedes each word in the text: a space, or nothing in scripts without spaces."""
        return spaces_before(self.text, [word.text for word in self.words])

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The words in subtitles, as every output format writes them; computed when first asked for.

        In order, without overlap: see `asr.text.segments.cut_cues`. Words that show nothing (control characters alone)
        make no segment.
        """
        return tuple(
            Segment(cue.start, cue.end, cue.text, cue.lines, self.words[cue.first : cue.last])
            for cue in cut_cues(self.words, self.spaces, self.duration or float("inf"))
        )

    @property
    def to_read(self) -> Transcript:
        """The transcript for people: as it is written, if that is known."""
        return self if self.written is None else self.written

    def mark_doubtful(self, below: float) -> Transcript:
        """The same transcript with words of a lower confidence in brackets, with a question mark.

        Punctuation marks stay behind the brackets: `[word?],`.

        Parameters
        ----------
        below : float
            From 0 to 1. Words without a confidence stay as they are.

        Examples
        --------
        >>> Transcript("a.wav", "yes", 1.0, 0.0, (Word("yes", 0.1, 0.4, confidence=0.3),), ()).mark_doubtful(0.5).text
        '[yes?]'
        """
        words = tuple(
            replace(word, text=doubtful(word.text)) if word.confidence is not None and word.confidence < below else word
            for word in self.words
        )
        text = "".join(space + word.text for space, word in zip(self.spaces, words, strict=True))
        written = None if self.written is None else self.written.mark_doubtful(below)
        return replace(self, words=words, text=text, written=written)
