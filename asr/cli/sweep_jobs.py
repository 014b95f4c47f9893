"""Shared by all kinds of sweeps: the job that trains, the settings of each job, and the files of the folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from asr.cli.arguments import Arguments
from asr.cli.command import with_init
from asr.cli.composition import Composer
from asr.cli.console import configure_logging
from asr.cli.overrides import chosen_names
from asr.cli.training_run import train_run
from asr.errors import AsrError, ConfigError
from asr.files import OutputJournal
from asr.settings.commands import TrainConfig
from asr.settings.yaml_text import first_line, to_settings, to_yaml
from asr.training.epoch_record import EpochRecord, best_epoch
from asr.training.run_folder import SWEEP_OUTCOME, check_run_folder, check_settings_unchanged, read_settings

_log = logging.getLogger(__name__)

_MASTER = "multirun.yaml"


class TrialPrunedError(Exception):
    """A training that is stopped early, because its study has better ones."""


Watch = Callable[[int, EpochRecord], object]
"""called with the number of a job and the record of every epoch of it"""


@dataclass(frozen=True)
class Job:
    """The task of a launcher for every combination, perhaps in a process of its own: it can be pickled."""

    names: frozenset[str]
    """of the settings that were given"""
    flags: frozenset[str]
    watch: Watch | None = None

    def __call__(self, node: Any) -> dict[str, Any]:
        """Train, and write and return the outcome."""
        runtime = HydraConfig.get()
        number = runtime.job.num
        run_dir = Path(runtime.runtime.output_dir)
        chosen = [override for override in runtime.overrides.task if not override.startswith("hydra.")]
        settings = to_settings(node)
        configure_logging(settings.log, set(self.flags))
        _log.info("run %d: %s", number, ", ".join(chosen))
        outcome: dict[str, Any] = {"run": number, "run_dir": str(run_dir), "chosen": chosen}
        seen: list[EpochRecord] = []

        def watch(record: EpochRecord) -> None:
            seen.append(record)
            if self.watch is not None:
                self.watch(number, record)

        try:
            result = train_run(replace(with_init(settings, self.names_with(chosen)), run_dir=str(run_dir)), watch)
        except TrialPrunedError:
            _log.info("run %d: stopped early after epoch %d: other runs are better", number, seen[-1].epoch)
            outcome["pruned"] = True
            seen = [record for record in seen if record.valid_cer is not None] or seen
            outcome |= _measures(best_epoch(seen))
        except AsrError as error:
            _log.error("run %d: %s", number, error)
            outcome["error"] = str(error)
            if _has_result(run_dir / SWEEP_OUTCOME):
                return outcome
        else:
            if result.stopped_by is not None:
                raise KeyboardInterrupt
            outcome |= _measures(best_epoch(result.history))
            outcome["loss"] = min(
                (one.valid_loss for one in result.history if one.valid_loss is not None), default=None
            )
        journal().write(run_dir / SWEEP_OUTCOME, (json.dumps(outcome, indent=1) + "\n").encode())
        return outcome

    def names_with(self, chosen: Sequence[str]) -> set[str]:
        """The names of the settings that were given, with those of a combination."""
        return set(self.names) | {override.partition("=")[0].lstrip("+") for override in chosen}


def _has_result(file: Path) -> bool:
    """Whether a run ended well before, the result of which a failure must not replace."""
    try:
        return "error" not in json.loads(file.read_text())
    except (OSError, ValueError):
        return False


def _measures(best: EpochRecord) -> dict[str, Any]:
    return {"cer": best.valid_cer, "wer": best.valid_wer, "epoch": best.epoch}


@dataclass(frozen=True)
class Sweep:
    """A sweep whose settings are checked."""

    composer: Composer
    split: Arguments
    config: DictConfig
    """with Hydra's own settings"""

    @property
    def folder(self) -> Path:
        """The folder of the sweep."""
        return Path(str(self.config.hydra.sweep.dir))

    def job(self, watch: Watch | None = None) -> Job:
        """The task for every combination."""
        names = chosen_names(self.split.overrides) | self.composer.recipe_names
        return Job(frozenset(names), frozenset(self.split.flags), watch)

    def launcher(self, job: Job) -> Launcher:
        """The launcher that runs the jobs: in this process by default."""
        return Plugins.instance().instantiate_launcher(self.context, job, self.config)

    @property
    def context(self) -> HydraContext:
        """For Hydra's launchers and sweepers."""
        return HydraContext(config_loader=self.composer.loader, callbacks=Callbacks(self.config))

    def parsed(self) -> list[Override]:
        """The overrides of a file of `sweep`, then those of the command line."""
        params = self.config.hydra.sweeper.get("params") or {}
        texts = [f"{name}={value}" for name, value in params.items()] + list(self.config.hydra.overrides.task)
        listed = self.composer.check(texts[: len(params)], multirun=True)
        try:
            found = OverridesParser.create(self.composer.loader).parse_overrides(
                [*listed[len(listed) - len(params) :], *texts[len(params) :]]
            )
        except HydraException as error:
            raise ConfigError(f"hydra.sweeper.params: {first_line(error)}") from error
        return list({one.get_key_element(): one for one in found}.values())

    def settings(self, number: int, overrides: Sequence[str]) -> TrainConfig:
        """The settings of one job.

        Raises
        ------
        ConfigError
            Naming the job.
        """
        try:
            node = self.composer.job_config(self.config, overrides)
            with open_dict(node):
                node.hydra.job.num = node.hydra.job.id = number
                HydraConfig.instance().set_config(node)
                run_dir = Path(str(node.hydra.sweep.dir)) / str(node.hydra.sweep.subdir)
                del node["hydra"]
            settings: TrainConfig = to_settings(node)
        except ConfigError as error:
            raise ConfigError(f"run {number} ({', '.join(overrides)}): {error}") from error
        return replace(settings, run_dir=str(run_dir))

    def check_folder(self, number: int, overrides: Sequence[str]) -> Path:
        """The folder of one job, in which there may be a run with the same settings and nothing else.

        Raises
        ------
        ConfigError
            Naming the job, or what is in its folder.
        """
        settings = self.settings(number, overrides)
        run_dir, names = Path(settings.run_dir or ""), self.job().names_with(overrides)
        try:
            check_run_folder(run_dir)
            if read_settings(run_dir) is not None:
                check_settings_unchanged(run_dir, with_init(settings, names), names)
        except AsrError as error:
            raise ConfigError(
                f"run {number} of the sweep finds something else in its folder: name another hydra.sweep.dir ({error})"
            ) from error
        return run_dir

    def show(self, number: int, overrides: Sequence[str], swept: Sequence[str]) -> None:
        """Print the settings of one job."""
        settings = self.settings(number, overrides)
        print(f"---\n# run {number}: {', '.join(swept) or 'no values are swept'}\n{to_yaml(settings)}", end="")


def write_master(made: Sweep) -> None:
    """Write the configuration of a sweep to its folder, as Hydra does."""
    journal().write(made.folder / _MASTER, OmegaConf.to_yaml(made.config).encode())


def journal() -> OutputJournal:
    """The files of a sweep's folder that this program wrote."""
    return OutputJournal(advice="name another hydra.sweep.dir")
