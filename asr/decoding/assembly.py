"""Loads what the settings of a beam search name: language model, word list, hot words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.decoding.context import CharacterScorer, HotWordScorer, Scorer, WordScorer
from asr.decoding.hotwords import HotWords
from asr.decoding.pronunciation_lexicon import PronunciationLexicon
from asr.decoding.pronunciation_scorer import PronunciationScorer
from asr.decoding.second_pass import WordModel
from asr.errors import ConfigError, LanguageModelError, encoding_problem
from asr.files import typed_path
from asr.language.arpa import read_arpa
from asr.language.lexicon import Lexicon
from asr.language.ngram import SPACE_WORD, SPECIAL_WORDS, UNKNOWN, NgramModel
from asr.language.ngram_file import is_ngram_file, load_ngram
from asr.pronunciation.g2p import G2p
from asr.pronunciation.lookup import look_up
from asr.pronunciation.packed import load_dictionary
from asr.pronunciation.phones import PhoneSet
from asr.settings.checks import declared_bounds, shown
from asr.settings.decoding import FROM_BUNDLE, BeamConfig, BeamSettings, DecoderConfig
from asr.settings.language import LanguageUnit
from asr.settings.text import NormalizerConfig
from asr.text.alphabet import Alphabet, describe_character
from asr.text.normalize import normalize_text

# A language model most of whose words cannot be spelled in the alphabet was made for another one.
_LEAST_SPELLABLE = 0.5
# Characters of a hot word, and of a phrase: to pronounce what is no word would take minutes.
_LONGEST_WORD, _LONGEST_PHRASE = 100, 500


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


def load_neural_language_model(path: str | Path) -> WordModel:
    """Load a neural language model from the file of `asr lm kind=lstm`.

    Raises
    ------
    LanguageModelError
        If there is no such file, or it is none.
    """
    from asr.language.neural import NeuralLanguageModel

    path = typed_path(path)
    try:
        return NeuralLanguageModel.load(path)
    except OSError as error:
        raise LanguageModelError(path, error.strerror or str(error)) from error


def read_word_list(path: str | Path) -> list[str]:
    """The words of a text file, one per line, as written; empty lines are skipped.

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
    except UnicodeDecodeError as error:
        raise LanguageModelError(path, encoding_problem(error)) from None
    if not words:
        raise LanguageModelError(path, "holds no words")
    return list(dict.fromkeys(words))


def make_scorers(
    alphabet: Alphabet, settings: BeamConfig, model: NgramModel | None, normalizer: NormalizerConfig | None = None
) -> list[Scorer]:
    """The scorers of hypotheses beyond the acoustic model.

    Parameters
    ----------
    alphabet : Alphabet
    settings : BeamConfig
    model : NgramModel or None
    normalizer : NormalizerConfig, optional
        Of the model's training texts: hot words and listed words are normalised in the same way.

    Raises
    ------
    ConfigError
        If a hot word cannot be spelled in the alphabet, or settings contradict each other.
    LanguageModelError
        If a word list cannot be read, or the language model does not fit the alphabet.
    """
    if alphabet.word_starts:  # without a model, a list or hot words: see `make_piece_scorer`
        return []
    hotwords = hotword_weights(settings, alphabet, normalizer)
    space = alphabet.separator_number
    scorers: list[Scorer] = []
    if model is not None and model.unit is LanguageUnit.characters:
        scorers.append(_character_scorer(alphabet, settings, model))
    listed = None if settings.lexicon is None else _listed_words(settings.lexicon, normalizer)
    over_words = model is not None and model.unit is LanguageUnit.words
    if over_words or listed is not None or not settings.open_vocabulary:
        if space is None:
            raise ConfigError(
                "the model writes no spaces, so there are no words to look up: use a language model over characters "
                "(asr lm unit=characters), and no decoder.lexicon"
            )
        if model is None and listed is None:
            raise ConfigError("decoder.open_vocabulary=false needs the words: decoder.lexicon or decoder.lm")
        scorers.append(_word_scorer(alphabet, settings, model if over_words else None, listed, hotwords, space))
    if hotwords:
        scorers.append(HotWordScorer(HotWords.build(hotwords, alphabet), space=space))
    return scorers


def reads_words(settings: BeamConfig, model: NgramModel | None) -> bool:
    """Whether a decoder looks words up: in a language model, a list of words or a list of hot words."""
    named = (settings.lexicon, settings.hotwords_file)
    return model is not None or any(named) or bool(settings.hotwords) or not settings.open_vocabulary


