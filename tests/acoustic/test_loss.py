from __future__ import annotations

from itertools import product

import keras
import numpy as np
import pytest

from asr.acoustic.loss import BatchLoss, copy_nats, ctc_nats, pack_targets, teacher_nats
from asr.acoustic.outputs import PADDING_LOGIT, log_softmax
from asr.corpus.batching import Batch
from asr.settings.model import ModelConfig

from .gradients import input_gradient, total


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


def test_the_gradient_is_that_of_the_sum_over_all_alignments(rng):
    """Against differences of the enumerated loss; nothing flows into the padding."""
    steps, counts = np.array([3, 4, 4], np.int32), np.array([1, 2, 2], np.int32)
    labels = np.array([[1, 0], [2, 1], [1, 1]], np.int32)
    logits = rng.standard_normal((3, 5, 3)).astype(np.float32)
    weights = np.array([1.0, 0.5, 2.0], np.float32)
    found = input_gradient(lambda x: total(ctc_nats(x, steps, labels, counts), weights), logits)
    for row, step, symbol in product(range(3), range(5), range(3)):
        wanted = 0.0
        if step < steps[row]:
            label = tuple(labels[row, : counts[row]].tolist())
            moved = logits[row, : steps[row]].astype(np.float64)
            for sign in (1, -1):
                shifted = moved.copy()
                shifted[step, symbol] += sign * 1e-4
                wanted += sign * weights[row] * enumerate_nats(log_softmax(shifted), label) / 2e-4
        assert found[row, step, symbol] == pytest.approx(wanted, abs=1e-4)


def recursion_nats(log_probs: np.ndarray, label: list[int]) -> float:
    """The textbook recursion, row by row in float64."""
    extended = [0, *(symbol for one in label for symbol in (one, 0))]
    forward = np.full(len(extended), -np.inf)
    forward[:2] = log_probs[0, extended[:2]]
    for now in log_probs[1:]:
        before = forward.copy()
        for place, symbol in enumerate(extended):
            reach = [before[place]] + ([before[place - 1]] if place else [])
            if place > 1 and symbol and symbol != extended[place - 2]:
                reach.append(before[place - 2])
            forward[place] = now[symbol] + np.logaddexp.reduce(reach)
    return -np.logaddexp.reduce(forward[-2:])


def test_long_rows_with_confident_logits_agree_with_the_textbook(rng):
    logits = 8 * rng.standard_normal((2, 400, 29)).astype(np.float32)
    labels = rng.integers(1, 29, (2, 150)).astype(np.int32)
    steps, counts = np.array([400, 320], np.int32), np.array([150, 121], np.int32)
    found = keras.ops.convert_to_numpy(ctc_nats(logits, steps, labels, counts))
    for row in range(2):
        log_probs = log_softmax(logits[row, : steps[row]].astype(np.float64))
        assert found[row] == pytest.approx(recursion_nats(log_probs, labels[row, : counts[row]].tolist()), rel=1e-5)


def test_a_label_that_does_not_fit_has_an_infinite_loss_and_changes_no_other_row(rng):
    logits = rng.standard_normal((2, 3, 4)).astype(np.float32)
    steps, labels, counts = np.array([3, 3]), np.array([[1, 1, 1], [1, 2, 3]]), np.array([3, 3])
    found = keras.ops.convert_to_numpy(ctc_nats(logits, steps, labels, counts))
    assert np.isinf(found[0])
    assert np.isfinite(found[1])


def test_an_empty_row_adds_nothing(rng):
    batch = Batch(
        np.zeros((2, 8, 4), np.float32),
        np.array([8, 0], np.int32),
        np.array([[1], [0]], np.int32),
        np.array([1, 0], np.int32),
    )
    logits = rng.standard_normal((2, 2, 3)).astype(np.float32)
    targets = pack_targets(batch, ModelConfig())
    alone = float(BatchLoss()(targets[:1], logits[:1]))
    assert float(BatchLoss()(targets, logits)) == pytest.approx(alone)
    gradient = input_gradient(lambda x: BatchLoss()(targets, x), logits)
    assert np.abs(gradient[0]).max() > 0
    assert (gradient[1] == 0).all()


def test_parts_of_a_step_are_weighed_by_the_symbols_of_the_whole(rng):
    """The mean of the losses of two batches that make a step together is the loss of both as one batch."""
    frames, counts = np.zeros((3, 8, 4), np.float32), np.array([8, 8, 8], np.int32)
    labels, label_counts = np.array([[1, 2], [1, 0], [2, 0]], np.int32), np.array([2, 1, 1], np.int32)
    logits = rng.standard_normal((3, 2, 3)).astype(np.float32)
    whole = float(BatchLoss()(pack_targets(Batch(frames, counts, labels, label_counts), ModelConfig()), logits))
    parts = []
    for rows in (slice(0, 1), slice(1, 3)):
        batch = Batch(frames[rows], counts[rows], labels[rows], label_counts[rows])
        parts.append(float(BatchLoss(parts=2)(pack_targets(batch, ModelConfig(), step_symbols=4), logits[rows])))
    assert np.mean(parts) == pytest.approx(whole, rel=1e-5)


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
    assert targets.tolist() == [[5, 3, 4, 1, 2, 1], [3, 1, 4, 2, 0, 0]]
    expected = enumerate_nats(log_softmax(logits[0]), (1, 2, 1)) + enumerate_nats(log_softmax(logits[1, :3]), (2,))
    assert float(BatchLoss()(targets, logits)) == pytest.approx(expected / 4, rel=1e-4)


