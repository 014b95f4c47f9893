"""Settings of sweeps over trainings: `hydra.sweeper.*` with `hydra/sweeper=optuna`."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.settings.checks import ConfigEnum, at_least, between, check_settings, require


class Metric(ConfigEnum):
    """What the trials of a study are compared by: a measure of the validation set."""

    cer = "cer"
    wer = "wer"
    loss = "loss"


class Pruner(ConfigEnum):
    """Which trials are stopped early."""

    median = "median"
    none = "none"


@dataclass(kw_only=True)
class StudyConfig:
    """A study of trainings, by Optuna: the values of each are chosen by the results of earlier ones."""

    n_trials: int = field(default=20, metadata=at_least(1, at_most=1_000_000))
    """trainings of the study in all, those of earlier starts of the same command included"""
    n_jobs: int = field(default=1, metadata=at_least(1, at_most=1024))
    """trainings that the launcher gets at a time: with hydra/launcher=joblib they run side by side"""
    metric: Metric = Metric.cer
    """cer, wer or loss on the validation set; of a training, that of its best epoch counts"""
    pruner: Pruner = Pruner.median
    """median stops a training whose value after an epoch is worse than the median of the earlier ones; none stops
    none"""
    pruner_trials: int = field(default=5, metadata=at_least(1, at_most=1_000_000))
    """complete trainings before the first is stopped early"""
    pruner_epochs: int = field(default=2, metadata=at_least(0, at_most=1_000_000))
    """epochs of every training in which it is not stopped"""
    startup_trials: int = field(default=8, metadata=at_least(1, at_most=1_000_000))
    """trainings whose values are drawn at random"""
    seed: int = field(default=1, metadata=between(0, 2**31 - 1))
    """seed of the values that are drawn"""
    params: dict[str, str] | None = None
    """values to try, as on the command line: {optimizer.learning_rate: "tag(log, interval(1e-4, 1e-2))"}"""

    def __post_init__(self) -> None:
        params, self.params = self.params, None
        if params is not None and not isinstance(params, dict):
            require(False, "hydra.sweeper.params", "keys with values to try, or null", params)
        check_settings(self, "hydra.sweeper", unset=None)
        self.params = params
