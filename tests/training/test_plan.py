"""The plan of a training: the same as ever for a seed, and no larger for more epochs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from asr.audio.augment import Augmenter
from asr.audio.features import LogMel
from asr.corpus.batching import LengthCounts, choose_buckets, plan_epoch
from asr.corpus.manifest import Utterance
from asr.settings.augment import AugmentConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.settings.training import TrainingConfig
from asr.text.alphabet import Alphabet
from asr.training.examples import Examples
from asr.training.plan import TrainingPlan

ALPHABET = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")
FEATURES = FeatureConfig(mels=8)

# Digests of every epoch's batches and of the symbols of every step, so that a change of the plan is not
# made by accident: it ends every run that is under way.
FIXED = {
    "plain": (
        AugmentConfig(speeds=[1.0]),
        TrainingConfig(epochs=3, batch_size=4, seed=1),
        40,
        [10, 10, 10],
        ["53c2f87211489f18", "c9f042652e4071ac", "f5a4f539d3e1dae5"],
        "cd6790f2d01f6841",
    ),
    "speeds": (
        AugmentConfig(speeds=[0.9, 1.0, 1.1], speed_probability=0.6),
        TrainingConfig(epochs=4, batch_size=8, batch_seconds=60, seed=2, accumulate=3),
        300,
        [55, 55, 55, 56],
        ["670677f57dd7ec60", "fd2b49e775746bfb", "8d91826e3fc4ecb3", "bdcff60fa5f15c34"],
        "f3aab34d8285984d",
    ),
    "joined": (
        AugmentConfig(speeds=[0.8, 0.9, 1.0, 1.1, 1.2], join_probability=0.5, join_seconds=20),
        TrainingConfig(
            epochs=5, batch_size=16, batch_seconds=100, buckets=6, seed=7, accumulate=4, sorted_first_epoch=False
        ),
        500,
        [73, 73, 75, 75, 75],
        ["44b3dcf0e67ac934", "dc0d9e8c3f1c2219", "42e5cd1c0cc439b0", "b6435ddd64273bdb", "972069efdbadd329"],
        "a92265c7a713fbb5",
    ),
    "devices": (
        AugmentConfig(speeds=[1.1, 1.2], join_probability=1.0),
        TrainingConfig(epochs=2, batch_size=6, batch_seconds=30, buckets=3, seed=123456, accumulate=2, devices=2),
        90,
        [45, 45],
        ["fdecf81d53ce9705", "ede615feff9b2389"],
        "a40d8a5cb7f14a1e",
    ),
}


def made_up_utterances(count: int, seed: int) -> list[Utterance]:
    """Of 0.5 to 16 s, with texts of random letters, some of which fit at low speeds only."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        seconds = round(float(rng.uniform(0.5, 16)), 3)
        letters = rng.integers(1, len(ALPHABET.symbols), size=max(1, int(seconds * rng.uniform(5, 17))))
        text = "".join(ALPHABET.symbols[one] for one in letters)
        words = [text[start : start + 5] for start in range(0, len(text), 5)]
        found.append(
            Utterance(
                id=str(number),
                audio_path=Path(f"{number}.wav"),
                text=" ".join(words),
                duration=seconds,
                speaker=None,
                where=f"made:{number}",
            )
        )
    return found


