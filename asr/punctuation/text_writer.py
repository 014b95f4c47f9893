"""Attaches the written text to transcripts: the same words and times, with capitals, punctuation and numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from asr.errors import ConfigError
from asr.files import typed_path
from asr.punctuation.names import Names
from asr.punctuation.tagger import Tagger
from asr.punctuation.writing import NumberSpan, Written, write_words
from asr.settings.transcripts import WrittenForm
from asr.text.transcript import Transcript, Word

NumberWriter = Callable[[Sequence[str]], Sequence[NumberSpan]]


class TextWriter:
    """Writes transcripts for people.

    Parameters
    ----------
    tagger : Tagger
    form : WrittenForm
        Not plain: then nothing has to be written.
    names : Names, optional
        Words that are written as they were given.
    """

    def __init__(self, tagger: Tagger, form: WrittenForm = WrittenForm.punctuated, names: Names | None = None) -> None:
        self.tagger, self.form, self.names = tagger, form, names or Names()
        self._numbers: NumberWriter | None = None
        if form is WrittenForm.full:
            self._numbers = number_writer(tagger.language)

    def write(self, transcript: Transcript) -> Transcript:
        """A transcript with its written form attached."""
        words = transcript.words
        if not words:
            return replace(transcript, written=transcript)
        tokens = self.tokens([word.text for word in words], pauses_between(words))
        spaces = transcript.spaces
        text = "".join(spaces[one.first] + one.text for one in tokens)
        return replace(transcript, written=replace(transcript, text=text, words=timed(tokens, words)))

    def tokens(self, words: Sequence[str], pauses: npt.ArrayLike | None = None) -> list[Written]:
        """Words of a whole text as they are written; pauses as for `Tagger.tag`."""
        lower = [word.lower() for word in words]
        tags = self.tagger.tag(lower, pauses)
        return write_words(
            lower,
            tags,
            self.tagger.header.spellings,
            numbers=self.numbers(lower),
            names=self.names.places(lower),
        )

    def numbers(self, words: Sequence[str]) -> Sequence[NumberSpan]:
        """The numbers that are written in digits, of words in lower case; none where they stay words."""
        return self._numbers(words) if self._numbers else ()


def make_text_writer(tagger: Tagger | None, form: WrittenForm, names: Iterable[str] = ()) -> TextWriter | None:
    """What writes transcripts, with names as they were given; None for plain words, or without a tagger."""
    return None if tagger is None or form is WrittenForm.plain else TextWriter(tagger, form, Names(names))


def load_text_writer(
    own: Callable[[], Tagger | None], form: WrittenForm, path: str | None, names: Iterable[str] = ()
) -> TextWriter | None:
    """What writes transcripts: with the model of a bundle or, if a path is given, of a file, and names as given.

    Raises
    ------
    LanguageModelError, BundleError
        If the file cannot be used.
    """
    if form is WrittenForm.plain:
        return None
    if path is None:
        return make_text_writer(own(), form, names)
    from asr.acoustic.onnx_check import check_graph

    tagger = Tagger.load(typed_path(path))
    check_graph(typed_path(path).read_bytes(), path)
    return make_text_writer(tagger, form, names)


def pauses_between(words: Sequence[Word]) -> npt.NDArray[np.float64]:
    """Seconds of silence behind each word [shape=(words,)]; NaN behind the last."""
    gaps = [max(0.0, after.start - before.end) for before, after in pairwise(words)]
    return np.array([*gaps, np.nan])


def timed(tokens: Sequence[Written], words: Sequence[Word]) -> tuple[Word, ...]:
    """Written words with the times of the words that they stand for, and the lowest of their confidences."""
    return tuple(
        Word(
            one.text,
            words[one.first].start,
            words[one.end - 1].end,
            min((word.confidence for word in words[one.first : one.end] if word.confidence is not None), default=None),
        )
        for one in tokens
    )


def number_writer(language: str) -> NumberWriter | None:
    """What writes numbers in digits; None for a language whose numbers stay in words."""
    from asr.punctuation.numbers import write_numbers

    try:
        write_numbers((), language=language)
    except ConfigError:
        return None
    return lambda words: write_numbers(words, language=language)
