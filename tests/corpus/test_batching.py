from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.config import TrainingConfig
from asr.corpus.batching import collate, plan_batches, plan_epoch

SECONDS = st.lists(st.floats(0.1, 40), min_size=1, max_size=200)


@given(SECONDS, st.integers(1, 20), st.floats(1, 100))
def test_every_utterance_is_in_exactly_one_batch_within_the_bounds(seconds, batch_size, batch_seconds):
    settings = TrainingConfig(batch_size=batch_size, batch_seconds=batch_seconds)
    batches = plan_batches(seconds, settings)
    assert sorted(index for batch in batches for index in batch) == list(range(len(seconds)))
    for batch in batches:
        assert len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * max(seconds[index] for index in batch) <= batch_seconds


@given(SECONDS, st.integers(0, 5))
def test_an_epoch_holds_every_utterance_once(seconds, epoch):
    batches = plan_epoch(seconds, epoch, TrainingConfig())
    assert sorted(index for batch in batches for index in batch) == list(range(len(seconds)))


def test_epochs_differ_and_each_is_repeatable():
    seconds = np.random.default_rng(0).uniform(1, 10, 500).tolist()
    settings = TrainingConfig(batch_size=8)
    assert plan_epoch(seconds, 3, settings) == plan_epoch(seconds, 3, settings)
    assert plan_epoch(seconds, 3, settings) != plan_epoch(seconds, 4, settings)
    assert plan_epoch(seconds, 3, settings) != plan_epoch(seconds, 3, TrainingConfig(batch_size=8, seed=2))
    companies = [{frozenset(batch) for batch in plan_epoch(seconds, epoch, settings)} for epoch in (3, 4)]
    assert companies[0] != companies[1]


def test_the_first_epoch_runs_from_short_to_long():
    seconds = np.random.default_rng(0).uniform(1, 10, 500)
    longest = [seconds[batch].max() for batch in plan_epoch(seconds.tolist(), 0, TrainingConfig(batch_size=8))]
    assert np.corrcoef(longest, np.arange(len(longest)))[0, 1] > 0.99


def test_padding_is_zero_and_lengths_are_true():
    batch = collate([np.ones((2, 3), np.float32), np.ones((5, 3), np.float32)], [[1, 2], []])
    assert batch.frames.shape == (2, 5, 3)
    assert batch.frames[0, 2:].sum() == 0
    assert batch.frame_counts.tolist() == [2, 5]
    assert batch.label_counts.tolist() == [2, 0]
    assert batch.labels.tolist() == [[1, 2], [0, 0]]


def test_batches_of_similar_length_hold_little_padding():
    seconds = np.random.default_rng(0).uniform(1, 15, 1000)
    batches = plan_epoch(seconds.tolist(), 2, TrainingConfig())
    padded = sum(len(batch) * seconds[batch].max() for batch in batches)
    assert padded / seconds.sum() == pytest.approx(1.06, abs=0.06)
