from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.corpus.batching import (
    LengthCounts,
    Shape,
    choose_buckets,
    collate,
    count_batches,
    make_buckets,
    padding_share,
    plan_epoch,
)
from asr.settings.training import TrainingConfig

COUNTS = st.lists(st.integers(1, 3000), min_size=1, max_size=200)


def buckets_for(counts, settings: TrainingConfig) -> list[Shape]:
    lengths = LengthCounts.of(counts, [9] * len(counts))
    return choose_buckets([lengths], frames_per_second=100, settings=settings)


@given(COUNTS, st.integers(1, 20), st.floats(1, 100), st.integers(1, 12), st.integers(0, 3))
def test_every_utterance_is_in_exactly_one_batch_that_holds_it(counts, batch_size, batch_seconds, buckets, epoch):
    settings = TrainingConfig(batch_size=batch_size, batch_seconds=batch_seconds, buckets=buckets)
    shapes = buckets_for(counts, settings)
    assert len(shapes) <= buckets
    batches = plan_epoch(counts, shapes, epoch, settings)
    assert sorted(index for batch in batches for index in batch.indices) == list(range(len(counts)))
    for batch in batches:
        assert len(batch.indices) <= batch.shape.rows <= batch_size
        assert max(counts[index] for index in batch.indices) <= batch.shape.frames
        assert batch.shape.rows == 1 or batch.shape.rows * batch.shape.frames <= 100 * batch_seconds
    assert sum(len(batch.indices) < batch.shape.rows for batch in batches) <= 1
    assert count_batches(LengthCounts.of(counts, counts), shapes) == len(batches)


@given(COUNTS, COUNTS)
def test_lengths_counted_apart_add_up_to_those_counted_together(first, second):
    symbols = [count % 7 for count in first + second]
    apart = LengthCounts.of(first, symbols[: len(first)]) + LengthCounts.of(second, symbols[len(first) :])
    together = LengthCounts.of(first + second, symbols)
    for name in ("frames", "utterances", "symbols"):
        np.testing.assert_array_equal(getattr(apart, name), getattr(together, name))
    by_length: dict[int, list[int]] = {}
    for count, length in zip(first + second, symbols, strict=True):
        by_length.setdefault(count, []).append(length)
    assert together.frames.tolist() == sorted(by_length)
    assert together.utterances.tolist() == [len(by_length[count]) for count in sorted(by_length)]
    assert together.symbols.tolist() == [max(by_length[count]) for count in sorted(by_length)]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 4))
def test_the_bounds_of_buckets_need_the_least_padding(counts, number):
    """Against every choice of bounds."""
    pooled = LengthCounts.of(counts, [9] * len(counts))
    shapes = make_buckets(pooled, pooled, np.ones(len(pooled.frames), np.int64), number)
    lengths = sorted(set(counts))

    def padded(bounds) -> int:
        return sum(min(bound for bound in bounds if bound >= count) for count in counts)

    best = min(
        padded((*some, lengths[-1]))
        for size in range(min(number, len(lengths)))
        for some in combinations(lengths[:-1], size)
    )
    assert padded([shape.frames - 2 for shape in shapes]) == best


def test_epochs_differ_and_each_is_repeatable():
    counts = np.random.default_rng(0).integers(100, 1000, 500)
    settings = TrainingConfig(batch_size=8)
    shapes = buckets_for(counts, settings)
    assert plan_epoch(counts, shapes, 3, settings) == plan_epoch(counts, shapes, 3, settings)
    assert plan_epoch(counts, shapes, 3, settings) != plan_epoch(counts, shapes, 4, settings)
    assert plan_epoch(counts, shapes, 3, settings) != plan_epoch(
        counts, shapes, 3, TrainingConfig(batch_size=8, seed=2)
    )
    companies = [{frozenset(batch.indices) for batch in plan_epoch(counts, shapes, one, settings)} for one in (3, 4)]
    assert companies[0] != companies[1]


@pytest.mark.parametrize(
    ("epoch", "sorted_first_epoch", "ascends"), [(0, True, True), (1, True, False), (2, True, False), (0, False, False)]
)
def test_the_first_epoch_alone_runs_from_short_to_long(epoch, sorted_first_epoch, ascends):
    counts = np.random.default_rng(0).integers(100, 1000, 500)
    settings = TrainingConfig(batch_size=8, sorted_first_epoch=sorted_first_epoch)
    batches = plan_epoch(counts, buckets_for(counts, settings), epoch, settings)
    longest = [counts[list(batch.indices)].max() for batch in batches]
    correlation = np.corrcoef(longest, np.arange(len(longest)))[0, 1]
    assert correlation > 0.99 if ascends else abs(correlation) < 0.4


