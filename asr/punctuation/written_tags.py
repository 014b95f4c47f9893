"""What the tagger predicts for each word, and how these tags are read off a written text.

A text is a sequence of words in lower case. Each has a case, the mark behind it, and the break behind it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MARKS = ("", ",", ".", "?", "!", ":", ";", "\u2014")
"""by number; 0 is none, the last is a dash"""
NO_MARK, COMMA, FULL_STOP, QUESTION_MARK, EXCLAMATION_MARK, COLON, SEMICOLON, DASH = range(8)
LOWER, CAPITAL, UPPER, MIXED = range(4)
"""cases: mixed is the spelling that a list has for the word"""
UNKNOWN_CASE = 4
"""of the first word of a sentence, and of words in capitals (emphasis, the names of speakers in plays): how they are
written does not say how they are written elsewhere"""
NO_BREAK, SENTENCE, PARAGRAPH = range(3)
CASES, BREAKS = 4, 3
WIDTH = len(MARKS) + CASES + BREAKS
"""of the tagger's output: marks, cases and breaks one after the other"""

_FINAL = frozenset({FULL_STOP, QUESTION_MARK, EXCLAMATION_MARK})
_WORD = re.compile(r"([^\W_]+(?:['\u2019][^\W_]+)*)([\W_]*)")
"""a word, and what is between it and the next one"""
_DASH = re.compile(r"--|[\u2013\u2014]|\s-+\s")
# If there are several between two words, the first of these counts.
_BY_RANK = (
    ("?", QUESTION_MARK),
    ("!", EXCLAMATION_MARK),
    (".", FULL_STOP),
    ("\u2026", FULL_STOP),
    (":", COLON),
    (";", SEMICOLON),
    (",", COMMA),
)
_ABBREVIATION_SHARE, _ABBREVIATION_COUNT, _FEW_DOCUMENTS = 0.85, 5, 3
_ABBREVIATION_LETTERS = 4
"""at most: a longer word that mostly ends sentences does so by its meaning"""


class WrittenWord(NamedTuple):
    """A word of a written text."""

    written: str
    mark: int
    """the mark behind it, a number in `MARKS`"""

    @property
    def word(self) -> str:
        """As a recogniser spells it."""
        return self.written.lower()


def read_words(paragraph: str) -> list[WrittenWord]:
    """The words of a paragraph, with the mark behind each.

    Quotation marks and brackets are left out; a hyphen separates words.

    Examples
    --------
    >>> [(one.written, MARKS[one.mark]) for one in read_words('"Well, well-known!" said Ann.')]
    [('Well', ','), ('well', ''), ('known', '!'), ('said', ''), ('Ann', '.')]
    """
    return [WrittenWord(word, _mark(between)) for word, between in _WORD.findall(paragraph.replace("\u2019", "'"))]


@lru_cache(maxsize=1 << 16)
def _mark(between: str) -> int:
    if not between or between == " ":
        return NO_MARK
    for sign, mark in _BY_RANK:
        if sign in between:
            return mark
    return DASH if _DASH.search(between) else NO_MARK


@lru_cache(maxsize=1 << 18)
def case_of(written: str) -> int:
    """The case of a word as it is written.

    Examples
    --------
    >>> [case_of(one) for one in ("word", "I'm", "USA", "McDonald")] == [LOWER, CAPITAL, UPPER, MIXED]
    True
    """
    if written == written.lower():
        return LOWER
    if written == written[0].upper() + written[1:].lower():
        return CAPITAL
    return UPPER if written == written.upper() else MIXED


