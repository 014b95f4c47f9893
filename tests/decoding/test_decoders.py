from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asr.decoding import Hypothesis, decode_greedy, describe_decoder, make_decoder, reference
from asr.decoding.hypothesis import divide_by_priors
from asr.errors import ConfigError
from asr.settings.decoding import AutoConfig, BeamConfig, DecoderConfig, GreedyConfig
from asr.text.alphabet import Alphabet

from .alignment import align_symbols
from .conftest import log_softmax

AB = Alphabet("ab")
EVERYTHING = BeamConfig(beam_width=10_000, n_best=10_000, min_symbol_log_prob=None, score_margin=None)
LOG_PROBS = st.integers(1, 12).flatmap(
    lambda steps: arrays(np.float64, (steps, 3), elements=st.floats(-6, 6, width=32)).map(log_softmax)
)


def decode_beam(log_probs: np.ndarray, alphabet: Alphabet, settings: DecoderConfig) -> list[Hypothesis]:
    return make_decoder(alphabet, settings).decode([log_probs])[0]


def random_log_probs(rng: np.random.Generator, steps: int, symbols: int = 3) -> np.ndarray:
    return log_softmax(2 * rng.standard_normal((steps, symbols)))


def enumerate_texts(log_probs: np.ndarray) -> dict[str, float]:
    """The log-probability of every text, summed over all paths."""
    totals: dict[str, float] = {}
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        collapsed = [now for before, now in zip((-1, *path), path, strict=False) if now != before and now != 0]
        text = AB.decode(collapsed)
        score = sum(log_probs[step, symbol] for step, symbol in enumerate(path))
        totals[text] = np.logaddexp(totals.get(text, -np.inf), score)
    return totals


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6])
def test_an_unpruned_beam_is_exhaustive_enumeration(rng, steps):
    for _ in range(5):
        log_probs = random_log_probs(rng, steps)
        expected = enumerate_texts(log_probs)
        found = {one.text: one.score for one in decode_beam(log_probs, AB, EVERYTHING)}
        assert found.keys() == expected.keys()
        for text, score in expected.items():
            assert found[text] == pytest.approx(score, abs=1e-9)


PRIORS = (0.6, 0.3, 0.1)


def test_priors_are_divided_by_to_the_power_of_their_weight(rng):
    log_probs = random_log_probs(rng, 6)
    by_hand = decode_beam(log_softmax(log_probs - 0.7 * np.log(PRIORS)), AB, EVERYTHING)
    decoder = make_decoder(AB, replace(EVERYTHING, prior_weight=0.7), priors=PRIORS)
    found = decoder.decode([log_probs])[0]
    assert [one.text for one in found] == [one.text for one in by_hand]
    assert [one.score for one in found] == pytest.approx([one.score for one in by_hand], abs=1e-5)


def test_what_is_impossible_stays_so_whatever_the_priors():
    silence = np.array([[0, -np.inf, -np.inf]])
    assert divide_by_priors(silence, PRIORS, 0.5).tolist() == silence.tolist()


def test_a_symbol_that_was_never_said_is_not_made_certain():
    unsure = np.log([[0.5, 0.499, 0.001]])
    assert divide_by_priors(unsure, (0.9, 0.1, 0.0), 0.5).argmax() == 1


def test_priors_that_are_not_known_are_refused():
    with pytest.raises(ConfigError, match=r"prior_weight=0\.5: the bundle has no mean probabilities.*`asr tune"):
        make_decoder(AB, BeamConfig(prior_weight=0.5))


def test_a_stream_heeds_the_priors(rng):
    log_probs = random_log_probs(rng, 40)
    decoder = make_decoder(AB, BeamConfig(beam_width=64, prior_weight=0.5), priors=PRIORS)
    stream = decoder.stream()
    for start in range(0, 40, 7):
        stream.advance(log_probs[start : start + 7])
    assert stream.finish()[0].text == decoder.decode([log_probs])[0][0].text


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 20])
@pytest.mark.parametrize(
    "thresholds",
    [
        {"min_symbol_log_prob": None, "score_margin": None},
        {"min_symbol_log_prob": -3.0, "score_margin": None},
        {"min_symbol_log_prob": None, "score_margin": 1.5},
        {"min_symbol_log_prob": -2.5, "score_margin": 3.0},
    ],
)
def test_a_beam_is_the_reference_in_texts_scores_and_the_time_of_each_symbol(rng, width, thresholds):
    settings = BeamConfig(beam_width=width, n_best=width, **thresholds)
    for symbols in (2, 3, 6):
        alphabet = Alphabet("abcde"[: symbols - 1])
        log_probs = random_log_probs(rng, 40, symbols)
        expected = reference.decode_beam(log_probs, alphabet, settings)
        found = decode_beam(log_probs, alphabet, settings)
        assert [one.text for one in found] == [one.text for one in expected]
        assert [one.score for one in found] == pytest.approx([one.score for one in expected])
        assert [one.steps for one in found] == [one.steps for one in expected]
        for one, wanted in zip(found, expected, strict=True):
            assert one.log_probs == pytest.approx(wanted.log_probs)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_where_a_model_is_sure_each_symbol_is_where_the_likeliest_alignment_has_it(path, seed):
    """A hint of a symbol before it is said, as models give it, does not draw its time forward."""
    symbols = np.repeat(path, 3)
    symbols[np.arange(len(symbols)) % 3 != 2] = 0  # two blanks before each
    hints = 0.02 * np.random.default_rng(seed).random((len(symbols), 3))
    log_probs = np.log((np.eye(3)[symbols] + hints) / (1 + hints.sum(axis=1, keepdims=True)))
    (found,) = decode_beam(log_probs, AB, BeamConfig(min_symbol_log_prob=None))
    assert found.text == AB.decode([symbol for symbol in path if symbol])
    assert found.steps == align_symbols(log_probs, AB.encode(found.text))[0]