def test_few_shapes_hold_little_padding():
    counts = np.random.default_rng(0).integers(100, 1500, 5000)
    settings = TrainingConfig()
    shapes = buckets_for(counts, settings)
    assert len(shapes) == settings.buckets
    assert padding_share(plan_epoch(counts, shapes, 2, settings), counts) < 0.1


def test_batches_of_much_data_have_as_many_rows_as_the_settings_allow():
    counts = np.random.default_rng(0).integers(100, 490, 5000)
    assert {shape.rows for shape in buckets_for(counts, TrainingConfig(batch_size=32))} == {32}


def test_utterances_of_one_length_share_a_shape_without_padding():
    (shape,) = buckets_for([300] * 8, TrainingConfig(batch_size=4))
    assert (shape.rows, shape.frames) == (4, 302)


def drawn_seconds(name: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """Lengths as corpora have them."""
    if name == "commands and digits":
        return rng.uniform(1, 6, count)
    if name == "dictation":
        return rng.uniform(2, 16, count)
    if name == "read sentences":
        return rng.normal(5, 1.5, count).clip(1, 12)
    if name == "audio books":
        return np.where(rng.random(count) < 0.7, rng.uniform(12, 16.5, count), rng.uniform(1.5, 12, count))
    if name == "conversation":
        return rng.lognormal(np.log(4), 0.6, count).clip(0.5, 30)
    return np.where(rng.random(count) < 0.5, rng.normal(2, 0.3, count).clip(1), rng.normal(15, 2, count))


@pytest.mark.parametrize("count", [20, 21, 23, 38, 60, 100, 250, 700, 2000])
@pytest.mark.parametrize("batch_size", [8, 16, 32])
def test_little_of_any_corpus_of_20_utterances_is_padding(count, batch_size):
    """At three speeds, as augmentation draws them, in every one of ten epochs; with no more shapes than allowed."""
    settings = TrainingConfig(batch_size=batch_size, epochs=10)
    kinds = ("commands and digits", "dictation", "read sentences", "audio books", "conversation", "two kinds")
    for number, kind in enumerate(kinds):
        rng = np.random.default_rng([count, number])
        seconds = drawn_seconds(kind, count, rng)
        epochs = [(100 * seconds * rng.choice([1 / 0.9, 1, 1 / 1.1], count)).astype(int) for _ in range(10)]
        counted = [LengthCounts.of(one, one // 8) for one in epochs]
        shapes = choose_buckets(counted, frames_per_second=100, settings=settings)
        assert len(shapes) <= settings.buckets
        for epoch, lengths in enumerate(epochs):
            batches = plan_epoch(lengths, shapes, epoch, settings)
            assert padding_share(batches, lengths) < 0.1, (kind, epoch)


def test_fewer_than_20_utterances_share_few_shapes():
    counts = np.arange(100, 119)
    assert [len(buckets_for(counts, TrainingConfig(batch_size=rows))) for rows in (3, 8, 16)] == [3, 1, 1]
    assert {shape.rows for shape in buckets_for(counts, TrainingConfig(batch_size=3))} == {3}


def test_one_shape_alone_does_not_end_in_batches_of_one_row():
    """Where no number of rows makes the padding small, the rows that were asked for stay."""
    counts = np.random.default_rng(0).integers(100, 1600, 400)
    (shape,) = buckets_for(counts, TrainingConfig(batch_size=8, buckets=1))
    assert shape.rows == 8


def test_rows_are_shared_evenly_by_devices():
    counts = np.random.default_rng(0).integers(100, 1500, 500)
    shapes = buckets_for(counts, TrainingConfig(batch_size=9, devices=2))
    assert {shape.rows % 2 for shape in shapes} == {0}


def test_padding_is_zero_and_lengths_are_true():
    batch = collate([np.ones((2, 3), np.float32), np.ones((5, 3), np.float32)], [[1, 2], []])
    assert batch.frames.shape == (2, 5, 3)
    assert batch.frames[0, 2:].sum() == 0
    assert batch.frame_counts.tolist() == [2, 5]
    assert batch.label_counts.tolist() == [2, 0]
    assert batch.labels.tolist() == [[1, 2], [0, 0]]


@pytest.mark.parametrize(("shape", "wanted"), [(Shape(3, 6, 4), (3, 6, 4)), (Shape(1, 2, 1), (2, 5, 2))])
def test_a_batch_is_filled_up_to_its_shape_and_never_cut(shape, wanted):
    frames = [np.ones((2, 3), np.float32), np.ones((5, 3), np.float32)]
    batch = collate(frames, [[1, 2], [3]], shape)
    assert (*batch.frames.shape[:2], batch.labels.shape[1]) == wanted
    assert batch.frames.sum() == 21
    assert batch.frame_counts.tolist() == [2, 5, 0][: wanted[0]]
