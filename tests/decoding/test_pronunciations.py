"""Decoding phones with a pronunciation lexicon, against enumeration of every sequence of words."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from asr.acoustic.outputs import log_softmax
from asr.decoding import BeamDecoder
from asr.errors import ConfigError
from asr.language.ngram import NgramModel
from asr.pronunciation.phones import PhoneSet
from asr.settings.decoding import BeamConfig
from asr.text.alphabet import Alphabet

from .conftest import train

LETTERS = Alphabet(" abcdefghijklmnopqrstuvwxyz")
PHONES = PhoneSet(("T", "UW"))
# Three words that sound alike, one word of two pronunciations, one that begins like the others, and one of one phone.
LEXICON = {
    "to": [("T", "UW")],
    "too": [("T", "UW")],
    "two": [("T", "UW"), ("T",)],
    "toot": [("T", "UW", "T")],
    "ooh": [("UW",)],
}
EVERYTHING = BeamConfig(beam_width=4000, n_best=1000, min_symbol_log_prob=None, score_margin=None)


@pytest.fixture(scope="module")
def model() -> NgramModel:
    return train(["to toot two", "two too", "ooh toot to", "too ooh two toot", "to to", "ooh two"], order=3)


@pytest.fixture
def lexicon(tmp_path: Path) -> str:
    path = tmp_path / "lexicon.txt"
    path.write_text("".join(f"{word} {' '.join(one)}\n" for word, ways in LEXICON.items() for one in ways))
    return str(path)


def random_log_probs(rng: np.random.Generator, steps: int) -> np.ndarray:
    return log_softmax(2 * rng.standard_normal((steps, PHONES.size)))


def acoustic_scores(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """The log-probability of every sequence of phones, summed over all paths."""
    totals: dict[tuple[int, ...], float] = {}
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        collapsed = tuple(now for before, now in zip((-1, *path), path, strict=False) if now != before and now != 0)
        score = sum(log_probs[step, symbol] for step, symbol in enumerate(path))
        totals[collapsed] = np.logaddexp(totals.get(collapsed, -np.inf), score)
    return totals


def text_scores(log_probs: np.ndarray, model: NgramModel | None, settings: BeamConfig) -> dict[str, float]:
    """The score of every text: its pronunciations add up."""
    acoustic, found = acoustic_scores(log_probs), {}
    for count in range(len(log_probs) + 1):
        for words in product(LEXICON, repeat=count):
            total = -np.inf
            for ways in product(*(LEXICON[word] for word in words)):
                phones = tuple(number for one in ways for number in PHONES.encode(one))
                total = np.logaddexp(total, acoustic.get(phones, -np.inf))
            if total > -np.inf:
                language = settings.lm_weight * model.score_text(words).sum() if model else 0.0
                found[" ".join(words)] = total + language + settings.word_bonus * count
    return found


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("weight", [None, 0.0, 0.7])
def test_every_text_has_the_score_of_all_its_pronunciations(rng, model, lexicon, steps, weight):
    settings = replace(EVERYTHING, pronunciations=lexicon, lm_weight=weight or 0.0, word_bonus=0.3)
    language = None if weight is None else model
    for _ in range(3):
        log_probs = random_log_probs(rng, steps)
        (found,) = BeamDecoder(LETTERS, settings, model=language, phones=PHONES).decode([log_probs])
        wanted = text_scores(log_probs, language, settings)
        # Texts with a word that is cut off are in the list too, at the price of an unknown word.
        scores = {one.text: one.score for one in found}
        assert wanted.keys() <= scores.keys()
        best = max(wanted, key=lambda text: wanted[text])
        for text, score in wanted.items():
            assert scores[text] >= score - 1e-6
        assert scores[best] == pytest.approx(wanted[best], abs=1e-2)


def test_without_cut_off_words_scores_are_those_of_the_enumeration(rng, model, lexicon):
    settings = replace(EVERYTHING, pronunciations=lexicon, lm_weight=0.7, unknown_score=-1000.0)
    log_probs = random_log_probs(rng, 5)
    (found,) = BeamDecoder(LETTERS, settings, model=model, phones=PHONES).decode([log_probs])
    wanted = text_scores(log_probs, model, settings)
    scores = {one.text: one.score for one in found}
    assert scores.keys() == wanted.keys()
    assert scores == pytest.approx(wanted, abs=1e-6)


def test_the_language_model_chooses_among_words_that_sound_alike(model, lexicon):
    """By the words on both sides: what follows counts too."""
    wanted = PHONES.encode(("T", "UW")) + PHONES.encode(("T", "UW", "T"))
    log_probs = np.full((2 * len(wanted), PHONES.size), np.log(1e-3 / (PHONES.size - 1)))
    log_probs[::2, 0] = np.log(1 - 1e-3)
    log_probs[1::2][np.arange(len(wanted)), wanted] = np.log(1 - 1e-3)
    settings = BeamConfig(beam_width=32, pronunciations=lexicon, lm_weight=1.0)
    (found,) = BeamDecoder(LETTERS, settings, model=model, phones=PHONES).decode([log_probs])
    ranked = {text: model.score_text(text.split()).sum() for text in ("to toot", "too toot", "two toot")}
    assert found[0].text == max(ranked, key=lambda text: ranked[text])


def test_a_text_does_not_depend_on_the_batch(rng, model, lexicon):
    settings = BeamConfig(beam_width=16, pronunciations=lexicon, n_best=3)
    utterances = [random_log_probs(rng, steps) for steps in (9, 30, 1, 17)]
    decoder = BeamDecoder(LETTERS, settings, model=model, phones=PHONES)
    assert decoder.decode(utterances) == [decoder.decode([one])[0] for one in utterances]


def test_the_characters_of_a_word_lie_within_its_phones(model, lexicon):
    wanted = PHONES.encode(("UW",)) + PHONES.encode(("T", "UW", "T"))
    log_probs = np.full((12, PHONES.size), np.log(1e-3 / (PHONES.size - 1)))
    steps = [1, 4, 6, 9]
    log_probs[:, 0] = np.log(1 - 1e-3)
    log_probs[steps] = np.log(1e-3 / (PHONES.size - 1))
    log_probs[steps, wanted] = np.log(1 - 1e-3)
    settings = BeamConfig(beam_width=32, pronunciations=lexicon)
    ((best,),) = BeamDecoder(LETTERS, settings, model=model, phones=PHONES).decode([log_probs])
    assert best.text == "ooh toot"
    assert best.steps == (1, 1, 1, 1, 4, 4, 6, 9)


def test_a_model_without_phones_refuses_a_lexicon(lexicon):
    with pytest.raises(ConfigError, match="no output over phones"):
        BeamDecoder(LETTERS, BeamConfig(pronunciations=lexicon))
