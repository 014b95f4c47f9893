"""`asr train --multirun`: one run for every combination of some values, by Hydra's own sweeper and launchers."""

from __future__ import annotations

import csv
import io
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr.cli.command import with_init
from asr.cli.console import configure_logging
from asr.cli.training_run import train_run
from asr.errors import AsrError
from asr.files import OutputJournal
from asr.packages import require_packages, require_training
from asr.settings.commands import LogStyle
from asr.settings.yaml_text import to_settings
from asr.training.epoch_record import best_epoch
from asr.training.run_folder import SWEEP_OUTCOME

_log = logging.getLogger(__name__)

_TABLE = "sweep.csv"


@dataclass(frozen=True)
class _Job:
    """What a launcher calls for every combination, maybe in a process of its own: it can be pickled."""

    overrides: list[str]
    flags: set[str]

    def __call__(self, node: Any) -> None:
        from hydra.core.hydra_config import HydraConfig

        runtime = HydraConfig.get()
        run_dir = Path(runtime.runtime.output_dir)
        chosen = [override for override in runtime.overrides.task if not override.startswith("hydra.")]
        settings = to_settings(node)
        configure_logging(settings.log, self.flags)
        _log.info("run %d: %s", runtime.job.num, ", ".join(chosen))
        outcome: dict[str, Any] = {"run": runtime.job.num, "run_dir": str(run_dir), "chosen": chosen}
        try:
            result = train_run(replace(with_init(settings, self.overrides), run_dir=str(run_dir)))
        except AsrError as error:
            _log.error("run %d: %s", runtime.job.num, error)
            outcome["error"] = str(error)
        else:
            if result.stopped_by is not None:
                raise KeyboardInterrupt
            best = best_epoch(result.history)
            outcome |= {"cer": best.valid_cer, "wer": best.valid_wer, "epoch": best.epoch}
        _journal().write(run_dir / SWEEP_OUTCOME, (json.dumps(outcome, indent=1) + "\n").encode())


def sweep(overrides: list[str], flags: set[str]) -> int:
    """Train every combination, print a table of the runs, best first, and write it as a file of the sweep's folder.

    Parameters
    ----------
    overrides : list of str
        As Hydra reads them; `hydra.sweep.dir` and `hydra/launcher` among them if they were given.
    flags : set of str

    Returns
    -------
    int
        1 if a run failed.
    """
    import hydra

    from asr.cli.composition import conf_dir, register_schemas

    require_training("asr train")
    if "hydra/launcher=joblib" in overrides:
        require_packages("hydra_plugins.hydra_joblib_launcher", extra="sweep", purpose="hydra/launcher=joblib")
    register_schemas()
    named = [override.partition("=")[2] for override in overrides if override.startswith("hydra.sweep.dir=")]
    folder = Path(named[-1].strip("'\"") if named else time.strftime("runs/sweep-%Y-%m-%d_%H-%M-%S"))
    _journal().check([folder / _TABLE])
    arguments = overrides if named else [*overrides, f"hydra.sweep.dir={folder}"]
    # Hydra's sweeps can only be started from a command line of its own.
    command_line, sys.argv = sys.argv, ["asr train", "--multirun", *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(_Job(overrides, flags))()
    finally:
        sys.argv = command_line
        configure_logging(LogStyle.text, flags)  # Hydra has put its own in its place
        outcomes = [json.loads(path.read_text()) for path in sorted(folder.glob(f"*/{SWEEP_OUTCOME}"))]
        if outcomes:
            print(_table(outcomes))
            _journal().write(folder / _TABLE, _csv(outcomes).encode())
            _log.info("table written to %s", folder / _TABLE)
    return 1 if any("error" in outcome for outcome in outcomes) else 0


def _journal() -> OutputJournal:
    return OutputJournal(advice="name another hydra.sweep.dir")


def _sorted(outcomes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(outcomes, key=lambda one: (float("inf") if one.get("cer") is None else one["cer"], one["run"]))


def _table(outcomes: Sequence[dict[str, Any]]) -> str:
    def percent(rate: float | None) -> str:
        return "n/a" if rate is None else f"{100 * rate:.2f} %"

    same = set.intersection(*(set(one["chosen"]) for one in outcomes)) if len(outcomes) > 1 else set[str]()
    lines = [f"{'CER':>9} {'WER':>9} {'epoch':>6}  run"]
    for one in _sorted(outcomes):
        rates = f"{percent(one.get('cer')):>9} {percent(one.get('wer')):>9} {one.get('epoch', ''):>6}"
        text = one["error"].splitlines()[0] if "error" in one else ""
        swept = ", ".join(choice for choice in one["chosen"] if choice not in same)
        lines.append(f"{rates}  {one['run_dir']}  {swept}{'  failed: ' + text if text else ''}")
    return "\n".join(lines)


def _csv(outcomes: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(item.partition("=")[0].lstrip("+") for one in outcomes for item in one["chosen"]))
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["cer", "wer", "epoch", "run_dir", *names, "error"])
    for one in _sorted(outcomes):
        chosen = {item.partition("=")[0].lstrip("+"): item.partition("=")[2] for item in one["chosen"]}
        writer.writerow(
            [one.get("cer"), one.get("wer"), one.get("epoch"), one["run_dir"]]
            + [chosen.get(name, "") for name in names]
            + [one.get("error", "")]
        )
    return buffer.getvalue()
