from __future__ import annotations

from itertools import product

import keras
import numpy as np
import pytest

from asr.acoustic.loss import CtcLoss, ctc_nats, pack_targets
from asr.acoustic.model import log_softmax
from asr.config import ModelConfig
from asr.corpus.batching import Batch


def enumerate_nats(log_probs: np.ndarray, label: tuple[int, ...]) -> float:
    """Minus the logarithm of the sum over every path of symbols that collapses to the label."""
    total = 0.0
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        collapsed = [now for before, now in zip((-1, *path), path, strict=False) if now != before and now != 0]
        if tuple(collapsed) == label:
            total += np.exp(sum(log_probs[step, symbol] for step, symbol in enumerate(path)))
    return -np.log(total)


LABELS = [(), (1,), (2, 1), (1, 1), (1, 2, 1), (2, 2, 2)]


def test_the_loss_is_the_sum_over_all_alignments(rng):
    """Rows of different lengths, with garbage in the padding, against enumeration."""
    steps = np.array([1, 2, 3, 4, 5, 5], np.int32)
    logits = rng.standard_normal((6, 7, 3)).astype(np.float32) * 2
    expected = [
        enumerate_nats(log_softmax(logits[row, : steps[row]].astype(np.float64)), LABELS[row]) for row in range(6)
    ]
    labels = np.zeros((6, 3), np.int32)
    for row, label in enumerate(LABELS):
        labels[row, : len(label)] = label
    counts = np.array([len(label) for label in LABELS], np.int32)
    nats = keras.ops.convert_to_numpy(ctc_nats(logits, steps, labels, counts))
    np.testing.assert_allclose(nats, expected, rtol=1e-4, atol=1e-5)
    garbage = logits.copy()
    for row in range(6):
        garbage[row, steps[row] :] = 50 * rng.standard_normal((7 - steps[row], 3))
    again = keras.ops.convert_to_numpy(ctc_nats(garbage, steps, labels, counts))
    np.testing.assert_allclose(again, nats, rtol=1e-5, atol=1e-6)


def test_the_loss_of_a_batch_is_nats_a_symbol(rng):
    settings = ModelConfig(subsampling=2)
    batch = Batch(
        frames=np.zeros((2, 9, 4), np.float32),
        frame_counts=np.array([9, 6], np.int32),
        labels=np.array([[1, 2, 1], [2, 0, 0]], np.int32),
        label_counts=np.array([3, 1], np.int32),
    )
    logits = rng.standard_normal((2, 5, 3)).astype(np.float32)
    targets = pack_targets(batch, settings)
    assert targets.tolist() == [[5, 3, 1, 2, 1], [3, 1, 2, 0, 0]]
    expected = enumerate_nats(log_softmax(logits[0]), (1, 2, 1)) + enumerate_nats(log_softmax(logits[1, :3]), (2,))
    assert float(CtcLoss()(targets, logits)) == pytest.approx(expected / 4, rel=1e-4)