def probabilities(rng: np.random.Generator, *shape: int) -> np.ndarray:
    drawn = rng.random(shape).astype(np.float32) ** 4
    return drawn / drawn.sum(axis=-1, keepdims=True)


def test_the_divergence_from_a_teacher_is_the_sum_over_steps_and_symbols(rng):
    logits, wanted = rng.standard_normal((2, 3, 4)).astype(np.float32), probabilities(rng, 2, 3, 4)
    wanted[0, 1] = [0, 1, 0, 0]
    expected = []
    for row in range(2):
        nats = 0.0
        for step, symbol in product(range(3), range(4)):
            mine = np.exp(logits[row, step, symbol]) / np.exp(logits[row, step]).sum()
            theirs = float(wanted[row, step, symbol])
            nats += theirs * np.log(theirs / mine) if theirs else 0.0
        expected.append(nats)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(teacher_nats(wanted, logits)), expected, rtol=1e-5)


def test_a_model_that_agrees_with_its_teacher_has_no_divergence_and_padding_none(rng):
    logits = rng.standard_normal((1, 5, 4)).astype(np.float32)
    logits[:, 3:] = [0, *[PADDING_LOGIT] * 3]
    wanted = np.exp(log_softmax(logits))
    assert float(teacher_nats(wanted, logits)[0]) == pytest.approx(0, abs=1e-6)
    gradient = input_gradient(lambda x: keras.ops.sum(teacher_nats(probabilities(rng, 1, 5, 4), x)), logits)
    assert np.isfinite(gradient).all()
    sure = np.zeros((1, 5, 4), np.float32)
    sure[..., 0] = 1
    gradient = input_gradient(lambda x: keras.ops.sum(teacher_nats(sure, x)), logits)
    assert (gradient[:, 3:] == 0).all()


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_a_teacher_has_its_weight_in_the_loss_of_every_output(rng, weight):
    """Two outputs: the loss is the mean over them of CTC and divergence, both in nats a character."""
    batch = Batch(
        frames=np.zeros((2, 16, 4), np.float32),
        frame_counts=np.array([16, 9], np.int32),
        labels=np.array([[1, 2], [2, 0]], np.int32),
        label_counts=np.array([2, 1], np.int32),
        phones=np.array([[3, 1], [1, 0]], np.int32),
        phone_counts=np.array([2, 1], np.int32),
        teacher=np.concatenate([probabilities(rng, 2, 4, 3), probabilities(rng, 2, 4, 5)], axis=-1),
    )
    logits = rng.standard_normal((2, 4, 8)).astype(np.float32)
    outputs = {"symbols": slice(0, 3), "phones": slice(3, 8)}
    targets = pack_targets(batch, ModelConfig(phone_output=True))
    expected = 0.0
    for place, labels in ((slice(0, 3), ((1, 2), (2,))), (slice(3, 8), ((3, 1), (1,)))):
        for row, steps in enumerate((4, 3)):
            expected += (1 - weight) * enumerate_nats(log_softmax(logits[row, :steps, place]), labels[row]) / 2 / 3
        divergence = keras.ops.convert_to_numpy(teacher_nats(batch.teacher[..., place], logits[..., place]))
        expected += weight * divergence.sum() / 2 / 3
    found = BatchLoss(outputs=outputs, teacher_weight=weight)(targets, logits)
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("weight", [0.2, 1.0])
def test_copies_learn_from_each_other_in_every_output(rng, weight):
    """Rows 0 and 1 are copies, as are 2 and 3: the divergence of each from the other is added."""
    batch = Batch(
        frames=np.zeros((4, 16, 4), np.float32),
        frame_counts=np.array([16, 16, 9, 9], np.int32),
        labels=np.array([[1, 2], [1, 2], [2, 0], [2, 0]], np.int32),
        label_counts=np.array([2, 2, 1, 1], np.int32),
        phones=np.array([[3, 1], [3, 1], [1, 0], [1, 0]], np.int32),
        phone_counts=np.array([2, 2, 1, 1], np.int32),
    )
    logits = rng.standard_normal((4, 4, 8)).astype(np.float32)
    outputs = {"symbols": slice(0, 3), "phones": slice(3, 8)}
    targets = pack_targets(batch, ModelConfig(phone_output=True))
    expected = float(BatchLoss(outputs=outputs)(targets, logits))
    for place in outputs.values():
        wanted = np.exp(log_softmax(logits[[1, 0, 3, 2], :, place]))
        divergence = keras.ops.convert_to_numpy(teacher_nats(wanted, logits[..., place]))
        expected += weight * divergence.sum() / 2 / batch.label_counts.sum()
    found = BatchLoss(outputs=outputs, consistency_weight=weight)(targets, logits)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_the_other_copy_is_a_fixed_aim(rng):
    logits = rng.standard_normal((2, 3, 4)).astype(np.float32)
    gradient = input_gradient(lambda x: keras.ops.sum(copy_nats(x)), logits)
    own = np.exp(log_softmax(logits))
    np.testing.assert_allclose(gradient, own - own[::-1], atol=1e-5)


def test_equal_copies_have_no_divergence(rng):
    row = rng.standard_normal((1, 3, 4)).astype(np.float32)
    logits = np.concatenate([row, row])
    assert keras.ops.convert_to_numpy(copy_nats(logits)) == pytest.approx([0, 0], abs=1e-6)
