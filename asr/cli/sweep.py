"""`asr train --multirun`: a run for every combination of some values, or a study that chooses them."""

from __future__ import annotations

import csv
import io
import json
import logging
import time
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import OmegaConf

from asr.cli.arguments import Arguments
from asr.cli.composition import Composer
from asr.cli.console import configure_logging, percent
from asr.cli.overrides import chosen_names
from asr.cli.study import check_study_folder, default_folder, run_study, show_study
from asr.cli.sweep_jobs import Sweep, journal, write_master
from asr.errors import ConfigError
from asr.packages import require_training
from asr.settings.commands import LogStyle
from asr.settings.sweeps import StudyConfig
from asr.settings.yaml_text import first_line
from asr.training.run_folder import SWEEP_OUTCOME

_log = logging.getLogger(__name__)

_TABLE = "sweep.csv"
_BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def sweep(composer: Composer, split: Arguments) -> int:
    """Train every combination, or those that a study chooses; print a table of the runs and write it to the folder.

    Parameters
    ----------
    composer : Composer
    split : Arguments

    Returns
    -------
    int
        1 if a run failed.
    """
    if "run_dir" in chosen_names(split.overrides):
        raise ConfigError(
            "run_dir is for a single run: the folder of a sweep, in which each run has one, is hydra.sweep.dir=FOLDER"
        )
    safe = composer.check(split.overrides, multirun=True)
    config = composer.multirun_config(safe)
    is_study = OmegaConf.get_type(config.hydra.sweeper) is StudyConfig
    if not any(override.startswith("hydra.sweep.dir=") for override in safe):
        folder = default_folder(config) if is_study else time.strftime("runs/sweep-%Y-%m-%d_%H-%M-%S")
        safe.append(f"hydra.sweep.dir={folder}")
        config = composer.multirun_config(safe)
    made = Sweep(composer, split, config)
    if "--show-config" in split.flags:
        (show_study if is_study else _show)(made)
        return 0
    require_training("asr train")
    configure_logging(LogStyle.text, split.flags)
    journal().check([made.folder / _TABLE])
    # Errors are found before hours of work, and before a file of an earlier sweep is replaced.
    is_basic = not is_study and config.hydra.sweeper._target_ == _BASIC
    batches = _batches(made) if is_basic else []
    folders = [made.check_folder(number, job) for number, job in enumerate(job for batch in batches for job in batch)]
    if is_study:
        check_study_folder(made.folder)
    if len(set(folders)) < len(folders):
        raise ConfigError("hydra.sweep.subdir gives several runs the same folder: ${hydra.job.num} tells them apart")
    callbacks = made.context.callbacks
    outcomes: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    try:
        if is_study:
            run_study(made)
        else:
            callbacks.on_multirun_start(config=config, config_name=composer.config_name)
            results = _run(made, batches)
            callbacks.on_multirun_end(config=config, config_name=composer.config_name)
    finally:
        configure_logging(LogStyle.text, split.flags)  # Hydra replaced the configuration of logging
        found = [one / SWEEP_OUTCOME for one in folders] if is_basic else sorted(made.folder.rglob(SWEEP_OUTCOME))
        outcomes += [json.loads(path.read_text()) for path in found if path.exists()]
        if outcomes:
            print(_table(outcomes))
            journal().write(made.folder / _TABLE, _csv(outcomes).encode())
            _log.info("table written to %s", made.folder / _TABLE)
    return 1 if any("error" in outcome for outcome in [*outcomes, *results]) else 0


def _batches(made: Sweep) -> list[list[list[str]]]:
    try:
        batches = BasicSweeper.split_arguments(made.parsed(), made.config.hydra.sweeper.max_batch_size)
    except HydraException as error:
        if "sweep type" in str(error):
            raise ConfigError(
                "interval(a,b) has infinitely many values: choose some (1e-4,1e-3), or let a study choose: "
                "hydra/sweeper=optuna"
            ) from error
        raise ConfigError(first_line(error)) from error
    if not any(batches):
        raise ConfigError("no run is left: one of the settings has no value to try (glob and range can be empty)")
    return batches


def _show(made: Sweep) -> None:
    if made.config.hydra.sweeper._target_ != _BASIC:
        raise ConfigError("--show-config shows the jobs of Hydra's basic sweeper and of hydra/sweeper=optuna only")
    jobs = [job for batch in _batches(made) for job in batch]
    swept = [one for one in (jobs[0] if jobs else []) if any(one not in job for job in jobs)]
    names = {one.partition("=")[0] for one in swept}
    for number, job in enumerate(jobs):
        made.show(number, job, [one for one in job if one.partition("=")[0] in names])


def _run(made: Sweep, batches: Sequence[list[list[str]]]) -> list[dict[str, Any]]:
    if not batches:  # a plugin of the user's
        sweeper = Plugins.instance().instantiate_sweeper(
            hydra_context=made.context, task_function=made.job(), config=made.config
        )
        sweeper.sweep(list(made.config.hydra.overrides.task))
        return []
    write_master(made)
    launcher, results = made.launcher(made.job()), list[dict[str, Any]]()
    for batch in batches:
        # `return_value` raises the error that ended the job.
        results += [one.return_value for one in launcher.launch(batch, initial_job_idx=len(results))]
    return results


def _sorted(outcomes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(outcomes, key=lambda one: (float("inf") if one.get("cer") is None else one["cer"], one["run"]))


def _table(outcomes: Sequence[dict[str, Any]]) -> str:
    same = set.intersection(*(set(one["chosen"]) for one in outcomes)) if len(outcomes) > 1 else set[str]()
    lines = [f"{'CER':>9} {'WER':>9} {'epoch':>6}  run"]
    for one in _sorted(outcomes):
        rates = f"{percent(one.get('cer')):>9} {percent(one.get('wer')):>9} {one.get('epoch', ''):>6}"
        text = f"  failed: {one['error'].splitlines()[0]}" if "error" in one else ""
        text += "  stopped early" if one.get("pruned") else ""
        swept = ", ".join(choice for choice in one["chosen"] if choice not in same)
        lines.append(f"{rates}  {one['run_dir']}  {swept}{text}")
    return "\n".join(lines)


def _csv(outcomes: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(item.partition("=")[0].lstrip("+") for one in outcomes for item in one["chosen"]))
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["cer", "wer", "epoch", "run_dir", *names, "stopped_early", "error"])
    for one in _sorted(outcomes):
        chosen = {item.partition("=")[0].lstrip("+"): item.partition("=")[2] for item in one["chosen"]}
        writer.writerow(
            [one.get("cer"), one.get("wer"), one.get("epoch"), one["run_dir"]]
            + [chosen.get(name, "") for name in names]
            + [one.get("pruned", ""), one.get("error", "")]
        )
    return buffer.getvalue()
