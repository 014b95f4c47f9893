"""Studies: what is drawn, what is kept in a file, what is stopped early."""

from __future__ import annotations

import pytest

from asr.errors import ConfigError
from asr.tuning.study import Choices, Interval, Pruning, Study, best_attempts, report
from asr.tuning.study_plot import draw_study

SPACE = {
    "rate": Interval(1e-4, 1e-1, log=True),
    "depth": Interval(1, 3, whole=True),
    "cell": Choices(("lstm", "gru")),
}


def study(file=None, **other):
    return Study(SPACE, seed=1, startup=4, file=file, pruning=Pruning(1, 0), **other)


def cost(values) -> float:
    return abs(values["depth"] - 2) + (values["cell"] == "gru") + values["rate"]


def test_values_lie_in_the_space_and_the_best_come_first():
    made = study()
    for _ in range(20):
        draw = made.ask()
        assert 1e-4 <= draw.values["rate"] <= 1e-1
        assert draw.values["depth"] in (1, 2, 3)
        assert draw.values["cell"] in ("lstm", "gru")
        made.tell(draw.number, cost(draw.values))
    best = best_attempts(made.attempts())
    assert [one.value for one in best] == sorted(cost(one.values) for one in made.attempts())
    assert (best[0].values["depth"], best[0].values["cell"]) == (2, "lstm")


def test_the_first_trial_has_the_given_initial_values():
    made = study()
    made.begin_with({"rate": 0.01, "depth": 3, "cell": "gru"})
    assert made.ask().values == {"rate": 0.01, "depth": 3, "cell": "gru"}


def test_a_study_in_a_file_goes_on_with_the_trial_that_was_begun(tmp_path):
    first = study(tmp_path / "study.journal", settings=["a=1"])
    done, begun = first.ask(), first.ask()
    first.tell(done.number, 0.5)
    again = study(tmp_path / "study.journal", settings=["a=1"])
    assert [one.value for one in again.attempts()] == [0.5]
    assert again.unfinished() == [begun]
    again.tell(begun.number, None)
    assert again.unfinished() == []
    third = again.ask()
    assert third.number == 2
    assert third.values not in (done.values, begun.values)


def test_a_file_of_another_study_is_refused(tmp_path):
    study(tmp_path / "study.journal", settings=["a=1"])
    with pytest.raises(ConfigError, match="holds a study of other settings"):
        study(tmp_path / "study.journal", settings=["a=2"])
    with pytest.raises(ConfigError, match="holds a study of other settings"):
        Study({"b": Interval(0, 1)}, seed=1, startup=1, file=tmp_path / "study.journal", settings=["a=1"])


def test_a_trial_that_is_worse_than_the_median_is_stopped_and_one_that_is_better_is_not(tmp_path):
    file = tmp_path / "study.journal"
    made = study(file)
    pruning = Pruning(1, 0)
    first = made.ask()
    assert [report(file, first.number, epoch, 0.5, pruning) for epoch in (1, 2)] == [False, False]
    made.tell(first.number, 0.5)
    better, worse = made.ask(), made.ask()
    assert not report(file, better.number, 1, 0.4, pruning)
    assert report(file, worse.number, 1, 0.6, pruning)
    assert not report(file, worse.number, 2, 0.6, None)
    assert not report(file, worse.number, 2, 0.6, Pruning(1, 5))
    made.tell(worse.number, None, pruned=True)
    made.tell(better.number, 0.4)
    attempts = made.attempts()
    assert [one.pruned for one in attempts] == [False, False, True]
    assert attempts[2].steps == {1: 0.6, 2: 0.6}
    assert draw_study(attempts, SPACE, metric="CER", step="epoch").startswith(b"\x89PNG")


def test_a_study_without_a_complete_trial_is_drawn_too():
    made = study()
    made.tell(made.ask().number, None)
    assert draw_study(made.attempts(), SPACE, metric="CER", step="epoch").startswith(b"\x89PNG")
