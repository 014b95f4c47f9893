"""A gradient step on whichever back end the tests run."""

from __future__ import annotations

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest

from asr.acoustic.denominator import Denominator, symbol_ngrams
from asr.acoustic.keras_model import read_weights
from asr.corpus.batching import Batch, collate
from asr.errors import ConfigError
from asr.settings.commands import TrainConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.settings.training import OptimizerConfig, Precision, TrainingConfig
from asr.training.engine import Engine

SYMBOLS = 5
SETTINGS = TrainConfig(
    features=FeatureConfig(mels=8),
    model=ModelConfig(depth=1, units=8, projection=8, channels=2, dropout=0.0),
    optimizer=OptimizerConfig(learning_rate=0.01, warmup_steps=0, clip_norm=1e6, weight_decay=0.0),
)


def utterances(rng: np.random.Generator, count: int) -> tuple[list[np.ndarray], list[list[int]]]:
    frames = [rng.standard_normal((int(length), 8)).astype(np.float32) for length in rng.integers(20, 40, count)]
    return frames, [rng.integers(1, SYMBOLS, size).tolist() for size in rng.integers(1, 5, count)]


def engine(**training) -> Engine:
    return Engine(replace(SETTINGS, training=TrainingConfig(**training)), symbols=SYMBOLS)


@pytest.fixture(scope="module")
def built() -> tuple[Engine, dict[str, np.ndarray]]:
    """An engine of the plain settings, and its first state: a graph takes seconds to trace."""
    one = engine()
    return one, {name: np.array(keras.ops.convert_to_numpy(variable)) for name, variable in one.variables.items()}


@pytest.fixture
def plain(built) -> Engine:
    """The engine of the plain settings, as it was built."""
    one, state = built
    for name, variable in one.variables.items():
        variable.assign(state[name])
    return one


def test_a_step_lowers_the_loss_and_reports_the_one_before(plain, rng):
    batch = collate(*utterances(rng, 4))
    nats = plain.nats(batch, plain.logits(batch))
    first = plain.step(batch)
    assert not first.fault
    assert first.loss == pytest.approx(nats.sum() / batch.label_counts.sum(), rel=1e-4)
    losses = [plain.step(batch).loss for _ in range(20)]
    assert losses[-1] < 0.7 * first.loss


def test_mmi_is_learnt_beside_ctc(rng):
    frames, labels = utterances(rng, 4)
    denominator = Denominator(symbol_ngrams(labels, symbols=SYMBOLS, start=1, order=3), start=1)
    settings = replace(SETTINGS, training=TrainingConfig(mmi_weight=0.8))
    one, batch = Engine(settings, symbols=SYMBOLS, denominators={"symbols": denominator}), collate(frames, labels)
    losses = [one.step(batch).loss for _ in range(20)]
    assert 0 < losses[-1] < 0.7 * losses[0]


def test_accumulated_batches_make_the_step_of_one_large_batch(plain, rng):
    frames, labels = utterances(rng, 6)
    large, small = plain, engine(accumulate=3)
    whole = collate(frames, labels)
    symbols = int(whole.label_counts.sum())
    before = read_weights(small.model)
    losses = []
    for rows in (slice(0, 3), slice(3, 4), slice(4, 6)):
        for name, array in read_weights(small.model).items():
            np.testing.assert_array_equal(array, before[name])
        part = collate(frames[rows], labels[rows])
        losses.append(small.step(part, symbols).loss * int(part.label_counts.sum()))
    assert sum(losses) / symbols == pytest.approx(large.step(whole).loss, rel=1e-4)
    for name, array in read_weights(large.model).items():
        np.testing.assert_allclose(read_weights(small.model)[name], array, atol=2e-4, err_msg=name)


def test_a_batch_that_is_not_finite_changes_nothing_and_the_next_one_is_learnt(plain, rng):
    one, batch = plain, collate(*utterances(rng, 4))
    assert not one.step(batch).fault
    state = {name: keras.ops.convert_to_numpy(variable).copy() for name, variable in one.variables.items()}
    broken = batch.frames.copy()
    broken[1, 3, 2] = np.nan
    assert one.step(replace(batch, frames=broken)).fault
    for name, variable in one.variables.items():
        if variable.name != "step_counter":  # the guard's count of good steps
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), state[name], err_msg=name)
    assert not one.step(batch).fault


def test_a_label_without_a_path_is_refused_by_the_guard(plain, rng):
    impossible = Batch(
        rng.standard_normal((2, 16, 8)).astype(np.float32),
        np.array([16, 16], np.int32),
        np.array([[1, 2, 3, 4, 1, 2], [1, 0, 0, 0, 0, 0]], np.int32),
        np.array([6, 1], np.int32),
    )
    before = read_weights(plain.model)
    assert plain.step(impossible).fault
    for name, array in read_weights(plain.model).items():
        np.testing.assert_array_equal(array, before[name])


