"""Trains n-gram models: counts, modified Kneser-Ney smoothing, and pruning to a size, all as passes over arrays."""

from __future__ import annotations

import array
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.errors import ConfigError
from asr.language.ngram import END, SPACE_WORD, SPECIAL_WORDS, START, UNKNOWN, NgramModel
from asr.language.trie import IntArray, Trie
from asr.settings.commands import LmConfig
from asr.settings.language import LanguageUnit

# Number of running words below which words that occur once are kept.
_SMALL_TEXT = 10_000

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tokens:
    """A text as word numbers: every sentence between `START` and `END`."""

    words: Sequence[str]
    numbers: npt.NDArray[np.int32]

    @property
    def sentences(self) -> int:
        """Their number."""
        return int((self.numbers == START).sum())

    @property
    def count(self) -> int:
        """Number of words."""
        return len(self.numbers) - 2 * self.sentences

    @property
    def unknown(self) -> int:
        """Number of its words that are not in the vocabulary."""
        return int((self.numbers == UNKNOWN).sum())


def tokenize(sentences: Iterable[str], settings: LmConfig) -> Tokens:
    """Number the words of a text, with the vocabulary of the settings.

    Parameters
    ----------
    sentences : iterable of str
        Normalised; empty ones are skipped.
    settings : LmConfig

    Raises
    ------
    ConfigError
        If it holds no word, or none that occurs often enough.
    """
    found: defaultdict[str, int] = defaultdict(lambda: len(found) + len(SPECIAL_WORDS))
    numbers = array.array("i")
    number_of = found.__getitem__
    characters = settings.unit is LanguageUnit.characters
    for sentence in sentences:
        words = split_words(sentence, characters=characters)
        if words:
            numbers.append(START)
            numbers.extend(map(number_of, words))
            numbers.append(END)
    for special in SPECIAL_WORDS:
        if special in found:
            raise ConfigError(f"the text holds {special!r}, which is reserved in language models")
    if not found:
        raise ConfigError("the text holds no words")
    drawn = np.frombuffer(numbers, np.int32)
    counts = np.bincount(drawn)[len(SPECIAL_WORDS) :]
    listed = list(found)
    least = settings.min_count
    if least is None:
        least = 1 if counts.sum() < _SMALL_TEXT else 2
    often = sorted(np.flatnonzero(counts >= least).tolist(), key=lambda i: (-counts[i], listed[i]))
    if not often:
        most = int(counts.argmax())
        raise ConfigError(
            f"min_count={least} leaves a model without words: the most frequent of {len(listed):,}, {listed[most]!r}, "
            f"is counted {counts[most]} times; min_count=1 keeps them all"
        )
    kept = sorted(often[: settings.vocabulary], key=listed.__getitem__)
    mapping = np.full(len(SPECIAL_WORDS) + len(found), UNKNOWN, np.int32)
    mapping[[START, END]] = START, END
    mapping[np.array(kept, np.int64) + len(SPECIAL_WORDS)] = np.arange(len(kept)) + len(SPECIAL_WORDS)
    return Tokens([*SPECIAL_WORDS, *(listed[index] for index in kept)], mapping[drawn])


def split_words(sentence: str, *, characters: bool) -> list[str]:
    """The words of a normalised sentence, or its characters with `<space>` for a space."""
    if not characters:
        return sentence.split()
    return [SPACE_WORD if character == " " else character for character in sentence]


@dataclass
class _Level:
    """All n-grams of one order, sorted."""

    parents: IntArray
    """position of the context among the n-grams of the order below"""
    labels: IntArray
    """the last word"""
    suffixes: IntArray
    """position of the n-gram without its first word among those of the order below"""
    from_start: npt.NDArray[np.bool_]
    """whether it begins with `START`"""
    raw: Ints
    """its count"""
    kept: npt.NDArray[np.bool_]


def train_ngram(tokens: Tokens, settings: LmConfig, *, watch: Callable[[str], object] = lambda _: None) -> NgramModel:
    """Estimate an n-gram model with interpolated modified Kneser-Ney smoothing, and prune it.

    Parameters
    ----------
    tokens : Tokens
    settings : LmConfig
        `order`, `max_ngrams` and `threshold` are used.
    watch : callable
        Called with a description of each of the `steps_of_training` steps.

    Returns
    -------
    NgramModel
        In which the probabilities of all words, `<unk>` and `</s>` after any context add up to 1.

    Notes
    -----
    Sources: S. Chen and J. Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling", TR-10-98,
    Harvard 1998, equation 27 (discounts) and section 3 (interpolation); A. Stolcke, "Entropy-based Pruning of Backoff
    Language Models", 1998, equation 6 (which n-grams to drop); V. Siivola, T. Hirsimaki and S. Virpioja, "On Growing
    and Pruning Kneser-Ney Smoothed N-Gram Models", IEEE TASLP 15(5), 2007, section III (the counts of dropped n-grams
    go back to the shorter ones, so that the smoothing stays Kneser-Ney's).
    """
    levels = _count(tokens, settings.order, watch)
    watch("estimating")
    discounts = [_discounts(counts) for counts in _adjusted(levels)]
    model = _estimate(levels, discounts)
    if _prunes(settings):
        watch("pruning")
        _prune(levels, model, settings)
        watch("estimating again")
        model = _estimate(levels, discounts)
    return _build(tokens.words, levels, model, settings.unit)