@dataclass(frozen=True, slots=True)
class Spellings:
    """What a text says about the spelling of its words, beyond each place.

    Parameters
    ----------
    mixed : mapping of str to str
        The written forms of words that mostly have capitals inside, such as "McDonald".
    upper : frozenset of str
        Words that are mostly written in capitals. In others, capitals are emphasis.
    abbreviations : frozenset of str
        Words that are mostly followed by a full stop, which then does not end a sentence.
    fixed : mapping of str to str
        The written forms of words that have no other, such as "NATO" and "iPhone".
    """

    mixed: Mapping[str, str]
    upper: frozenset[str]
    abbreviations: frozenset[str]
    fixed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def count(cls, documents: Iterable[Sequence[Sequence[WrittenWord]]]) -> Spellings:
        """Count the forms of every word within sentences, and the full stops behind it within paragraphs.

        Of both, only what several documents have, and of three documents and more what is so without that which has
        it most often: in one alone they may be the names of speakers in a play.

        Notes
        -----
        That abbreviations are short, and nearly always followed by a full stop: T. Kiss, J. Strunk, "Unsupervised
        Multilingual Sentence Boundary Detection", Computational Linguistics 32 (4), 2006.
        """
        forms: Counter[str] = Counter()
        totals: Counter[str] = Counter()
        stops: Counter[str] = Counter()
        documents_of: Counter[tuple[str, bool]] = Counter()
        """by form and by word with a full stop"""
        most_in_one: Counter[tuple[str, bool]] = Counter()
        """occurrences in the document that has most"""
        number = 0
        for document in documents:
            number += 1
            found: Counter[tuple[str, bool]] = Counter()
            for words in document:
                is_start = True
                for one in words[:-1]:
                    word = one.word
                    if one.mark == FULL_STOP:
                        stops[word] += 1
                        found[word, True] += 1
                    totals[word] += 1
                    if not is_start:
                        forms[one.written] += 1
                        found[one.written, False] += 1
                    is_start = one.mark in _FINAL
            documents_of.update(found.keys())
            most_in_one |= found
        least = min(_FEW_DOCUMENTS, number)
        if number >= _FEW_DOCUMENTS:
            for form in forms:
                if case_of(form) in (UPPER, MIXED):
                    forms[form] -= most_in_one[form, False]
            for word in stops:
                stops[word] -= most_in_one[word, True]
                totals[word] -= most_in_one[word, True]
        best: dict[str, tuple[str, int]] = {}
        for form, count in forms.items():
            word = form.lower()
            if word not in best or count > best[word][1]:
                best[word] = form, count
        common = [form for form, _ in best.values() if documents_of[form, False] >= least]
        return cls(
            {form.lower(): form for form in common if case_of(form) == MIXED},
            frozenset(form.lower() for form in common if case_of(form) == UPPER),
            frozenset(
                word
                for word, count in stops.items()
                if len(word) <= _ABBREVIATION_LETTERS
                and count >= _ABBREVIATION_COUNT
                and count > _ABBREVIATION_SHARE * totals[word]
                and documents_of[word, True] >= least
            ),
        )

    def joined(self, other: Spellings) -> Spellings:
        """These and others, which count where both have a word."""
        return Spellings(
            {**self.mixed, **other.mixed},
            self.upper | other.upper,
            self.abbreviations | other.abbreviations,
            {**self.fixed, **other.fixed},
        )


@dataclass(frozen=True, slots=True)
class TaggedText:
    """Words and their tags; all arrays [shape=(words,)]."""

    words: list[str]
    marks: npt.NDArray[np.uint8]
    cases: npt.NDArray[np.uint8]
    """with `UNKNOWN_CASE` at the beginning of sentences and for words in capitals that mostly have none"""
    breaks: npt.NDArray[np.uint8]


def tag_paragraphs(paragraphs: Iterable[list[WrittenWord]], spellings: Spellings) -> TaggedText:
    """The tags of the words of neighbouring paragraphs.

    A sentence ends at a full stop, question mark or exclamation mark before a capital or the end of the paragraph, but
    not at the full stop of an abbreviation, which is part of the word.
    """
    words: list[str] = []
    rows: list[tuple[int, int, int]] = []
    is_start = True
    for paragraph in paragraphs:
        for place, one in enumerate(paragraph):
            word, mark, end = one.word, one.mark, NO_BREAK
            is_last = place + 1 == len(paragraph)
            if mark == FULL_STOP and word in spellings.abbreviations and not is_last:
                mark = NO_MARK
            if mark in _FINAL:
                if is_last:
                    end = PARAGRAPH
                elif paragraph[place + 1].written[0].isupper():
                    end = SENTENCE
            case = case_of(one.written)
            if case == UPPER and word not in spellings.upper:
                case = MIXED if word in spellings.mixed else UNKNOWN_CASE
            elif case == MIXED and word not in spellings.mixed:
                case = CAPITAL if one.written[0].isupper() else LOWER
            words.append(word)
            rows.append((mark, UNKNOWN_CASE if is_start and case in (LOWER, CAPITAL) else case, end))
            is_start = end != NO_BREAK
    columns = np.array(rows, np.uint8).reshape(len(rows), 3)
    return TaggedText(words, columns[:, 0], columns[:, 1], columns[:, 2])


def read_documents(lines: Iterable[str]) -> Iterator[list[list[WrittenWord]]]:
    """The documents of a text: one paragraph a line, an empty line between documents."""
    for document in split_documents(lines):
        yield [read_words(paragraph) for paragraph in document]


def split_documents(lines: Iterable[str]) -> Iterator[list[str]]:
    """The paragraphs of each document that hold words, as they are written."""
    document: list[str] = []
    for line in lines:
        if _WORD.search(line):
            document.append(line)
        elif document and not line.strip():
            yield document
            document = []
    if document:
        yield document
