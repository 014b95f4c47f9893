"""Makes a decoder from its settings, and texts from the hypotheses that it finds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Protocol

import numpy as np

from asr.decoding.assembly import (
    add_hotwords,
    load_language_model,
    load_neural_language_model,
    make_piece_scorer,
    make_pronunciation_scorer,
    make_scorers,
    reads_words,
)
from asr.decoding.beam import Beams, BeamSearch, Floats, Ints
from asr.decoding.context import IMPOSSIBLE, Scorer, WordScorer
from asr.decoding.greedy import best_path, decode_greedy, spell_path
from asr.decoding.history import Path
from asr.decoding.hypothesis import Hypothesis, LogProbs, check_log_probs, divide_by_priors
from asr.decoding.lattice_words import LexiconReader, SeparatedReader, WordReader
from asr.decoding.pronunciation_scorer import PronunciationScorer, ending_texts, spell_words, without_reading
from asr.decoding.second_pass import Endings, LatticeTexts, SecondPass, WordModel
from asr.errors import ConfigError
from asr.language.ngram import NgramModel
from asr.language.trie import NOT_FOUND
from asr.pronunciation.phones import PhoneSet
from asr.runs import run_starts
from asr.settings.decoding import BeamConfig, DecoderConfig, GreedyConfig
from asr.settings.language import LanguageUnit
from asr.settings.text import NormalizerConfig
from asr.slices import Slices, run_slices
from asr.text.alphabet import BLANK, Alphabet


class Decoder(Protocol):
    """Decodes log-probabilities into texts."""

    @property
    def alphabet(self) -> Alphabet:
        """The symbols of the texts."""

    @property
    def over_words(self) -> bool:
        """Whether whole words of a lexicon are decoded: an unfinished word is then not in the text of a stream."""

    def decode(self, log_probs: Sequence[LogProbs]) -> list[list[Hypothesis]]:
        """Decode some utterances.

        Parameters
        ----------
        log_probs : sequence of float [shape=(steps, symbols)]
            Natural log-probabilities.

        Returns
        -------
        list of list of Hypothesis
            For each utterance its texts, best first; at least one.

        Raises
        ------
        ValueError
            If the log-probabilities are NaN, not normalised, or of another width than the alphabet.
        """

    def decode_in_slices(self, log_probs: Sequence[LogProbs]) -> Slices[list[list[Hypothesis]]]:
        """As `decode`, in slices of some milliseconds."""

    def stream(self, beam_width: int | None = None) -> Stream:
        """Begin to decode a recording block by block; a beam search with at most so many hypotheses."""

    def language_scores(self, text: str) -> Floats | None:
        """The scores of a text in its language model, if it has one over words.

        Returns
        -------
        float64 [shape=(words + 1,)] or None
            Natural log-probability of each word, and of the end.
        """


class Stream(Protocol):
    """A recording that is decoded block by block. However it is divided, the texts are those of the whole.

    Examples
    --------
    >>> stream = make_decoder(Alphabet(" ab"), BeamConfig()).stream()
    >>> for probabilities in ([[0.1, 0.1, 0.7, 0.1]], [[0.1, 0.1, 0.1, 0.7], [0.7, 0.1, 0.1, 0.1]]):
    ...     stream.advance(np.log(probabilities))
    ...     print(stream.best().text)
    a
    ab
    >>> stream.finish()[0].text
    'ab'
    """

    @property
    def settled(self) -> str:
        """The beginning of the text that later blocks cannot change."""

    def advance(self, log_probs: LogProbs) -> None:
        """Decode the next natural log-probabilities [shape=(steps, symbols)]; errors as in `Decoder.decode`."""

    def copy(self) -> Stream:
        """An independent stream in the same state."""

    def best(self) -> Hypothesis:
        """The best text so far if the recording goes on: its last word may be unfinished, or end in a separator.

        An unfinished word that is decoded as phones is not in the text.
        """

    @property
    def last_step(self) -> int:
        """The step of the last symbol of that text, of an unfinished word too; -1 if there is none."""

    def finish(self) -> list[Hypothesis]:
        """The texts of the recording if it ends here, best first; the stream may go on afterwards."""


def make_decoder(
    alphabet: Alphabet,
    settings: DecoderConfig,
    *,
    priors: Sequence[float] = (),
    normalizer: NormalizerConfig | None = None,
    phones: PhoneSet | None = None,
    base: Decoder | None = None,
) -> Decoder:
    """Make a decoder from its settings.

    Parameters
    ----------
    alphabet : Alphabet
        Of the model whose log-probabilities will be decoded.
    settings : GreedyConfig or BeamConfig
    priors : sequence of float
        Mean probability of each symbol, the blank first, for `decoder.prior_weight`.
    normalizer : NormalizerConfig, optional
        Of the model's training texts: hot words and listed words are normalised in the same way. None takes them as
        they are.
    phones : PhoneSet, optional
        Of the model's output over phones, for `decoder.pronunciations`.
    base : Decoder, optional
        Another decoder with the same arguments but for the hot words: what they have in common is then not made again.
        It has no effect on the result, also if it has other settings.

    Raises
    ------
    ConfigError
        If a hot word cannot be spelled in the alphabet, or priors are needed and unknown.
    LanguageModelError
        If the language model or the word list cannot be read, or does not fit the alphabet.

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
            beam = base if isinstance(base, BeamDecoder) else None
            return BeamDecoder(alphabet, settings, priors=priors, normalizer=normalizer, phones=phones, base=beam)
        case _:
            raise ConfigError(f"no decoder for {type(settings).__name__}: use GreedyConfig or BeamConfig")


