"""The second pass: lattices against an enumeration of every text, and its best text against a score of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from asr.decoding import BeamDecoder, describe_decoder
from asr.decoding.beam import BeamSearch
from asr.decoding.decoder import DecodedLattice
from asr.decoding.history import Path as SymbolPath
from asr.decoding.pronunciation_scorer import without_reading
from asr.decoding.second_pass_reference import path_of, score_all_texts, ways
from asr.errors import ConfigError, LanguageModelError
from asr.language.ngram import NgramModel
from asr.settings.decoding import BeamConfig
from asr.settings.language import LanguageUnit
from asr.slices import run_slices
from asr.text.alphabet import Alphabet

from .conftest import log_softmax, train
from .test_pieces import PIECES, words_of
from .test_pronunciations import LETTERS, LEXICON, PHONES

EVERYTHING = BeamConfig(
    beam_width=1300,
    n_best=1300,
    min_symbol_log_prob=None,
    score_margin=None,
    lm_weight=0.7,
    word_bonus=0.3,
    unknown_score=-1.5,
    second_pass="neural.lm",
    second_pass_weight=0.4,
    second_pass_histories=65_536,
    second_pass_margin=None,
    second_pass_score_margin=None,
)
AB = Alphabet(" ab")


@dataclass
class TextStates:
    """Whole texts as the states of a language model."""

    texts: list[tuple[str, ...]]

    def take(self, indices) -> TextStates:
        return TextStates([self.texts[index] for index in indices])

    @staticmethod
    def concatenate(states) -> TextStates:
        return TextStates([text for one in states for text in one.texts])


class LongMemory:
    """A language model in which every word depends on all words before it, by a hash."""

    def __init__(self) -> None:
        self.calls = 0

    def initial_state(self) -> TextStates:
        return TextStates([()])

    def advance(self, states: TextStates, words) -> tuple[np.ndarray, TextStates]:
        self.calls += 1
        longer = [(*text, word) for text, word in zip(states.texts, words, strict=True)]
        return self._scores(longer), TextStates(longer)

    def end(self, states: TextStates) -> np.ndarray:
        return self._scores([(*text, "") for text in states.texts])

    def _scores(self, texts) -> np.ndarray:
        numbers = [sha256(" ".join(text).encode()).digest()[0] for text in texts]
        return np.array([-0.1 - 6 * number / 255 for number in numbers], np.float32)


class Same(LongMemory):
    """The n-gram model and its score of unknown words, as a neural one."""

    def __init__(self, model: NgramModel, unknown: float, known: set[str]) -> None:
        super().__init__()
        self._model, self._unknown, self._known = model, unknown, known

    def _scores(self, texts) -> np.ndarray:
        found = []
        for *words, last in texts:
            scores = self._model.score_text([*words, last] if last else words)
            found.append(scores[len(words)] + (self._unknown if last and last not in self._known else 0))
        return np.array(found, np.float32)


@dataclass
class Problem:
    """A kind of decoder, small enough to enumerate."""

    decoder: BeamDecoder
    symbols: int
    model: NgramModel
    known: set[str]
    settings: BeamConfig

    def with_neural(self, neural, **changes) -> BeamDecoder:
        settings, decoder = replace(self.settings, **changes), self.decoder
        return BeamDecoder(decoder.alphabet, settings, model=self.model, phones=decoder._phones, neural=neural)

    def log_probs(self, rng: np.random.Generator, steps: int) -> np.ndarray:
        return log_softmax(2 * rng.standard_normal((steps, self.symbols)))

    def spell(self, path: SymbolPath, reading: int) -> str:
        return self.decoder._spelled(path, reading, 0.0).text

    def ngram_scores(self, path: SymbolPath, reading: int) -> np.ndarray:
        words = self.spell(path, reading).split()
        known = [word in self.known for word in words]
        if self.decoder.alphabet is PIECES:  # a word in other pieces than those of the lexicon is an unknown word
            pieces = words_of(tuple(without_reading(path.symbols)[0].tolist()))
            words = [PIECES.decode(one) for one in pieces]
            known = [
                word in self.known and tuple(PIECES.encode(word)) == one
                for word, one in zip(words, pieces, strict=True)
            ]
        names = [word if one else "<unk>" for word, one in zip(words, known, strict=True)]
        scores = self.model.score_text(names)
        scores[:-1] += [0 if one else self.settings.unknown_score for one in known]
        return scores[
            [*(place for place, word in enumerate(words) if word), -1]
        ]  # a piece that only begins a word is no word


@pytest.fixture(scope="module")
def phone_model() -> NgramModel:
    return train(["to toot two", "two too", "ooh toot to", "too ooh two toot", "to to", "ooh two"], order=2)


@pytest.fixture(scope="module")
def letter_model() -> NgramModel:
    return train(["a b ab", "ab a a", "b ab ba a", "a ab", "aab b"], order=2, min_count=1)


@pytest.fixture(params=["phones", "letters", "closed letters", "pieces"])
def problem(request, tmp_path: Path, phone_model, letter_model) -> Problem:
    if request.param == "phones":
        path = tmp_path / "lexicon.txt"
        path.write_text("".join(f"{word} {' '.join(one)}\n" for word, ways in LEXICON.items() for one in ways))
        # Words that are cut off are not among the texts.
        settings = replace(EVERYTHING, pronunciations=str(path), unknown_score=-1000.0)
        decoder = BeamDecoder(LETTERS, settings, model=phone_model, phones=PHONES, neural=LongMemory())
        return Problem(decoder, PHONES.size, phone_model, set(LEXICON), settings)
    settings = replace(EVERYTHING, open_vocabulary=request.param != "closed letters")
    alphabet = PIECES if request.param == "pieces" else AB
    decoder = BeamDecoder(alphabet, settings, model=letter_model, neural=LongMemory())
    return Problem(decoder, alphabet.size, letter_model, set(letter_model.words), settings)


def lattice_of(decoder: BeamDecoder, log_probs: list[np.ndarray]) -> DecodedLattice:
    (found,) = run_slices(decoder.lattices_in_slices(log_probs))
    return found


def texts_of(problem: Problem, found: DecodedLattice) -> set[str]:
    """The texts of all ways of the lattice of one utterance."""
    lattice, endings = found.texts.lattice, found.texts.endings
    return {
        problem.spell(path_of(lattice, places), int(reading))
        for place, reading in zip(lattice.ends.tolist(), endings.readings, strict=True)
        for places, _ in ways(lattice, place)
    }


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_a_lattice_has_every_text_of_a_search_that_recombines_nothing(rng, problem, steps):
    decoder = problem.decoder
    log_probs = problem.log_probs(rng, steps)
    found = lattice_of(decoder, [log_probs])
    settings = replace(problem.settings, second_pass=None)
    everything = BeamDecoder(decoder.alphabet, settings, model=problem.model, phones=decoder._phones)
    everything._searches = [BeamSearch(settings, decoder._searches[0]._scorers, merges=False)]
    (wanted,) = everything.decode([log_probs])
    # A dropped hypothesis stands for the kept one even where that one alone has come to a blank: the lattice may have
    # more texts.
    assert texts_of(problem, found) >= {one.text for one in wanted}
    assert len(wanted) < 1300


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_every_text_has_the_score_of_the_reference(rng, problem, steps):
    decoder = problem.decoder
    log_probs = [problem.log_probs(rng, steps) for _ in range(3)]
    found = lattice_of(decoder, log_probs)
    wanted = score_all_texts(
        found.texts.lattice,
        found.texts.endings,
        problem.spell,
        problem.ngram_scores,
        LongMemory(),
        weight=0.4,
        lm_weight=0.7,
    )
    for utterance, hypotheses in enumerate(decoder.decode(log_probs)):
        expected = wanted[found.utterances.index(utterance)]
        assert {one.text: one.score for one in hypotheses} == pytest.approx(expected, abs=1e-4)
        assert hypotheses[0].text == max(expected, key=lambda text: expected[text])
        assert [one.score for one in hypotheses] == sorted((one.score for one in hypotheses), reverse=True)


def test_a_model_that_is_the_ngram_model_changes_nothing(rng, problem):
    if problem.decoder.alphabet is PIECES:  # a word may be known in some pieces, and unknown in others
        problem.settings.open_vocabulary = False
    for weight in (0.4, 1.0):
        neural = Same(problem.model, problem.settings.unknown_score, problem.known)
        decoder = problem.with_neural(neural, n_best=1, second_pass_weight=weight)
        first = problem.with_neural(None, n_best=1, second_pass=None)
        log_probs = [problem.log_probs(rng, 6) for _ in range(5)]
        for (one,), (other,) in zip(decoder.decode(log_probs), first.decode(log_probs), strict=True):
            assert one.text == other.text
            assert one.score == pytest.approx(other.score, abs=1e-4)


def test_with_a_weight_of_zero_the_texts_are_those_of_the_first_pass(rng, problem):
    decoder, first = problem.with_neural(LongMemory(), n_best=1), problem.with_neural(None, n_best=1, second_pass=None)
    log_probs = [problem.log_probs(rng, 6) for _ in range(5)]
    wanted = first.decode(log_probs)
    found = decoder.rescore(run_slices(decoder.lattices_in_slices(log_probs)), weight=0.0)
    assert [one.text for (one,) in found] == [one.text for (one,) in wanted]
    assert [one.score for (one,) in found] == pytest.approx([one.score for (one,) in wanted])
    off = problem.with_neural(None, n_best=1, second_pass_weight=0.0)
    assert off.decode(log_probs) == wanted


def test_utterances_do_not_depend_on_each_other(rng, problem):
    decoder = problem.with_neural(
        LongMemory(), beam_width=32, n_best=3, second_pass_histories=4, second_pass_margin=4.0
    )
    log_probs = [problem.log_probs(rng, steps) for steps in (9, 30, 1, 17, 0)]
    together = decoder.decode(log_probs)
    assert together == [decoder.decode([one])[0] for one in log_probs]
    for hypotheses in together:
        assert 1 <= len(hypotheses) <= 3
        for one in hypotheses:
            assert len(one.steps) == len(one.log_probs) == len(one.text)
            assert list(one.steps) == sorted(one.steps)


def test_the_words_of_all_utterances_are_scored_in_a_call_for_each_place_in_the_order_of_words(rng, problem):
    neural = LongMemory()
    decoder = problem.with_neural(neural, beam_width=32, n_best=1, second_pass_histories=8)
    log_probs = [problem.log_probs(rng, 12) for _ in range(8)]
    (found,) = run_slices(decoder.lattices_in_slices(log_probs))
    decoder.rescore([found], weight=0.5)
    calls, words = neural.calls, found.texts.scored_words
    assert calls <= 15 < words
    decoder.rescore([found], weight=0.5)
    assert (neural.calls, found.texts.scored_words) == (calls, words)


def test_texts_far_behind_are_left_out_and_what_is_followed_can_be_limited(rng, problem):
    log_probs = [problem.log_probs(rng, 6) for _ in range(4)]
    scored, best = [], []
    for histories, margin, score_margin in ((65_536, None, None), (8, None, None), (8, 4.0, None), (8, 4.0, 1.0)):
        decoder = problem.with_neural(
            LongMemory(),
            beam_width=32,
            n_best=1,
            second_pass_histories=histories,
            second_pass_margin=margin,
            second_pass_score_margin=score_margin,
        )
        (found,) = run_slices(decoder.lattices_in_slices(log_probs))
        best.append([one.score for (one,) in decoder.rescore([found], weight=0.4)])
        scored.append(found.texts.scored_words)
    assert scored == sorted(scored, reverse=True)
    assert scored[0] > scored[2] > scored[3]
    assert all((np.array(best[0]) >= np.array(one) - 1e-9).all() for one in best[1:])


def test_a_stream_is_decoded_without_the_second_pass(rng, problem):
    decoder = problem.with_neural(LongMemory(), beam_width=32, n_best=1)
    first = problem.with_neural(None, beam_width=32, n_best=1, second_pass=None)
    log_probs = problem.log_probs(rng, 12)
    streams = decoder.stream(), first.stream()
    for stream in streams:
        stream.advance(log_probs)
    assert streams[0].finish() == streams[1].finish()


def test_a_second_pass_needs_a_model_over_words(letter_model, tmp_path):
    with pytest.raises(ConfigError, match=r"decoder\.second_pass needs a language model over words"):
        BeamDecoder(AB, BeamConfig(second_pass="neural.lm"), neural=LongMemory())
    characters = train(["a b ab"], order=2, unit=LanguageUnit.characters)
    with pytest.raises(ConfigError, match=r"decoder\.second_pass needs a language model over words"):
        BeamDecoder(AB, BeamConfig(second_pass="neural.lm"), model=characters, neural=LongMemory())
    with pytest.raises(LanguageModelError, match=r"none\.onnx"):
        BeamDecoder(AB, BeamConfig(second_pass=str(tmp_path / "none.onnx")), model=letter_model)


def test_the_name_of_a_decoder_has_its_second_pass():
    settings = BeamConfig(beam_width=8, lm="a.lm", second_pass="folder/b.onnx")
    assert describe_decoder(settings) == "beam of 8, language model a.lm, second pass b.onnx"
    assert describe_decoder(replace(settings, second_pass_weight=0.0)) == "beam of 8, language model a.lm"