def make_piece_scorer(
    alphabet: Alphabet, settings: BeamConfig, model: NgramModel | None, normalizer: NormalizerConfig | None = None
) -> PronunciationScorer:
    """The scorer of words that are decoded as pieces: those of the language model, listed ones and hot words.

    A word of these is looked up by the pieces in which the alphabet writes it. Any other sequence of pieces is an
    unknown word, unless the vocabulary is closed. Arguments and errors are those of `make_scorers`.
    """
    if model is not None and model.unit is LanguageUnit.characters:
        raise LanguageModelError(
            settings.lm or "language model",
            "a language model over characters cannot score pieces of words: make one over words (asr lm unit=words)",
        )
    hotwords = hotword_weights(settings, alphabet, normalizer)
    listed = None if settings.lexicon is None else _listed_words(settings.lexicon, normalizer)
    if model is None and listed is None and not settings.open_vocabulary:
        raise ConfigError("decoder.open_vocabulary=false needs the words: decoder.lexicon or decoder.lm")
    words = _vocabulary(settings, model, listed, hotwords)
    places = [place for place, word in enumerate(words) if word not in SPECIAL_WORDS and not alphabet.unknown(word)]
    _check_spellable(alphabet, settings, words, len(places))
    spelled = [alphabet.encode(words[place]) for place in places]
    pieces = np.zeros((len(spelled), max(map(len, spelled), default=0)), np.int32)
    for row, one in enumerate(spelled):
        pieces[row, : len(one)] = one
    return _lexicon_scorer(
        words, np.array(places, np.int64), pieces, settings, model, hotwords,
        initial=alphabet.word_starts, symbols=alphabet.size, open_vocabulary=settings.open_vocabulary,
    )  # fmt: skip


def make_pronunciation_scorer(
    phones: PhoneSet,
    alphabet: Alphabet,
    settings: BeamConfig,
    model: NgramModel | None,
    normalizer: NormalizerConfig | None = None,
) -> PronunciationScorer:
    """The scorer of words that are decoded as phones: those of the language model, listed ones and hot words.

    Words that the lexicon lacks are pronounced by rule from a word that it has, or from their letters (`decoder.g2p`).
    Words of the language model and of lists without a pronunciation are left out.

    Parameters
    ----------
    phones : PhoneSet
    alphabet : Alphabet
        In which hot words must be spelled.
    settings : BeamConfig
    model : NgramModel or None
    normalizer : NormalizerConfig, optional
        As for `make_scorers`.

    Raises
    ------
    ConfigError
        If the lexicon has other phones than the model, or a hot word has no pronunciation.
    LanguageModelError
        If a file cannot be read, or most words of the language model have no pronunciation.
    """
    assert settings.pronunciations is not None
    path = typed_path(settings.pronunciations)
    hotwords = hotword_weights(settings, alphabet, normalizer)
    listed = None if settings.lexicon is None else _listed_words(settings.lexicon, normalizer)
    dictionary = load_dictionary(path)
    if listed is not None and not settings.open_vocabulary:
        from_model: Sequence[str] = []
    elif model is None:
        from_model = dictionary.words
    else:
        from_model = model.words[len(SPECIAL_WORDS) :]
    more = [*(listed or []), *(word for phrase in hotwords for word in phrase.split())]
    if model is not None and not more and from_model == dictionary.words:
        # A lexicon that was made for the language model: nothing is to be looked up, which takes a tenth of a second.
        wanted = None
    else:
        wanted = {*from_model, *more}
        if lacking := sorted(wanted.difference(dictionary.words)):
            g2p = None if settings.g2p is None else G2p.load(typed_path(settings.g2p))
            found = look_up(lacking, dictionary.pronunciations, g2p)
            dictionary = dictionary.extended({word: one.pronunciations for word, one in found.items()})
        if model is not None and from_model:
            known = len(set(from_model).intersection(dictionary.words))
            if known < _LEAST_SPELLABLE * len(from_model):
                raise LanguageModelError(
                    path, f"has pronunciations of {known} of the language model's {len(from_model)} words"
                )
    spelled, owners = dictionary.numbers(phones), dictionary.owners
    if wanted is not None:
        kept = np.array([word in wanted for word in dictionary.words])[owners]
        spelled, owners = spelled[kept], owners[kept]
    return _lexicon_scorer(
        dictionary.words, owners, spelled, settings, model, hotwords,
        initial=phones.initial, symbols=phones.size, open_vocabulary=False,
    )  # fmt: skip


def add_hotwords(
    scorer: PronunciationScorer, settings: BeamConfig, alphabet: Alphabet, normalizer: NormalizerConfig | None
) -> PronunciationScorer | None:
    """A scorer over phones with the hot words of some settings.

    Parameters
    ----------
    scorer : PronunciationScorer
        Of the same settings without hot words.
    settings, alphabet, normalizer
        As for `make_pronunciation_scorer`, and so are the errors.

    Returns
    -------
    PronunciationScorer or None
        The one that `make_pronunciation_scorer` makes; None if a hot word is not in the lexicon of `scorer`, which
        then has to be made anew.
    """
    hotwords = hotword_weights(settings, alphabet, normalizer)
    if not all(word in scorer.places for phrase in hotwords for word in phrase.split()):
        return None
    numbers, shares, phrases = _hot_sequences(
        hotwords, scorer.places, len(scorer.lexicon.spellings), settings.pronunciations
    )
    automaton = HotWords.of_sequences(phrases, symbols=int(numbers.max(initial=0)) + 1)
    return scorer.with_hotwords(automaton, numbers, shares)