def decoder_kind(settings: DecoderConfig) -> str:
    """The key of a calibration of confidences: greedy, beam or phones; the last two also with a language model."""
    if not isinstance(settings, BeamConfig):
        return "greedy"
    kind = "beam" if settings.pronunciations is None else "phones"
    return kind if settings.lm is None else f"{kind}_lm"


def describe_decoder(settings: DecoderConfig) -> str:
    """A resolved decoder in a few words: the only source of the names of decoders in reports and tables.

    Parameters
    ----------
    settings : GreedyConfig or BeamConfig

    Raises
    ------
    ConfigError
        If it is not resolved: `AutoConfig` is a different decoder for every bundle.

    Examples
    --------
    >>> describe_decoder(BeamConfig(beam_width=16, lm="models/english.lm"))
    'beam of 16, language model english.lm'
    """
    match settings:
        case GreedyConfig():
            return "greedy"
        case BeamConfig():
            lexicon = f" over phones of {FilePath(settings.pronunciations).name}" if settings.pronunciations else ""
            model = f", language model {FilePath(settings.lm).name}" if settings.lm else ""
            neural = ""
            if settings.second_pass and settings.second_pass_weight:
                neural = f", second pass {FilePath(settings.second_pass).name}"
            return f"beam of {settings.beam_width}{lexicon}{model}{neural}"
        case _:
            raise ConfigError(f"{type(settings).__name__} must be resolved for a bundle before it is described")


class GreedyDecoder:
    """Decodes each utterance by its likeliest alignment (see `decode_greedy`)."""

    def __init__(self, alphabet: Alphabet) -> None:
        self._alphabet = alphabet

    @property
    def alphabet(self) -> Alphabet:
        return self._alphabet

    @property
    def over_words(self) -> bool:
        return False

    def decode(self, log_probs: Sequence[LogProbs]) -> list[list[Hypothesis]]:
        return run_slices(self.decode_in_slices(log_probs))

    def decode_in_slices(self, log_probs: Sequence[LogProbs]) -> Slices[list[list[Hypothesis]]]:
        results = []
        for one in log_probs:
            results.append([decode_greedy(one, self._alphabet)])
            yield
        return results

    def stream(self, beam_width: int | None = None) -> GreedyStream:
        return GreedyStream(self._alphabet)

    def language_scores(self, text: str) -> Floats | None:
        return None


