from __future__ import annotations

from itertools import product

import keras
import numpy as np
import pytest

from asr.acoustic.denominator import Denominator, symbol_ngrams
from asr.acoustic.loss import BatchLoss, ctc_nats, pack_targets
from asr.acoustic.outputs import log_softmax, output_slices
from asr.corpus.batching import Batch
from asr.settings.model import ModelConfig

from .gradients import input_gradient, total

TRANSCRIPTS = [[1, 2, 3, 3, 1], [3, 2, 1, 1], [2], [], [3, 1, 2, 2, 2, 1]]


def ngrams(order: int) -> np.ndarray:
    return symbol_ngrams(TRANSCRIPTS, symbols=4, start=1, order=order)


def enumerate_total(logits: np.ndarray, table: np.ndarray) -> float:
    """The logarithm of the sum over every path, each times the probability of the label that it collapses to."""
    log_probs, sum_of_all = log_softmax(logits.astype(np.float64)), 0.0
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        label = [now for before, now in zip((-1, *path), path, strict=False) if now != before and now != 0]
        context, probability = (0,) * (table.ndim - 1), 1.0
        for symbol in label:
            probability *= table[(*context, symbol - 1)]
            context = (*context[1:], symbol - 1)
        sum_of_all += probability * np.exp(sum(log_probs[step, symbol] for step, symbol in enumerate(path)))
    return float(np.log(sum_of_all))


@pytest.mark.parametrize("order", [3, 4])
def test_it_is_the_sum_over_all_labels_and_their_alignments(order, rng):
    """Rows of different lengths, with garbage in the padding, against enumeration."""
    steps = np.array([1, 3, 5], np.int32)
    logits = rng.standard_normal((3, 6, 4)).astype(np.float32) * 2
    expected = [enumerate_total(logits[row, : steps[row]], ngrams(order)) for row in range(3)]
    denominator = Denominator(ngrams(order), start=1)
    found = keras.ops.convert_to_numpy(denominator(logits, steps))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    for row in range(3):
        logits[row, steps[row] :] = np.nan
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(denominator(logits, steps)), found)


@pytest.mark.parametrize("order", [3, 4])
def test_its_gradient_is_that_of_the_sum(order, rng):
    """Against differences of the enumerated sum; nothing flows into the padding."""
    steps, weights = np.array([2, 4], np.int32), np.array([1.0, 0.5], np.float32)
    logits = rng.standard_normal((2, 5, 4)).astype(np.float32)
    denominator = Denominator(ngrams(order), start=1)
    found = input_gradient(lambda x: total(denominator(x, steps), weights), logits)
    for row, step, symbol in product(range(2), range(5), range(4)):
        wanted = 0.0
        for sign in (1, -1) if step < steps[row] else ():
            moved = logits[row, : steps[row]].astype(np.float64)
            moved[step, symbol] += sign * 1e-4
            wanted += sign * float(weights[row]) * enumerate_total(moved, ngrams(order)) / 2e-4
        assert found[row, step, symbol] == pytest.approx(wanted, abs=1e-4)


def test_long_rows_of_confident_logits_leave_it_finite(rng):
    """600 steps, each sure of a symbol that cannot follow the one before."""
    table = np.full((4, 4, 4), 1e-7, np.float32)
    table[..., 0] = 1 - 3e-7
    logits = np.full((1, 600, 5), -60.0, np.float32)
    logits[0, np.arange(600), rng.integers(0, 5, 600)] = 0.0
    steps = np.array([600], np.int32)
    denominator = Denominator(table, start=1)
    assert np.isfinite(keras.ops.convert_to_numpy(denominator(logits, steps))).all()
    gradient = input_gradient(lambda x: total(denominator(x, steps), np.ones(1, np.float32)), logits)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(gradient.sum(axis=-1), 0, atol=1e-3)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_ngrams_are_probabilities_and_none_is_zero(order):
    table = ngrams(order)
    assert table.shape == (3,) * order
    assert (table > 0).all()
    np.testing.assert_allclose(table.sum(axis=-1), 1, rtol=1e-6)


def test_a_label_is_as_likely_as_its_letters_after_each_other():
    table, denominator = ngrams(4), Denominator(ngrams(4), start=1)
    labels = np.array([[2, 3, 1, 1], [3, 0, 0, 0], [0, 0, 0, 0]], np.int32)
    found = keras.ops.convert_to_numpy(denominator.label_log_probs(labels, np.array([4, 1, 0], np.int32)))
    first = table[0, 0, 0, 1] * table[0, 0, 1, 2] * table[0, 1, 2, 0] * table[1, 2, 0, 0]
    np.testing.assert_allclose(found, [np.log(first), np.log(table[0, 0, 0, 2]), 0], rtol=1e-5)


