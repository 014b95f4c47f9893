from __future__ import annotations

import itertools

import pytest

from asr.settings.training import OptimizerConfig, Schedule
from asr.training.epoch_record import EpochRecord
from asr.training.schedules import LearningRates, plateau_scale


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