class GreedyStream:
    """See `Stream`."""

    def __init__(self, alphabet: Alphabet) -> None:
        self._alphabet = alphabet
        self._steps = 0
        self._last = BLANK
        self._path = Path(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        self._score = 0.0

    @property
    def settled(self) -> str:
        return self.best().text

    def advance(self, log_probs: LogProbs) -> None:
        found, score = best_path(log_probs, self._alphabet, last=self._last)
        self._path += Path(found.symbols, self._steps + found.steps, found.log_probs)
        self._score += score
        self._steps += len(log_probs)
        if len(log_probs):
            self._last = int(log_probs[-1].argmax())

    def copy(self) -> GreedyStream:
        return copy(self)  # paths are never changed

    def best(self) -> Hypothesis:
        return spell_path(self._path, self._alphabet, self._score)

    @property
    def last_step(self) -> int:
        return _last_step(self.best())

    def finish(self) -> list[Hypothesis]:
        return [self.best()]


def _last_step(hypothesis: Hypothesis) -> int:
    """The step of the last symbol that is no space."""
    symbols = len(hypothesis.text.rstrip())
    return hypothesis.steps[symbols - 1] if symbols else -1


class BeamDecoder:
    """Decodes by prefix beam search, with a language model, a word list and hot words if the settings name them.

    Parameters
    ----------
    alphabet : Alphabet
    settings : BeamConfig
    priors : sequence of float
        As for `make_decoder`.
    model : NgramModel, optional
        A language model that is loaded already; else that of `settings.lm` is.
    normalizer : NormalizerConfig, optional
        As for `make_decoder`.
    phones : PhoneSet, optional
        As for `make_decoder`.
    base : BeamDecoder, optional
        As for `make_decoder`.
    neural : WordModel, optional
        A neural language model that is loaded already; else that of `settings.second_pass` is.
    """

    def __init__(
        self,
        alphabet: Alphabet,
        settings: BeamConfig,
        *,
        priors: Sequence[float] = (),
        model: NgramModel | None = None,
        normalizer: NormalizerConfig | None = None,
        phones: PhoneSet | None = None,
        base: BeamDecoder | None = None,
        neural: WordModel | None = None,
    ) -> None:
        self._width = alphabet.size
        if settings.pronunciations is not None:
            if phones is None:
                raise ConfigError(
                    "decoder.pronunciations: the model has no output over phones (model.phone_output=true trains one)"
                )
            self._width = phones.size
        if settings.prior_weight and len(priors) != self._width:
            raise ConfigError(
                f"decoder.prior_weight={settings.prior_weight:g}: the bundle has no mean probabilities of symbols. "
                "`asr tune ... output=BUNDLE` writes a copy with them"
            )
        self._alphabet, self._settings, self._priors = alphabet, settings, tuple(priors)
        self._normalizer, self._phones = normalizer, phones
        if base is not None and not self._differs_in_hotwords(base):
            base = None
        if model is None and base is not None:
            model = base._model
        if model is None and settings.lm is not None:
            model = load_language_model(settings.lm)
        self._model: NgramModel | None = model
        self._words: PronunciationScorer | None = None
        scorers: list[Scorer] = []
        if settings.pronunciations is not None and phones is not None:
            if base is not None and base._words is not None and base._model is model:
                self._words = add_hotwords(base._words, settings, alphabet, normalizer)
            if self._words is None:
                self._words = make_pronunciation_scorer(phones, alphabet, settings, model, normalizer)
            scorers = [self._words]
        elif alphabet.word_starts and reads_words(settings, model):
            self._words = make_piece_scorer(alphabet, settings, model, normalizer)
            scorers = [self._words]
        else:
            scorers = make_scorers(alphabet, settings, model, normalizer)
        self._in_words = any(isinstance(scorer, WordScorer) for scorer in scorers)
        self._searches = [BeamSearch(settings, scorers)]
        if settings.n_best > 1 and self._searches[0].merges:
            # Recombination drops texts that differ from a better one in the distant past only; alternatives need these.
            self._searches.append(BeamSearch(settings, scorers, merges=False))
        self._neural: WordModel | None = None
        self._second: SecondPass | None = None
        if settings.second_pass is not None and settings.second_pass_weight > 0:
            self._neural = neural if neural is not None else None if base is None else base._neural
            if self._neural is None:
                self._neural = load_neural_language_model(settings.second_pass)
            self._second = self._make_second_pass(scorers, self._neural)
            self._lattice_search = BeamSearch(settings, scorers, lattice_margin=self._second.margin)

    def _make_second_pass(self, scorers: Sequence[Scorer], neural: WordModel) -> SecondPass:
        settings, model = self._settings, self._model
        if model is None or model.unit is not LanguageUnit.words:
            raise ConfigError("decoder.second_pass needs a language model over words: decoder.lm (`asr lm` makes one)")
        reader: WordReader
        if self._words is not None:
            reader = LexiconReader(self._words, None if settings.pronunciations is not None else self._alphabet)
        else:
            reader = SeparatedReader(next(one for one in scorers if isinstance(one, WordScorer)), self._alphabet)
        return SecondPass(
            reader,
            model,
            neural,
            weight=settings.second_pass_weight,
            lm_weight=settings.lm_weight,
            unknown_score=settings.unknown_score,
            histories=settings.second_pass_histories,
            margin=np.inf if settings.second_pass_margin is None else settings.second_pass_margin,
            score_margin=np.inf if settings.second_pass_score_margin is None else settings.second_pass_score_margin,
        )

    def _differs_in_hotwords(self, base: BeamDecoder) -> bool:
        """Whether a decoder is this one without hot words."""
        mine, theirs = self._settings, base._settings
        if theirs.hotwords or theirs.hotwords_file is not None:
            return False
        mine = replace(mine, hotwords=[], hotwords_file=None, hotword_weight=theirs.hotword_weight)
        same = (self._alphabet, self._normalizer, self._phones) == (base._alphabet, base._normalizer, base._phones)
        return same and mine == theirs

    @property
    def alphabet(self) -> Alphabet:
        return self._alphabet

    @property
    def over_words(self) -> bool:
        return self._words is not None

    def decode(self, log_probs: Sequence[LogProbs]) -> list[list[Hypothesis]]:
        return run_slices(self.decode_in_slices(log_probs))

    def decode_in_slices(self, log_probs: Sequence[LogProbs]) -> Slices[list[list[Hypothesis]]]:
        if self._second is not None:
            found = yield from self.lattices_in_slices(log_probs)
            return (yield from self._second_pass(found, len(log_probs)))
        log_probs = [self._checked(one) for one in log_probs]
        results: list[list[list[Hypothesis]]] = [[] for _ in log_probs]
        # Utterances of about one length are searched together.
        order = sorted(range(len(log_probs)), key=lambda index: -len(log_probs[index]))
        for search in self._searches:
            size = search.rows_at_once
            for start in range(0, len(order), size):
                group = order[start : start + size]
                beams = search.begin(len(group))
                for part in (yield from search.advance_in_slices(beams, [log_probs[index] for index in group])):
                    for row, hypotheses in self._finish(search, part):
                        results[group[row]].append(hypotheses)
                        yield
        return [self._united(found) for found in results]

    def lattices_in_slices(self, log_probs: Sequence[LogProbs]) -> Slices[list[DecodedLattice]]:
        """The search of the first pass alone, in slices: for `rescore`."""
        assert self._second is not None
        log_probs = [self._checked(one) for one in log_probs]
        order = sorted(range(len(log_probs)), key=lambda index: -len(log_probs[index]))
        found, search = [], self._lattice_search
        for start in range(0, len(order), search.rows_at_once):
            group = order[start : start + search.rows_at_once]
            beams = search.begin(len(group))
            parts = yield from search.advance_in_slices(beams, [log_probs[index] for index in group])
            found.append((yield from self._lattice(parts, group)))
        return found

    def rescore(self, found: Sequence[DecodedLattice], *, weight: float) -> list[list[Hypothesis]]:
        """The texts of `lattices_in_slices`, scored again with a weight of the neural language model."""
        count = sum(len(one.utterances) for one in found)
        return run_slices(self._second_pass(found, count, weight=weight))

    def _lattice(self, parts: Sequence[Beams], utterances: Sequence[int]) -> Slices[DecodedLattice]:
        """The lattice of some utterances that were searched together."""
        assert self._second is not None
        rows, nodes, last_readings, all_scores, first_pass = [], [], [], [], {}
        for beams in parts:
            slots, readings, scores = self._lattice_search.finish(beams)
            starts = run_starts(beams.row[slots])
            for row, start, end in zip(
                beams.row[slots[starts]].tolist(), starts, np.append(starts[1:], len(slots)), strict=True
            ):
                here = slice(start, end)
                own = scores[here].copy()
                found = self._texts(beams, slots[here], readings[here], own, None)
                # As in the first pass, the endings of one text add up.
                for score, ending, _ in found.values():
                    own[ending] = score
                first_pass[row] = self._ranked_hypotheses(found, beams, slots[here], readings[here], None)
                possible = own > IMPOSSIBLE / 10
                rows.append(np.full(int(possible.sum()), row))
                nodes.append(beams.node[slots[here]][possible])
                last_readings.append(readings[here][possible])
                all_scores.append(own[possible])
                yield
        endings = Endings(np.concatenate(rows), np.concatenate(last_readings), np.concatenate(all_scores))
        best = np.full(len(utterances), -np.inf)
        np.maximum.at(best, endings.rows, endings.scores)
        lattice = parts[0].history.lattice(
            np.concatenate(nodes), endings.scores - best[endings.rows], self._second.margin
        )
        yield
        texts = self._second.begin(lattice, endings)
        return DecodedLattice(tuple(utterances), texts, tuple(first_pass[row] for row in range(len(utterances))))

    def _second_pass(
        self, found: Sequence[DecodedLattice], count: int, *, weight: float | None = None
    ) -> Slices[list[list[Hypothesis]]]:
        assert self._second is not None
        results: list[list[Hypothesis]] = [[] for _ in range(count)]
        for one in found:
            readings = one.texts.endings.readings
            rescored = yield from self._second.best(one.texts, self._settings.n_best, weight=weight)
            for row, utterance in enumerate(one.utterances):
                hypotheses = [
                    self._spelled(text.path, int(readings[text.ending]), text.score) for text in rescored.get(row, [])
                ]
                results[utterance] = self._ranked(hypotheses) or one.first_pass[row]
            yield
        return results

    def stream(self, beam_width: int | None = None) -> BeamStream:
        return BeamStream(self, beam_width)

    def language_scores(self, text: str) -> Floats | None:
        if self._model is None or self._model.unit is LanguageUnit.characters:
            return None
        return self._model.score_text(text.split())

    def _checked(self, log_probs: LogProbs) -> LogProbs:
        check_log_probs(log_probs, self._width)
        if self._settings.prior_weight:
            return divide_by_priors(log_probs, self._priors, self._settings.prior_weight)
        return log_probs

    def _finish(
        self, search: BeamSearch, beams: Beams, before: Path | None = None
    ) -> Iterator[tuple[int, list[Hypothesis]]]:
        slots, readings, scores = search.finish(beams)
        starts = run_starts(beams.row[slots])
        ends = np.append(starts[1:], len(slots))
        for row, start, end in zip(beams.row[slots[starts]], starts, ends, strict=True):
            yield int(row), self._best(beams, slots[start:end], readings[start:end], scores[start:end], before)

    def _best(self, beams: Beams, slots: Ints, readings: Ints, scores: Floats, before: Path | None) -> list[Hypothesis]:
        found = self._texts(beams, slots, readings, scores, before)
        return self._ranked_hypotheses(found, beams, slots, readings, before)

    def _texts(
        self, beams: Beams, slots: Ints, readings: Ints, scores: Floats, before: Path | None
    ) -> dict[str, tuple[float, int, Hypothesis | None]]:
        """The score of each text, its best ending, and its hypothesis where that is known."""
        if self._words is not None and self._settings.pronunciations is not None:
            return self._texts_of_words(beams, slots, readings, scores, before)
        found: dict[str, tuple[float, int, Hypothesis | None]] = {}
        # With words or pauses, a text with and without a final space is one text; both may be in the beam.
        enough = 2 * self._settings.n_best if self._in_words or before is not None else self._settings.n_best
        if self._words is not None or self._alphabet.word_starts:
            enough = len(scores)  # any number of pronunciations, or of sequences of pieces, may make one text
        for ending in np.argsort(-scores, kind="stable")[: enough + 1].tolist():
            score = float(scores[ending])
            if score <= IMPOSSIBLE / 10 and found:
                break
            path = beams.history.trace(beams.node[slots[ending]])
            if before is not None:
                path = before + path
            one = self._spelled(path, int(readings[ending]), score, strip=before is not None)
            if one.text in found:
                _, first, hypothesis = found[one.text]
                assert hypothesis is not None
                one = replace(hypothesis, score=float(np.logaddexp(score, hypothesis.score)))
                ending = first
            found[one.text] = one.score, ending, one
        return found

    def _texts_of_words(
        self, beams: Beams, slots: Ints, readings: Ints, scores: Floats, before: Path | None
    ) -> dict[str, tuple[float, int, Hypothesis | None]]:
        """As `_texts`, where words are decoded as phones: any number of pronunciations may make one text."""
        assert self._words is not None
        order = np.argsort(-scores, kind="stable")
        order = order[: max(1, int((scores > IMPOSSIBLE / 10).sum()))]
        lexicon = self._words.lexicon
        texts = ending_texts(beams.history, beams.node[slots[order]], readings[order], lexicon, before)
        found: dict[str, tuple[float, int, Hypothesis | None]] = {}
        for ending, text in zip(order.tolist(), texts, strict=True):
            score, best = float(scores[ending]), ending
            if text in found:
                score, best = float(np.logaddexp(score, found[text][0])), found[text][1]
            found[text] = score, best, None
        return found

    def _ranked_hypotheses(
        self,
        found: dict[str, tuple[float, int, Hypothesis | None]],
        beams: Beams,
        slots: Ints,
        readings: Ints,
        before: Path | None,
    ) -> list[Hypothesis]:
        """The best of some texts."""
        ranked = sorted(found, key=lambda text: (-found[text][0], self._rank(text)))
        results = []
        for score, ending, hypothesis in (found[text] for text in ranked[: self._settings.n_best]):
            if hypothesis is None:
                path = beams.history.trace(int(beams.node[slots[ending]]))
                path = path if before is None else before + path
                hypothesis = self._spelled(path, int(readings[ending]), score)
            results.append(hypothesis)
        return results

    def _spelled(self, path: Path, last_reading: int, score: float, *, strip: bool = False) -> Hypothesis:
        """The text of a whole path."""
        if self._words is not None:
            return self._spell_words(path, last_reading, score)
        return spell_path(path, self._alphabet, score, strip=self._in_words or strip)

    def _spell_words(self, path: Path, last_reading: int, score: float) -> Hypothesis:
        """The text of words that are sequences of phones or pieces; the last one is left out if it is cut off."""
        assert self._words is not None
        if self._settings.pronunciations is not None:
            return spell_words(path, last_reading, self._words.lexicon, score)
        symbols, _ = without_reading(path.symbols)
        starts = np.flatnonzero(self._words.lexicon.initial[symbols])
        end = len(symbols) if last_reading != NOT_FOUND else int(starts[-1]) if len(starts) else 0
        return spell_path(Path(symbols[:end], path.steps[:end], path.log_probs[:end]), self._alphabet, score)

    def _united(self, lists: Sequence[list[Hypothesis]]) -> list[Hypothesis]:
        """The texts that several searches found for one utterance, each with its higher score."""
        found: dict[str, Hypothesis] = {}
        for one in itertools.chain(*lists):
            if one.text not in found or found[one.text].score < one.score:
                found[one.text] = one
        return self._ranked(found.values())

    def _ranked(self, hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
        ranked = sorted(hypotheses, key=lambda one: (-one.score, self._rank(one.text)))
        return ranked[: self._settings.n_best]

    def _rank(self, text: str) -> list[int]:
        """Orders texts of equal scores: by symbol numbers, or by code points where words are decoded."""
        by_characters = self._words is not None or self._alphabet.word_starts
        return [ord(character) for character in text] if by_characters else self._alphabet.encode(text)


@dataclass(frozen=True)
class DecodedLattice:
    """The result of the search of some utterances, before the second pass."""

    utterances: tuple[int, ...]
    """their places in the sequence that was decoded"""
    texts: LatticeTexts
    first_pass: tuple[list[Hypothesis], ...]
    """the best texts of each utterance by the search alone"""


class BeamStream:
    """See `Stream`. The common beginning of all hypotheses is settled, and removed from the search."""

    def __init__(self, decoder: BeamDecoder, beam_width: int | None = None) -> None:
        self._decoder = decoder
        self._searches = [_StreamSearch(search.narrowed(beam_width)) for search in decoder._searches]

    def advance(self, log_probs: LogProbs) -> None:
        checked = self._decoder._checked(log_probs)
        for search in self._searches:
            search.advance(checked)

    def copy(self) -> BeamStream:
        copied = copy(self)
        copied._searches = [search.copy() for search in self._searches]
        return copied

    @property
    def settled(self) -> str:
        texts = [self._spell(search.settled, NOT_FOUND, 0.0).text for search in self._searches]
        shared = itertools.takewhile(lambda characters: len(set(characters)) == 1, zip(*texts, strict=False))
        return texts[0][: len(list(shared))]

    def best(self) -> Hypothesis:
        first = self._searches[0]
        slot, reading, score = first.search.leader(first.beams)
        return self._spell(first.path(slot), reading, score)

    @property
    def last_step(self) -> int:
        if not self._decoder.over_words:
            return _last_step(self.best())
        first = self._searches[0]
        steps = first.path(first.search.leader(first.beams)[0]).steps
        return int(steps[-1]) if len(steps) else -1

    def finish(self) -> list[Hypothesis]:
        found = []
        for search in self._searches:
            ((_, hypotheses),) = self._decoder._finish(search.search, search.beams, search.settled)
            found.append(hypotheses)
        return self._decoder._united(found)

    def _spell(self, path: Path, last_reading: int, score: float) -> Hypothesis:
        decoder = self._decoder
        if decoder._words:
            return decoder._spell_words(path, last_reading, score)
        return spell_path(path, decoder._alphabet, score)


class _StreamSearch:
    """The state of one search of a stream."""

    def __init__(self, search: BeamSearch) -> None:
        self.search = search
        self.beams = search.begin(1)
        self.settled = Path(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))

    def advance(self, log_probs: LogProbs) -> None:
        (self.beams,) = self.search.advance(self.beams, [log_probs])
        path, self.beams.node = self.beams.history.settle(self.beams.node)
        self.settled += path

    def path(self, slot: int) -> Path:
        """The whole text of a hypothesis."""
        return self.settled + self.beams.history.trace(int(self.beams.node[slot]))

    def copy(self) -> _StreamSearch:
        copied = copy(self)
        copied.beams = self.search.copy(self.beams)
        return copied
