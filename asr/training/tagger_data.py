"""Training data of the tagger: texts as arrays, cut into windows, with errors as a recogniser makes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asr.punctuation.word_numbers import PAUSE_CLASSES, Features
from asr.punctuation.written_tags import (
    COMMA,
    NO_BREAK,
    NO_MARK,
    PARAGRAPH,
    UNKNOWN_CASE,
    Spellings,
    WrittenWord,
    tag_paragraphs,
)
from asr.settings.tagger import TaggerConfig, TextBatchConfig
from asr.training.recogniser_errors import Confusions, RecogniserErrors, delete_words

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Document = Sequence[list[WrittenWord]]

IGNORED = 255
"""as a target: no loss"""
_NEIGHBOURS = 8
_UNKNOWN_SHARE = 0.03
"""of the pauses of a window that has some: behind the last word of a segment it is unknown"""
_GROUP = 40


@dataclass(frozen=True, slots=True)
class TextCorpus:
    """Documents as arrays; all [shape=(words,)] but `starts`."""

    types: list[str]
    """the distinct words, the most frequent first"""
    words: Ints
    """places in `types`"""
    marks: Bytes
    cases: Bytes
    breaks: Bytes
    starts: Ints
    """[shape=(documents + 1,)] where each document begins, and the end of the last"""

    def document(self, number: int) -> slice:
        return slice(int(self.starts[number]), int(self.starts[number + 1]))

    @property
    def documents(self) -> int:
        return len(self.starts) - 1

    def first(self) -> TextCorpus:
        """Its first document alone."""
        columns = {name: getattr(self, name)[self.document(0)] for name in ("words", "marks", "cases", "breaks")}
        return replace(self, starts=self.starts[:2], **columns)


def make_corpus(documents: Iterable[Document], spellings: Spellings) -> TextCorpus:
    """Documents as arrays."""
    builder = CorpusBuilder(spellings)
    for document in documents:
        builder.add(document)
    return builder.corpus()


class CorpusBuilder:
    """Collects documents as arrays: a word of a large text takes seven bytes.

    Parameters
    ----------
    spellings : Spellings
    """

    def __init__(self, spellings: Spellings) -> None:
        self._spellings = spellings
        self._places: dict[str, int] = {}
        """words in the order in which they came"""
        self._words: list[Ints] = []
        self._tags: tuple[list[Bytes], list[Bytes], list[Bytes]] = [], [], []

    def add(self, document: Document) -> None:
        tagged, places = tag_paragraphs(document, self._spellings), self._places
        self._words.append(np.array([places.setdefault(one, len(places)) for one in tagged.words], np.int32))
        for column, tags in zip(self._tags, (tagged.marks, tagged.cases, tagged.breaks), strict=True):
            column.append(tags)

    @property
    def documents(self) -> int:
        return len(self._words)

    def corpus(self) -> TextCorpus:
        words = np.concatenate([np.zeros(0, np.int32), *self._words])
        counts = np.bincount(words, minlength=len(self._places)).tolist()
        by_frequency = sorted(self._places.items(), key=lambda one: (-counts[one[1]], one[0]))
        rank = np.empty(len(by_frequency), np.int32)
        rank[[place for _, place in by_frequency]] = np.arange(len(by_frequency), dtype=np.int32)
        marks, cases, breaks = (np.concatenate([np.zeros(0, np.uint8), *column]) for column in self._tags)
        starts = np.cumsum([0, *map(len, self._words)]).astype(np.int32)
        return TextCorpus([word for word, _ in by_frequency], rank[words], marks, cases, breaks, starts)


def make_features(corpus: TextCorpus, settings: TaggerConfig) -> Features:
    """Numbers of the most frequent words and of pieces."""
    return Features(corpus.types[: settings.vocabulary], settings.buckets)


def confusions(types: Sequence[str]) -> Ints:
    """For each word, words of about its length that begin or end alike [shape=(words, 8)].

    A plain model of a recogniser's substitutions: the most frequent of the words that share the first two or the last
    three letters, of a length that differs by at most two.
    """
    groups: dict[str, list[int]] = {}
    for place, word in enumerate(types):
        for key in (f"<{word[:2]}", f"{word[-3:]}>"):
            members = groups.setdefault(key, [])
            if len(members) < _GROUP:
                members.append(place)
    rng = np.random.default_rng(0)
    table = np.empty((len(types), _NEIGHBOURS), np.int32)
    for place, word in enumerate(types):
        near = [
            one
            for key in (f"<{word[:2]}", f"{word[-3:]}>")
            for one in groups[key]
            if one != place and abs(len(types[one]) - len(word)) <= 2
        ]
        table[place] = [near[one] for one in rng.integers(0, len(near), _NEIGHBOURS)] if near else place
    return table


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Windows of text."""

    features: Ints
    """[shape=(rows, words, SLOTS)]"""
    pauses: Ints
    """[shape=(rows, words)] classes of the pauses behind the words"""
    counts: Ints
    """[shape=(rows,)] words of each row"""
    targets: Ints
    """[shape=(rows, words, 3)] marks, cases, breaks; `IGNORED` without loss"""

    @property
    def network_inputs(self) -> list[Ints]:
        return [self.features, self.pauses, self.counts]


