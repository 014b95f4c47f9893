"""Decoding phones with a pronunciation lexicon, against enumeration of every sequence of words."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from asr.acoustic.outputs import log_softmax
from asr.decoding import BeamDecoder
from asr.decoding.assembly import _unigrams
from asr.decoding.context import IMPOSSIBLE
from asr.decoding.pronunciation_scorer import spell_words
from asr.errors import ConfigError
from asr.language.arpa import read_arpa
from asr.language.ngram import SPECIAL_WORDS, UNKNOWN, NgramModel
from asr.pronunciation.g2p import G2p, G2pSettings
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


def spelled_one_by_one(decoder, beams, slots, readings, scores, before):
    """The best texts by spelling the whole way of every ending: the meaning of `BeamDecoder._best`."""
    found = {}
    for ending in np.argsort(-scores, kind="stable").tolist():
        score = float(scores[ending])
        if score <= IMPOSSIBLE / 10 and found:
            break
        path = beams.history.trace(int(beams.node[slots[ending]]))
        path = path if before is None else before + path
        one = spell_words(path, int(readings[ending]), decoder._words.lexicon, score)
        if one.text in found:
            one = replace(found[one.text], score=float(np.logaddexp(score, found[one.text].score)))
        found[one.text] = one
    return decoder._ranked(found.values())


@pytest.mark.parametrize("n_best", [1, 5])
def test_endings_that_are_spelled_together_are_those_that_are_spelled_one_by_one(
    rng, model, lexicon, n_best, monkeypatch
):
    settings = BeamConfig(beam_width=32, pronunciations=lexicon, n_best=n_best, lm_weight=0.5)
    decoder = BeamDecoder(LETTERS, settings, model=model, phones=PHONES)
    together, seen = decoder._best, []

    def both(beams, slots, readings, scores, before):
        found = together(beams, slots, readings, scores, before)
        assert found == spelled_one_by_one(decoder, beams, slots, readings, scores, before)
        seen.append(before is not None and len(before.symbols) > 0)
        return found

    monkeypatch.setattr(decoder, "_best", both)
    decoder.decode([random_log_probs(rng, steps) for steps in (1, 2, 9, 40, 80)])
    for _ in range(3):
        stream = decoder.stream()
        for _ in range(12):
            stream.advance(random_log_probs(rng, 7))
            stream.finish()
    assert set(seen) == {False, True}


def test_hot_words_that_a_lexicon_has_are_added_to_a_decoder_without_them(rng, model, lexicon):
    settings = BeamConfig(beam_width=16, pronunciations=lexicon, n_best=4, lm_weight=0.5)
    base = BeamDecoder(LETTERS, settings, model=model, phones=PHONES)
    utterances = [random_log_probs(rng, steps) for steps in (5, 20, 40)]
    for hotwords in (["toot"], ["two too:3", "ooh"], []):
        hot = replace(settings, hotwords=hotwords)
        added = BeamDecoder(LETTERS, hot, model=model, phones=PHONES, base=base)
        made = BeamDecoder(LETTERS, hot, model=model, phones=PHONES)
        assert added._words.lexicon is base._words.lexicon
        assert added.decode(utterances) == made.decode(utterances)
    # Nothing is taken over from a decoder with other settings, or with hot words.
    other = BeamDecoder(
        LETTERS, replace(settings, lm_weight=0.7, hotwords=["ooh"]), model=model, phones=PHONES, base=base
    )
    again = BeamDecoder(LETTERS, replace(other._settings, hotwords=["to"]), model=model, phones=PHONES, base=other)
    assert len({id(one._words.lexicon) for one in (base, other, again)}) == 3


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


def phrase_gain(words: tuple[str, ...], hotwords: dict[str, float]) -> float:
    """By definition: the weight of every phrase at every place where its words stand."""
    gain = 0.0
    for phrase, weight in hotwords.items():
        parts = tuple(phrase.split())
        gain += weight * sum(words[place : place + len(parts)] == parts for place in range(len(words)))
    return gain


@pytest.mark.parametrize("hotwords", [{"two": 3.0}, {"ooh two": 2.5}, {"to": -2.0, "too toot": 4.0, "toot": 1.0}])
def test_hot_words_and_phrases_add_their_weights_where_they_stand(rng, model, lexicon, hotwords):
    settings = replace(EVERYTHING, pronunciations=lexicon, lm_weight=0.7, unknown_score=-1000.0)
    with_hot = replace(settings, hotwords=[f"{phrase}:{weight}" for phrase, weight in hotwords.items()])
    log_probs = random_log_probs(rng, 5)
    (found,) = BeamDecoder(LETTERS, with_hot, model=model, phones=PHONES).decode([log_probs])
    wanted = text_scores(log_probs, model, settings)
    wanted = {text: score + phrase_gain(tuple(text.split()), hotwords) for text, score in wanted.items()}
    assert {one.text: one.score for one in found} == pytest.approx(wanted, abs=1e-6)


def speak(*words: str) -> np.ndarray:
    """Log-probabilities in which each phone of some words is clear, with a blank behind it."""
    numbers = [number for word in words for number in PHONES.encode(LEXICON[word][0])]
    log_probs = np.full((2 * len(numbers), PHONES.size), np.log(1e-3 / (PHONES.size - 1)))
    log_probs[1::2, 0] = np.log(1 - 1e-3)
    log_probs[::2][np.arange(len(numbers)), numbers] = np.log(1 - 1e-3)
    return log_probs


def test_a_hot_word_is_not_pruned_on_its_way(lexicon, tmp_path):
    """Its phones, which the language model hardly expects, are followed for the weight that it will earn."""
    (tmp_path / "rare.arpa").write_text(
        "\\data\\\nngram 1=5\n\n\\1-grams:\n-9\t<unk>\n-99\t<s>\n-1\t</s>\n-0.1\tto\n-6\ttoot\n\n\\end\\\n"
    )
    rare = read_arpa(tmp_path / "rare.arpa")
    settings = BeamConfig(beam_width=8, score_margin=5.0, pronunciations=lexicon, lm_weight=2.0)
    plain, hot = (
        BeamDecoder(LETTERS, one, model=rare, phones=PHONES).decode([speak("to", "toot")])[0][0].text
        for one in (settings, replace(settings, hotwords=["toot:40"]))
    )
    assert plain != "to toot"
    assert hot == "to toot"


@pytest.fixture
def g2p_path(rng, tmp_path: Path) -> Path:
    settings = G2pSettings(letters=LETTERS.symbols.strip(), phones=PHONES.phones, embedding=4, units=4)
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in settings.shapes().items()}
    G2p(settings, weights).save(tmp_path / "g2p.npz")
    return tmp_path / "g2p.npz"


def test_a_hot_word_that_the_lexicon_lacks_is_pronounced_from_its_letters(lexicon, model, g2p_path):
    """A hot word that cannot be pronounced is refused by name."""
    settings = BeamConfig(beam_width=64, pronunciations=lexicon, lm_weight=0.1)
    with pytest.raises(ConfigError, match="'utu' has no pronunciation"):
        BeamDecoder(LETTERS, replace(settings, hotwords=["utu"]), model=model, phones=PHONES)
    decoder = BeamDecoder(LETTERS, replace(settings, hotwords=["utu:9"], g2p=str(g2p_path)), model=model, phones=PHONES)
    expected = G2p.load(g2p_path).pronounce(["utu"])[0][0][0]
    numbers = PHONES.encode(expected)
    log_probs = np.full((2 * len(numbers), PHONES.size), np.log(1e-3 / (PHONES.size - 1)))
    log_probs[1::2, 0] = np.log(1 - 1e-3)
    log_probs[::2][np.arange(len(numbers)), numbers] = np.log(1 - 1e-3)
    assert decoder.decode([log_probs])[0][0].text == "utu"


def test_a_closed_list_of_words_allows_no_others(rng, model, lexicon, tmp_path):
    (tmp_path / "words.txt").write_text("toot\nooh\n")
    settings = BeamConfig(
        beam_width=64, pronunciations=lexicon, lexicon=str(tmp_path / "words.txt"), open_vocabulary=False
    )
    decoder = BeamDecoder(LETTERS, settings, model=model, phones=PHONES)
    texts = [one[0].text for one in decoder.decode([random_log_probs(rng, steps) for steps in range(1, 20)])]
    assert {word for text in texts for word in text.split()} <= {"toot", "ooh"}
    assert decoder.decode([speak("ooh", "toot")])[0][0].text == "ooh toot"


def test_a_listed_word_that_the_language_model_lacks_is_written_without_a_penalty(model, lexicon, tmp_path):
    short = train(["to to", "ooh to"], order=2, min_count=1)
    settings = BeamConfig(beam_width=64, pronunciations=lexicon, lm_weight=1.0, unknown_score=-200.0)
    (tmp_path / "words.txt").write_text("toot\n")
    plain, listed = (
        BeamDecoder(LETTERS, one, model=short, phones=PHONES).decode([speak("to", "toot", "to")])[0][0].text
        for one in (settings, replace(settings, lexicon=str(tmp_path / "words.txt")))
    )
    assert "toot" not in plain
    assert listed == "to toot to"


def test_words_of_the_language_model_in_its_order_have_the_numbers_that_a_look_up_gives(model):
    """A lexicon that was made for its language model needs no look-up; any other order, or one word more, does."""
    words = list(model.words[len(SPECIAL_WORDS) :])
    for order in (words, words[::-1], [*words, "unheard"], words[1:]):
        numbers, weights = _unigrams(order, model)
        assert numbers.tolist() == [model.numbers.get(word, UNKNOWN) for word in order]
        np.testing.assert_allclose(weights, np.exp(model.log_probs[0][numbers]), rtol=1e-6)


def test_a_lexicon_of_the_words_of_the_language_model_gives_the_scores_of_any_other(model, tmp_path, rng):
    """In the order of the language model nothing is looked up; a hot word without weight changes that, and no text."""
    path = tmp_path / "lexicon.txt"
    words = [word for word in model.words if word not in SPECIAL_WORDS]
    ways = {word: LEXICON[word] for word in words}
    path.write_text("".join(f"{word} {' '.join(one)}\n" for word, some in ways.items() for one in some))
    plain = replace(EVERYTHING, pronunciations=str(path), n_best=50)
    other = replace(plain, hotwords=["two:0"])
    log_probs = random_log_probs(rng, 5)
    found = [
        BeamDecoder(LETTERS, settings, model=model, phones=PHONES).decode([log_probs])[0] for settings in (plain, other)
    ]
    assert [one.text for one in found[0]] == [one.text for one in found[1]]
    np.testing.assert_allclose([one.score for one in found[0]], [one.score for one in found[1]], atol=1e-9)
