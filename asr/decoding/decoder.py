"""Makes the decoder that some settings ask for, and turns what it finds into texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Protocol

import numpy as np

from asr.config import BeamConfig, DecoderConfig, GreedyConfig, LanguageUnit
from asr.decoding.arpa import read_arpa
from asr.decoding.beam import Beams, BeamSearch, Floats, Ints
from asr.decoding.context import IMPOSSIBLE, CharacterScorer, HotWordScorer, Scorer, WordScorer
from asr.decoding.greedy import decode_greedy
from asr.decoding.history import Path
from asr.decoding.hotwords import HotWords
from asr.decoding.hypothesis import Hypothesis, LogProbs, check_log_probs
from asr.decoding.lexicon import Lexicon
from asr.decoding.ngram import SPACE_WORD, SPECIAL_WORDS, UNKNOWN, NgramModel
from asr.decoding.ngram_file import is_ngram_file, load_ngram
from asr.errors import ConfigError, LanguageModelError
from asr.text.alphabet import Alphabet, describe_character

# A language model whose words an alphabet mostly cannot spell was made for another one.
_LEAST_SPELLABLE = 0.5


class Decoder(Protocol):
    """Turns log-probabilities into texts."""

    def decode(self, log_probs: Sequence[LogProbs]) -> list[list[Hypothesis]]:
        """Decode some utterances.

        Parameters
        ----------
        log_probs : sequence of float [shape=(steps, symbols)]
            Natural log-probabilities.

        Returns
        -------
        list of list of Hypothesis
            For each utterance its texts, best first; never none.

        Raises
        ------
        ValueError
            If the log-probabilities are none: NaN, not normalised, or of another width than the alphabet's.
        """

    def stream(self) -> Stream:
        """Begin a recording that comes piece by piece, of any length."""

    def language_scores(self, text: str) -> Floats | None:
        """What its language model, if it has one over words, thinks of a text.

        Returns
        -------
        float64 [shape=(words + 1,)] or None
            Natural log-probability of each word, and of the end.
        """


class Stream(Protocol):
    """A recording that is decoded piece by piece.

    Examples
    --------
    >>> stream = make_decoder(Alphabet(" ab"), BeamConfig()).stream()
    >>> for probabilities in ([[0.1, 0.1, 0.7, 0.1]], [[0.1, 0.1, 0.1, 0.7], [0.7, 0.1, 0.1, 0.1]]):
    ...     stream.advance(np.log(probabilities))
    ...     stream.pause()
    >>> stream.finish()[0].text
    'a b'
    """

    def advance(self, log_probs: LogProbs) -> None:
        """Go on by natural log-probabilities [shape=(steps, symbols)]; errors as in `Decoder.decode`."""

    def pause(self) -> None:
        """Say that a word ends here, if there is one. It counts as a step."""

    def finish(self) -> list[Hypothesis]:
        """The texts of the whole recording, best first; the steps of all pieces and pauses are counted on."""


def make_decoder(alphabet: Alphabet, settings: DecoderConfig) -> Decoder:
    """The decoder that some settings are for.

    Parameters
    ----------
    alphabet : Alphabet
        Of the model whose log-probabilities are to be decoded.
    settings : GreedyConfig or BeamConfig

    Raises
    ------
    ConfigError
        If a hot word cannot be spelled in the alphabet.
    LanguageModelError
        If the language model or the word list cannot be read, or is not made for such an alphabet.

    Examples
    --------
    >>> decoder = make_decoder(Alphabet("ab"), BeamConfig(beam_width=4))
    >>> decoder.decode([np.log([[0.1, 0.8, 0.1], [0.4, 0.5, 0.1]])])[0][0].text
    'a'
    """
    match settings:
        case GreedyConfig():
            return GreedyDecoder(alphabet)
        case BeamConfig():
            return BeamDecoder(alphabet, settings)
        case _:
            raise ConfigError(f"no decoder for {type(settings).__name__}: use GreedyConfig or BeamConfig")


def decoder_kind(settings: DecoderConfig) -> str:
    """What a calibration of confidences goes by: greedy, beam, or beam with a language model."""
    if not isinstance(settings, BeamConfig):
        return "greedy"
    return "beam" if settings.lm is None else "beam_lm"


class GreedyDecoder:
    """Decodes each utterance by its likeliest alignment (see `decode_greedy`)."""

    def __init__(self, alphabet: Alphabet) -> None:
        self._alphabet = alphabet

    def decode(self, log_probs: Sequence[LogProbs]) -> list[list[Hypothesis]]:
        return [[decode_greedy(one, self._alphabet)] for one in log_probs]

    def stream(self) -> GreedyStream:
        return GreedyStream(self._alphabet)

    def language_scores(self, text: str) -> Floats | None:
        return None


class GreedyStream:
    """See `Stream`. Pieces have nothing to say to each other: a symbol held across a border is written twice."""

    def __init__(self, alphabet: Alphabet) -> None:
        self._alphabet = alphabet
        self._steps = 0
        self._pieces: list[Hypothesis] = []

    def advance(self, log_probs: LogProbs) -> None:
        found = decode_greedy(log_probs, self._alphabet)
        self._pieces.append(replace(found, steps=tuple(self._steps + step for step in found.steps)))
        self._steps += len(log_probs)

    def pause(self) -> None:
        if " " in self._alphabet.symbols and any(piece.text for piece in self._pieces):
            self._pieces.append(Hypothesis(" ", 0.0, (self._steps,), (0.0,)))
        self._steps += 1

    def finish(self) -> list[Hypothesis]:
        text = "".join(piece.text for piece in self._pieces)
        end = len(text.rstrip(" "))
        return [
            Hypothesis(
                text[:end],
                sum(piece.score for piece in self._pieces),
                tuple(step for piece in self._pieces for step in piece.steps)[:end],
                tuple(log_prob for piece in self._pieces for log_prob in piece.log_probs)[:end],
            )
        ]


class BeamDecoder:
    """Decodes by prefix beam search, with a language model, a word list and hot words if the settings name them.

    Parameters
    ----------
    alphabet : Alphabet
    settings : BeamConfig
    model : NgramModel, optional
        A language model that is loaded already; else that of `settings.lm` is.
    """

    def __init__(self, alphabet: Alphabet, settings: BeamConfig, *, model: NgramModel | None = None) -> None:
        self._alphabet, self._settings = alphabet, settings
        if model is None and settings.lm is not None:
            model = load_language_model(settings.lm)
        self._model = model
        scorers = _scorers(alphabet, settings, model)
        self._in_words = any(isinstance(scorer, WordScorer) for scorer in scorers)
        self._search = BeamSearch(settings, scorers)

    def decode(self, log_probs: Sequence[LogProbs]) -> list[list[Hypothesis]]:
        for one in log_probs:
            check_log_probs(one, self._alphabet)
        results: list[list[Hypothesis]] = [[] for _ in log_probs]
        # Utterances of about one length are searched together.
        order = sorted(range(len(log_probs)), key=lambda index: -len(log_probs[index]))
        size = self._search.rows_at_once
        for start in range(0, len(order), size):
            group = order[start : start + size]
            beams = self._search.begin(len(group))
            for part in self._search.advance(beams, [log_probs[index] for index in group]):
                for row, hypotheses in self._finish(part):
                    results[group[row]] = hypotheses
        return results

    def stream(self) -> BeamStream:
        return BeamStream(self)

    def language_scores(self, text: str) -> Floats | None:
        if self._model is None or self._model.unit is LanguageUnit.characters:
            return None
        return self._model.score_text(text.split())

    def _finish(self, beams: Beams, before: Path | None = None) -> list[tuple[int, list[Hypothesis]]]:
        scores = self._search.finish(beams)
        rows, starts = np.unique(beams.row, return_index=True)
        ends = np.append(starts[1:], len(beams.row))
        return [
            (int(row), self._best(beams, np.arange(start, end), scores, before))
            for row, start, end in zip(rows, starts, ends, strict=True)
        ]

    def _best(self, beams: Beams, slots: Ints, scores: Floats, before: Path | None) -> list[Hypothesis]:
        found: dict[str, Hypothesis] = {}
        # With words or pauses, a text with a space behind it is the same text; each may be in the beam.
        enough = 2 * self._settings.n_best if self._in_words or before is not None else self._settings.n_best
        ranked = slots[np.argsort(-scores[slots], kind="stable")]
        for slot in ranked[: enough + 1].tolist():
            if scores[slot] <= IMPOSSIBLE / 10 and found:
                break
            path = beams.history.trace(beams.node[slot])
            if before is not None:
                path = before + path
            text, score = self._alphabet.decode(path.symbols.tolist()), float(scores[slot])
            if self._in_words or before is not None:
                text = text.rstrip(" ")
            if text in found:
                score = float(np.logaddexp(score, found[text].score))
                path = Path(*(np.array(part) for part in (path.symbols, found[text].steps, found[text].log_probs)))
            found[text] = Hypothesis(
                text, score, tuple(path.steps[: len(text)].tolist()), tuple(path.log_probs[: len(text)].tolist())
            )
        best = sorted(found.values(), key=lambda one: (-one.score, self._alphabet.encode(one.text)))
        return best[: self._settings.n_best]


class BeamStream:
    """See `Stream`. All hypotheses are carried on; what they agree on is settled and set aside."""

    def __init__(self, decoder: BeamDecoder) -> None:
        self._decoder = decoder
        self._search = decoder._search
        self._beams = self._search.begin(1)
        self._settled = Path(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))

    def advance(self, log_probs: LogProbs) -> None:
        check_log_probs(log_probs, self._decoder._alphabet)
        (self._beams,) = self._search.advance(self._beams, [log_probs])
        path, self._beams.node = self._beams.history.settle(self._beams.node)
        self._settled += path

    def pause(self) -> None:
        alphabet = self._decoder._alphabet
        if " " not in alphabet.symbols:
            self._beams.steps += 1
            return
        self._beams = self._search.insert(self._beams, alphabet.encode(" ")[0])

    @property
    def settled(self) -> str:
        """The text so far that no later piece will change."""
        return self._decoder._alphabet.decode(self._settled.symbols.tolist())

    def finish(self) -> list[Hypothesis]:
        ((_, hypotheses),) = self._decoder._finish(self._beams, self._settled)
        return hypotheses


def load_language_model(path: str | FilePath) -> NgramModel:
    """Load a language model from the file of `asr lm` or an ARPA file.

    Raises
    ------
    LanguageModelError
        If there is no such file, or it is neither.
    """
    path = FilePath(path).expanduser()
    try:
        return load_ngram(path) if is_ngram_file(path) else read_arpa(path)
    except OSError as error:
        raise LanguageModelError(path, error.strerror or str(error)) from error


def read_word_list(path: str | FilePath) -> list[str]:
    """The words of a text file, one a line; empty lines are passed over.

    Raises
    ------
    LanguageModelError
        If it cannot be read, or holds no word.
    """
    path = FilePath(path).expanduser()
    try:
        words = [word for line in path.read_text("utf-8-sig").splitlines() if (word := " ".join(line.split()))]
    except OSError as error:
        raise LanguageModelError(path, error.strerror or str(error)) from error
    except UnicodeDecodeError:
        raise LanguageModelError(path, "is not UTF-8 text") from None
    if not words:
        raise LanguageModelError(path, "holds no words")
    return list(dict.fromkeys(words))


def _scorers(alphabet: Alphabet, settings: BeamConfig, model: NgramModel | None) -> list[Scorer]:
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
                "(asr lm ngram.unit=characters), and no decoder.lexicon"
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
