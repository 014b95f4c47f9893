"""Finds where in a recording a known text is said, how sure that is, and where both can be cut into utterances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asr.bundle import Bundle
from asr.decoding.alignment import AlignmentError, align_symbols
from asr.text.alphabet import BLANK
from asr.text.normalize import normalize_text
from asr.transcription.transcriber import Heard, Transcript, Word

# An utterance keeps some of the silence around it.
_MARGIN_SECONDS = 0.2
# None is cut shorter than this part of the longest, if there is a choice.
_SHORTEST_PART = 1 / 3


@dataclass(frozen=True, slots=True)
class Spelling:
    """A text as a model spells it."""

    words: tuple[str, ...]
    """as they are written, each with at least one symbol of the model's"""
    labels: tuple[str, ...]
    """what the model hears of each"""
    unknown: tuple[str, ...]
    """words with characters that the model does not know, which are passed over"""


def spell(text: str, bundle: Bundle) -> Spelling:
    """Split a text into words, and spell them as a bundle's training texts were."""
    known = set(bundle.alphabet.symbols)
    words: list[str] = []
    labels: list[str] = []
    unknown = []
    spaced = " " in known
    for word in text.split() if spaced else [character for character in text if not character.isspace()]:
        normal = normalize_text(word, bundle.normalizer)
        label = "".join(character for character in normal if character in known)
        if label != normal:
            unknown.append(word)
        if label:
            words.append(word)
            labels.append(label)
        elif words:  # a dash, a number: it stays with the word before
            words[-1] += f" {word}" if spaced else word
    return Spelling(tuple(words), tuple(labels), tuple(unknown))


def align_text(heard: Heard, spelling: Spelling, bundle: Bundle, step_seconds: float) -> Transcript:
    """Where each word of a text is said.

    Parameters
    ----------
    heard : Heard
        The recording, as the bundle's model heard it.
    spelling : Spelling
    bundle : Bundle
    step_seconds : float > 0
        Of the model.

    Returns
    -------
    Transcript
        Of the words as they are written. Their confidence is a score from 0 to 1: how much of its probability the model
        gives up, a character, for hearing this word and nothing else there. Wrong labels have low ones.

    Raises
    ------
    AlignmentError
        If the text does not fit the recording, or has no words.
    """
    if not spelling.words:
        raise AlignmentError("the text has no words that the model could hear")
    separator = " " if " " in bundle.alphabet.symbols else ""
    labels = bundle.alphabet.encode(separator.join(spelling.labels))
    log_probs = heard.log_probs()
    alignment = align_symbols(log_probs, labels)
    # What the model would rather have heard at each step, against what it had to.
    explained = log_probs[:, BLANK].astype(np.float64)
    for number, first, last in zip(labels, alignment.first, alignment.last, strict=True):
        explained[first : last + 1] = log_probs[first : last + 1, number]
    behind = np.concatenate([[0.0], np.cumsum(log_probs.max(axis=1) - np.maximum(explained, -50.0))])
    words, position = [], 0
    for text, label in zip(spelling.words, spelling.labels, strict=True):
        first, last = alignment.first[position], alignment.last[position + len(label) - 1] + 1
        score = float(np.exp(-(behind[last] - behind[first]) / len(label)))
        start, end = float(first) * step_seconds, min(float(last) * step_seconds, heard.duration)
        words.append(Word(text, round(min(start, end), 3), round(end, 3), round(score, 3)))
        position += len(label) + len(separator)
    text = separator.join(spelling.words)
    return Transcript(heard.path, text, heard.duration, alignment.score, tuple(words), (), notes=heard.notes)


@dataclass(frozen=True, slots=True)
class Cut:
    """An utterance to be cut out of a recording."""

    start: float
    """seconds"""
    end: float
    words: tuple[Word, ...]

    @property
    def score(self) -> float:
        """The mean of its words'."""
        return float(np.mean([word.confidence or 0.0 for word in self.words]))


def cut_utterances(words: Sequence[Word], *, longest: float, duration: float) -> list[Cut]:
    """Cut an aligned recording in its longest pauses.

    Parameters
    ----------
    words : sequence of Word
    longest : float > 0
        Seconds of an utterance, if no word is longer.
    duration : float
        Seconds of the recording.

    Returns
    -------
    list of Cut
        Side by side or with silence between, with all words.
    """
    cuts = []
    first = 0
    while first < len(words):
        # Ends that are not too far, by the pause behind them.
        ends = [first + 1]
        for end in range(first + 2, len(words) + 1):
            if words[end - 1].end - words[first].start + 2 * _MARGIN_SECONDS > longest:
                break
            ends.append(end)
        if ends[-1] < len(words):
            pauses = {end: words[end].start - words[end - 1].end for end in ends}
            long_enough = [end for end in ends if words[end - 1].end - words[first].start >= _SHORTEST_PART * longest]
            last = max(long_enough or ends[-1:], key=lambda end: (pauses[end], end))
        else:
            last = ends[-1]
        # Some of the silence around, but no more than half of what is there.
        begins, ends_at = words[first].start, words[last - 1].end
        before = (words[first - 1].end + begins) / 2 if first else 0.0
        after = (ends_at + words[last].start) / 2 if last < len(words) else duration
        start, stop = max(begins - _MARGIN_SECONDS, before), min(ends_at + _MARGIN_SECONDS, after)
        cuts.append(Cut(round(start, 3), round(max(stop, ends_at), 3), tuple(words[first:last])))
        first = last
    return cuts
