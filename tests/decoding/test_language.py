"""Decoding with language models, word lists and hot words, against enumeration of every text."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from asr.decoding import BeamDecoder, make_decoder
from asr.decoding.assembly import make_scorers
from asr.decoding.beam import BeamSearch
from asr.errors import ConfigError, LanguageModelError
from asr.language.ngram import SPECIAL_WORDS, UNKNOWN, NgramModel
from asr.language.ngram_file import save_ngram
from asr.settings.decoding import BeamConfig, GreedyConfig
from asr.settings.language import LanguageUnit
from asr.text.alphabet import Alphabet

from .conftest import log_softmax, train

LETTERS = Alphabet(" ab")
EVERYTHING = BeamConfig(beam_width=4000, n_best=1000, min_symbol_log_prob=None, score_margin=None)


@pytest.fixture(scope="module")
def word_model() -> NgramModel:
    return train(["a b ab", "ab a a", "b ab ba a", "a ab", "aab b"], order=3, min_count=2)


@pytest.fixture(scope="module")
def letter_model() -> NgramModel:
    return train(["a b ab", "ab a a", "b ab ba a", "a ab", "aab b"], order=3, unit=LanguageUnit.characters)


def random_log_probs(rng: np.random.Generator, steps: int) -> np.ndarray:
    return log_softmax(2 * rng.standard_normal((steps, LETTERS.size)))


def acoustic_scores(log_probs: np.ndarray) -> dict[str, float]:
    """The log-probability of every text, summed over all paths."""
    totals: dict[str, float] = {}
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        collapsed = [now for before, now in zip((-1, *path), path, strict=False) if now != before and now != 0]
        text = LETTERS.decode(collapsed)
        score = sum(log_probs[step, symbol] for step, symbol in enumerate(path))
        totals[text] = np.logaddexp(totals.get(text, -np.inf), score)
    return totals


def in_words(totals: dict[str, float]) -> dict[str, float]:
    """Without texts that begin with a space or have two; a space at the end makes no other text."""
    kept: dict[str, float] = {}
    for text, score in totals.items():
        if not text.startswith(" ") and "  " not in text:
            kept[text.rstrip()] = np.logaddexp(kept.get(text.rstrip(), -np.inf), score)
    return kept


def word_score(text: str, model: NgramModel | None, settings: BeamConfig, named: set[str], listed: set[str]) -> float:
    words = text.split()
    score = settings.word_bonus * len(words)
    for word, log_prob in zip([*words, None], model.score_text(words) if model else np.zeros(9), strict=False):
        unknown = word is not None and word not in named | listed
        if unknown and not settings.open_vocabulary:
            return -np.inf
        score += settings.lm_weight * (log_prob + (settings.unknown_score if unknown and model else 0))
    return score


def hot_score(text: str, hotwords: dict[str, float]) -> float:
    padded = " " + text.replace(" ", "  ") + " "
    return sum(
        weight
        for phrase, weight in hotwords.items()
        for place in range(len(padded))
        if padded.startswith(" " + phrase.replace(" ", "  ") + " ", place)
    )


@pytest.mark.parametrize("open_vocabulary", [True, False])
@pytest.mark.parametrize("hotwords", [{}, {"ba": 2.0}, {"bb": 3.0, "b a": 1.5, "a": -0.5, "bb b": 1.0}])
@pytest.mark.parametrize(("lm", "lexicon"), [(True, None), (True, ["a", "ab", "bab"]), (False, ["a", "ab", "bab"])])
def test_every_combination_over_words_is_enumeration(rng, tmp_path, word_model, lm, lexicon, hotwords, open_vocabulary):
    settings = replace(
        EVERYTHING,
        lm_weight=0.7,
        word_bonus=0.3,
        unknown_score=-1.5,
        open_vocabulary=open_vocabulary,
        hotwords=[f"{phrase}:{weight}" for phrase, weight in hotwords.items()],
    )
    if lexicon is not None:
        (tmp_path / "words.txt").write_text("\n".join(lexicon))
        settings.lexicon = str(tmp_path / "words.txt")
    if lm:
        save_ngram(tmp_path / "words.lm", word_model, quantized=False)
        settings.lm = str(tmp_path / "words.lm")
    listed = set(lexicon or [])
    if lm and (lexicon is None or open_vocabulary):
        listed |= set(word_model.words)
    named = {word for phrase in hotwords for word in phrase.split()}
    model = word_model if lm else None
    for steps in (1, 3, 5):
        log_probs = random_log_probs(rng, steps)
        expected = {
            text: score + word_score(text, model, settings, named, listed) + hot_score(text, hotwords)
            for text, score in in_words(acoustic_scores(log_probs)).items()
        }
        expected = {text: score for text, score in expected.items() if score > -np.inf}
        found = make_decoder(LETTERS, settings).decode([log_probs])[0]
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        assert {one.text for one in found} == expected.keys()
        for one in found:
            assert one.score == pytest.approx(expected[one.text], abs=1e-5)
            assert len(one.steps) == len(one.text)


@pytest.mark.parametrize("hotwords", [{}, {"ba": 2.0, "a b": 1.0}])
@pytest.mark.parametrize("lm", [True, False])
def test_a_model_over_characters_is_enumeration(rng, letter_model, lm, hotwords):
    settings = replace(
        EVERYTHING,
        lm_weight=0.7,
        word_bonus=0.3,
        hotwords=[f"{phrase}:{weight}" for phrase, weight in hotwords.items()],
    )
    decoder = BeamDecoder(LETTERS, settings, model=letter_model if lm else None)
    log_probs = random_log_probs(rng, 5)
    expected = {}
    for text, score in acoustic_scores(log_probs).items():
        symbols = ["<space>" if symbol == " " else symbol for symbol in text]
        given = 0.7 * letter_model.score_text(symbols).sum() + 0.3 * len(text) if lm else 0
        expected[text] = score + given + hot_score_anywhere(text, hotwords)
    found = decoder.decode([log_probs])[0]
    assert {one.text for one in found} == expected.keys()
    for one in found:
        assert one.score == pytest.approx(expected[one.text], abs=1e-5)


def hot_score_anywhere(text: str, hotwords: dict[str, float]) -> float:
    """Of whole words, in texts in which spaces may be anywhere."""
    padded = f" {text} "
    return sum(
        weight
        for phrase, weight in hotwords.items()
        for place in range(len(padded))
        if padded.startswith(f" {phrase} ", place)
    )


@pytest.mark.parametrize("width", [1, 3, 8])
def test_with_everything_a_text_depends_neither_on_the_batch_nor_on_blocks(rng, word_model, width):
    settings = BeamConfig(beam_width=width, n_best=width, hotwords=["bb", "b a:2"], lm_weight=0.7)
    decoder = BeamDecoder(LETTERS, settings, model=word_model)
    several = [random_log_probs(rng, steps) for steps in (30, 1, 60, 0, 33)]
    together = decoder.decode(several)
    assert together == [decoder.decode([one])[0] for one in several]
    for one, whole in zip(several, together, strict=True):
        stream = decoder.stream()
        for start in range(0, len(one), 7):
            stream.advance(one[start : start + 7])
        pieces = stream.finish()
        assert pieces[0].text == whole[0].text
        assert pieces[0].score == pytest.approx(whole[0].score)
        assert len({one.text for one in pieces}) == len(pieces)


def test_what_no_hypothesis_disputes_is_settled(rng, word_model):
    decoder = BeamDecoder(LETTERS, BeamConfig(beam_width=4), model=word_model)
    stream = decoder.stream()
    for _ in range(50):
        stream.advance(random_log_probs(rng, 20))
    assert len(stream._searches[0].beams.history) < 500
    assert len(stream.settled) > 100


def test_a_partial_word_is_worth_the_words_that_it_may_become(word_model):
    """By their unigram probabilities, so that a narrow beam keeps the beginnings of frequent words."""
    settings = BeamConfig(lm_weight=0.7, unknown_score=-2.0)
    (scorer,) = make_scorers(LETTERS, settings, word_model)
    probabilities = {
        word: np.exp(word_model.log_probs[0][number])
        for number, word in enumerate(word_model.words)
        if number >= len(SPECIAL_WORDS)
    }
    unknown = np.exp(word_model.log_probs[0][UNKNOWN] - 2.0)
    states, given = scorer.begin(1), 0.0
    for prefix in ("a", "ab"):
        gains, extension = scorer.extend(states, np.array([0]), np.array(LETTERS.encode(prefix[-1])))
        given += gains[0]
        expected = sum(one for word, one in probabilities.items() if word.startswith(prefix)) + unknown
        assert given == pytest.approx(0.7 * np.log(expected))
        states = scorer.select(states, extension, np.array([0]), np.array([0]))
    gains, _ = scorer.extend(states, np.array([0]), np.array(LETTERS.encode(" ")))
    assert given + gains[0] == pytest.approx(0.7 * word_model.score_text(["ab"])[0] + settings.word_bonus)


def test_a_hot_word_is_written_where_it_was_not(word_model):
    log_probs = log_softmax(np.log([[0.1, 0.01, 0.8, 0.09], [0.8, 0.05, 0.05, 0.1], [0.1, 0.01, 0.5, 0.39]]))
    assert BeamDecoder(LETTERS, BeamConfig()).decode([log_probs])[0][0].text == "aa"
    assert BeamDecoder(LETTERS, BeamConfig(hotwords=["ab"])).decode([log_probs])[0][0].text == "ab"
    # Only as a whole word, and no more than its weight.
    assert BeamDecoder(LETTERS, BeamConfig(hotwords=["abb"])).decode([log_probs])[0][0].text == "aa"
    assert BeamDecoder(LETTERS, BeamConfig(hotwords=["ab:0.01"])).decode([log_probs])[0][0].text == "aa"


def test_hot_words_can_be_listed_in_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("ab\n\nb  a:2.5\n")
    from asr.decoding.assembly import hotword_weights

    settings = BeamConfig(hotwords=["bb:1", "ab:7"], hotwords_file=str(tmp_path / "names.txt"), hotword_weight=3)
    assert hotword_weights(settings) == {"ab": 7.0, "b a": 2.5, "bb": 1.0}


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"hotwords": ["aXb"]}, ConfigError, r"'aXb' has 'X' \(U\+0058.*which the model cannot write"),
        ({"hotwords": ["ab:much"]}, ConfigError, "'ab:much' must be a word, or word:weight"),
        ({"hotwords": [":1"]}, ConfigError, "must be a word"),
        ({"hotwords": ["ab:nan"]}, ConfigError, "'ab:nan' must be a word, or word:weight"),
        ({"hotwords": ["ab:1e308"]}, ConfigError, "the weight of 'ab:1e308' must be between -1000 and 1000"),
        ({"hotwords_file": "none.txt"}, LanguageModelError, "none.txt: No such file"),
        ({"lexicon": "none.txt"}, LanguageModelError, "none.txt: No such file"),
        ({"lm": "none.lm"}, LanguageModelError, "none.lm: No such file"),
        ({"open_vocabulary": False}, ConfigError, "needs the words: decoder.lexicon or decoder.lm"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        make_decoder(LETTERS, BeamConfig(**settings))


def test_a_language_model_of_another_alphabet_is_refused(tmp_path):
    save_ngram(tmp_path / "capitals.lm", train(["THE CAT SAT", "A CAT"]))
    with pytest.raises(LanguageModelError, match=r"capitals.lm: the model cannot write 4 of its 4 words, such as 'A'"):
        make_decoder(LETTERS, BeamConfig(lm=str(tmp_path / "capitals.lm")))
    save_ngram(tmp_path / "letters.lm", train(["THE CAT SAT"], unit=LanguageUnit.characters))
    with pytest.raises(LanguageModelError, match="it lacks 2 of the model's 3 characters, such as 'a'"):
        make_decoder(LETTERS, BeamConfig(lm=str(tmp_path / "letters.lm")))


def test_a_model_without_spaces_needs_a_language_model_over_characters(tmp_path, word_model):
    save_ngram(tmp_path / "words.lm", word_model)
    with pytest.raises(ConfigError, match="there are no words to look up: use a language model over characters"):
        make_decoder(Alphabet("ab"), BeamConfig(lm=str(tmp_path / "words.lm")))


def test_a_word_list_that_holds_none_is_refused(tmp_path):
    for content, message in ((b" \n", "holds no words"), (b"\xff\xfe", "UTF-16 text: save it as UTF-8")):
        Path(tmp_path / "words.txt").write_bytes(content)
        with pytest.raises(LanguageModelError, match=message):
            make_decoder(LETTERS, BeamConfig(lexicon=str(tmp_path / "words.txt")))


def test_of_hypotheses_with_one_future_only_the_best_is_carried_on(word_model):
    # Three words ago no longer matters to a 3-gram: a narrow beam is not filled by what differs only there.
    several = [random_log_probs(np.random.default_rng(seed), 60) for seed in range(12)]
    narrow, wide = BeamConfig(beam_width=4), BeamConfig(beam_width=64)
    scores = []
    for settings, merges in ((narrow, False), (narrow, True), (wide, True)):
        search = BeamSearch(settings, make_scorers(LETTERS, settings, word_model), merges=merges)
        (beams,) = search.advance(search.begin(len(several)), several)
        scores.append(sum(search.finish(beams)[2][beams.row == row].max() for row in range(len(several))))
    assert scores[0] < scores[1] <= scores[2] + 1e-6


def test_asking_for_alternatives_gives_no_worse_first_text(word_model):
    several = [random_log_probs(np.random.default_rng(seed), 60) for seed in range(12)]
    alone = BeamDecoder(LETTERS, BeamConfig(beam_width=4), model=word_model).decode(several)
    decoder = BeamDecoder(LETTERS, BeamConfig(beam_width=4, n_best=3), model=word_model)
    among = decoder.decode(several)
    for (best,), found, log_probs in zip(alone, among, several, strict=True):
        assert len({one.text for one in found}) == len(found) == 3
        assert found[0].score >= best.score
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        stream = decoder.stream()
        stream.advance(log_probs)
        assert [one.text for one in stream.finish()] == [one.text for one in found]


@pytest.mark.parametrize("settings", [GreedyConfig(), BeamConfig()])
def test_a_recording_of_nothing_is_an_empty_text(settings):
    stream = make_decoder(LETTERS, settings).stream()
    for _ in range(2):
        (found,) = stream.finish()
        assert (found.text, found.score, found.steps) == ("", 0.0, ())
        assert isinstance(found.score, float)
        assert (stream.best().text, stream.settled) == ("", "")
        stream.advance(np.zeros((0, 4)))
