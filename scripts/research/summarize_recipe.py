"""Receipts of a recipe: the results of its runs, with mean and spread, as a table, JSON and a picture of the curves.

    python scripts/research/summarize_recipe.py docs/recipes/an4 runs/an4-1 runs/an4-2 runs/an4-3

writes docs/recipes/an4.json and an4.png, and prints the table, then one line of JSON. The runs must be of the same
settings but for their seeds; with --add, those that an earlier call wrote there are kept beside the new ones. Error
rates are those of the best epoch on the validation set, greedy; that epoch was chosen there, so they are a little
optimistic.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from asr.files import write_atomically
from asr.settings.commands import TrainConfig
from asr.settings.yaml_text import from_yaml


def read_run(folder: Path) -> dict[str, Any]:
    """What a finished run's files say of it."""
    settings = from_yaml(TrainConfig, (folder / "config.yaml").read_text("utf-8"), str(folder))
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    if history[-1]["epoch"] < settings.training.epochs and not settings.training.patience:
        sys.exit(f"{folder}: has not come to its end (epoch {history[-1]['epoch']} of {settings.training.epochs})")
    record = json.loads((folder / "run.json").read_text())
    start = record["starts"][0]
    validated = [one for one in history if one["valid_cer"] is not None]
    best = min(validated, key=lambda one: one["valid_cer"])
    return {
        "seed": settings.training.seed,
        "cer": best["valid_cer"],
        "wer": best["valid_wer"],
        "best_epoch": best["epoch"],
        "last_cer": validated[-1]["valid_cer"],
        "last_wer": validated[-1]["valid_wer"],
        "epochs": len(history),
        "train_minutes": round(sum(one["train_seconds"] for one in history) / 60, 1),
        "valid_minutes": round(sum(one["valid_seconds"] for one in history) / 60, 1),
        "starts": len(record["starts"]),
        # Where the run lay is nobody's business.
        "command": [re.sub(r"^run_dir=.*/", "run_dir=", one) for one in start["command"][1:]],
        "commit": (start.get("git") or {}).get("commit"),
        "backend": start["backend"],
        "machine": start["machine"],
        "curve": [
            {key: one[key] for key in ("epoch", "train_loss", "valid_loss", "valid_cer", "valid_wer")}
            for one in history
        ],
    }


def spread(values: list[float]) -> dict[str, float | None]:
    """Mean and standard deviation of a sample."""
    return {
        "mean": statistics.mean(values),
        "deviation": statistics.stdev(values) if len(values) > 1 else None,
    }


def percent(values: dict[str, float | None]) -> str:
    """A mean with its spread."""
    deviation = values["deviation"]
    return f"{100 * (values['mean'] or 0):.2f}" + (f" ± {100 * deviation:.2f}" if deviation is not None else "")


def draw(runs: list[dict[str, Any]]) -> bytes:
    """Error rates and losses by epoch, a line a run."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    losses, errors = figure.subplots(1, 2)
    for number, run in enumerate(runs):
        curve = run["curve"]
        checked = [one for one in curve if one["valid_loss"] is not None]
        colour = f"C{number}"
        losses.plot([one["epoch"] for one in curve], [one["train_loss"] for one in curve], ":", color=colour)
        epochs = [one["epoch"] for one in checked]
        losses.plot(epochs, [one["valid_loss"] for one in checked], color=colour, label=f"seed {run['seed']}")
        errors.plot(epochs, [one["valid_wer"] for one in checked], color=colour, label=f"seed {run['seed']}: WER")
        errors.plot(epochs, [one["valid_cer"] for one in checked], "--", color=colour, label="CER")
    losses.set(title="CTC loss: training, augmented (dotted); validation", xlabel="epoch", ylabel="nats a symbol")
    losses.set_ylim(0, 3.2)
    errors.set(title="Validation error, greedy", xlabel="epoch", ylim=(0, 1.05))
    errors.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axes in (losses, errors):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="name of the files to write, without a suffix")
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument("--add", action="store_true", help="to the runs in the JSON file, instead of replacing it")
    arguments = parser.parse_args()
    by_seed = {run["seed"]: run for run in map(read_run, arguments.runs)}
    written = arguments.output.with_suffix(".json")
    if arguments.add and written.exists():
        by_seed = {run["seed"]: run for run in json.loads(written.read_text())["runs"]} | by_seed
    runs = [by_seed[seed] for seed in sorted(by_seed)]
    summary: dict[str, Any] = {
        "recipe": arguments.output.name,
        "seeds": [run["seed"] for run in runs],
        "wer": spread([run["wer"] for run in runs]),
        "cer": spread([run["cer"] for run in runs]),
        "minutes": spread([run["train_minutes"] + run["valid_minutes"] for run in runs]),
    }
    write_atomically(arguments.output.with_suffix(".png"), draw(runs))
    content = json.dumps({**summary, "runs": runs}, indent=1) + "\n"
    write_atomically(written, content.encode())
    print(f"{'seed':>6} {'WER %':>8} {'CER %':>8} {'epoch':>6} {'last WER %':>11} {'minutes':>8}")
    for run in runs:
        print(
            f"{run['seed']:>6} {100 * run['wer']:>8.2f} {100 * run['cer']:>8.2f} {run['best_epoch']:>6} "
            f"{100 * run['last_wer']:>11.2f} {run['train_minutes'] + run['valid_minutes']:>8.1f}"
        )
    print(f"{'mean':>6} WER {percent(summary['wer'])}, CER {percent(summary['cer'])}")
    print(json.dumps(summary))
    return 0


if __name__ == "__main__":
    sys.exit(main())
