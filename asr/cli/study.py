"""`asr train --multirun hydra/sweeper=optuna`: a study of trainings, which resumes where it was stopped."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig

from asr.cli.sweep_jobs import Sweep, TrialPrunedError, journal, write_master
from asr.errors import ConfigError
from asr.packages import require_packages
from asr.settings.sweeps import Metric, Pruner, StudyConfig
from asr.settings.yaml_text import to_settings
from asr.training.epoch_record import EpochRecord
from asr.training.run_folder import SWEEP_OUTCOME

if TYPE_CHECKING:
    from asr.tuning.study import Choices, Draw, Interval, Pruning, Study

_log = logging.getLogger(__name__)

STUDY, PLOT = "study.journal", "study.png"
_FREE = ("hydra.sweeper.n_trials", "hydra.sweeper.n_jobs", "hydra/launcher", "hydra.launcher")
"""settings that may differ when a study is resumed"""


@dataclass(frozen=True)
class _Reporter:
    """Reports the epochs of a training to its study, from the process that trains."""

    file: str
    metric: Metric
    pruning: Pruning | None

    def __call__(self, number: int, record: EpochRecord) -> None:
        from asr.tuning.study import report

        value = getattr(record, f"valid_{self.metric.value}")
        if value is not None and report(Path(self.file), number, record.epoch, value, self.pruning):
            raise TrialPrunedError


def default_folder(config: DictConfig) -> str:
    """The default folder of a study: the same command finds it again."""
    overrides = [*config.hydra.overrides.hydra, *config.hydra.overrides.task]
    told = "\n".join(sorted(one for one in overrides if not one.startswith(_FREE)))
    return f"runs/study-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def show_study(made: Sweep) -> None:
    """Print the values that a study tries, and its common settings."""
    fixed, space = _space(made)
    print(f"# a study of {_settings(made).n_trials} trainings; values to try:")
    for name, one in space.items():
        print(f"#   {name}: {_in_words(one)}")
    made.show(
        0, [*fixed, *(f"{name}={value}" for name, value in _corner(space, first=True).items())], ["the first values"]
    )


def check_study_folder(folder: Path) -> None:
    """Refuse the folder of a sweep that is no study, the runs of which trials would take for theirs.

    Raises
    ------
    ConfigError
    """
    if not (folder / STUDY).exists() and any(folder.glob(f"*/{SWEEP_OUTCOME}")):
        raise ConfigError(f"{folder} holds a sweep that is no study: name another hydra.sweep.dir")


def run_study(made: Sweep) -> None:
    """Train until the study has its trials; each of them is a run in the study's folder.

    Raises
    ------
    ConfigError
        If no values are tried, or the folder holds another study.
    """
    from asr.tuning.study import Pruning, Study, best_attempts
    from asr.tuning.study_plot import draw_study

    settings = _settings(made)
    fixed, space = _space(made)
    for first in (True, False):  # errors are found before hours of work
        made.settings(0, [*fixed, *(f"{name}={value}" for name, value in _corner(space, first=first).items())])
    journal().check([made.folder / PLOT])
    made.folder.mkdir(parents=True, exist_ok=True)
    pruning = Pruning(settings.pruner_trials, settings.pruner_epochs) if settings.pruner is Pruner.median else None
    file = made.folder / STUDY
    study = Study(
        space, seed=settings.seed, startup=settings.startup_trials, file=file, pruning=pruning,
        settings=[sorted(fixed), settings.metric.value],
    )  # fmt: skip
    write_master(made)  # does not replace that of another study
    launcher = made.launcher(made.job(_Reporter(str(file), settings.metric, pruning)))
    done = len(study.attempts())
    if done:
        _log.info("%s: the study resumes after %d trials", made.folder, done)
    if done >= settings.n_trials:
        _log.info("the study is complete: hydra.sweeper.n_trials=%d adds as many again", 2 * done)
    try:
        for draws in _groups(study, settings, done):
            batch = [[*fixed, *(f"{name}={_typed(value)}" for name, value in one.values.items())] for one in draws]
            for one, result in zip(draws, launcher.launch(batch, initial_job_idx=draws[0].number), strict=True):
                outcome = result.return_value
                value = outcome.get(settings.metric.value)
                study.tell(one.number, None if "error" in outcome else value, pruned=bool(outcome.get("pruned")))
    except KeyboardInterrupt:
        _log.warning("stopped; the same command with hydra.sweep.dir=%s resumes", made.folder)
        raise
    finally:
        attempts = study.attempts()
        if attempts:
            picture = draw_study(attempts, space, metric=f"validation {settings.metric.value}", step="epoch")
            journal().write(made.folder / PLOT, picture)
    best = best_attempts(attempts)
    if best:
        values = " ".join(f"{name}={_typed(value)}" for name, value in best[0].values.items())
        print(f"best of {len(attempts)} trials: {values}")
    _log.info("picture written to %s", made.folder / PLOT)


def _settings(made: Sweep) -> StudyConfig:
    settings: StudyConfig = to_settings(made.config.hydra.sweeper)
    return settings


def _groups(study: Study, settings: StudyConfig, done: int) -> Iterator[list[Draw]]:
    """The next trials, as many as run at a time: first those that were begun before."""
    begun = study.unfinished()
    for one in begun:
        yield [one]
    count = done + len(begun)
    while count < settings.n_trials:
        several = [study.ask() for _ in range(min(settings.n_jobs, settings.n_trials - count))]
        count += len(several)
        yield several


def _space(made: Sweep) -> tuple[list[str], dict[str, Interval | Choices]]:
    """The common overrides of all trials, and the values to try."""
    require_packages("optuna", "matplotlib", extra="tune", purpose="hydra/sweeper=optuna")
    fixed, space = [], {}
    for one in made.parsed():
        if one.is_sweep_override():
            space[one.get_key_element()] = _values_to_try(one, made)
        else:
            fixed.append(f"{one.get_key_element()}={one.get_value_element_as_str()}")
    if not space:
        raise ConfigError(
            "a study needs values to try, such as 'optimizer.learning_rate=tag(log, interval(1e-4, 1e-2))' or "
            "model=lstm,gru; sweep=study has some"
        )
    return fixed, space


def _values_to_try(one: Override, made: Sweep) -> Interval | Choices:
    from asr.tuning.study import Choices, Interval

    value: Any = one._value
    tags: set[str] = getattr(value, "tags", set())
    if tags - {"log"}:
        raise ConfigError(f"{one.input_line}: the only tag is `log`: tag(log, interval(1e-4, 1e-2))")
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        if low is None or high is None or not math.isfinite(low) or not low < high < math.inf or (tags and low <= 0):
            raise ConfigError(f"{one.input_line}: an interval is interval(LOW, HIGH), LOW below HIGH, above 0 with log")
        key = made.composer.keys().get(one.key_or_group)
        whole = (key is not None and key.kind is int) or (isinstance(low, int) and isinstance(high, int))
        return Interval(low, high, log=bool(tags), whole=bool(whole))
    if isinstance(value, ChoiceSweep | RangeSweep) and one.is_discrete_sweep():
        return Choices(tuple(dict.fromkeys(one.sweep_string_iterator())))
    raise ConfigError(f"{one.input_line}: a study tries a,b,c or choice(...), range(...) and interval(...)")


def _corner(space: dict[str, Interval | Choices], *, first: bool) -> dict[str, str]:
    """The lowest or the highest values of all."""
    found = {}
    for name, one in space.items():
        ends: Sequence[Any] = getattr(one, "values", None) or (one.low, one.high)  # type: ignore[union-attr]
        end = ends[0 if first else -1]
        found[name] = _typed(int(end) if getattr(one, "whole", False) else end)
    return found


def _in_words(one: Interval | Choices) -> str:
    values: Sequence[str] | None = getattr(one, "values", None)
    if values is not None:
        return ", ".join(values)
    return f"{one.low:g} to {one.high:g}{', logarithmic' if one.log else ''}"  # type: ignore[union-attr]


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
