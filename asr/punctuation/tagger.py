"""Predicts marks, cases and breaks of words, with ONNX Runtime and NumPy alone.

A text is tagged in windows at fixed places, each with words on both sides that only give context. What a word gets
does not depend on how the text is cut when it is fed. In a whole text, rare words have the case that fits all their
places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.acoustic.runtimes.text_graph import open_text_graph, read_text_graph
from asr.errors import ConfigError, LanguageModelError
from asr.punctuation.word_numbers import SLOTS, Features, pause_classes
from asr.punctuation.written_tags import (
    CASES,
    EXCLAMATION_MARK,
    FULL_STOP,
    LOWER,
    MARKS,
    NO_BREAK,
    QUESTION_MARK,
    WIDTH,
    Spellings,
)
from asr.settings.tagger import TaggerConfig

FORMAT = 1
HEADER = "asr_tagger"
"""the key of the metadata that holds the header"""
STEP, CONTEXT = 144, 24
"""words that a window tags, and words of context on each side"""
FREQUENT = 3000
"""the first words of a vocabulary, whose case changes from place to place: the bank, the Bank of England"""
_MOST_EVIDENCE = 4.0
"""nats that one place of a word says about its case at others, at most"""
_KIND = "a model that predicts punctuation"
_LARGEST = 1 << 26

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TaggerHeader:
    """What a tagger knows besides its weights."""

    settings: TaggerConfig
    vocabulary: tuple[str, ...]
    spellings: Spellings
    language: str = "en"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def features(self) -> Features:
        return Features(self.vocabulary, self.settings.buckets)

    @cached_property
    def _frequent(self) -> frozenset[str]:
        return frozenset(self.vocabulary[:FREQUENT])

    def rare(self, words: Sequence[str]) -> Ints:
        """A number for each rare word, the same at all its places; -1 for frequent words [shape=(words,)]."""
        numbers: dict[str, int] = {}
        groups = (-1 if word in self._frequent else numbers.setdefault(word, len(numbers)) for word in words)
        return np.fromiter(groups, np.int64, len(words))

    def as_dict(self) -> dict[str, Any]:
        """As the file holds it."""
        return {
            "format": FORMAT,
            "settings": asdict(self.settings),
            "vocabulary": "\n".join(self.vocabulary),
            "mixed": dict(self.spellings.mixed),
            "upper": sorted(self.spellings.upper),
            "abbreviations": sorted(self.spellings.abbreviations),
            "fixed": dict(self.spellings.fixed),
            "language": self.language,
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TaggerHeader:
        """Check and read it.

        Raises
        ------
        ConfigError, ValueError, TypeError, KeyError
            If it is not as `as_dict` makes it.
        """
        if content["format"] != FORMAT:
            raise ConfigError(f"it has format {content['format']}; this version reads {FORMAT}")
        names = {one.name for one in fields(TaggerConfig)}
        settings = TaggerConfig(**{name: value for name, value in content["settings"].items() if name in names})
        vocabulary = tuple(content["vocabulary"].split("\n")) if content["vocabulary"] else ()
        if len(set(vocabulary)) != len(vocabulary):
            raise ConfigError("its vocabulary has a word twice")
        # Files of earlier versions have no fixed spellings.
        mixed, fixed = (
            {str(word): str(form) for word, form in spelled.items()}
            for spelled in (content["mixed"], content.get("fixed", {}))
        )
        # A spelling may differ from its word in capitals only: the text would change otherwise.
        if wrong := next((word for word, form in [*mixed.items(), *fixed.items()] if form.lower() != word), None):
            raise ConfigError(f"its spelling of {wrong!r} is another word")
        upper, abbreviations = (frozenset(map(str, content[name])) for name in ("upper", "abbreviations"))
        return cls(
            settings,
            vocabulary,
            Spellings(mixed, upper, abbreviations, fixed),
            str(content["language"]),
            dict(content["provenance"]),
        )


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of words; arrays [shape=(words,)] of the numbers in `asr.punctuation.written_tags`."""

    marks: Ints
    cases: Ints
    breaks: Ints

    def __len__(self) -> int:
        return len(self.marks)

    def behind(self, first: int) -> Tags:
        """Those from a word on."""
        return Tags(*(getattr(self, one)[first:] for one in self.__slots__))

    def joined(self, other: Tags) -> Tags:
        """These tags and those of the words behind."""
        return Tags(*(np.concatenate([getattr(self, one), getattr(other, one)]) for one in self.__slots__))


class Tagger:
    """A trained tagger.

    Parameters
    ----------
    content : bytes
        A file that `export_tagger` made.
    name : str
        Name of the file in messages.

    Raises
    ------
    LanguageModelError
        If it is no such file, or a damaged one.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self.name = name
        self._session, self.header = open_text_graph(
            content, name, _KIND, key=HEADER, read_header=TaggerHeader.from_dict
        )
        inputs = {one.name: one.shape[1:] for one in self._session.get_inputs()}
        outputs = {one.name: one.shape[1:] for one in self._session.get_outputs()}
        if inputs != {"features": [SLOTS], "pauses": []} or outputs != {"logits": [WIDTH]}:
            raise LanguageModelError(name, "is no model that predicts punctuation: its graph has other inputs")

    @classmethod
    def load(cls, path: str | Path) -> Tagger:
        """Read a file that `export_tagger` made; errors as of the class."""
        return cls(read_tagger_file(path), str(path))

    @property
    def language(self) -> str:
        return self.header.language

    def tag(self, words: Sequence[str], pauses: npt.ArrayLike | None = None) -> Tags:
        """The tags of a whole text.

        Parameters
        ----------
        words : sequence of str
            In lower case, or as they are: case is disregarded.
        pauses : float array [shape=(words,)], optional
            Seconds of silence behind each word; NaN where that is unknown.
        """
        words = [word.lower() for word in words]
        logits = self.stream().logits(words, pauses, last=True)
        return choose_tags(agree_on_cases(self.header.rare(words), logits))

    def stream(self) -> TagStream:
        """Tags of a text that is fed in parts."""
        return TagStream(self)

    def logits(self, features: npt.NDArray[np.int32], pauses: npt.NDArray[np.int32]) -> Floats:
        """The network's output [shape=(words, WIDTH)] for one window."""
        result: Floats = self._session.run(["logits"], {"features": features, "pauses": pauses})[0]
        return result


