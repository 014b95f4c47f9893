"""A study: which values to try next, learnt from those that were tried; kept in a file, it goes on after a stop."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna

from asr.errors import ConfigError

_NAME = "study"
_SETTINGS = "settings"


@dataclass(frozen=True)
class Interval:
    """The numbers between two bounds, both included."""

    low: float
    high: float
    log: bool = False
    """draw the logarithm evenly"""
    whole: bool = False
    step: float | None = None


@dataclass(frozen=True)
class Choices:
    """A few values, in no order."""

    values: tuple[str, ...]


Space = Mapping[str, Interval | Choices]


@dataclass(frozen=True)
class Pruning:
    """When a trial is stopped early: if its value is worse than the median of the earlier trials at the same step."""

    startup_trials: int = 5
    """complete trials before the first is stopped"""
    warmup_steps: int = 2
    """steps of every trial in which it is not stopped"""


@dataclass(frozen=True)
class Draw:
    """A trial that is to be made, and the values that it is made with."""

    number: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """A trial of a study, complete or stopped early."""

    number: int
    values: dict[str, Any]
    value: float | None
    """None for a trial that failed or was stopped early"""
    pruned: bool
    steps: dict[int, float]
    """what was reported, by step"""


class Study:
    """Draws values to try; the lower the value that a trial comes to, the better.

    Parameters
    ----------
    space : mapping from str to Interval or Choices
    seed : int
    startup : int
        Trials whose values are drawn at random.
    file : Path, optional
        Keeps the study: if it exists, the study in it goes on.
    settings : object, optional
        Anything that JSON holds. A study in a file goes on only with the same settings and space.
    pruning : Pruning, optional
        Needed for `report`.

    Raises
    ------
    ConfigError
        If the file holds a study of something else.

    Notes
    -----
    Source: J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NIPS 2011 (the tree-structured Parzen
    estimator, as Optuna has it).
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int,
        startup: int,
        file: Path | None = None,
        settings: object = None,
        pruning: Pruning | None = None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        storage = _storage(file) if file else None
        done = len(optuna.load_study(study_name=_NAME, storage=storage).trials) if _is_kept(storage) else 0
        # A study that goes on draws other values than those that it drew before.
        sampler = optuna.samplers.TPESampler(seed=seed + done, n_startup_trials=startup, multivariate=True)
        self._study = optuna.create_study(
            sampler=sampler, pruner=_pruner(pruning), storage=storage, study_name=_NAME, load_if_exists=True
        )
        if file:
            described = json.dumps([settings, {name: asdict(one) for name, one in space.items()}])
            found = self._study.user_attrs.get(_SETTINGS, described)
            if found != described:
                raise ConfigError(
                    f"{file}: holds a study of other settings, or of other values to try: name another folder, or "
                    "repeat its command to go on"
                )
            self._study.set_user_attr(_SETTINGS, described)

    def begin_with(self, values: Mapping[str, Any]) -> None:
        """Let the first trial have these values."""
        self._study.enqueue_trial(dict(values))

    def unfinished(self) -> list[Draw]:
        """The trials that were begun before the program was stopped."""
        running = self._study.get_trials(states=[optuna.trial.TrialState.RUNNING])
        return [Draw(one.number, dict(one.params)) for one in running if one.params.keys() == self._space.keys()]

    def ask(self) -> Draw:
        """Begin a trial."""
        trial = self._study.ask()
        values: dict[str, Any] = {}
        for name, one in self._space.items():
            if isinstance(one, Choices):
                values[name] = trial.suggest_categorical(name, one.values)
            elif one.whole:
                values[name] = trial.suggest_int(
                    name, math.ceil(one.low), math.floor(one.high), step=int(one.step or 1), log=one.log
                )
            else:
                values[name] = trial.suggest_float(name, one.low, one.high, step=one.step, log=one.log)
        return Draw(trial.number, values)

    def tell(self, number: int, value: float | None, *, pruned: bool = False) -> None:
        """End a trial.

        Parameters
        ----------
        number : int
        value : float, optional
            Its result; None if it failed.
        pruned : bool
            Whether it was stopped early.
        """
        state = optuna.trial.TrialState
        if pruned:
            self._study.tell(number, state=state.PRUNED)
        elif value is None or not math.isfinite(value):
            self._study.tell(number, state=state.FAIL)
        else:
            self._study.tell(number, value)

    def attempts(self) -> list[Attempt]:
        """The trials that have ended, in the order in which they began."""
        return [
            Attempt(
                one.number,
                dict(one.params),
                one.value if one.state is optuna.trial.TrialState.COMPLETE else None,
                one.state is optuna.trial.TrialState.PRUNED,
                dict(one.intermediate_values),
            )
            for one in self._study.get_trials()
            if one.state.is_finished()
        ]


def report(file: Path, number: int, step: int, value: float, pruning: Pruning | None) -> bool:
    """Record a value of a trial that is not complete; returns whether to stop it. Any process can call it.

    Parameters
    ----------
    file : Path
        Of the study.
    number : int
        Of the trial.
    step : int
    value : float
    pruning : Pruning, optional
        None never stops a trial.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = _storage(file)
    study = optuna.load_study(study_name=_NAME, storage=storage, pruner=_pruner(pruning))
    trial_id = study.get_trials(deepcopy=False)[number]._trial_id
    storage.set_trial_intermediate_value(trial_id, step, value)
    return bool(study.pruner.prune(study, storage.get_trial(trial_id)))


def best_attempts(attempts: Sequence[Attempt]) -> list[Attempt]:
    """The complete ones, best first."""
    complete = [one for one in attempts if one.value is not None]
    return sorted(complete, key=lambda one: (one.value, one.number))


def _pruner(pruning: Pruning | None) -> optuna.pruners.BasePruner:
    if pruning is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=pruning.startup_trials, n_warmup_steps=pruning.warmup_steps)


def _storage(file: Path) -> optuna.storages.JournalStorage:
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))


def _is_kept(storage: optuna.storages.BaseStorage | None) -> bool:
    return storage is not None and any(one.study_name == _NAME for one in storage.get_all_studies())
