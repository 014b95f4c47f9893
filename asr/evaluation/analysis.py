"""The analysis of errors: slices, confusions, word frequency, vocabulary, confidences."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from asr.corpus.manifest import Utterance
from asr.evaluation.policy import ScoringPolicy
from asr.evaluation.reliability import Reliability, measure
from asr.evaluation.scoring import ErrorCounts, Score, UtteranceScore
from asr.evaluation.sources import Output
from asr.evaluation.statistics import Interval, rate_intervals
from asr.files import names_without_folders
from asr.text.transcript import Word

FEW_WORDS = 200
"""with fewer reference words, a slice is marked as small"""
# A table of more values is not readable; a field of numbers is divided into this many ranges instead.
_MOST_VALUES, _RANGES = 40, 5
_DURATIONS = (0, 2, 5, 10, 15, 20, 30, 60, 300, math.inf)
_FREQUENCIES = (
    (1, "once"),
    (2, "2 to 5 times"),
    (6, "6 to 20 times"),
    (21, "21 to 100 times"),
    (101, "over 100 times"),
)
# There are many slices: fewer draws for each than for the total.
_SLICE_ROUNDS = 2000


@dataclass(frozen=True, slots=True)
class Slice:
    """The utterances that have one value of a field."""

    value: str
    utterances: int
    words: ErrorCounts
    interval: Interval | None

    @property
    def few(self) -> bool:
        """Whether there are too few reference words for a reliable rate."""
        return self.words.reference_length < FEW_WORDS


@dataclass(frozen=True, slots=True)
class MissedWords:
    """Reference words of one kind, and how many of them were substituted or deleted."""

    kind: str
    words: int
    distinct: int
    missed: int

    @property
    def rate(self) -> float | None:
        """Missed words by words; None if there are none."""
        return self.missed / self.words if self.words else None


def slice_fields(utterances: Sequence[Utterance], wanted: Sequence[str] = ()) -> dict[str, list[str]]:
    """The value of every utterance for each field that the errors can be sliced by.

    Parameters
    ----------
    utterances : sequence of Utterance
    wanted : sequence of str
        Fields of the manifests to slice by, besides those that are found: duration, speaker, and every field with
        between two and forty values. A field with more values, all of them numbers, is cut into five ranges with the
        same number of utterances each.
    """
    fields: dict[str, list[Any]] = {
        "duration": [_duration(one.duration) for one in utterances],
        "speaker": [one.speaker for one in utterances],
    }
    names = dict.fromkeys([*wanted, *(name for one in utterances for name in one.other)])
    for name in names:
        if name not in fields:
            fields[name] = _ranges([one.other.get(name) for one in utterances])
    return {
        name: _shown_values(values)
        for name, values in fields.items()
        if any(value is not None for value in values)
        and (name in wanted or 2 <= len({str(value) for value in values}) <= _MOST_VALUES)
        and not any(isinstance(value, dict | list) for value in values)
    }


def _shown_values(values: Sequence[Any]) -> list[str]:
    texts = ["(none)" if value is None else str(value) for value in values]
    short = names_without_folders(texts)  # a report is read on other machines
    return [short[text] for text in texts]


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    low, high = next((low, high) for low, high in itertools.pairwise(_DURATIONS) if seconds < high)
    return f"{low} s and more" if high == math.inf else f"{low} to {high} s"


def _ranges(values: list[Any]) -> list[Any]:
    """Many different numbers as ranges with the same number of utterances each; other values as they are."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(set(map(str, values))) <= _MOST_VALUES or len(numbers) < sum(value is not None for value in values):
        return values
    edges = np.unique(np.quantile(np.array(numbers, np.float64), np.linspace(0, 1, _RANGES + 1)))
    if len(edges) < 2:  # long numbers, of which floats tell no two apart
        return values
    names = [f"{low:.4g} to {high:.4g}" for low, high in itertools.pairwise(edges)]
    places = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(names) - 1)
    found = iter(places.tolist())
    return [None if value is None else names[next(found)] for value in values]


def slices(result: Score, utterances: Sequence[Utterance], values: Sequence[str]) -> list[Slice]:
    """The error rate of each value of a field, with its interval; numbers in their order, others by size."""
    members: dict[str, list[int]] = {}
    for index, value in enumerate(values):
        members.setdefault(value, []).append(index)
    found = []
    for value, indices in members.items():
        found_score = Score(tuple(result.utterances[index] for index in indices))
        intervals = rate_intervals(found_score, [utterances[index].speaker for index in indices], rounds=_SLICE_ROUNDS)
        found.append(Slice(value, len(indices), found_score.words, intervals[0] if intervals else None))
    return sorted(found, key=lambda one: (_leading_number(one.value), -one.utterances, one.value))