def steps_of_training(settings: LmConfig) -> int:
    """The number of steps that `train_ngram` reports."""
    return settings.order + (2 if _prunes(settings) else 0)


def _prunes(settings: LmConfig) -> bool:
    return settings.order > 1 and (settings.threshold > 0 or settings.max_ngrams is not None)


def _count(tokens: Tokens, order: int, watch: Callable[[str], object]) -> list[_Level]:
    numbers, size = tokens.numbers, len(tokens.words)
    alone = np.bincount(numbers, minlength=size)
    nothing = np.zeros(size, np.int64)
    levels = [_Level(nothing, np.arange(size), nothing, np.arange(size) == START, alone, np.ones(size, bool))]
    ranks = numbers.astype(np.int32)  # at each place of the text, the n-gram of the last level that begins there
    whole = numbers != END  # whether an n-gram one longer than the last level begins there
    whole[-1] = False
    for _ in range(2, order + 1):
        length = len(levels)
        watch(f"counting {length + 1}-grams")
        places = np.flatnonzero(whole)
        keys = ranks[places].astype(np.int64) * size + numbers[places + length]
        sorting = np.argsort(keys)
        keys = keys[sorting]
        new = np.ones(len(keys), bool)
        np.not_equal(keys[1:], keys[:-1], out=new[1:])
        starts = np.flatnonzero(new)
        first = places[sorting[starts]]
        parents, labels = keys[starts] // size, keys[starts] % size
        levels.append(
            _Level(
                parents.astype(np.int32),
                labels.astype(np.int32),
                ranks[first + 1],
                numbers[first] == START,
                np.diff(starts, append=len(keys)),
                np.ones(len(starts), bool),
            )
        )
        del keys
        if len(levels) < order:
            longer = np.zeros(len(numbers), np.int32)
            longer[places[sorting]] = np.cumsum(new) - 1
            ranks = longer
            whole[:-1] &= whole[1:]
    return levels


def _adjusted(levels: Sequence[_Level]) -> list[Ints]:
    """The counts of Kneser-Ney smoothing: for the highest order, occurrences; below, the number of different n-grams
    one longer that end in it. A dropped one counts with all its occurrences, since only the shorter one is left.
    """
    counts = [level.raw for level in levels]
    for shorter in range(len(levels) - 2, -1, -1):
        longer = levels[shorter + 1]
        weights = np.where(longer.kept, 1, counts[shorter + 1])
        continued = np.bincount(longer.suffixes, weights=weights, minlength=len(levels[shorter].raw)).astype(np.int64)
        # Nothing precedes the start of a sentence.
        counts[shorter] = np.where(levels[shorter].from_start, levels[shorter].raw, continued)
    counts[0][START] = 0
    return counts


def _discounts(counts: Ints) -> Floats:
    """The discounts of n-grams with counts of one, two, and more; [0] is 0."""
    of_counts = np.bincount(np.minimum(counts, 5), minlength=5)[:5].astype(np.float64)
    once, twice = of_counts[1], of_counts[2]
    discounts = np.zeros(4)
    if once and twice:
        share = once / (once + 2 * twice)
        for number in (1, 2, 3):
            if of_counts[number]:
                discounts[number] = number - (number + 1) * share * of_counts[number + 1] / of_counts[number]
    # For small or uniform texts the estimate does not exist or is out of bounds.
    fallback = np.array([0, 0.5, 1.0, 1.5])
    bounds = np.array([0, 1, 2, 3])
    return np.where((discounts > 0) & (discounts < bounds), discounts, fallback)


@dataclass
class _Model:
    """The estimates of one order."""

    probs: list[Floats]
    backoffs: list[Floats]
    """one level less"""


def _estimate(levels: Sequence[_Level], discounts: Sequence[Floats]) -> _Model:
    probs: list[Floats] = []
    backoffs: list[Floats] = []
    for position, (level, counts) in enumerate(zip(levels, _adjusted(levels), strict=True)):
        contexts = len(levels[position - 1].raw) if position else 1
        total = np.bincount(level.parents, weights=counts, minlength=contexts)
        taken = np.where(level.kept, np.minimum(discounts[position][np.minimum(counts, 3)], counts), counts)
        with np.errstate(invalid="ignore"):
            # A context without counts gives all its probability to the shorter one.
            left = np.where(total > 0, np.bincount(level.parents, weights=taken, minlength=contexts) / total, 1.0)
        own = (counts - taken) / np.maximum(total, 1)[level.parents]
        if position == 0:
            below = np.full(len(counts), 1 / (len(counts) - 1))  # any word but START
            below[START] = 0
        else:
            backoffs.append(left)
            below = probs[-1][level.suffixes]
        probs.append(own + left[level.parents] * below)
    return _Model(probs, backoffs)


