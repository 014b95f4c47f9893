"""Decoding pieces of words, against enumeration of every sequence of pieces."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from asr.decoding import BeamDecoder
from asr.decoding.decoder import make_decoder
from asr.decoding.greedy import decode_greedy
from asr.errors import ConfigError, LanguageModelError
from asr.language.ngram import UNKNOWN, NgramModel
from asr.settings.decoding import BeamConfig, GreedyConfig
from asr.text.pieces import WORD_START, PieceAlphabet

from .conftest import log_softmax, train

# The words of the model: "ab" is one piece, "ba" two of them; "bb" is in no text of the model.
PIECES = PieceAlphabet((WORD_START, "\u2581ab", "\u2581b", "a", "b"), (-3.0, -1.0, -1.5, -2.0, -2.5))
EVERYTHING = BeamConfig(beam_width=4000, n_best=1000, min_symbol_log_prob=None, score_margin=None)


@pytest.fixture(scope="module")
def model() -> NgramModel:
    return train(["ab ba ab", "ba ba", "ab ab ba a", "a ab"], order=2)


def random_log_probs(rng: np.random.Generator, steps: int) -> np.ndarray:
    return log_softmax(2 * rng.standard_normal((steps, PIECES.size)))


def sure(numbers: list[int], *, gap: int = 1) -> np.ndarray:
    """Log-probabilities of a sequence of pieces, with blanks between them."""
    log_probs = np.full(((gap + 1) * len(numbers) + 1, PIECES.size), np.log(1e-3 / (PIECES.size - 1)))
    wanted = np.zeros(len(log_probs), int)
    wanted[gap :: gap + 1] = numbers
    log_probs[np.arange(len(wanted)), wanted] = np.log(1 - 1e-3)
    return log_probs


def acoustic_scores(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    totals: dict[tuple[int, ...], float] = {}
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        collapsed = tuple(now for before, now in zip((-1, *path), path, strict=False) if now != before and now != 0)
        score = sum(log_probs[step, symbol] for step, symbol in enumerate(path))
        totals[collapsed] = np.logaddexp(totals.get(collapsed, -np.inf), score)
    return totals


def words_of(pieces: tuple[int, ...]) -> list[tuple[int, ...]]:
    words: list[tuple[int, ...]] = []
    for number in pieces:
        if number in PIECES.word_starts or not words:
            words.append(())
        words[-1] += (number,)
    return words


def text_scores(log_probs, model: NgramModel | None, settings: BeamConfig, extra: dict[str, float]) -> dict[str, float]:
    """The score of every text: its sequences of pieces add up. `extra` has hot words and their weights."""
    known = {tuple(PIECES.encode(word)): word for word in [*(model.words if model else []), *extra] if word.isalpha()}
    found: dict[str, float] = {}
    for pieces, total in acoustic_scores(log_probs).items():
        words = [known.get(one) for one in words_of(pieces)]
        if not settings.open_vocabulary and None in words:
            continue
        total += settings.word_bonus * len(words) + sum(extra.get(word, 0.0) for word in words if word)
        if model:
            unknown = words.count(None)
            names = [word if word in model.numbers else "<unk>" for word in words]
            total += settings.lm_weight * (model.score_text(names).sum() + settings.unknown_score * unknown)
        text = PIECES.decode(pieces)
        found[text] = np.logaddexp(found.get(text, -np.inf), total)
    return found


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("weight", [None, 0.7])
@pytest.mark.parametrize("hot", [{}, {"bb": 2.0, "ab": 1.0}])
def test_every_text_has_the_score_of_all_its_sequences_of_pieces(rng, model, steps, weight, hot):
    settings = replace(
        EVERYTHING, lm_weight=weight or 0.0, word_bonus=0.3, hotwords=[f"{word}:{one}" for word, one in hot.items()]
    )
    language = None if weight is None else model
    if language is None and not hot:
        settings = replace(settings, word_bonus=0.0)  # which counts where words are looked up
    for _ in range(2):
        log_probs = random_log_probs(rng, steps)
        (found,) = BeamDecoder(PIECES, settings, model=language).decode([log_probs])
        wanted = text_scores(log_probs, language, settings, hot)
        assert {one.text: one.score for one in found} == pytest.approx(wanted, abs=1e-6)


def test_the_name_of_unknown_words_in_the_oracle_is_that_of_the_model(model):
    assert model.words[UNKNOWN] == "<unk>"


def test_a_closed_vocabulary_writes_only_its_words(rng, model):
    settings = replace(EVERYTHING, lm_weight=0.7, open_vocabulary=False, unknown_score=-1000.0)
    log_probs = random_log_probs(rng, 4)
    (found,) = BeamDecoder(PIECES, settings, model=model).decode([log_probs])
    wanted = text_scores(log_probs, model, settings, {})
    scores = {one.text: one.score for one in found}
    best = max(wanted, key=lambda text: wanted[text])
    assert found[0].text == best
    assert scores[best] == pytest.approx(wanted[best], abs=1e-6)
    assert {word for text in scores for word in text.split()} <= set(model.words)


def test_the_language_model_chooses_among_words(model):
    """And a word that it lacks is spelled out in pieces where the acoustic model is sure."""
    unsure = sure(PIECES.encode("ab ba"))
    unsure[3, [2, 3]] = np.log([0.5, 0.49])  # the second word begins with "ab" or "b": "aba" is no word
    unsure = log_softmax(unsure)
    settings = BeamConfig(beam_width=16, lm_weight=1.0)
    assert BeamDecoder(PIECES, settings, model=model).decode([unsure])[0][0].text == "ab ba"
    ((best,),) = BeamDecoder(PIECES, settings, model=model).decode([sure(PIECES.encode("ab bb ba"))])
    assert best.text == "ab bb ba"


@pytest.mark.parametrize("settings", [GreedyConfig(), BeamConfig(beam_width=8)])
def test_the_characters_of_a_piece_share_its_step_and_probability(settings):
    numbers = PIECES.encode("ab bb ab")
    ((best,),) = make_decoder(PIECES, settings).decode([sure(numbers)])
    assert best.text == "ab bb ab"
    assert best.steps == (1, 1, 3, 3, 5, 7, 7, 7)
    assert len(best.log_probs) == len(best.text)
    assert best.log_probs == pytest.approx([np.log(1 - 1e-3)] * 8)


@pytest.mark.parametrize("with_model", [False, True])
@pytest.mark.parametrize("kind", ["greedy", "beam"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_stream_gives_the_text_of_the_whole(rng, model, kind, with_model, size):
    """For blocks of every size; what is settled is a beginning of the text."""
    settings = GreedyConfig() if kind == "greedy" else BeamConfig(beam_width=8)
    decoder = make_decoder(PIECES, settings)
    if kind == "beam" and with_model:
        decoder = BeamDecoder(PIECES, settings, model=model)
    for log_probs in (sure(PIECES.encode("ab ba ab")), random_log_probs(rng, 20)):
        stream, settled = decoder.stream(), []
        for start in range(0, len(log_probs), size):
            stream.advance(log_probs[start : start + size])
            settled.append(stream.settled)
            assert stream.best().text.startswith(stream.settled)
        whole = decoder.decode([log_probs])[0][0]
        assert (stream.finish()[0].text, stream.finish()[0].steps) == (whole.text, whole.steps)
        assert all(whole.text.startswith(one) for one in settled)


def test_a_text_does_not_depend_on_the_batch(rng, model):
    utterances = [random_log_probs(rng, steps) for steps in (9, 30, 1, 17)]
    decoder = BeamDecoder(PIECES, BeamConfig(beam_width=16, n_best=3), model=model)
    assert decoder.decode(utterances) == [decoder.decode([one])[0] for one in utterances]


def test_a_mark_without_letters_writes_nothing():
    assert decode_greedy(sure([1]), PIECES).text == ""
    assert decode_greedy(sure([1, 1, 2, 1]), PIECES).text == "ab"


def test_what_pieces_cannot_be_decoded_with_is_refused(character_model, model, tmp_path):
    with pytest.raises(LanguageModelError, match=r"over characters cannot score pieces.*unit=words"):
        BeamDecoder(PIECES, BeamConfig(), model=character_model)
    with pytest.raises(ConfigError, match=r"open_vocabulary=false needs the words"):
        BeamDecoder(PIECES, BeamConfig(open_vocabulary=False))
    with pytest.raises(ConfigError, match=r"'abc' has 'c'"):
        BeamDecoder(PIECES, BeamConfig(hotwords=["abc"]))
    words = tmp_path / "words.txt"
    words.write_text("xyz\nuvw\n")
    with pytest.raises(LanguageModelError, match=r"cannot write 2 of its 2 words, such as 'xyz': it writes 5 pieces"):
        BeamDecoder(PIECES, BeamConfig(lexicon=str(words), open_vocabulary=False))
