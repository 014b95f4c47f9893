"""How much of one's own speech is enough? Error on a test set of one's own against minutes to train on.

    python scripts/research/measure_own_hours.py BUNDLE own.jsonl docs/recipes/own-hours --minutes 3 10 30 60

holds a test set out of a manifest, takes nested random parts of the rest, fine-tunes the bundle on each
(`asr train experiment=finetune init=BUNDLE`), trains on the largest from nothing too, and measures all on the test set,
greedy. The bundle must not have been trained on the manifest. Runs are kept in --runs and taken up where they were
interrupted; what the JSON file has is not measured again. Writes a picture and that file as it goes, and prints a
table, then one line of JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from tqdm import tqdm
from training_runs import run_training

from asr.audio.load import probe_seconds
from asr.bundle import load_bundle
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.corpus.split import hold_out
from asr.errors import AudioError, ManifestError
from asr.evaluation.scoring import score
from asr.files import write_atomically
from asr.recognition.transcriber import Transcriber
from asr.text.normalize import normalize_text

TEST_SHARE, CHOICE_SHARE = 0.15, 0.1


def nested_parts(utterances: list[Utterance], minutes: list[float], seed: int) -> dict[float, list[Utterance]]:
    """Random parts of some durations, each within the next."""
    order = [utterances[place] for place in np.random.default_rng(seed).permutation(len(utterances))]
    ends = np.cumsum([one.duration or 0.0 for one in order]) / 60
    return {wanted: order[: int(np.searchsorted(ends, wanted)) + 1] for wanted in minutes}


def measure(bundle: Path, test: list[Utterance]) -> dict[str, float | None]:
    """Error rates of a bundle."""
    transcriber = Transcriber(load_bundle(bundle))
    normalizer = load_bundle(bundle).normalizer
    texts = []
    for result in transcriber.transcribe_files([one.audio for one in test]):
        if isinstance(result, AudioError):
            raise result
        texts.append(normalize_text(result.text, normalizer))
    found = score([normalize_text(one.text or "", normalizer) for one in test], texts)
    return {"wer": found.words.rate, "cer": found.characters.rate}


def train(run_dir: Path, manifest: Path, *overrides: str) -> None:
    """Train, or go on, or do nothing where the run has ended."""
    run_training(run_dir, f"data.train={manifest}", f"data.hold_out={CHOICE_SHARE}", *overrides)


def draw(rows: list[dict[str, Any]], scratch: dict[str, Any] | None) -> bytes:
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for colour, name, style in (("C0", "wer", "o-"), ("C1", "cer", "o--")):
        minutes, rates = [row["minutes"] for row in rows], [row[name] for row in rows]
        axes.plot(minutes, rates, style, color=colour, label=f"{name.upper()}, fine-tuned")
        if scratch:
            axes.plot(scratch["minutes"], scratch[name], "x", color=colour, label=f"{name.upper()}, from nothing")
    axes.set_xscale("symlog", linthresh=2)
    axes.set_xticks([row["minutes"] for row in rows], [f"{round(row['minutes'], 1):g}" for row in rows])
    axes.minorticks_off()
    axes.set(xlabel="minutes of one's own speech", ylim=(0, 1.05), title="Error on one's own test set, greedy")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def total_minutes(utterances: list[Utterance]) -> float:
    """Minutes of speech."""
    return round(sum(one.duration or 0 for one in utterances) / 60, 2)


def write_part(runs: Path, minutes: float, utterances: list[Utterance]) -> tuple[Path, Path]:
    """The run folder of a part, and its manifest."""
    manifest = runs / f"{minutes:.0f}-minutes.jsonl"
    write_manifest(manifest, utterances)
    return runs / manifest.stem, manifest


def write(report: dict[str, Any], output: Path) -> None:
    """The picture and the JSON file."""
    report["fine_tuned"].sort(key=lambda row: row["minutes"])
    write_atomically(output.with_suffix(".png"), draw(report["fine_tuned"], report["from_nothing"]))
    write_atomically(output.with_suffix(".json"), (json.dumps(report, indent=1) + "\n").encode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="the bundle to start from")
    parser.add_argument("manifest", type=Path, help="one's own recordings")
    parser.add_argument("output", type=Path, help="name of the files to write, without a suffix")
    parser.add_argument("--minutes", type=float, nargs="+", default=[3, 10, 30, 60], help="parts to train on")
    parser.add_argument("--runs", type=Path, default=Path("runs/own-hours"), help="folder of the runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--overrides", nargs="*", default=[], help="settings for every run, such as training.epochs=5")
    parser.add_argument("--no-scratch", action="store_true", help="leave away the run from nothing")
    arguments = parser.parse_args()
    reading = read_manifest(arguments.manifest)
    if reading.problems:
        raise ManifestError(reading.problems)
    everything = [replace(one, duration=probe_seconds(one.audio)) for one in reading.utterances]
    rest, test = hold_out(everything, TEST_SHARE)
    available = sum(one.duration or 0 for one in rest) / 60
    minutes = sorted({min(wanted, available) for wanted in arguments.minutes})
    common = [f"training.seed={arguments.seed}", *arguments.overrides]
    report: dict[str, Any] = {
        "bundle": "/".join(arguments.bundle.resolve().parts[-2:]),
        "manifest": arguments.manifest.name,
        "test_utterances": len(test),
        "test_hours": round(sum(one.duration or 0 for one in test) / 3600, 3),
        "fine_tuned": [],
        "from_nothing": None,
    }
    written = arguments.output.with_suffix(".json")
    if written.exists():
        before = json.loads(written.read_text())
        report |= {key: before[key] for key in ("fine_tuned", "from_nothing")}
        if before != report:
            sys.exit(
                f"{written}: is of {before['bundle']} and {before['manifest']}: choose another name for the output"
            )
    rows: list[dict[str, Any]] = report["fine_tuned"]
    parts = nested_parts(rest, minutes, arguments.seed)
    for wanted, part in tqdm({0.0: [], **parts}.items(), unit="run", disable=None):
        taken = total_minutes(part)
        if taken in {row["minutes"] for row in rows}:
            continue
        tuned = arguments.bundle
        if part:
            run_dir, manifest = write_part(arguments.runs, wanted, part)
            train(run_dir, manifest, "experiment=finetune", f"init={arguments.bundle.resolve()}", *common)
            tuned = run_dir / "best"
        rows.append({"minutes": taken, **measure(tuned, test)})
        write(report, arguments.output)
    if not (report["from_nothing"] or arguments.no_scratch):
        run_dir, manifest = write_part(arguments.runs, minutes[-1], parts[minutes[-1]])
        plain = run_dir.with_name(f"{run_dir.name}-from-nothing")
        train(plain, manifest, "training.batch_size=16", "training.patience=0", *common)
        report["from_nothing"] = {"minutes": total_minutes(parts[minutes[-1]]), **measure(plain / "best", test)}
    write(report, arguments.output)
    print(f"{'minutes':>8} {'WER %':>8} {'CER %':>8}")
    for row in rows:
        print(f"{row['minutes']:>8.1f} {100 * row['wer']:>8.2f} {100 * row['cer']:>8.2f}")
    if scratch := report["from_nothing"]:
        print(f"{scratch['minutes']:>8.1f} {100 * scratch['wer']:>8.2f} {100 * scratch['cer']:>8.2f}  from nothing")
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