def _prune(levels: Sequence[_Level], model: _Model, settings: LmConfig) -> None:
    """Mark the n-grams to drop: those that change the model least, none that a kept one begins or ends with."""
    losses = []
    total = levels[0].raw.sum()
    for position in range(1, len(levels)):
        level, probs = levels[position], model.probs[position]
        contexts = len(levels[position - 1].raw)
        below = model.probs[position - 1][level.suffixes]
        backoff = model.backoffs[position - 1]
        unseen = np.maximum(1 - np.bincount(level.parents, weights=probs, minlength=contexts), 1e-12)
        unseen_below = np.maximum(1 - np.bincount(level.parents, weights=below, minlength=contexts), 1e-12)
        seen = np.bincount(level.parents, weights=level.raw, minlength=contexts)
        parents = level.parents
        new_backoff = np.log((unseen[parents] + probs) / (unseen_below[parents] + below))
        change = probs * (np.log(below) + new_backoff - np.log(probs))
        change += unseen[parents] * (new_backoff - np.log(np.maximum(backoff, 1e-12))[parents])
        losses.append(-(seen[parents] / total) * change)

    def keep(threshold: float) -> int:
        needed = np.zeros(0, bool)
        count = 0
        for position in range(len(levels) - 1, 0, -1):
            level = levels[position]
            level.kept = losses[position - 1] > threshold
            if len(needed):
                level.kept |= needed
            needed = np.zeros(len(levels[position - 1].raw), bool)
            needed[level.parents[level.kept]] = True
            needed[level.suffixes[level.kept]] = True
            count += int(level.kept.sum())
        return count

    most = settings.max_ngrams
    threshold = settings.threshold
    if keep(threshold) > (most if most is not None else math.inf):
        everything = np.concatenate(losses)
        low, high = max(threshold, float(np.quantile(everything, 0.01))), float(everything.max())
        low = max(low, high * 1e-12)
        for _ in range(20):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if keep(middle) > (most or 0) else (low, middle)
        keep(high)


def _build(words: Sequence[str], levels: Sequence[_Level], model: _Model, unit: LanguageUnit) -> NgramModel:
    placed: list[tuple[IntArray, IntArray]] = []
    log_probs: list[npt.NDArray[np.float32]] = []
    backoffs: list[npt.NDArray[np.float32]] = []
    places = np.zeros(1, np.int64)
    for position, (level, probs) in enumerate(zip(levels, model.probs, strict=True)):
        kept = np.flatnonzero(level.kept)
        placed.append((places[level.parents[kept]], level.labels[kept]))
        with np.errstate(divide="ignore"):
            # The probability of START is never used; ARPA files write -99 for it.
            log_probs.append(np.maximum(np.log(probs[kept]), -99 * math.log(10)).astype(np.float32))
            if position < len(model.backoffs):
                weights = np.maximum(np.log(model.backoffs[position][kept]), -99 * math.log(10))
                backoffs.append(weights.astype(np.float32))
        places = np.cumsum(level.kept) - 1
    return NgramModel(unit, words, Trie.from_levels(placed), tuple(log_probs), tuple(backoffs))


@dataclass(frozen=True)
class Perplexity:
    """How well a model predicts a text."""

    words: int
    """without the ends of sentences"""
    sentences: int
    unknown: int
    log_prob: float
    """natural, of all words and ends"""
    log_prob_unknown: float
    """the share of unknown words in it"""

    @property
    def perplexity(self) -> float:
        """Per word and end of sentence, unknown words left out, as is usual."""
        return math.exp(-(self.log_prob - self.log_prob_unknown) / max(self.words + self.sentences - self.unknown, 1))


def measure_perplexity(model: NgramModel, sentences: Iterable[str]) -> Perplexity:
    """How well a model predicts some (normalised) sentences."""
    characters = model.unit is LanguageUnit.characters
    numbers: list[int] = []
    for sentence in sentences:
        if words := split_words(sentence, characters=characters):
            numbers += [START, *(model.numbers.get(word, UNKNOWN) for word in words), END]
    text = np.array(numbers, np.int64)
    asked = np.flatnonzero(text != START)
    scores = model.score_running(text)[asked]
    unknown = text[asked] == UNKNOWN
    ends = int((text == END).sum())
    return Perplexity(len(asked) - ends, ends, int(unknown.sum()), float(scores.sum()), float(scores[unknown].sum()))
