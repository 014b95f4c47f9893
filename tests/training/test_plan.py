"""The plan of a training: the same as ever for a seed, and no larger for more epochs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from asr.audio.augment import Augmenter
from asr.audio.features import LogMel
from asr.corpus.batching import LengthCounts, make_buckets, plan_epoch
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

# Digests of every epoch's batches and of the symbols of every step, as version 0.1.0 planned them all ahead. A change
# here ends every run that is under way.
FIXED = {
    "plain": (
        AugmentConfig(speeds=[1.0]),
        TrainingConfig(epochs=3, batch_size=4, seed=1),
        40,
        [10, 10, 10],
        ["b55173991d2b717b", "bc2af0982b6d73cc", "bf465801cd56e18e"],
        "2ec43ce91df4b936",
    ),
    "speeds": (
        AugmentConfig(speeds=[0.9, 1.0, 1.1], speed_probability=0.6),
        TrainingConfig(epochs=4, batch_size=8, batch_seconds=60, seed=2, accumulate=3),
        300,
        [57, 57, 57, 57],
        ["ecd8e01a4dd95230", "df7fe2545a19cac8", "69e9b415ac899dfb", "2a1a6e5fe8fb1eb3"],
        "aa83c0a974e6736a",
    ),
    "joined": (
        AugmentConfig(speeds=[0.8, 0.9, 1.0, 1.1, 1.2], join_probability=0.5, join_seconds=20),
        TrainingConfig(
            epochs=5, batch_size=16, batch_seconds=100, buckets=6, seed=7, accumulate=4, sorted_first_epoch=False
        ),
        500,
        [71, 72, 72, 73, 73],
        ["92bba6b03760e213", "6aec531058da6ac8", "1d5a322a77236522", "84495fe8889ee516", "e8d9edd421db2f5a"],
        "65b471c0f935c286",
    ),
    "devices": (
        AugmentConfig(speeds=[1.1, 1.2], join_probability=1.0),
        TrainingConfig(epochs=2, batch_size=6, batch_seconds=30, buckets=3, seed=123456, accumulate=2, devices=2),
        90,
        [45, 45],
        ["4b37441e96bdbd5e", "5852304c7555b877"],
        "400907ef1a3a58a1",
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
def test_plans_are_those_of_the_first_version(name):
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


@pytest.mark.parametrize("first", [0, 1, 70, 71, 72, 200, 360, 361])
def test_a_training_can_go_on_from_any_batch(first):
    augment, settings, utterances, *_ = FIXED["joined"]
    source = examples(utterances, augment, settings.seed)
    plan = TrainingPlan(source, epochs=settings.epochs, frames_per_second=100, settings=settings)
    assert plan.total == 361
    whole = [(epoch, one) for epoch in range(settings.epochs) for one in plan.epoch(epoch)]
    fresh = TrainingPlan(source, epochs=settings.epochs, frames_per_second=100, settings=settings)
    assert list(fresh.batches_from(first)) == whole[first:]


def test_the_last_step_may_have_fewer_batches_than_the_others():
    augment, settings, utterances, *_ = FIXED["joined"]
    source = examples(utterances, augment, settings.seed)
    plan = TrainingPlan(source, epochs=settings.epochs, frames_per_second=100, settings=settings)
    assert plan.steps == 90  # full ones, of 361 batches in fours
    (last,) = list(plan.batches_from(360))
    assert plan.step_symbols(90) == source.symbol_counts(4)[list(last[1].indices)].sum()


def test_the_buckets_are_those_of_all_epochs():
    augment, settings, utterances, *_ = FIXED["joined"]
    source = examples(utterances, augment, settings.seed)
    plan = TrainingPlan(source, epochs=settings.epochs, frames_per_second=100, settings=settings)
    lengths = LengthCounts.of(
        np.concatenate([source.frame_counts(epoch) for epoch in range(settings.epochs)]),
        np.concatenate([source.symbol_counts(epoch) for epoch in range(settings.epochs)]),
    )
    buckets = make_buckets(lengths, utterances=utterances, frames_per_second=100, settings=settings)
    assert plan.buckets == buckets
    assert plan.epoch(3) == plan_epoch(source.frame_counts(3), buckets, 3, settings)


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
