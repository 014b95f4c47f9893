from __future__ import annotations

import itertools

import numpy as np
import pytest

from asr.recognition.windows import (
    LONGEST_SECONDS,
    OVERLAP_SECONDS,
    SHORTEST_SECONDS,
    WHOLE_SECONDS,
    Stitcher,
    Stretch,
    Window,
    WindowCutter,
    is_silent,
)

from ..conftest import RATE

STEP = 640
STEP_SECONDS = STEP / RATE


def windows(samples: np.ndarray, block: int) -> list[Window]:
    cutter = WindowCutter(RATE, STEP)
    found = [one for start in range(0, len(samples), block) for one in cutter.push(samples[start : start + block])]
    return found + list(cutter.finish())


@pytest.fixture
def minute(rng) -> np.ndarray:
    samples = rng.standard_normal(61 * RATE + 123).astype(np.float32)
    for pause in (8.0, 16.5, 23.0, 31.0, 38.5, 47.0, 54.0):
        samples[int(pause * RATE) : int((pause + 0.3) * RATE)] *= 0.01
    return samples


def test_windows_cover_everything_and_overlap(minute):
    found = windows(minute, RATE)
    assert found[0].cut == found[0].first_step == 0
    assert found[-1].end == -(-len(minute) // STEP)
    for before, after in itertools.pairwise(found):
        assert before.end == after.cut
        assert SHORTEST_SECONDS <= (before.end - before.cut) * STEP_SECONDS <= LONGEST_SECONDS
        assert (after.cut - after.first_step) * STEP_SECONDS == pytest.approx(OVERLAP_SECONDS, abs=STEP_SECONDS)
        start = before.first_step * STEP
        assert len(before.samples) == min(before.end * STEP + OVERLAP_SECONDS * RATE, len(minute)) - start
        np.testing.assert_array_equal(before.samples, minute[start : start + len(before.samples)])


def test_windows_are_cut_where_it_is_quiet(minute):
    pauses = [8.0, 16.5, 23.0, 31.0, 38.5, 47.0, 54.0]
    for window in windows(minute, RATE)[:-1]:
        assert any(pause <= window.end * STEP_SECONDS <= pause + 0.3 for pause in pauses), window.end * STEP_SECONDS


@pytest.mark.parametrize("block", [160, 4096, 100_000, 10**7])
def test_how_a_recording_comes_makes_no_difference(minute, block):
    for one, other in zip(windows(minute, block), windows(minute, RATE), strict=True):
        assert (one.first_step, one.cut, one.end) == (other.first_step, other.cut, other.end)
        np.testing.assert_array_equal(one.samples, other.samples)


@pytest.mark.parametrize("seconds", [0, 0.01, 1, 34.9, WHOLE_SECONDS])
def test_a_recording_as_long_as_a_training_utterance_is_one_window(rng, seconds):
    samples = rng.standard_normal(int(seconds * RATE)).astype(np.float32)
    (window,) = windows(samples, 1000)
    np.testing.assert_array_equal(window.samples, samples)


def test_memory_does_not_grow_with_the_recording(rng):
    cutter, block = WindowCutter(RATE, STEP), rng.standard_normal(RATE).astype(np.float32)
    for _ in range(200):
        list(cutter.push(block))
        assert cutter._kept <= (WHOLE_SECONDS + 1) * RATE
    assert cutter.samples == 200 * RATE


def acoustic_output(symbols: np.ndarray) -> np.ndarray:
    """Log-probabilities of a model that is sure of its symbols."""
    log_probs = np.full((len(symbols), 4), np.log(0.01), np.float32)
    log_probs[np.arange(len(symbols)), symbols] = np.log(0.97)
    return log_probs


def stitch(
    truth: np.ndarray, cuts: list[int], overlap: int, shift: int = 0, silent: tuple[int, ...] = ()
) -> list[Stretch]:
    """The stitched windows over a true sequence of symbols; every second window has it some steps late."""
    stitcher, found = Stitcher(STEP_SECONDS), []
    for number, (cut, end) in enumerate(itertools.pairwise([0, *cuts, len(truth)])):
        first, last = max(0, cut - overlap), min(len(truth), end + overlap)
        symbols = np.roll(truth[first:last], shift * (number % 2))
        window = Window(first, cut, end, np.zeros(0, np.float32))
        found += stitcher.push(window, None if number in silent else acoustic_output(symbols))
    return found + list(stitcher.finish())


def symbols_of(stretches: list[Stretch]) -> list[int]:
    return [symbol for one in stretches for symbol in one.log_probs.argmax(axis=1).tolist() if symbol]


@pytest.mark.parametrize("shift", [0, 1, -1, 2, -2])
def test_no_symbol_is_doubled_or_lost_where_windows_have_it_at_other_steps(rng, shift):
    truth = np.zeros(3000, np.int64)
    places = np.cumsum(rng.integers(3, 12, 380))
    truth[places[places < 2990]] = rng.integers(1, 4, (places < 2990).sum())
    cuts = np.cumsum(rng.integers(125, 250, 12)).tolist()
    # Cuts fall anywhere, so some fall onto a symbol: pauses of eight steps are what makes cutting possible.
    for cut in cuts:
        truth[cut - 6 : cut + 7] = 0
    stretches = stitch(truth, cuts, overlap=25, shift=shift)
    assert symbols_of(stretches) == truth[truth > 0].tolist()
    assert sum(len(one.log_probs) for one in stretches) == len(truth)
    for before, after in itertools.pairwise(stretches):
        assert before.first_step + len(before.log_probs) == after.first_step


def seam(pauses: dict[range, float]) -> int:
    """The step from which on the later of two windows is used, with blanks of some probability in some steps.

    They overlap in steps 76 to 123, around a cut at 100.
    """
    probabilities = np.full(200, 0.1)
    for steps, blank in pauses.items():
        probabilities[list(steps)] = blank
    stitcher, stretches = Stitcher(STEP_SECONDS), []
    for first, last, cut, end, symbol in ((0, 124, 0, 100, 1), (76, 200, 100, 200, 2)):
        log_probs = np.full((last - first, 3), -20.0, np.float32)
        log_probs[:, 0] = np.log(probabilities[first:last])
        log_probs[:, symbol] = np.log(1 - probabilities[first:last])
        stretches += stitcher.push(Window(first, cut, end, np.zeros(0, np.float32)), log_probs)
    stretches += stitcher.finish()
    heard_by = np.concatenate([one.log_probs for one in stretches])[:, 1:].argmax(axis=1)
    assert (np.diff(heard_by) >= 0).all()
    return int(heard_by.argmax())


@pytest.mark.parametrize("first", [84, 90, 100, 111])
def test_a_seam_is_in_the_middle_of_the_pause(first):
    assert seam({range(first, first + 5): 0.99}) == first + 2


def test_a_seam_keeps_away_from_the_ends_of_windows_where_a_model_knows_one_side():
    """A quarter of what a window reaches beyond its cut: six steps."""
    assert seam({range(77, 82): 0.999, range(100, 105): 0.9}) == 102
    assert seam({range(119, 124): 0.999, range(100, 105): 0.9}) == 102
    assert seam({range(82, 87): 0.999, range(100, 105): 0.9}) == 84
    assert seam({range(113, 118): 0.999, range(100, 105): 0.9}) == 115


def test_stretches_end_in_pauses_and_none_is_endless(rng):
    truth = rng.integers(1, 4, 4000)
    truth[900:910] = truth[1500:1510] = 0
    stretches = stitch(truth, list(range(100, 4000, 100)), overlap=25)
    ends = [one.first_step + len(one.log_probs) for one in stretches]
    assert 900 <= ends[0] <= 910
    assert max(len(one.log_probs) for one in stretches) * STEP_SECONDS <= 60 + 10


def test_silent_windows_are_left_out():
    truth = np.tile([1, 0, 2, 0], 200)
    stretches = stitch(truth, [200, 400, 600], overlap=25, silent=(1, 2))
    assert [(one.first_step, len(one.log_probs)) for one in stretches] == [(0, 200), (600, 200)]


def test_silence_is_what_a_converters_last_bits_make():
    assert is_silent(np.zeros(0, np.float32))
    assert is_silent(np.full(100, 1e-5, np.float32))
    assert not is_silent(np.full(100, 1e-3, np.float32))