def _lexicon_scorer(
    words: Sequence[str],
    owners: npt.NDArray[np.integer[Any]],
    sequences: npt.NDArray[np.int32],
    settings: BeamConfig,
    model: NgramModel | None,
    hotwords: Mapping[str, float],
    *,
    initial: Collection[int],
    symbols: int,
    open_vocabulary: bool,
) -> PronunciationScorer:
    """The scorer of words that are sequences of symbols, phones or pieces; `initial` symbols begin a word."""
    places = {word: place for place, word in enumerate(words)} if hotwords else {}
    hot_numbers, hot_shares, phrases = _hot_sequences(hotwords, places, len(words), settings.pronunciations)
    numbers, weights = _unigrams(words, model)
    begins_word = np.zeros(symbols, bool)
    begins_word[list(initial)] = True
    return PronunciationScorer(
        PronunciationLexicon.build(words, owners, sequences, weights, begins_word),
        numbers,
        model,
        weight=settings.lm_weight,
        bonus=settings.word_bonus,
        unknown_score=settings.unknown_score,
        hotwords=HotWords.of_sequences(phrases, symbols=int(hot_numbers.max(initial=0)) + 1),
        hot_numbers=hot_numbers,
        hot_shares=hot_shares,
        open_vocabulary=open_vocabulary,
    )


def _hot_sequences(
    hotwords: Mapping[str, float], places: Mapping[str, int], count: int, lexicon: str | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], list[tuple[list[int], float]]]:
    """Hot words over the words of a dictionary, whose places and number are given: the number of each word, 0 for words
    of no phrase; the largest share that a phrase gives to it; and the phrases as numbers, with their weights."""
    numbers, shares = np.zeros(count, np.int64), np.zeros(count)
    sequences, distinct = [], dict[str, int]()
    for phrase, weight in hotwords.items():
        parts = phrase.split()
        for word in parts:
            if word not in places:
                raise ConfigError(
                    f"decoder.hotwords: {shown(word)} has no pronunciation in {lexicon}: add one, or name a model that "
                    "predicts it from the letters (decoder.g2p)"
                )
            numbers[places[word]] = distinct.setdefault(word, len(distinct) + 1)
            shares[places[word]] = max(shares[places[word]], weight / len(parts))
        sequences.append(([distinct[word] for word in parts], weight))
    return numbers, shares, sequences


def hotword_weights(
    settings: BeamConfig, alphabet: Alphabet | None = None, normalizer: NormalizerConfig | None = None
) -> dict[str, float]:
    """The hot words and phrases of the settings, normalised, and the weight of each.

    Parameters
    ----------
    settings : BeamConfig
    alphabet : Alphabet, optional
        The phrases must be spelled in it.
    normalizer : NormalizerConfig, optional
        As for `make_scorers`.

    Raises
    ------
    ConfigError
        If a weight is no number, or a phrase cannot be spelled in the alphabet, or is longer than 500 characters, or a
        word of it than 100.
    LanguageModelError
        If the list of words cannot be read.
    """
    weights = {}
    for source, entry in _hotword_entries(settings):
        given, number = _split_weight(entry)
        number = number or str(settings.hotword_weight)
        if len(given) > _LONGEST_PHRASE:
            raise ConfigError(
                f"{source}: {shown(given)} has more than {_LONGEST_PHRASE} characters: shorten the phrase"
            )
        phrase = _spelled(given, normalizer)
        if alphabet is not None and not alphabet.separator:
            phrase = "".join(phrase.split())
        elif long := next((word for word in phrase.split() if len(word) > _LONGEST_WORD), None):
            raise ConfigError(f"{source}: {shown(long)} has more than {_LONGEST_WORD} characters: shorten the word")
        try:
            weight = float(number)
        except ValueError:
            weight = np.nan
        if not given.strip() or not np.isfinite(weight):
            raise ConfigError(f"{source}: {shown(entry)} must be a word, or word:weight")
        bounds = declared_bounds(BeamConfig)["hotword_weight"]
        if bounds and (problem := bounds.problem(weight)):
            raise ConfigError(f"{source}: the weight of {shown(entry)} must be {problem}")
        if not phrase:
            raise ConfigError(f"{source}: nothing is left of {shown(entry)} after normalisation: leave it out")
        if unknown := alphabet.unknown(phrase) if alphabet else []:
            names = ", ".join(map(describe_character, unknown))
            raise ConfigError(f"{source}: {shown(given.strip())} has {names}, which the model cannot write")
        weights[phrase] = weight
    return weights


