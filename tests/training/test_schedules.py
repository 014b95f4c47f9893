from __future__ import annotations

import itertools
from pathlib import Path

import keras
import pytest

from asr.settings.tagger import TaggerTrainingConfig
from asr.settings.training import OptimizerConfig, Schedule
from asr.training.epoch_record import EpochRecord
from asr.training.schedules import LearningRates, plateau_scale, warmup_length
from asr.training.text_run import TextTraining


def rates(steps: int, **settings) -> list[float]:
    schedule = LearningRates(OptimizerConfig(learning_rate=2.0, **settings), steps)
    return [schedule(step) for step in range(steps)]


def falls(values: list[float]) -> bool:
    return all(left >= right for left, right in itertools.pairwise(values))


def test_cosine_rises_then_falls_to_its_last_share():
    found = rates(200, warmup_steps=10, final_share=0.1)
    assert found[:10] == pytest.approx([0.2 * step for step in range(1, 11)])
    assert found[-1] == pytest.approx(0.2)
    assert falls(found[9:])
    assert found[10] < found[9]


def test_the_warm_up_is_at_most_a_tenth_of_the_training():
    found = rates(50, warmup_steps=1000)
    assert found[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])


@pytest.mark.parametrize(
    ("steps", "wanted", "length"), [(31, 200, 3), (31, 2, 2), (5, 200, 1), (0, 200, 1), (10_000, 200, 200), (100, 0, 1)]
)
def test_a_warm_up_has_at_least_one_step(steps, wanted, length):
    assert warmup_length(wanted, steps) == length


class Untrained(TextTraining):
    """A training over text without texts."""

    def _plan(self, epoch):
        return ()

    def _measure(self):
        return 0.0, {}

    def _report(self, lines):
        pass


def text_training(run_dir: Path, **changes) -> Untrained:
    def build() -> keras.Model:
        return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    training = TaggerTrainingConfig(**({"learning_rate": 2.0} | changes))
    return Untrained(run_dir, training, build=build, loss=lambda target, output: 0.0, steps=31, lowest_rate=0.01)


def test_a_short_training_over_text_reaches_its_rate(tmp_path):
    training, rates = text_training(tmp_path), []
    for step in range(31):
        training.progress.batches = step
        rates.append(training._rate())
    assert rates[:3] == pytest.approx([2 / 3, 4 / 3, 2.0], rel=0.02)
    assert falls(rates[2:])
    assert rates[-1] == pytest.approx(0.02, rel=0.1)


def test_the_warm_up_of_a_timed_training_ends_at_a_tenth_of_its_time(tmp_path):
    """There may be fewer steps than those of the warm-up: its slope is that of the time or of the steps."""
    training = text_training(tmp_path, minutes=10)
    rates = []
    for step, seconds in enumerate((0, 30, 60, 61, 300, 600)):
        training.progress.batches, training.progress.seconds = step, seconds
        rates.append(training._rate())
    assert rates[0] == pytest.approx(2 / 200)
    assert rates[1:4] == pytest.approx([1.0, 2.0, 2.0], rel=0.03)
    assert rates[4:] == pytest.approx([1.0, 0.02], rel=0.01)
    training.progress.batches, training.progress.seconds = 200, 6  # many quick steps: by their number
    assert training._rate() == pytest.approx(2.0, rel=0.01)


def test_one_cycle_is_up_for_three_tenths_and_down_for_the_rest():
    found = rates(100, schedule=Schedule.one_cycle, final_share=0.001)
    assert found[0] == pytest.approx(0.08, rel=0.1)
    assert found.index(max(found)) == 29
    assert max(found) == pytest.approx(2.0)
    assert falls(found[29:])
    assert found[-1] == pytest.approx(0.002)


def test_constant_stays_after_the_warm_up():
    assert set(rates(100, schedule=Schedule.constant, warmup_steps=5)[5:]) == {2.0}


def record(cer: float | None, *, validated: bool = True) -> EpochRecord:
    return EpochRecord(
        epoch=1, train_loss=1.0, valid_loss=1.0 if validated else None, valid_cer=cer, learning_rate=1e-3, batches=1,
        utterances=1, left_out=0, skipped_batches=0, padding_share=0.0, train_seconds=1.0, input_wait_share=0.0,
    )  # fmt: skip


def test_plateau_falls_when_validation_no_longer_improves():
    settings = OptimizerConfig(schedule=Schedule.plateau, plateau_epochs=2, plateau_factor=0.1, final_share=0.05)
    history = [record(cer) for cer in (0.9, 0.5, 0.5, 0.6, 0.4, 0.5, 0.5, 0.5, 0.5)]
    scales = [plateau_scale(history[:count], settings) for count in range(len(history) + 1)]
    assert scales == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05])
    assert LearningRates(settings, 100)(50, 0.1) == pytest.approx(1e-4)


def test_epochs_without_validation_do_not_count_as_a_plateau():
    settings = OptimizerConfig(schedule=Schedule.plateau, plateau_epochs=2)
    history = [record(0.5), record(None, validated=False), record(None, validated=False), record(0.6)]
    assert plateau_scale(history, settings) == 1


def test_any_schedule_can_be_of_a_single_step():
    for schedule in Schedule:
        assert 0 < LearningRates(OptimizerConfig(schedule=schedule), 1)(0) <= 1e-3