def half_precision(precision: Precision) -> Engine:
    try:
        return engine(precision=precision)
    except ConfigError as error:
        pytest.skip(str(error))


def test_bfloat16_learns_like_float32_and_keeps_float32_weights(plain, rng):
    half, exact, batch = half_precision(Precision.bfloat16), plain, collate(*utterances(rng, 4))
    for _ in range(10):
        assert half.step(batch).loss == pytest.approx(exact.step(batch).loss, rel=0.05)
    assert {weight.dtype for weight in half.model.trainable_weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_float16_finds_its_scale_without_calling_it_a_fault(rng):
    half, batch = half_precision(Precision.float16), collate(*utterances(rng, 4))
    steps = [half.step(batch) for _ in range(30)]
    assert not any(step.fault for step in steps)
    assert steps[-1].loss < 0.7 * steps[0].loss


def test_first_weights_do_not_depend_on_the_back_end():
    weights = read_weights(engine(seed=3).model)
    found = [float(weights[name].ravel()[0]) for name in ("convolution_1/kernel", "recurrent_1/recurrent_kernel")]
    assert found == pytest.approx([-0.39444, 0.10377], abs=1e-5)


def test_averaged_weights_follow_the_weights_and_leave_them_alone(rng):
    one, batch = Engine(SETTINGS, symbols=SYMBOLS, average_steps=4), collate(*utterances(rng, 4))
    expected = read_weights(one.model)
    for step in range(1, 30):
        one.step(batch)
        share = max(1 / 4, 9 / (10 + step))
        expected = {
            name: expected[name] + share * (array - expected[name]) for name, array in read_weights(one.model).items()
        }
    weights = read_weights(one.model)
    with one.averaged():
        for name, array in read_weights(one.model).items():
            np.testing.assert_allclose(array, expected[name], atol=1e-5, err_msg=name)
    for name, array in read_weights(one.model).items():
        np.testing.assert_array_equal(array, weights[name])


def test_an_average_of_many_steps_takes_some_of_them(rng):
    one, batch = Engine(SETTINGS, symbols=SYMBOLS, average_steps=65), collate(*utterances(rng, 4))
    expected = read_weights(one.model)
    for step in range(1, 10):
        one.step(batch)
        if step % 3 == 0:
            share = max(3 / 65, 9 / (10 + step // 3))
            for name, array in read_weights(one.model).items():
                expected[name] = expected[name] + share * (array - expected[name])
    with one.averaged():
        for name, array in read_weights(one.model).items():
            np.testing.assert_allclose(array, expected[name], atol=1e-5, err_msg=name)


def test_averages_wait_for_the_step_that_several_batches_make(rng):
    one = Engine(replace(SETTINGS, training=TrainingConfig(accumulate=2)), symbols=SYMBOLS, average_steps=4)
    batch = collate(*utterances(rng, 4))
    symbols = 2 * int(batch.label_counts.sum())
    averages = []
    for _ in range(4):
        one.step(batch, symbols)
        averages.append(
            [keras.ops.convert_to_numpy(value).copy() for name, value in one.variables.items() if "average" in name]
        )
    changed = [
        any((left != right).any() for left, right in zip(*pair, strict=True)) for pair in itertools.pairwise(averages)
    ]
    assert changed == [True, False, True]


def test_without_averages_the_weights_are_those_of_the_last_step(plain, rng):
    one = plain
    one.step(collate(*utterances(rng, 4)))
    weights = read_weights(one.model)
    with one.averaged():
        for name, array in read_weights(one.model).items():
            np.testing.assert_array_equal(array, weights[name])


def test_the_rate_that_is_set_is_the_rate_of_the_step(plain, rng):
    still, batch = plain, collate(*utterances(rng, 4))
    still.learning_rate = 0.0
    before = read_weights(still.model)
    still.step(batch)
    for name, array in read_weights(still.model).items():
        np.testing.assert_array_equal(array, before[name])
    still.learning_rate = 0.01
    assert still.learning_rate == pytest.approx(0.01)
    still.step(batch)
    assert any((array != before[name]).any() for name, array in read_weights(still.model).items())


def test_the_norm_of_the_gradient_is_that_before_clipping(plain, rng):
    """After one step, Adam's first moment is a tenth of the gradient that it was given: here, the whole one."""
    batch = collate(*utterances(rng, 4))
    norm = plain.step(batch).gradient_norm
    moments = [keras.ops.convert_to_numpy(one) for one in plain._adam._momentums]
    assert norm == pytest.approx(10 * np.sqrt(sum((one.astype(float) ** 2).sum() for one in moments)), rel=1e-3)
    clipped = Engine(replace(SETTINGS, optimizer=replace(SETTINGS.optimizer, clip_norm=norm / 100)), symbols=SYMBOLS)
    assert clipped.step(batch).gradient_norm == pytest.approx(norm, rel=1e-3)