def examples(count: int, augment: AugmentConfig, seed: int) -> Examples:
    return Examples(
        made_up_utterances(count, seed),
        ALPHABET,
        LogMel.from_librosa(FEATURES),
        ModelConfig(),
        augmenter=Augmenter(augment, FEATURES.sample_rate),
        seed=seed,
    )


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", FIXED)
def test_plans_stay_as_they_are(name):
    augment, settings, utterances, counts, epochs, steps = FIXED[name]
    source = examples(utterances, augment, settings.seed)
    plan = TrainingPlan(source, epochs=settings.epochs, frames_per_second=100, settings=settings)
    assert [plan.batches_in(epoch) for epoch in range(settings.epochs)] == counts
    planned: list[list[object]] = [[] for _ in counts]
    for epoch, one in plan.batches_from(0):
        planned[epoch].append([list(one.indices), one.shape.rows, one.shape.frames, one.shape.symbols])
    assert [digest(rows) for rows in planned] == epochs
    number_of_steps = -(-plan.total // settings.accumulate)
    assert digest([plan.step_symbols(step) for step in range(number_of_steps)]) == steps


@pytest.mark.parametrize("first", [0, 1, 72, 73, 74, 200, 370, 371])
def test_a_training_can_go_on_from_any_batch(first):
    augment, settings, utterances, *_ = FIXED["joined"]
    source = examples(utterances, augment, settings.seed)
    plan = TrainingPlan(source, epochs=settings.epochs, frames_per_second=100, settings=settings)
    assert plan.total == 371
    whole = [(epoch, one) for epoch in range(settings.epochs) for one in plan.epoch(epoch)]
    fresh = TrainingPlan(source, epochs=settings.epochs, frames_per_second=100, settings=settings)
    assert list(fresh.batches_from(first)) == whole[first:]


def test_the_last_step_may_have_fewer_batches_than_the_others():
    augment, settings, utterances, *_ = FIXED["joined"]
    source = examples(utterances, augment, settings.seed)
    plan = TrainingPlan(source, epochs=settings.epochs, frames_per_second=100, settings=settings)
    assert plan.steps == 92  # full ones, of 371 batches in fours
    last = list(plan.batches_from(368))
    assert len(last) == 3
    counts = source.symbol_counts(4)
    assert plan.step_symbols(92) == sum(counts[list(one.indices)].sum() for _, one in last)


def test_the_buckets_are_those_of_all_epochs():
    augment, settings, utterances, *_ = FIXED["joined"]
    source = examples(utterances, augment, settings.seed)
    plan = TrainingPlan(source, epochs=settings.epochs, frames_per_second=100, settings=settings)
    epochs = [
        LengthCounts.of(source.frame_counts(epoch), source.symbol_counts(epoch)) for epoch in range(settings.epochs)
    ]
    buckets = choose_buckets(epochs, frames_per_second=100, settings=settings)
    assert plan.buckets == buckets
    assert plan.epoch(3) == plan_epoch(source.frame_counts(3), buckets, 3, settings)


@pytest.mark.parametrize("utterances", [20, 38, 150])
@pytest.mark.parametrize("join", [0.0, 0.15, 0.5])
def test_little_of_a_small_corpus_is_padding_in_any_epoch(utterances, join):
    """Whether utterances are joined, which makes the longest of an epoch much longer than those of others, or not."""
    source = examples(utterances, AugmentConfig(join_probability=join), seed=3)
    plan = TrainingPlan(
        source, epochs=20, frames_per_second=100, settings=TrainingConfig(epochs=20, batch_size=16, buckets=20)
    )
    for epoch in range(20):
        assert plan.padding_share(epoch, fixed_shapes=False) <= plan.padding_share(epoch, fixed_shapes=True) < 0.1
    shapes = {one.shape for epoch in range(20) for one in plan.epoch(epoch)}
    assert len(shapes) <= 20


def test_a_plan_of_later_epochs_numbers_on_and_needs_none_of_the_earlier():
    augment, settings, utterances, *_ = FIXED["joined"]
    source = examples(utterances, augment, settings.seed)

    class LaterOnly:
        def frame_counts(self, epoch: int) -> np.ndarray:
            assert epoch >= 3
            return source.frame_counts(epoch)

        def symbol_counts(self, epoch: int) -> np.ndarray:
            return source.symbol_counts(epoch)

    plan = TrainingPlan(LaterOnly(), epochs=5, frames_per_second=100, settings=settings, first_epoch=3, first_batch=221)
    assert plan.batches_before(3) == 221
    batches = list(plan.batches_from(221))
    assert {epoch for epoch, _ in batches} == {3, 4}
    assert len(batches) == plan.total - 221 == plan.batches_in(3) + plan.batches_in(4)
    assert [one for _, one in batches] == plan.epoch(3) + plan.epoch(4)
    assert list(plan.batches_from(250)) == batches[29:]
    steps = range(221 // settings.accumulate, -(-plan.total // settings.accumulate))
    assert sum(map(plan.step_symbols, steps)) == sum(source.symbol_counts(epoch).sum() for epoch in (3, 4))


class RandomLengths:
    """Lengths that are drawn anew in every epoch."""

    def __init__(self, utterances: int) -> None:
        self._utterances = utterances

    def frame_counts(self, epoch: int) -> np.ndarray:
        return np.random.default_rng(epoch).integers(100, 1600, self._utterances)

    def symbol_counts(self, epoch: int) -> np.ndarray:
        return self.frame_counts(epoch) // 8


def test_memory_does_not_grow_with_the_epochs():
    import tracemalloc

    def peak(epochs: int) -> int:
        tracemalloc.start()
        try:
            settings = TrainingConfig(epochs=epochs)
            plan = TrainingPlan(RandomLengths(10_000), epochs=epochs, frames_per_second=100, settings=settings)
            for epoch in range(epochs):
                assert len(plan.epoch(epoch)) == plan.batches_in(epoch)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)  # what is kept for good is made once
    two, thirty = peak(2), peak(30)
    # Plans of 28 more epochs would hold a number of 8 bytes at least for each of 10,000 utterances.
    assert thirty - two < 28 * 10_000 * 8 / 2