def read_tagger_file(path: str | Path) -> bytes:
    """The content of a file that should be a tagger.

    Raises
    ------
    LanguageModelError
        If it cannot be read, or is too large.
    """
    return read_text_graph(path, _KIND, largest=_LARGEST)


class TagStream:
    """Tags the words of one text, fed in any parts: words are tagged as soon as their window is complete.

    Parameters
    ----------
    tagger : Tagger
    """

    def __init__(self, tagger: Tagger) -> None:
        self._tagger = tagger
        self._features = np.zeros((0, SLOTS), np.int32)
        self._pauses = np.zeros(0, np.int32)
        self._before = 0
        """words of context that precede the first one without tags"""

    def push(self, words: Sequence[str], pauses: npt.ArrayLike | None = None, *, last: bool = False) -> Tags:
        """Add words.

        Parameters
        ----------
        words, pauses
            As for `Tagger.tag`.
        last : bool
            Whether the text ends with them.

        Returns
        -------
        Tags
            Of the next words: those that follow the words that have been returned already.
        """
        return choose_tags(self.logits([word.lower() for word in words], pauses, last=last))

    def logits(self, words: Sequence[str], pauses: npt.ArrayLike | None = None, *, last: bool = False) -> Floats:
        """As `push`, of words in lower case: the network's output [shape=(words, WIDTH)] for the next ones."""
        features = self._tagger.header.features.of_words(words)
        classes = np.zeros(len(words), np.int32) if pauses is None else pause_classes(pauses)
        self._features = np.concatenate([self._features, features])
        self._pauses = np.concatenate([self._pauses, classes])
        rows = list(self._windows(last=last))
        return np.concatenate(rows) if rows else np.zeros((0, WIDTH), np.float32)

    def _windows(self, *, last: bool) -> Iterator[Floats]:
        while len(self._features) > self._before and (last or len(self._features) >= self._before + STEP + CONTEXT):
            end = self._before + STEP + CONTEXT
            logits = self._tagger.logits(self._features[:end], self._pauses[:end])
            yield logits[self._before : self._before + STEP]
            passed = max(0, self._before + STEP - CONTEXT)
            self._before = min(CONTEXT, self._before + STEP)
            self._features, self._pauses = self._features[passed:], self._pauses[passed:]


def choose_tags(logits: Floats) -> Tags:
    """The likeliest tags that go together.

    A full stop ends a sentence; question marks and exclamation marks may; nothing else does.

    Parameters
    ----------
    logits : float array [shape=(words, WIDTH)]
    """
    marks, cases, breaks = np.split(logits, (len(MARKS), len(MARKS) + CASES), axis=-1)
    ends = breaks[:, NO_BREAK + 1 :]
    # Of the breaks that go with each mark, the likeliest; the sums of log-probabilities differ from these by constants.
    best_break = np.repeat(breaks[:, NO_BREAK, None], len(MARKS), axis=1)
    best_break[:, FULL_STOP] = ends.max(axis=1)
    best_break[:, [QUESTION_MARK, EXCLAMATION_MARK]] = breaks.max(axis=1, keepdims=True)
    best = (marks + best_break).argmax(axis=-1)
    chosen = np.where(best == FULL_STOP, NO_BREAK + 1 + ends.argmax(axis=1), NO_BREAK)
    either = (best == QUESTION_MARK) | (best == EXCLAMATION_MARK)
    return Tags(best, cases.argmax(axis=-1), np.where(either, breaks.argmax(axis=1), chosen))


def agree_on_cases(groups: Ints, logits: Floats) -> Floats:
    """Let the places of a rare word agree on its case: a name that is once written with a capital has it throughout.

    At each place, the evidence for a capital (log-odds) becomes its sum with the mean of the other places, but for
    those that begin sentences, where a capital says nothing.

    Parameters
    ----------
    groups : int array [shape=(words,)]
        Which places have the same word; -1 for those that are left alone.
    logits : float array [shape=(words, WIDTH)]

    Returns
    -------
    float array [shape=(words, WIDTH)]
    """
    is_start = np.concatenate([[True], choose_tags(logits).breaks != NO_BREAK])[: len(logits)]
    places = np.flatnonzero((groups >= 0) & ~is_start)
    if not len(places):
        return logits
    lower, end = len(MARKS) + LOWER, len(MARKS) + CASES
    evidence = logits[places, lower + 1 : end].max(axis=1) - logits[places, lower]
    evidence = evidence.clip(-_MOST_EVIDENCE, _MOST_EVIDENCE)
    own = groups[places]
    others = np.bincount(own)[own] - 1
    agreed = logits.copy()
    agreed[places, lower] -= (np.bincount(own, evidence)[own] - evidence) / np.maximum(1, others)
    return agreed