def hot_phrases(settings: DecoderConfig) -> list[str]:
    """The hot words and phrases of the settings as they were typed, without weights.

    Raises
    ------
    LanguageModelError
        If the list of words cannot be read.
    """
    if not isinstance(settings, BeamSettings):
        return []
    return [_split_weight(entry)[0] for _, entry in _hotword_entries(settings)]


def _hotword_entries(settings: BeamSettings) -> list[tuple[str, str]]:
    """Where each hot word is from, and the word with its weight."""
    entries = [("decoder.hotwords", entry) for entry in settings.hotwords]
    path = settings.hotwords_file
    if path is None or path == FROM_BUNDLE:  # which a bundle has not
        return entries
    return [(path, entry) for entry in read_word_list(path)] + entries


def _split_weight(entry: str) -> tuple[str, str | None]:
    given, colon, number = entry.rpartition(":")
    return (given, number) if colon else (entry, None)


def _listed_words(path: str, normalizer: NormalizerConfig | None) -> list[str]:
    """The words of a list, normalised, by which one word may become two."""
    words = [word for entry in read_word_list(path) for word in _spelled(entry, normalizer).split()]
    if not words:
        raise LanguageModelError(path, "holds no words that the model can write")
    return list(dict.fromkeys(words))


def _spelled(text: str, normalizer: NormalizerConfig | None) -> str:
    return " ".join(text.split()) if normalizer is None else normalize_text(text, normalizer)


def _word_scorer(
    alphabet: Alphabet,
    settings: BeamConfig,
    model: NgramModel | None,
    listed: list[str] | None,
    hotwords: dict[str, float],
    space: int,
) -> WordScorer:
    words = _vocabulary(settings, model, listed, hotwords)
    numbers, weights = _unigrams(words, model)
    lexicon = Lexicon.build(words, weights, alphabet)
    _check_spellable(alphabet, settings, words, int((lexicon.word >= 0).sum()))
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


def _vocabulary(
    settings: BeamConfig, model: NgramModel | None, listed: list[str] | None, hotwords: Mapping[str, float]
) -> list[str]:
    """The words of the language model, of a list and of hot words."""
    # With an open vocabulary, a list adds to the words of the language model; else it replaces them.
    from_model = [] if model is None or (listed is not None and not settings.open_vocabulary) else model.words
    return list(
        dict.fromkeys([*from_model, *(listed or []), *(word for phrase in hotwords for word in phrase.split())])
    )


def _unigrams(words: Sequence[str], model: NgramModel | None) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The number of each word in the language model, and its unigram probability: its weight in a lexicon."""
    if model is None:
        return np.full(len(words), UNKNOWN, np.int64), np.zeros(len(words))
    first = len(SPECIAL_WORDS)
    if len(words) == len(model.words) - first and list(words) == list(model.words[first:]):
        numbers = np.arange(first, len(model.words))
    else:
        numbers = np.array([model.numbers.get(word, UNKNOWN) for word in words], np.int64)
    return numbers, np.exp(np.asarray(model.log_probs[0][:], np.float64))[numbers]


def _check_spellable(alphabet: Alphabet, settings: BeamConfig, words: Sequence[str], spelled: int) -> None:
    """Refuse words of which the alphabet can write only a few."""
    wanted = len(set(words) - set(SPECIAL_WORDS))
    if spelled < _LEAST_SPELLABLE * wanted:
        example = next(word for word in words if word not in SPECIAL_WORDS and alphabet.unknown(word))
        raise LanguageModelError(
            settings.lm or settings.lexicon or "language model",
            f"the model cannot write {wanted - spelled} of its {wanted} words, such as {example!r}: it writes "
            f"{alphabet.description}. Normalise the text as the model's training texts were, and make it again",
        )


def _character_scorer(alphabet: Alphabet, settings: BeamConfig, model: NgramModel) -> CharacterScorer:
    names = [SPACE_WORD if symbol == alphabet.separator else symbol for symbol in alphabet.symbols]
    lacking = [name for name in names if name not in model.numbers]
    if len(lacking) > _LEAST_SPELLABLE * len(names):
        raise LanguageModelError(
            settings.lm or "language model",
            f"it lacks {len(lacking)} of the model's {len(names)} characters, such as {lacking[0]!r}",
        )
    numbers = np.array([UNKNOWN, *(model.numbers.get(name, UNKNOWN) for name in names)], np.int64)
    return CharacterScorer(numbers, model, weight=settings.lm_weight, bonus=settings.word_bonus)
