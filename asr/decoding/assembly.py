"""Puts together what the settings of a beam search name: language model, word list, hot words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asr.config import BeamConfig, LanguageUnit
from asr.decoding.arpa import read_arpa
from asr.decoding.context import CharacterScorer, HotWordScorer, Scorer, WordScorer
from asr.decoding.hotwords import HotWords
from asr.decoding.lexicon import Lexicon
from asr.decoding.ngram import SPACE_WORD, SPECIAL_WORDS, UNKNOWN, NgramModel
from asr.decoding.ngram_file import is_ngram_file, load_ngram
from asr.errors import ConfigError, LanguageModelError
from asr.files import typed_path
from asr.text.alphabet import Alphabet, describe_character

# A language model whose words an alphabet mostly cannot spell was made for another one.
_LEAST_SPELLABLE = 0.5


def load_language_model(path: str | Path) -> NgramModel:
    """Load a language model from the file of `asr lm` or an ARPA file.

    Raises
    ------
    LanguageModelError
        If there is no such file, or it is neither.
    """
    path = typed_path(path)
    try:
        return load_ngram(path) if is_ngram_file(path) else read_arpa(path)
    except OSError as error:
        raise LanguageModelError(path, error.strerror or str(error)) from error


def read_word_list(path: str | Path) -> list[str]:
    """The words of a text file, one a line; empty lines are passed over.

    Raises
    ------
    LanguageModelError
        If it cannot be read, or holds no word.
    """
    path = typed_path(path)
    try:
        words = [word for line in path.read_text("utf-8-sig").splitlines() if (word := " ".join(line.split()))]
    except OSError as error:
        raise LanguageModelError(path, error.strerror or str(error)) from error
    except UnicodeDecodeError:
        raise LanguageModelError(path, "is not UTF-8 text") from None
    if not words:
        raise LanguageModelError(path, "holds no words")
    return list(dict.fromkeys(words))


def make_scorers(alphabet: Alphabet, settings: BeamConfig, model: NgramModel | None) -> list[Scorer]:
    """What hypotheses are scored by beyond what was heard.

    Parameters
    ----------
    alphabet : Alphabet
    settings : BeamConfig
    model : NgramModel or None

    Raises
    ------
    ConfigError
        If a hot word cannot be spelled in the alphabet, or settings do not go together.
    LanguageModelError
        If a word list cannot be read, or the language model is not made for such an alphabet.
    """
    hotwords = hotword_weights(settings)
    space = alphabet.encode(" ")[0] if " " in alphabet.symbols else None
    for phrase in hotwords:
        if unknown := alphabet.unknown(phrase):
            raise ConfigError(
                f"decoder.hotwords: {phrase!r} has {', '.join(map(describe_character, unknown))}, which the model "
                "cannot write"
            )
    scorers: list[Scorer] = []
    if model is not None and model.unit is LanguageUnit.characters:
        scorers.append(_character_scorer(alphabet, settings, model))
    listed = None if settings.lexicon is None else read_word_list(settings.lexicon)
    over_words = model is not None and model.unit is LanguageUnit.words
    if over_words or listed is not None or not settings.open_vocabulary:
        if space is None:
            raise ConfigError(
                "the model writes no spaces, so it has no words to look up: take a language model over characters "
                "(asr lm unit=characters), and no decoder.lexicon"
            )
        if model is None and listed is None:
            raise ConfigError("decoder.open_vocabulary=false needs the words: decoder.lexicon or decoder.lm")
        scorers.append(_word_scorer(alphabet, settings, model if over_words else None, listed, hotwords, space))
    if hotwords:
        scorers.append(HotWordScorer(HotWords.build(hotwords, alphabet), space=space))
    return scorers


def hotword_weights(settings: BeamConfig) -> dict[str, float]:
    """The words and phrases that the settings name, and the weight of each.

    Raises
    ------
    ConfigError
        If a weight is no number.
    LanguageModelError
        If the list of words cannot be read.
    """
    entries = [] if settings.hotwords_file is None else read_word_list(settings.hotwords_file)
    weights = {}
    for entry in [*entries, *settings.hotwords]:
        phrase, colon, weight = entry.rpartition(":")
        if not colon:
            phrase, weight = entry, str(settings.hotword_weight)
        phrase = " ".join(phrase.split())
        try:
            weights[phrase] = float(weight)
        except ValueError:
            raise ConfigError(f"decoder.hotwords: {entry!r} must be a word, or word:weight") from None
        if not phrase or not np.isfinite(weights[phrase]):
            raise ConfigError(f"decoder.hotwords: {entry!r} must be a word, or word:weight")
    return weights


def _word_scorer(
    alphabet: Alphabet,
    settings: BeamConfig,
    model: NgramModel | None,
    listed: list[str] | None,
    hotwords: dict[str, float],
    space: int,
) -> WordScorer:
    # In an open vocabulary, a list adds to the words of the language model; else it says which there are.
    from_model = [] if model is None or (listed is not None and not settings.open_vocabulary) else model.words
    words = list(from_model)
    for more in (listed or [], [word for phrase in hotwords for word in phrase.split()]):
        known = set(words)
        words += [word for word in dict.fromkeys(more) if word not in known]
    numbers = np.full(len(words), UNKNOWN, np.int64)
    weights = np.zeros(len(words))
    if model is not None:
        numbers[: len(from_model)] = np.arange(len(from_model))
        numbers[len(from_model) :] = [model.numbers.get(word, UNKNOWN) for word in words[len(from_model) :]]
        weights = np.exp(np.asarray(model.log_probs[0][:], np.float64))[numbers]
    lexicon = Lexicon.build(words, weights, alphabet)
    spelled, wanted = int((lexicon.word >= 0).sum()), len(set(words) - set(SPECIAL_WORDS))
    if spelled < _LEAST_SPELLABLE * wanted:
        example = next(word for word in words if word not in SPECIAL_WORDS and alphabet.unknown(word))
        raise LanguageModelError(
            settings.lm or settings.lexicon or "language model",
            f"the model cannot write {wanted - spelled} of its {wanted} words, such as {example!r}: it writes "
            f"{alphabet.symbols!r}. Normalise the text as the model's training texts were, and make it again",
        )
    return WordScorer(
        lexicon,
        numbers,
        model,
        weight=settings.lm_weight,
        bonus=settings.word_bonus,
        unknown_score=settings.unknown_score,
        open_vocabulary=settings.open_vocabulary,
        space=space,
    )


def _character_scorer(alphabet: Alphabet, settings: BeamConfig, model: NgramModel) -> CharacterScorer:
    names = [SPACE_WORD if symbol == " " else symbol for symbol in alphabet.symbols]
    lacking = [name for name in names if name not in model.numbers]
    if len(lacking) > _LEAST_SPELLABLE * len(names):
        raise LanguageModelError(
            settings.lm or "language model",
            f"it knows none of {len(lacking)} of the model's {len(names)} characters, such as {lacking[0]!r}",
        )
    numbers = np.array([UNKNOWN, *(model.numbers.get(name, UNKNOWN) for name in names)], np.int64)
    return CharacterScorer(numbers, model, weight=settings.lm_weight, bonus=settings.word_bonus)
