"""Bidirectional LSTM, LSTM and bidirectional GRU of equal size: error, speed of training, speed of transcription.

    python scripts/compare_cells.py docs/recipes/cells --experiment an4 --seeds 1 2 3

trains a recipe with each network (their units chosen so that all have as many weights as the recipe's own network, to
a percent), times their gradient steps on one batch and their transcription of the validation set, the networks taking
turns, and prints a table, then one line of JSON. Runs are kept in --runs and taken up where they were interrupted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from summarize_recipe import percent, spread
from tqdm import tqdm

from asr.acoustic.model import build_model
from asr.bundle import load_bundle
from asr.config import Cell, ModelConfig, TrainConfig
from asr.corpus.batching import collate
from asr.corpus.manifest import read_manifest
from asr.errors import AudioError
from asr.files import write_atomically
from asr.schema import Composer
from asr.training.engine import Engine
from asr.transcription.transcriber import Transcriber

NETWORKS = {
    "BiLSTM": {"cell": Cell.lstm, "bidirectional": True},
    "LSTM": {"cell": Cell.lstm, "bidirectional": False},
    "BiGRU": {"cell": Cell.gru, "bidirectional": True},
}
ROWS, SECONDS, SYMBOLS_A_ROW = 16, 6.0, 40


def weights(settings: ModelConfig, mels: int, symbols: int) -> int:
    """The number of weights of a network."""
    return int(build_model(settings, mels=mels, symbols=symbols).count_params())


def of_equal_size(settings: ModelConfig, mels: int, symbols: int, wanted: int) -> ModelConfig:
    """The network with the number of units that comes nearest to a number of weights."""
    low, high = 8, 4096
    while high - low > 1:
        middle = (low + high) // 2
        if weights(replace(settings, units=middle), mels, symbols) <= wanted:
            low = middle
        else:
            high = middle
    return replace(
        settings,
        units=min((low, high), key=lambda units: abs(weights(replace(settings, units=units), mels, symbols) - wanted)),
    )


def time_training(networks: dict[str, TrainConfig], symbols: int, rounds: int) -> dict[str, float]:
    """Times real time of a gradient step, for each network the median of some rounds."""
    rng = np.random.default_rng(0)
    engines = {}
    found: dict[str, list[float]] = {name: [] for name in networks}
    for name, settings in networks.items():
        frames = [
            rng.standard_normal((int(SECONDS / settings.features.hop_seconds), settings.features.mels), np.float32)
            for _ in range(ROWS)
        ]
        labels = [rng.integers(1, symbols, SYMBOLS_A_ROW).tolist() for _ in range(ROWS)]
        engines[name] = Engine(settings, symbols=symbols), collate(frames, labels)
        for _ in range(3):
            engines[name][0].step(engines[name][1])
    for _ in range(rounds):
        for name, (engine, batch) in engines.items():
            started = time.perf_counter()
            for _ in range(3):
                engine.step(batch)
            found[name].append(3 * ROWS * SECONDS / (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in found.items()}


def time_transcription(bundles: dict[str, Path], recordings: list[Path], rounds: int) -> dict[str, float]:
    """Times real time of transcription, for each network the median of some rounds."""
    transcribers = {name: Transcriber(load_bundle(path)) for name, path in bundles.items()}
    found: dict[str, list[float]] = {name: [] for name in bundles}
    for turn in range(rounds + 1):
        for name, transcriber in transcribers.items():
            started, seconds = time.perf_counter(), 0.0
            for result in transcriber.transcribe_files(recordings):
                if isinstance(result, AudioError):
                    raise result
                seconds += result.duration
            if turn:  # the first round warms the cache of files
                found[name].append(seconds / (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="name of the JSON file to write, without a suffix")
    parser.add_argument("--experiment", default="an4", help="the recipe")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--runs", type=Path, default=Path("runs/cells"), help="folder of the runs")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of timing")
    parser.add_argument("--overrides", nargs="*", default=[], help="settings for every run, such as training.epochs=5")
    arguments = parser.parse_args()
    with Composer("train") as composer:
        base: TrainConfig = composer.compose([f"experiment={arguments.experiment}", *arguments.overrides])
    mels, symbols = base.features.mels, len(base.alphabet.symbols) + 1
    wanted = weights(base.model, mels, symbols)
    networks = {}
    for name, changes in NETWORKS.items():
        model = of_equal_size(replace(base.model, **changes), mels, symbols, wanted)  # type: ignore[arg-type]
        networks[name] = replace(base, model=model)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in networks}
    jobs = [(name, seed) for seed in arguments.seeds for name in networks]
    for name, seed in tqdm(jobs, unit="run", disable=None):
        model, run_dir = networks[name].model, arguments.runs / f"{name.lower()}-{seed}"
        arguments.runs.mkdir(parents=True, exist_ok=True)
        with run_dir.with_suffix(".log").open("a") as log:
            subprocess.run(
                [
                    sys.executable, "-m", "asr", "train", f"experiment={arguments.experiment}", f"run_dir={run_dir}",
                    f"training.seed={seed}", f"model.cell={model.cell}", f"model.units={model.units}",
                    f"model.bidirectional={str(model.bidirectional).lower()}", *arguments.overrides,
                ],
                stdout=log, stderr=log, check=True,
            )  # fmt: skip
        history = [json.loads(line) for line in (run_dir / "history.jsonl").read_text().splitlines()]
        best = min((one for one in history if one["valid_cer"] is not None), key=lambda one: one["valid_cer"])
        runs[name].append({"seed": seed, "cer": best["valid_cer"], "wer": best["valid_wer"], "run_dir": str(run_dir)})
    first = {name: Path(found[0]["run_dir"]) for name, found in runs.items()}
    held_out = first["BiLSTM"] / "held_out.jsonl"
    valid = [held_out] if held_out.exists() else [Path(one) for one in base.data.valid]
    recordings = [one.audio_path for path in valid for one in read_manifest(path).utterances]
    training = time_training(networks, symbols, arguments.rounds)
    transcription = time_transcription(
        {name: path / "best" for name, path in first.items()}, recordings, arguments.rounds
    )
    report: dict[str, Any] = {"experiment": arguments.experiment, "seeds": arguments.seeds, "networks": {}}
    print(f"{'':<8} {'units':>6} {'weights':>10} {'WER %':>15} {'CER %':>15} {'training':>9} {'transcription':>14}")
    for name, settings in networks.items():
        wer, cer = (spread([run[rate] for run in runs[name]]) for rate in ("wer", "cer"))
        row = {
            "units": settings.model.units,
            "weights": weights(settings.model, mels, symbols),
            "wer": wer,
            "cer": cer,
            "training_times_real_time": round(training[name], 1),
            "transcription_times_real_time": round(transcription[name], 1),
            "training_ratio": round(training[name] / training["BiLSTM"], 3),
            "transcription_ratio": round(transcription[name] / transcription["BiLSTM"], 3),
            "runs": runs[name],
        }
        report["networks"][name] = row
        rates = [percent(one) for one in (wer, cer)]
        print(
            f"{name:<8} {row['units']:>6} {row['weights']:>10,} {rates[0]:>15} {rates[1]:>15} "
            f"{row['training_ratio']:>8.2f}x {row['transcription_ratio']:>13.2f}x"
        )
    write_atomically(arguments.output.with_suffix(".json"), (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
