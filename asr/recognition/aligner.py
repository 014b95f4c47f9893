"""Aligns a known text with a recording: times and scores of its words, and cuts of both into utterances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.acoustic.outputs import PHONES
from asr.audio.segment import AudioSource
from asr.bundle import Bundle
from asr.decoding.alignment import Alignment, align_symbols
from asr.errors import AlignmentError, AudioError
from asr.recognition.acoustic_output import AcousticOutput
from asr.recognition.shared import shared_transcriber
from asr.recognition.windows import LogProbs
from asr.settings.decoding import GreedyConfig
from asr.text.alphabet import BLANK
from asr.text.normalize import normalize_text
from asr.text.transcript import Transcript, Word

# The lowest natural log-probability of a symbol: impossible ones get it too.
_LOWEST = -50.0
# On 60 utterances of LibriSpeech's dev-other, the mean score of the words is 0.46 to 1 with the right texts, and 0 to
# 0.34 (the median is 0.05) with each other's.
_FITTING_SCORE = 0.2
# An utterance keeps this much of the silence around it.
_MARGIN_SECONDS = 0.2
# No cut is shorter than this share of the longest, if there is a choice.
_SHORTEST_PART = 1 / 3


@dataclass(frozen=True, slots=True)
class Spelling:
    """A text as a model spells it."""

    words: tuple[str, ...]
    """as they are written, each with at least one symbol of the model's"""
    labels: tuple[str, ...]
    """each in the model's symbols"""
    unknown: tuple[str, ...]
    """words with characters outside the alphabet, which are skipped"""
    spaces: tuple[str, ...]
    """the text before each word: a space, or nothing"""

    @property
    def text(self) -> str:
        """The words as they are written."""
        return "".join(space + word for space, word in zip(self.spaces, self.words, strict=True))


def spell(text: str, bundle: Bundle) -> Spelling:
    """Cut a text into words as a bundle's alphabet does, and spell them as its training texts were."""
    text = " ".join(text.split())
    words: list[str] = []
    labels: list[str] = []
    spaces: list[str] = []
    unknown = []
    before, position = "", 0  # text before the first word
    for start, end in bundle.alphabet.words(text):
        word, space = text[start:end], text[position:start]
        position = end
        normal = normalize_text(word, bundle.normalizer)
        lacking = bundle.alphabet.unknown(normal)
        label = "".join(character for character in normal if character not in lacking)
        if label != normal:
            unknown.append(word)
        if label:
            spaces.append(space if words else "")
            words.append(f"{before}{space}{word}" if before else word)
            labels.append(label)
            before = ""
        elif words:  # a dash, a number: it stays with the word before, or else with the first one
            words[-1] += space + word
        else:
            before += space + word
    return Spelling(tuple(words), tuple(labels), tuple(unknown), tuple(spaces))


def align(path: AudioSource, text: str, *, bundle: str | Path | Bundle = "en") -> Transcript:
    """Find the time of each word of a known text in its recording.

    Parameters
    ----------
    path : str, Path or AudioSegment
        A recording of any length and common format.
    text : str
        The spoken words. A word without any character that the bundle knows stays with the word before it.
    bundle : Bundle, str or Path
        A loaded bundle, its folder, or the name of one that ships.

    Returns
    -------
    Transcript
        The words as they are written in the text, with their starts and ends in seconds and a score each; see
        `align_text`.

    Raises
    ------
    AudioError
        If the recording cannot be read.
    AlignmentError
        If the text does not fit the recording, or has no words.
    BundleError
        If the bundle cannot be loaded.

    Examples
    --------
    >>> text = "He honours whatever he recognizes in himself. Such morality equals self-glorification."
    >>> transcript = align("data/samples/422-122949-0004.opus", text)
    >>> [f"{word.text} {word.start:.1f}-{word.end:.1f}" for word in transcript.words[:3]]
    ['He 0.4-0.5', 'honours 0.6-1.0', 'whatever 1.0-1.4']
    """
    transcriber = shared_transcriber(bundle, GreedyConfig())
    (output,) = transcriber.run_model_on_files([path])
    if isinstance(output, AudioError):
        raise output
    return align_text(output, spell(text, transcriber.bundle), transcriber.bundle, transcriber.step_seconds)