def _leading_number(value: str) -> float:
    head = value.split(" ", 1)
    try:
        return float(head[0]) if len(head) == 2 else math.inf
    except ValueError:
        return math.inf


@dataclass(frozen=True, slots=True)
class Confusions:
    """The errors of all alignments with their counts, most frequent first."""

    substitutions: tuple[tuple[str, str, int], ...]
    """reference, hypothesis, count"""
    deletions: tuple[tuple[str, int], ...]
    """reference, count"""
    insertions: tuple[tuple[str, int], ...]
    """hypothesis, count"""


def confusions(result: Score, *, characters: bool = False) -> Confusions:
    """Count the errors of all alignments, of words or of characters."""
    substituted: Counter[tuple[str, str]] = Counter()
    deleted: Counter[str] = Counter()
    inserted: Counter[str] = Counter()
    for one in result.utterances:
        for edit in one.character_alignment if characters else one.alignment:
            if edit.kind == "substitute":
                substituted.update(zip(edit.reference, edit.hypothesis, strict=True))
            elif edit.kind == "delete":
                deleted.update(edit.reference)
            elif edit.kind == "insert":
                inserted.update(edit.hypothesis)
    pairs = sorted(substituted.items(), key=lambda one: (-one[1], one[0]))
    return Confusions(tuple((*pair, count) for pair, count in pairs), _ranked(deleted), _ranked(inserted))


def _ranked(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def by_frequency(result: Score) -> list[MissedWords]:
    """Reference words by how often the references have them."""
    counts = Counter(word for one in result.utterances for word in one.reference.split())

    def kind(word: str) -> str:
        return next(name for least, name in reversed(_FREQUENCIES) if counts[word] >= least)

    order = [name for _, name in _FREQUENCIES]
    return sorted(_missed(result, kind), key=lambda one: order.index(one.kind))


def by_vocabulary(result: Score, vocabulary: Collection[str]) -> list[MissedWords]:
    """Reference words that a vocabulary has, and those that it lacks."""
    return sorted(_missed(result, lambda word: "known" if word in vocabulary else "unknown"), key=lambda one: one.kind)


def _missed(result: Score, kind: Callable[[str], str]) -> list[MissedWords]:
    words: dict[str, list[str]] = {}
    missed: Counter[str] = Counter()
    for one in result.utterances:
        for edit in one.alignment:
            for word in edit.reference:
                name = kind(word)
                words.setdefault(name, []).append(word)
                missed[name] += edit.kind != "equal"
    return [MissedWords(name, len(some), len(set(some)), missed[name]) for name, some in words.items()]


def timed_words(output: Output, utterance: UtteranceScore, policy: ScoringPolicy) -> tuple[Word, ...] | None:
    """The words of a scored hypothesis with their times; None if the system gave none, or the policy changed the words.

    A word that the system gave in pieces, as in scripts without spaces, has the lowest of their confidences.
    """
    wanted = utterance.hypothesis.split()
    if not output.words:
        return None
    if [word.text for word in output.words] == wanted:
        return tuple(output.words)
    pieces = [(word, token) for word in output.words for token in policy(word.text).split()]
    words: list[Word] = []
    position = 0
    for text in wanted:
        first = position
        spelled = ""
        while position < len(pieces) and len(spelled) < len(text):
            spelled += pieces[position][1]
            position += 1
        if spelled != text:
            return None
        some = [word for word, _ in pieces[first:position]]
        confidences = [word.confidence for word in some if word.confidence is not None]
        words.append(Word(text, some[0].start, some[-1].end, min(confidences, default=None)))
    return tuple(words) if position == len(pieces) else None


def reliability(result: Score, words: Sequence[Sequence[Word] | None]) -> Reliability | None:
    """How well confidences predict correct words; None if there are none, or the words are all correct or all wrong."""
    confidences: list[float] = []
    right: list[bool] = []
    for utterance, timed in zip(result.utterances, words, strict=True):
        truth = [edit.kind == "equal" for edit in utterance.alignment for _ in edit.hypothesis]
        for word, was_right in zip(timed or [], truth, strict=False):
            if word.confidence is not None:
                confidences.append(word.confidence)
                right.append(was_right)
    if not confidences or all(right) or not any(right):
        return None
    return measure(np.array(confidences), np.array(right, np.float64))