def test_a_scorer_may_raise_a_symbol_that_lies_outside_the_margin_into_it():
    surely_nothing = np.log([[1 - 2 * np.exp(-6), np.exp(-6), np.exp(-6)]])
    settings = BeamConfig(beam_width=8, n_best=8, min_symbol_log_prob=None, score_margin=2)
    assert [one.text for one in decode_beam(surely_nothing, AB, settings)] == [""]
    found = decode_beam(surely_nothing, AB, replace(settings, hotwords=["b:5"]))
    assert [(one.text, round(one.score)) for one in found] == [("", 0), ("b", -1)]


@given(st.lists(LOG_PROBS, min_size=1, max_size=6), st.integers(1, 6))
def test_a_text_does_not_depend_on_the_batch(several, width):
    decoder = make_decoder(AB, BeamConfig(beam_width=width, n_best=width))
    assert decoder.decode(several) == [decoder.decode([one])[0] for one in several]


@given(LOG_PROBS, st.integers(1, 12), st.integers(1, 6))
def test_a_stream_in_pieces_is_the_whole(log_probs, size, width):
    decoder = make_decoder(AB, BeamConfig(beam_width=width, n_best=width))
    stream = decoder.stream()
    for start in range(0, len(log_probs), size):
        before = stream.settled
        stream.advance(log_probs[start : start + size])
        assert stream.settled.startswith(before)
    whole, pieces = decoder.decode([log_probs])[0], stream.finish()
    assert [one.score for one in pieces] == pytest.approx([one.score for one in whole])
    assert pieces[0].text.startswith(stream.settled)
    if len(whole) == 1 or whole[0].score - whole[1].score > 1e-5:
        assert (pieces[0].text, pieces[0].steps) == (whole[0].text, whole[0].steps)


@given(st.lists(LOG_PROBS, min_size=1, max_size=6))
def test_a_greedy_stream_is_the_text_of_the_whole_and_no_symbol_is_written_twice_over_a_border(blocks):
    decoder = make_decoder(AB, GreedyConfig())
    stream = decoder.stream()
    for block in blocks:
        stream.advance(block)
    ((whole,),) = decoder.decode([np.concatenate(blocks)])
    (found,) = stream.finish()
    assert (found.text, found.steps, found.log_probs) == (whole.text, whole.steps, whole.log_probs)
    assert found.score == pytest.approx(whole.score)
    assert stream.settled == whole.text


@pytest.mark.parametrize("settings", [GreedyConfig(), BeamConfig(beam_width=4, n_best=2)])
def test_a_copy_of_a_stream_goes_its_own_way_and_leaves_the_first_as_it_was(rng, settings):
    first, provisional, second = (random_log_probs(rng, steps) for steps in (20, 9, 20))
    decoder = make_decoder(AB, settings)
    stream = decoder.stream()
    stream.advance(first)
    copied = stream.copy()
    copied.advance(provisional)
    assert copied.finish() == _streamed(decoder, first, provisional)
    stream.advance(second)
    assert stream.finish() == _streamed(decoder, first, second)
    assert copied.finish() == _streamed(decoder, first, provisional)


def _streamed(decoder, *blocks):
    stream = decoder.stream()
    for block in blocks:
        stream.advance(block)
    return stream.finish()


def test_the_best_text_so_far_is_that_of_the_likeliest_hypothesis(rng):
    """Without scorers an end costs nothing, so it is also the best text if the recording ends."""
    for _ in range(20):
        log_probs = random_log_probs(rng, 12)
        stream = make_decoder(AB, BeamConfig(beam_width=8)).stream()
        stream.advance(log_probs)
        assert stream.best().text == stream.finish()[0].text
        assert stream.best().text.startswith(stream.settled)


def test_a_stream_with_a_narrower_beam_is_the_search_with_that_width(rng):
    log_probs = random_log_probs(rng, 30)
    wide = make_decoder(AB, BeamConfig(beam_width=16))
    for asked, width in ((2, 2), (16, 16), (99, 16), (None, 16)):
        stream = wide.stream(asked)
        stream.advance(log_probs)
        ((expected,),) = make_decoder(AB, BeamConfig(beam_width=width)).decode([log_probs])
        assert stream.finish()[0].text == expected.text
        assert stream.finish()[0].score == pytest.approx(expected.score)