class TextFeed:
    """Batches of the windows of a corpus, the same for the same seed.

    Parameters
    ----------
    corpus : TextCorpus
    features : Features
    settings : TextBatchConfig
    pause_shares : float array [shape=(5, PAUSE_CLASSES)]
        How often each class of pause is behind a word: without a mark, with a comma, with another mark, at the end of
        a sentence, at the end of a paragraph.
    seed : int
    errors : Confusions, optional
        Of a recogniser: errors are drawn from these, and for words that have none there from a plain model.
    """

    def __init__(
        self,
        corpus: TextCorpus,
        features: Features,
        settings: TextBatchConfig,
        *,
        pause_shares: npt.NDArray[np.float64],
        seed: int,
        errors: Confusions | None = None,
    ) -> None:
        self._corpus, self._settings, self._seed = corpus, settings, seed
        self._confusions = confusions(corpus.types) if settings.noise else None
        self._errors: RecogniserErrors | None = None
        types = corpus.types
        if errors is not None and self._confusions is not None:
            types = [*types, *sorted(errors.words.difference(types))]
            frequencies = np.bincount(corpus.words, minlength=len(types))
            self._errors = RecogniserErrors(errors, types, frequencies, self._confusions)
        self._features = features.of_words(types)
        self._pauses = np.cumsum(pause_shares, axis=1)
        self._pauses[:, -1] = 1.0

    def batches(self, epoch: int) -> list[tuple[Ints, int]]:
        """The windows of an epoch by batch: first words and ends [shape=(rows, 2)], and the width of the batch."""
        settings, rng = self._settings, np.random.default_rng((self._seed, epoch))
        short = rng.random(self._corpus.documents) < settings.short_share
        plan: list[tuple[Ints, int]] = []
        for width, chosen in ((settings.window, ~short), (settings.short_window, short)):
            rows = [self._windows(int(number), width, rng) for number in np.flatnonzero(chosen)]
            if not rows:
                continue
            windows = np.concatenate(rows)
            windows = windows[rng.permutation(len(windows))]
            size = max(1, settings.words // width)
            plan += [(windows[start : start + size], width) for start in range(0, len(windows), size)]
        return [plan[place] for place in rng.permutation(len(plan))]

    def _windows(self, number: int, width: int, rng: np.random.Generator) -> Ints:
        """Windows of a document: half of them begin with a sentence, most end with one."""
        part = self._corpus.document(number)
        first = part.start - int(rng.integers(0, width))
        starts = np.arange(first, part.stop, width)
        ends = np.minimum(starts + width, part.stop)
        starts = np.maximum(starts, part.start)
        is_end = self._corpus.breaks[part] != NO_BREAK
        after = np.concatenate([[part.start], np.flatnonzero(is_end) + 1 + part.start])  # where sentences begin
        next_start = np.maximum(starts, after[np.minimum(np.searchsorted(after, starts), len(after) - 1)])
        last_end = after[np.searchsorted(after, ends, side="right") - 1]
        starts = np.where((rng.random(len(starts)) < 0.5) & (next_start < ends - 1), next_start, starts)
        ends = np.where((rng.random(len(starts)) < 0.75) & (last_end > starts + 1), last_end, ends)
        kept = ends > starts
        return np.stack([starts[kept], ends[kept]], axis=1).astype(np.int32)

    def batch(self, windows: Ints, width: int, *, seed: tuple[int, ...], clean: bool = False) -> TextBatch:
        """The arrays of a batch; `clean` leaves out noise and pauses."""
        rng, settings = np.random.default_rng(seed), self._settings
        rows = len(windows)
        words = np.zeros((rows, width), np.int32)
        targets = np.full((rows, width, 3), IGNORED, np.int32)
        counts = np.zeros(rows, np.int32)
        for row, (start, end) in enumerate(windows):
            part = slice(int(start), int(end))
            some = self._corpus.words[part]
            tags = np.stack([self._corpus.marks[part], self._corpus.cases[part], self._corpus.breaks[part]], axis=1)
            if not clean and settings.noise and rng.random() < 0.5:
                some, tags = self._with_errors(some, tags, rng.uniform(0, settings.noise), rng)
                some, tags = some[:width], tags[:width]
            counts[row] = len(some)
            words[row, : len(some)], targets[row, : len(some)] = some, tags
        targets[..., 1] = np.where(targets[..., 1] == UNKNOWN_CASE, IGNORED, targets[..., 1])
        features = self._features[words]
        inside = np.arange(width)[None, :] < counts[:, None]
        pauses = np.zeros((rows, width), np.int32)
        if not clean:
            has_pauses = (rng.random(rows) < settings.pauses)[:, None] & (rng.random(words.shape) >= _UNKNOWN_SHARE)
            pauses = np.where(inside & has_pauses, self._drawn(targets, rng), 0)
            # Words of the vocabulary are seldom known by their pieces alone, unless some are hidden.
            features[..., 0] = np.where(rng.random(words.shape) < 0.03, 0, features[..., 0])
        features = np.where(inside[..., None], features, 0)
        return TextBatch(features, pauses.astype(np.int32), counts, targets)

    def _drawn(self, targets: Ints, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        kinds = pause_kinds(targets[..., 0], targets[..., 2])
        return np.asarray((rng.random(kinds.shape)[..., None] > self._pauses[kinds]).sum(axis=-1), np.int64)

    def _with_errors(
        self, words: Ints, tags: npt.NDArray[np.uint8], rate: float, rng: np.random.Generator
    ) -> tuple[Ints, npt.NDArray[np.uint8]]:
        """Counted errors; without any, substitutions and deletions, three to one."""
        if self._errors is not None:
            return self._errors.apply(words, tags, rate, rng)
        assert self._confusions is not None
        drawn = rng.random(len(words))
        substituted = drawn < 0.75 * rate
        words = np.where(substituted, self._confusions[words, rng.integers(0, _NEIGHBOURS, len(words))], words)
        return delete_words(words, tags, (drawn >= 0.75 * rate) & (drawn < rate))


def pause_kinds(marks: npt.NDArray[np.integer], breaks: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Kinds of places by which pauses differ: no mark, comma, other mark, end of a sentence, end of a paragraph."""
    kinds = np.where(marks == NO_MARK, 0, np.where(marks == COMMA, 1, 2))
    kinds = np.where(breaks == NO_BREAK, kinds, np.where(breaks == PARAGRAPH, 4, 3))
    return np.where(marks == IGNORED, 0, kinds).astype(np.int64)


PAUSE_KINDS = 5
assert PAUSE_CLASSES == 9  # the default below has as many columns
DEFAULT_PAUSE_SHARES = np.array(
    [
        [0, 0.49, 0.32, 0.145, 0.018, 0.012, 0.008, 0.005, 0.002],
        [0, 0.05, 0.09, 0.17, 0.19, 0.25, 0.18, 0.055, 0.015],
        [0, 0.03, 0.02, 0.09, 0.12, 0.25, 0.29, 0.15, 0.05],
        [0, 0.02, 0.02, 0.05, 0.07, 0.195, 0.38, 0.21, 0.055],
        [0, 0.035, 0.035, 0.06, 0.05, 0.135, 0.295, 0.255, 0.135],
    ]
)
"""between the words that the shipped models recognise (scripts/research/pause_shares.py). A tenth of a second is usual
where there is no mark: outputs trained by CTC are spikes, and a word ends with the spike of its last unit."""


def validation_windows(corpus: TextCorpus, width: int, words: int) -> Iterator[tuple[int, int]]:
    """Windows of so many words, in order: of the beginnings of all documents, each of the same length if it has it."""
    lengths = sorted(np.diff(corpus.starts).tolist())
    left, share = words, 0
    for place, length in enumerate(lengths):
        # What short documents lack is shared among the longer ones.
        share = max(1, left // (len(lengths) - place))
        if length >= share:
            break
        left -= length
    for number in range(corpus.documents):
        part = corpus.document(number)
        last = min(part.stop, part.start + share)
        for start in range(part.start, last, width):
            yield start, min(start + width, last)


def rare_words(
    corpus: TextCorpus, windows: Sequence[tuple[int, int]], frequent: Sequence[str]
) -> npt.NDArray[np.int64]:
    """For each word of some windows, which places of its document have the same rare word; -1 for frequent ones.

    The numbers are those that `asr.punctuation.tagger.agree_on_cases` takes.
    """
    known = set(frequent)
    is_rare = np.array([word not in known for word in corpus.types], bool)
    places = np.concatenate([np.arange(*one) for one in windows]) if windows else np.zeros(0, np.int64)
    words = corpus.words[places].astype(np.int64)
    documents = np.searchsorted(corpus.starts, places, side="right")
    groups = np.unique(documents * len(corpus.types) + words, return_inverse=True)[1]
    return np.where(is_rare[words], groups, -1)