def test_ngrams_know_what_follows_what():
    """Of "abab...", b follows a, and a follows the start."""
    table = symbol_ngrams([[2, 3] * 50], symbols=4, start=1, order=3)
    assert table[1, 2].argmax() == 1
    assert table[2, 1].argmax() == 2
    assert table[0, 0].argmax() == 1


def test_an_order_below_three_is_refused():
    with pytest.raises(ValueError, match="at least 3, not 2"):
        Denominator(ngrams(2), start=1)


def test_the_loss_weighs_it_beside_ctc(rng):
    """Over all label symbols of the batch; an empty row counts for nothing."""
    settings = ModelConfig(subsampling=4)
    frames = rng.standard_normal((3, 24, 8)).astype(np.float32)
    labels = np.array([[1, 2], [3, 0], [0, 0]], np.int32)
    batch = Batch(frames, np.array([24, 17, 0], np.int32), labels, np.array([2, 1, 0], np.int32))
    logits = rng.standard_normal((3, 6, 4)).astype(np.float32)
    denominator = Denominator(ngrams(3), start=1)
    steps = np.array([6, 5], np.int32)
    ctc = keras.ops.convert_to_numpy(ctc_nats(logits[:2], steps, labels[:2], batch.label_counts[:2]))
    anything = keras.ops.convert_to_numpy(denominator(logits[:2], steps))
    letters = np.log([ngrams(3)[0, 0, 0] * ngrams(3)[0, 0, 1], ngrams(3)[0, 0, 2]])
    mmi = ctc + anything - letters
    assert (mmi > 0).all()
    found = float(
        keras.ops.convert_to_numpy(BatchLoss(1, {"symbols": denominator}, 0.7)(pack_targets(batch, settings), logits))
    )
    assert found == pytest.approx((0.3 * ctc + 0.7 * mmi).sum() / 3, rel=1e-5)


def test_of_two_outputs_the_first_learns_by_ctc_alone(rng):
    settings, denominator = ModelConfig(subsampling=4, mmi_output=True), Denominator(ngrams(3), start=1)
    labels, counts = np.array([[1, 2], [3, 0]], np.int32), np.array([2, 1], np.int32)
    batch = Batch(rng.standard_normal((2, 24, 8)).astype(np.float32), np.array([24, 17], np.int32), labels, counts)
    first, second = rng.standard_normal((2, 2, 6, 4)).astype(np.float32)
    targets = pack_targets(batch, settings)
    ctc, mmi = BatchLoss()(targets, first), BatchLoss(1, {"symbols": denominator}, 0.9)(targets, second)
    outputs = output_slices(settings, symbols=4)
    loss = BatchLoss(1, {"symbols_mmi": denominator}, 0.9, outputs)
    both = loss(targets, np.concatenate([first, second], axis=-1))
    assert float(both) == pytest.approx((float(ctc) + float(mmi)) / 2, rel=1e-5)


def test_an_output_over_phones_learns_labels_of_its_own(rng):
    """Its nats are counted by the batch's characters, as those of the other output are."""
    settings, denominator = ModelConfig(subsampling=4, phone_output=True), Denominator(ngrams(3), start=1)
    frames, counts = rng.standard_normal((2, 24, 8)).astype(np.float32), np.array([24, 17], np.int32)
    characters = np.array([[1, 2, 4], [3, 0, 0]], np.int32), np.array([3, 1], np.int32)
    phones = np.array([[2, 0, 0], [1, 3, 0]], np.int32), np.array([1, 2], np.int32)
    first, second = rng.standard_normal((2, 6, 5)).astype(np.float32), rng.standard_normal((2, 6, 4)).astype(np.float32)
    alone = [
        float(BatchLoss(1, denominators, 0.9)(pack_targets(Batch(frames, counts, *labels), settings, 4), logits))
        for labels, denominators, logits in ((characters, {}, first), (phones, {"symbols": denominator}, second))
    ]
    outputs = output_slices(settings, symbols=5, phones=4)
    targets = pack_targets(Batch(frames, counts, *characters, *phones), settings)
    both = BatchLoss(1, {"phones": denominator}, 0.9, outputs)(targets, np.concatenate([first, second], axis=-1))
    assert float(both) == pytest.approx(sum(alone) / 2, rel=1e-5)
