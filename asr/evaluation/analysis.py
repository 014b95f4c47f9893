"""What lies behind an error rate: slices, confusions, word frequency, vocabulary, confidences."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from asr.corpus.manifest import Utterance
from asr.evaluation.policy import ScoringPolicy
from asr.evaluation.reliability import Reliability, measure
from asr.evaluation.scoring import ErrorCounts, Score, UtteranceScore
from asr.evaluation.sources import Output
from asr.evaluation.statistics import Interval, rate_intervals
from asr.text.transcript import Word

FEW_WORDS = 200
"""reference words below which a rate is marked as one of few"""
# Values of a field that make a table one can read; a field of numbers has more and is cut into parts.
_MOST_VALUES, _PARTS = 40, 5
_DURATIONS = (0, 2, 5, 10, 15, 20, 30, 60, 300, math.inf)
_FREQUENCIES = (
    (1, "once"),
    (2, "2 to 5 times"),
    (6, "6 to 20 times"),
    (21, "21 to 100 times"),
    (101, "over 100 times"),
)
# Slices are many: fewer draws for each than for the headline.
_SLICE_ROUNDS = 2000


@dataclass(frozen=True, slots=True)
class Slice:
    """The utterances that have something in common."""

    value: str
    utterances: int
    words: ErrorCounts
    interval: Interval | None

    @property
    def few(self) -> bool:
        """Whether there is too little to say much."""
        return self.words.reference_length < FEW_WORDS


@dataclass(frozen=True, slots=True)
class Missed:
    """Reference words of a kind, and how many of them a system did not write (insertions have no such word)."""

    kind: str
    words: int
    distinct: int
    missed: int


def slice_fields(utterances: Sequence[Utterance], wanted: Sequence[str] = ()) -> dict[str, list[str]]:
    """The value of every utterance for each field that utterances can be told apart by.

    Parameters
    ----------
    utterances : sequence of Utterance
    wanted : sequence of str
        Fields of the manifests to slice by besides those found: duration, speaker, and every field that has between
        two and forty values. A field of more numbers than that is cut into five parts of as many utterances each.
    """
    fields: dict[str, list[Any]] = {
        "duration": [_duration(one.duration) for one in utterances],
        "speaker": [one.speaker for one in utterances],
    }
    names = dict.fromkeys([*wanted, *(name for one in utterances for name in one.other)])
    for name in names:
        if name not in fields:
            fields[name] = _parted([one.other.get(name) for one in utterances])
    return {
        name: ["(none)" if value is None else str(value) for value in values]
        for name, values in fields.items()
        if any(value is not None for value in values)
        and (name in wanted or 2 <= len({str(value) for value in values}) <= _MOST_VALUES)
        and not any(isinstance(value, dict | list) for value in values)
    }


def _duration(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    low, high = next((low, high) for low, high in itertools.pairwise(_DURATIONS) if seconds < high)
    return f"{low} s and more" if high == math.inf else f"{low} to {high} s"


def _parted(values: list[Any]) -> list[Any]:
    """Numbers of many values as parts that hold as many utterances each."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(set(map(str, values))) <= _MOST_VALUES or len(numbers) < sum(value is not None for value in values):
        return values
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, _PARTS + 1)))
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
        part = Score(tuple(result.utterances[index] for index in indices))
        intervals = rate_intervals(part, [utterances[index].speaker for index in indices], rounds=_SLICE_ROUNDS)
        found.append(Slice(value, len(indices), part.words, intervals[0] if intervals else None))
    return sorted(found, key=lambda one: (_leading_number(one.value), -one.utterances, one.value))


def _leading_number(value: str) -> float:
    head = value.split(" ", 1)
    try:
        return float(head[0]) if len(head) == 2 else math.inf
    except ValueError:
        return math.inf


@dataclass(frozen=True, slots=True)
class Confusions:
    """What was taken for what, most frequent first."""

    substitutions: list[tuple[str, str, int]]
    deletions: list[tuple[str, int]]
    insertions: list[tuple[str, int]]


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
    return Confusions([(*pair, count) for pair, count in pairs], _ranked(deleted), _ranked(inserted))


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def by_frequency(result: Score) -> list[Missed]:
    """Reference words by how often the references have them."""
    counts = Counter(word for one in result.utterances for word in one.reference.split())

    def kind(word: str) -> str:
        return next(name for least, name in reversed(_FREQUENCIES) if counts[word] >= least)

    order = [name for _, name in _FREQUENCIES]
    return sorted(_missed(result, kind), key=lambda one: order.index(one.kind))


def by_vocabulary(result: Score, vocabulary: Collection[str]) -> list[Missed]:
    """Reference words that a vocabulary has, and those that it lacks."""
    return sorted(_missed(result, lambda word: "known" if word in vocabulary else "unknown"), key=lambda one: one.kind)


def _missed(result: Score, kind: Callable[[str], str]) -> list[Missed]:
    words: dict[str, list[str]] = {}
    missed: Counter[str] = Counter()
    for one in result.utterances:
        for edit in one.alignment:
            for word in edit.reference:
                name = kind(word)
                words.setdefault(name, []).append(word)
                missed[name] += edit.kind != "equal"
    return [Missed(name, len(some), len(set(some)), missed[name]) for name, some in words.items()]


def timed_words(output: Output, utterance: UtteranceScore, policy: ScoringPolicy) -> list[Word] | None:
    """When each word of a scored hypothesis was said: None where the system did not say, or the policy made others.

    Of a word that the system gave in pieces, as it does in scripts without spaces, the least confidence counts.
    """
    wanted = utterance.hypothesis.split()
    if not output.words:
        return None
    if [word.text for word in output.words] == wanted:
        return list(output.words)
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
    return words if position == len(pieces) else None


def reliability(result: Score, words: Sequence[Sequence[Word] | None]) -> Reliability | None:
    """How well a system's confidences tell right words from wrong ones; None where it gave none, or all are alike."""
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


def counts_object(counts: ErrorCounts) -> dict[str, Any]:
    """Counts for JSON."""
    return {"rate": counts.rate, "errors": counts.errors, "reference_length": counts.reference_length, **asdict(counts)}


def slice_object(one: Slice) -> dict[str, Any]:
    """A slice for JSON."""
    return {
        "value": one.value,
        "utterances": one.utterances,
        "few": one.few,
        "words": counts_object(one.words) | {"interval": one.interval and asdict(one.interval)},
    }


def missed_object(one: Missed) -> Mapping[str, Any]:
    """Words of a kind for JSON."""
    return asdict(one) | {"rate": one.missed / one.words if one.words else None}
