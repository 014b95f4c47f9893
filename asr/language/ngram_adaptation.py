"""Adapts a language model to a text: an n-gram model of the text, interpolated with the base."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.errors import ConfigError
from asr.language.ngram import END, START, UNKNOWN, NgramModel
from asr.language.ngram_interpolation import find_weights, interpolate_ngrams
from asr.language.ngram_training import Tokens, split_words, tokenize, train_ngram
from asr.settings.commands import LmConfig
from asr.settings.language import LanguageUnit

# Parts of a text that are left out one after the other; of a large text only one is, a part of that many sentences.
_PARTS, _MOST_HELD_OUT = 5, 20_000
# The largest weight that is taken without being asked for: more gained nothing on commands and spelled letters, whose
# text asked for 0.99, and other speech loses by it (docs/experiments.md).
_LARGEST_FOUND = 0.5


@dataclass(frozen=True)
class Adaptation:
    """A language model adapted to a text."""

    model: NgramModel
    text_weight: float
    """share of the text's own model in it"""
    likeliest: float | None
    """the weight that predicts best what is left out of the text; None where the weight was given"""
    tokens: Tokens
    """the text, in its own vocabulary"""


def adapt_ngram(
    base: NgramModel, sentences: Sequence[str], settings: LmConfig, *, watch: Callable[[str], object] = lambda _: None
) -> Adaptation:
    """Interpolate a language model with one of a text.

    Parameters
    ----------
    base : NgramModel
    sentences : sequence of str
        The text, normalised.
    settings : LmConfig
        Of the text's own model. `text_weight` is its share; where it is None, it is the one that predicts best what is
        left out of the text (each fifth of the sentences, by a model of the others; of a large text one part alone),
        and 0.5 at most.
    watch : callable
        Called with a description of each step.

    Raises
    ------
    ConfigError
        If base and text are of different units, there is not a word in the text, or the weight cannot be found because
        there is a single sentence.
    """
    if base.unit is not settings.unit:
        raise ConfigError(f"the base is a model over {base.unit.value}: unit={base.unit.value}")
    sentences = [sentence for sentence in sentences if sentence.strip()]
    tokens = tokenize(sentences, settings)
    weight, likeliest = settings.text_weight, None
    if weight is None:
        likeliest = find_weights(_held_out_log_probs(base, sentences, settings, watch))[1]
        weight = min(likeliest, _LARGEST_FOUND)
    own = train_ngram(tokens, settings, watch=watch)
    watch("interpolating")
    return Adaptation(interpolate_ngrams([base, own], [1 - weight, weight]), weight, likeliest, tokens)


def _held_out_log_probs(
    base: NgramModel, sentences: Sequence[str], settings: LmConfig, watch: Callable[[str], object]
) -> npt.NDArray[np.float64]:
    """Of the words that are left out: by the base, and by a model of the other sentences [shape=(2, words)]."""
    if len(sentences) < 2:
        raise ConfigError(
            "text_weight cannot be found on a single sentence, of which nothing can be left out: text_weight=0.5"
        )
    parts = max(min(_PARTS, len(sentences)), len(sentences) // _MOST_HELD_OUT)
    found = []
    for part in range(parts if parts <= _PARTS else 1):
        others = [sentence for place, sentence in enumerate(sentences) if place % parts != part]
        watch(f"finding the weight, part {part + 1}")
        own = train_ngram(tokenize(others, settings), settings)
        found.append([_log_probs(model, sentences[part::parts]) for model in (base, own)])
    return np.concatenate(found, axis=1)


def _log_probs(model: NgramModel, sentences: Sequence[str]) -> npt.NDArray[np.float64]:
    """Of every word and sentence end; minus infinity for words that the model lacks."""
    characters = model.unit is LanguageUnit.characters
    numbers: list[int] = []
    for sentence in sentences:
        words = split_words(sentence, characters=characters)
        numbers += [START, *(model.numbers.get(word, UNKNOWN) for word in words), END]
    text = np.array(numbers)
    scores: npt.NDArray[np.float64] = np.where(text == UNKNOWN, -np.inf, model.score_running(text))[text != START]
    return scores