def test_the_beam_prefers_the_likelier_text_to_the_likelier_path():
    log_probs = np.log([[0.6, 0.4, 0.0 + 1e-12], [0.6, 0.4, 1e-12]])
    log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
    assert decode_greedy(log_probs, AB).text == ""
    assert decode_beam(log_probs, AB, BeamConfig())[0].text == "a"


@given(LOG_PROBS, st.integers(1, 6))
def test_a_pruned_beam_gives_distinct_sorted_texts_with_ascending_steps(log_probs, width):
    found = decode_beam(log_probs, AB, BeamConfig(beam_width=width, n_best=width))
    assert found == decode_beam(log_probs, AB, BeamConfig(beam_width=width, n_best=width))
    assert 1 <= len(found) <= width
    assert len({one.text for one in found}) == len(found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        assert one.score <= 1e-9
        assert len(one.steps) == len(one.text)
        assert list(one.steps) == sorted(set(one.steps))
        assert all(0 <= step < len(log_probs) for step in one.steps)


@given(LOG_PROBS)
def test_the_score_of_an_unpruned_beam_is_never_below_that_of_the_best_path(log_probs):
    assert decode_beam(log_probs[:6], AB, EVERYTHING)[0].score >= decode_greedy(log_probs[:6], AB).score - 1e-9


def test_greedy_merges_repeats_and_removes_blanks():
    path = [1, 1, 0, 1, 2, 2, 0, 0, 2]
    log_probs = log_softmax(10 * np.eye(3)[path])
    hypothesis = decode_greedy(log_probs, AB)
    assert hypothesis.text == "aabb"
    assert hypothesis.steps == (0, 3, 4, 8)
    assert hypothesis.score == pytest.approx(log_probs.max(axis=1).sum())


@given(LOG_PROBS)
def test_greedy_is_the_likeliest_path_and_its_own_alignment(log_probs):
    hypothesis = decode_greedy(log_probs, AB)
    steps, score = align_symbols(log_probs, AB.encode(hypothesis.text))
    assert score == pytest.approx(hypothesis.score)
    assert len(steps) == len(hypothesis.steps)


@pytest.mark.parametrize("text", ["", "a", "ab", "aa", "abba"])
def test_an_alignment_is_the_likeliest_path_of_its_text(rng, text):
    log_probs = random_log_probs(rng, 6)
    best, best_path = -np.inf, ()
    for path in product(range(3), repeat=6):
        collapsed = [now for before, now in zip((-1, *path), path, strict=False) if now != before and now != 0]
        score = sum(log_probs[step, symbol] for step, symbol in enumerate(path))
        if AB.decode(collapsed) == text and score > best:
            best, best_path = score, path
    starts = tuple(step for step, symbol in enumerate(best_path) if symbol and symbol != (0, *best_path)[step])
    steps, score = align_symbols(log_probs, AB.encode(text))
    assert score == pytest.approx(best)
    assert steps == starts


def test_a_text_longer_than_its_audio_has_no_alignment(rng):
    with pytest.raises(ValueError, match="does not fit into 3 steps"):
        align_symbols(random_log_probs(rng, 3), AB.encode("aab"))


def test_no_steps_are_an_empty_text():
    nothing = np.empty((0, 3))
    assert decode_greedy(nothing, AB).text == ""
    assert decode_beam(nothing, AB, BeamConfig())[0].text == ""


@pytest.mark.parametrize("settings", [GreedyConfig(), BeamConfig()])
def test_what_is_not_log_probabilities_is_refused(rng, settings):
    log_probs = random_log_probs(rng, 4)
    for wrong, message in [
        (log_probs[:, :2], r"shape \(steps, 3\), not \(4, 2\)"),
        (np.where(np.arange(12).reshape(4, 3) == 5, np.nan, log_probs), "NaN"),
        (np.exp(log_probs), "not normalised"),
        (log_probs + 1, "not normalised: the probabilities of step . add up to 2.718"),
    ]:
        with pytest.raises(ValueError, match=message):
            decode_beam(wrong, AB, settings)


def test_a_decoder_nobody_wrote_is_refused():
    with pytest.raises(ConfigError, match="no decoder for DecoderConfig"):
        make_decoder(AB, DecoderConfig())


def test_a_label_names_the_decoder_that_is_used_and_none_is_given_before_it_is_known():
    assert describe_decoder(GreedyConfig()) == "greedy"
    assert describe_decoder(BeamConfig(beam_width=8)) == "beam of 8"
    assert describe_decoder(BeamConfig(lm="~/models/english.lm")) == "beam of 32, language model english.lm"
    phones = BeamConfig(pronunciations="lexicons/english.txt", lm="english.lm")
    assert describe_decoder(phones) == "beam of 32 over phones of english.txt, language model english.lm"
    assert describe_decoder(AutoConfig().resolve(None)) == "greedy"
    assert describe_decoder(AutoConfig(beam_width=4).resolve(BeamConfig(lm="a.lm"))) == "beam of 4, language model a.lm"
    with pytest.raises(ConfigError, match="AutoConfig must be resolved"):
        describe_decoder(AutoConfig())
