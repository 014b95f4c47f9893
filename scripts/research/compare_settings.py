"""The effect of single settings: short trainings that differ from a recipe in one setting each, and their results.

    python scripts/research/compare_settings.py docs/recipes/settings --seeds 1 2 3          # the recipe itself
    python scripts/research/compare_settings.py docs/recipes/settings model.dropout=0 'model.depth=4 model.units=96'

trains the recipe with every change and seed (a change is one argument: settings of `asr train`, parted by spaces), adds
what came out to docs/recipes/settings.json, draws settings.png, and prints a table, then one line of JSON. Changes that
were measured before stay there and are not run again; runs are taken up where they were interrupted. Error rates are
those of the last epoch, greedy: nothing is chosen on the validation set.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from summarize_recipe import percent, spread
from tqdm import tqdm
from training_runs import read_history, run_training

from asr.files import write_atomically

UNCHANGED = ""
"""the name of the recipe as it is among the changes"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="name of the files to write, without a suffix")
    parser.add_argument("changes", nargs="*", help="changes to measure, besides the recipe as it is")
    parser.add_argument("--experiment", default="short", help="the recipe (short)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="seeds of every change (1)")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side (1); with OMP_NUM_THREADS=1, one a core")
    parser.add_argument("--runs", type=Path, default=Path("runs/settings"), help="folder of the runs")
    parser.add_argument(
        "--overrides", nargs="*", default=[], help="settings for every run, such as data.cache_dir=FOLDER"
    )
    arguments = parser.parse_intermixed_args()
    written = arguments.output.with_suffix(".json")
    report: dict[str, Any] = {"experiment": arguments.experiment, "changes": {}}
    if written.exists():
        report = json.loads(written.read_text())
        if report["experiment"] != arguments.experiment:
            sys.exit(f"{written}: is of experiment={report['experiment']}, not of {arguments.experiment}")
    jobs = [(change, seed) for change in arguments.changes or [UNCHANGED] for seed in arguments.seeds]
    entries = {change: report["changes"].setdefault(change, {"runs": []}) for change, _ in jobs}
    jobs = [job for job in jobs if job[1] not in {run["seed"] for run in entries[job[0]]["runs"]}]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        under_way = {pool.submit(measure, change, seed, arguments): change for change, seed in jobs}
        for ended in tqdm(as_completed(under_way), total=len(jobs), unit="run", disable=None):
            entries[under_way[ended]]["runs"].append(ended.result())
            write(report, written)
    report = write(report, written)
    write_atomically(arguments.output.with_suffix(".png"), draw(report["changes"]))
    print_table(report["changes"])
    print(json.dumps(report))
    return 0


def measure(change: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train once; the last epoch's error rates, and what it took."""
    name = "-".join((change or "unchanged").replace("/", "_").split())
    run_dir = arguments.runs / f"{name}-{seed}"
    settings = [f"experiment={arguments.experiment}", f"training.seed={seed}", *arguments.overrides, *change.split()]
    run_training(run_dir, *settings)
    history = read_history(run_dir)
    last = history[-1]
    return {
        "seed": seed,
        "wer": last["valid_wer"],
        "cer": last["valid_cer"],
        "valid_loss": last["valid_loss"],
        "train_loss": last["train_loss"],
        "epochs": last["epoch"],
        "train_minutes": round(sum(one["train_seconds"] for one in history) / 60, 1),
    }


def write(report: dict[str, Any], path: Path) -> dict[str, Any]:
    """What has been measured so far, with means, spreads and the differences to the recipe as it is."""
    measured = {change: entry for change, entry in report["changes"].items() if entry["runs"]}
    for entry in measured.values():
        for rate in ("wer", "cer"):
            entry[rate] = spread([run[rate] for run in entry["runs"]])
    if UNCHANGED in measured:
        for entry in measured.values():
            for rate in ("wer", "cer"):
                entry[f"{rate}_difference"] = entry[rate]["mean"] - measured[UNCHANGED][rate]["mean"]
    found = report | {"changes": measured}
    write_atomically(path, (json.dumps(found, indent=1) + "\n").encode())
    return found


def in_order(changes: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The changes by their errors, fewest first."""
    return sorted(changes.items(), key=lambda item: item[1]["cer"]["mean"])


def print_table(changes: dict[str, Any]) -> None:
    width = max(len(change) for change in changes) + 2
    print(f"{'change':<{max(width, 10)}}{'seeds':>6}{'WER %':>15}{'CER %':>15}{'points of CER':>15}{'minutes':>9}")
    for change, entry in in_order(changes):
        minutes = np.mean([run["train_minutes"] for run in entry["runs"]])
        difference = entry.get("cer_difference")
        print(
            f"{change or 'as it is':<{max(width, 10)}}{len(entry['runs']):>6}{percent(entry['wer']):>15}"
            f"{percent(entry['cer']):>15}{'' if difference is None else f'{100 * difference:+.2f}':>15}{minutes:>9.1f}"
        )


def draw(changes: dict[str, Any]) -> bytes:
    """Every run a dot: one line a change, the recipe as it is marked and its mean drawn through."""
    rows = in_order(changes)
    figure = Figure(figsize=(8, 1.1 + 0.26 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, (change, entry) in enumerate(rows):
        colour = "C3" if change == UNCHANGED else "C0"
        values = [100 * run["cer"] for run in entry["runs"]]
        axes.plot(values, [place] * len(values), "o", color=colour, markersize=5)
    if UNCHANGED in changes:
        axes.axvline(100 * changes[UNCHANGED]["cer"]["mean"], color="C3", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [change or "as it is" for change, _ in rows], fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("CER %, greedy, last epoch; a dot a seed")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