def align_text(output: AcousticOutput, spelling: Spelling, bundle: Bundle, step_seconds: float) -> Transcript:
    """The time of each word of a text.

    Parameters
    ----------
    output : AcousticOutput
        Of the bundle's model for the recording, of an output layer over characters: a `Transcriber` with
        `decoder=GreedyConfig()` gives it.
    spelling : Spelling
    bundle : Bundle
    step_seconds : float > 0
        Of the model.

    Returns
    -------
    Transcript
        Of the words as they are written. Their confidence is a score from 0 to 1: the probability of this word relative
        to the likeliest symbols at its steps, per symbol. Wrong labels have low scores.

    Raises
    ------
    AlignmentError
        If the text does not fit the recording, or has no words.
    ValueError
        If the output is of a layer over phones.
    """
    if output.layer == PHONES:
        raise ValueError("a text is aligned with an output layer over characters, not over phones: use GreedyConfig()")
    if not spelling.words:
        raise AlignmentError("the text has no words in the symbols of the model")
    separator = bundle.alphabet.separator
    gaps = [separator if space else "" for space in spelling.spaces]
    labels = bundle.alphabet.encode("".join(map(str.__add__, gaps, spelling.labels)))
    _, owners = bundle.alphabet.spell(labels)  # the symbol of each character
    blocks = output.blocks()
    alignment = align_symbols(blocks, labels)
    behind = _shortfall(blocks, labels, alignment)
    words, position = [], 0
    for text, label, gap in zip(spelling.words, spelling.labels, gaps, strict=True):
        position += len(gap)
        symbols = owners[position], owners[position + len(label) - 1]
        first, last = alignment.first[symbols[0]], alignment.last[symbols[1]] + 1
        score = float(np.exp(-(behind[last] - behind[first]) / (symbols[1] - symbols[0] + 1)))
        start, end = float(first) * step_seconds, min(float(last) * step_seconds, output.duration)
        words.append(Word(text, round(min(start, end), 3), round(end, 3), round(score, 3)))
        position += len(label)
    return Transcript(
        output.path,
        spelling.text,
        output.duration,
        alignment.score,
        tuple(words),
        (),
        notes=(*output.notes, *_misfit(words)),
    )


def _misfit(words: Sequence[Word]) -> tuple[str, ...]:
    """A note, if the text is hardly that of the recording: a short recording can be aligned with any text."""
    score = float(np.mean([word.confidence or 0.0 for word in words]))
    if score >= _FITTING_SCORE:
        return ()
    return (f"the text fits badly (mean score {score:.2f}): is it the text of this recording?",)


def _shortfall(blocks: Sequence[LogProbs], labels: Sequence[int], alignment: Alignment) -> npt.NDArray[np.float64]:
    """The difference in log-probability between the likeliest symbols and those of an alignment, summed to each step.

    Returns
    -------
    float64 [shape=(steps + 1,)]
        Natural logarithms.
    """
    symbols = np.full(sum(map(len, blocks)), BLANK)
    for number, first, last in zip(labels, alignment.first, alignment.last, strict=True):
        symbols[first : last + 1] = number
    parts = [np.zeros(1)]
    position = 0
    for block in blocks:
        explained = block[np.arange(len(block)), symbols[position : position + len(block)]].astype(np.float64)
        parts.append(block.max(axis=1) - np.maximum(explained, _LOWEST))
        position += len(block)
    return np.cumsum(np.concatenate(parts))


@dataclass(frozen=True, slots=True)
class Cut:
    """An utterance to be cut out of a recording."""

    start: float
    """seconds"""
    end: float
    words: tuple[Word, ...]
    text: str

    @property
    def score(self) -> float:
        """The mean score of its words."""
        return float(np.mean([word.confidence or 0.0 for word in self.words]))


def cut_utterances(
    words: Sequence[Word], *, longest: float, duration: float, spaces: Sequence[str] | None = None
) -> list[Cut]:
    """Cut an aligned recording in its longest pauses.

    Parameters
    ----------
    words : sequence of Word
    longest : float > 0
        Seconds of an utterance, if no word is longer.
    duration : float
        Seconds of the recording.
    spaces : sequence of str, optional
        The text before each word; a space by default.

    Returns
    -------
    list of Cut
        Side by side or with silence between, with all words.
    """
    gaps = [" "] * len(words) if spaces is None else spaces
    cuts = []
    first = 0
    while first < len(words):
        # Candidates for the end, by the pauses after them.
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
        # Some of the silence around, but at most half of it.
        begins, ends_at = words[first].start, words[last - 1].end
        before = (words[first - 1].end + begins) / 2 if first else 0.0
        after = (ends_at + words[last].start) / 2 if last < len(words) else duration
        start, stop = max(begins - _MARGIN_SECONDS, before), min(ends_at + _MARGIN_SECONDS, after)
        text = "".join(gap + word.text for gap, word in zip(gaps[first:last], words[first:last], strict=True))
        cuts.append(Cut(round(start, 3), round(max(stop, ends_at), 3), tuple(words[first:last]), text.lstrip()))
        first = last
    return cuts
