from __future__ import annotations

import time

import numpy as np
import pytest

from asr.decoding.alignment import _FEW_CELLS, align_symbols
from asr.errors import AlignmentError

from . import alignment as oracle


def random_log_probs(rng: np.random.Generator, steps: int, symbols: int = 5) -> np.ndarray:
    logits = 2 * rng.standard_normal((steps, symbols))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def spoken(rng: np.random.Generator, text: np.ndarray, sure: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of a model that recognises a text, and the steps of its symbols."""
    places = np.cumsum(rng.integers(2, 9, len(text)))
    logits = rng.standard_normal((places[-1] + 5, 6))
    logits[:, 0] += sure
    logits[places] = rng.standard_normal((len(text), 6))
    logits[places, text] += sure + 2
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), places


@pytest.mark.parametrize("seed", range(20))
def test_the_path_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(1, 30))
    text = rng.integers(1, 5, int(rng.integers(0, 8))).tolist()
    log_probs = random_log_probs(rng, steps)
    try:
        places, score = oracle.align_symbols(log_probs, text)
    except ValueError:
        with pytest.raises(AlignmentError, match="the text is too long"):
            align_symbols(log_probs, text)
        return
    found = align_symbols(log_probs, text)
    assert found.score == pytest.approx(score, abs=1e-9)
    assert tuple(found.first) == places
    assert (found.last >= found.first).all()


def test_a_long_text_is_found_where_it_is(rng):
    text = rng.integers(1, 6, 5000)
    log_probs, places = spoken(rng, text)
    found = align_symbols(log_probs, text.tolist())
    off = np.abs(found.first - places)
    assert np.mean(off == 0) > 0.9
    assert off.max() < 20


def test_a_passage_that_is_not_in_the_text_moves_only_its_neighbours(rng):
    text = rng.integers(1, 6, 3000)
    log_probs, places = spoken(rng, text)
    kept = np.ones(3000, bool)
    kept[1000:1200] = False
    found = align_symbols(log_probs, text[kept].tolist())
    off = np.abs(found.first - places[kept])
    assert np.mean(off <= 2) > 0.9


def test_the_text_of_another_recording_is_refused(rng):
    log_probs, _ = spoken(rng, rng.integers(1, 6, 2500), sure=9.0)
    text = rng.integers(1, 6, 6500).tolist()
    assert len(log_probs) * len(text) > _FEW_CELLS
    started = time.process_time()
    with pytest.raises(AlignmentError, match="does not fit the recording"):
        align_symbols(log_probs, text)
    assert time.process_time() - started < 3


@pytest.mark.slow
def test_the_text_of_another_recording_of_an_hour_is_refused_in_seconds(rng):
    log_probs, _ = spoken(rng, rng.integers(1, 6, 16_400), sure=9.0)
    started = time.process_time()
    with pytest.raises(AlignmentError, match="does not fit the recording"):
        align_symbols(log_probs, rng.integers(1, 6, 32_000).tolist())
    assert time.process_time() - started < 30


@pytest.mark.parametrize("seed", range(5))
def test_blocks_are_aligned_as_one(seed):
    rng = np.random.default_rng(seed)
    text = rng.integers(1, 6, 300)
    log_probs, _ = spoken(rng, text)
    blocks = np.split(log_probs, sorted(rng.integers(0, len(log_probs), 4).tolist()))
    whole, joined = align_symbols(log_probs, text.tolist()), align_symbols(blocks, text.tolist())
    assert whole.score == pytest.approx(joined.score)
    assert (whole.first == joined.first).all()
    assert (whole.last == joined.last).all()


def test_what_the_model_calls_impossible_everywhere_is_refused():
    log_probs = np.full((20, 3), -np.inf)
    log_probs[:, 0] = 0.0
    with pytest.raises(AlignmentError, match="does not fit"):
        align_symbols(log_probs, [1, 2])


def test_no_text_is_silence(rng):
    log_probs = random_log_probs(rng, 10)
    assert align_symbols(log_probs, []).score == pytest.approx(log_probs[:, 0].sum())
