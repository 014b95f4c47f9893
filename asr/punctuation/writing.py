"""Words and their tags as written text: capitals, marks, and numbers as digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from asr.punctuation.tagger import Tags
from asr.punctuation.written_tags import (
    CAPITAL,
    DASH,
    EXCLAMATION_MARK,
    FULL_STOP,
    LOWER,
    MARKS,
    MIXED,
    NO_BREAK,
    NO_MARK,
    PARAGRAPH,
    QUESTION_MARK,
    UPPER,
    Spellings,
)


class NumberSpan(Protocol):
    """Words that are written as one number: `asr.punctuation.numbers.NumberSpan`."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def text(self) -> str: ...


NumberWriter = Callable[[Sequence[str]], Sequence[NumberSpan]]


@dataclass(frozen=True, slots=True)
class Written:
    """A word as it is written, with the mark behind it; or the words of a number."""

    text: str
    first: int
    end: int
    """which words it stands for"""
    ends_sentence: bool
    ends_paragraph: bool


def write_words(
    words: Sequence[str],
    tags: Tags,
    spellings: Spellings,
    *,
    numbers: Sequence[NumberSpan] = (),
    names: Mapping[int, str] | None = None,
    starts_sentence: bool = True,
    ends_text: bool = True,
) -> list[Written]:
    """Words as written text.

    Parameters
    ----------
    words : sequence of str
        In lower case.
    tags : Tags
        Of these words.
    spellings : Spellings
        The tagger's.
    numbers : sequence of NumberSpan
        Words that are written as digits.
    names : mapping of int to str, optional
        How words are written whatever their tags say, by their places: `asr.punctuation.names.Names.places`.
    starts_sentence : bool
        Whether the first word begins a sentence.
    ends_text : bool
        Whether the last word ends the text, and so its sentence.

    Examples
    --------
    >>> import numpy as np
    >>> tags = Tags(np.array([1, 0, 2]), np.array([0, 0, 1]), np.array([0, 0, 1]))
    >>> [one.text for one in write_words(["yes", "said", "ann"], tags, Spellings({}, frozenset(), frozenset()))]
    ['Yes,', 'said', 'Ann.']
    """
    spans = {one.start: one for one in numbers}
    written: list[Written] = []
    is_start, place = starts_sentence, 0
    while place < len(words):
        span = spans.get(place)
        end = span.end if span else place + 1
        mark, stop = int(tags.marks[end - 1]), int(tags.breaks[end - 1])
        if ends_text and end == len(words) and stop == NO_BREAK:
            mark, stop = (mark if mark in _FINAL else FULL_STOP), PARAGRAPH
        if span:
            text = _capitalised(span.text) if is_start else span.text
        elif names and place in names:
            text = names[place]
        else:
            text = spell(words[place], int(tags.cases[place]), spellings, is_start=is_start)
            if words[place] in spellings.abbreviations and mark not in _FINAL:
                text += "."
        written.append(Written(_marked(text, mark), place, end, stop != NO_BREAK, stop == PARAGRAPH))
        is_start, place = stop != NO_BREAK, end
    return written


def numbers_behind(numbers: Sequence[NumberSpan], first: int) -> list[NumberSpan]:
    """Numbers of a text as those of the text from one of its words on.

    A number that began before that word is left out: the words that it still has stay words.
    """
    return [_Span(one.start - first, one.end - first, one.text) for one in numbers if one.start >= first]


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    text: str


_FINAL = frozenset({FULL_STOP, QUESTION_MARK, EXCLAMATION_MARK})


def spell(word: str, case: int, spellings: Spellings, *, is_start: bool) -> str:
    """A word with its capitals; never another word.

    Where a word has a capital at all, it has those that its spelling is known to have: McDonald.
    """
    if word in spellings.fixed:
        return spellings.fixed[word]
    if case != LOWER and word in spellings.mixed:
        return spellings.mixed[word]
    if (case == UPPER or (case != LOWER and word in spellings.upper)) and word.upper().lower() == word:
        return word.upper()
    return _capitalised(word) if is_start or case in (CAPITAL, MIXED) else word


def _capitalised(word: str) -> str:
    first = word[:1].upper()
    # The capitals of some letters are two letters, or have another small letter.
    return first + word[1:] if len(first) == 1 and first.lower() == word[:1] else word


def _marked(text: str, mark: int) -> str:
    if mark == DASH:
        return f"{text} \u2013"
    if mark == NO_MARK or (mark == FULL_STOP and text.endswith(".")):  # 9 p.m.
        return text
    return text + MARKS[mark]
