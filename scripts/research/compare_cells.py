"""Bidirectional LSTM, LSTM and bidirectional GRU of equal size: error, speed of training, speed of transcription.

    python scripts/research/compare_cells.py docs/recipes/cells --experiment an4 --seeds 1 2 3 \\
        --recipe docs/recipes/an4.json

trains a recipe with each network (their units chosen so that all have as many weights as the recipe's own network, to
a percent), times their gradient steps on one batch and their transcription of some recordings, the networks taking
turns, and prints a table, then one line of JSON. The result of a run is stored in the JSON file as soon as it ends,
and the run is not repeated; interrupted runs are resumed. Those of the recipe's own network, a bidirectional LSTM, may
be taken from the recipe's receipts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from summarize_recipe import percent, spread
from tqdm import tqdm
from training_runs import read_history, run_training

from asr.acoustic.keras_model import build_model, read_weights
from asr.audio.features import LogMel
from asr.audio.segment import AudioSource
from asr.bundle import load_bundle, save_bundle
from asr.cli.composition import Composer
from asr.corpus.batching import collate
from asr.corpus.manifest import read_manifest
from asr.errors import AudioError
from asr.files import write_atomically
from asr.recognition.transcriber import Transcriber
from asr.settings.commands import TrainConfig
from asr.settings.model import Cell, ModelConfig
from asr.text.alphabet import Alphabet
from asr.training.engine import Engine

RECIPES_OWN = "BiLSTM"
NETWORKS: dict[str, dict[str, Any]] = {
    RECIPES_OWN: {"cell": Cell.lstm, "bidirectional": True},
    "LSTM": {"cell": Cell.lstm, "bidirectional": False},
    "BiGRU": {"cell": Cell.gru, "bidirectional": True},
}
ROWS, SECONDS, SYMBOLS_A_ROW = 16, 6.0, 40


def weights(settings: ModelConfig, mels: int, symbols: int) -> int:
    """The number of weights of a network."""
    return int(build_model(settings, mels=mels, symbols=symbols).count_params())


def of_equal_size(settings: ModelConfig, mels: int, symbols: int, wanted: int) -> ModelConfig:
    """The network with the number of units that comes nearest to a number of weights."""

    def too_few(units: int) -> int:
        return wanted - weights(replace(settings, units=units), mels, symbols)

    low, high = 8, 4096
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if too_few(middle) >= 0 else (low, middle)
    return replace(settings, units=min((low, high), key=lambda units: abs(too_few(units))))


def train(run_dir: Path, settings: TrainConfig, arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train, or go on; the error rates of the best epoch."""
    model = settings.model
    run_training(
        run_dir, f"experiment={arguments.experiment}", f"training.seed={seed}", f"model.cell={model.cell}",
        f"model.units={model.units}", f"model.bidirectional={str(model.bidirectional).lower()}", *arguments.overrides,
    )  # fmt: skip
    validated = [one for one in read_history(run_dir) if one["valid_cer"] is not None]
    best = min(validated, key=lambda one: one["valid_cer"])
    return {"seed": seed, "cer": best["valid_cer"], "wer": best["valid_wer"]}


def time_training(networks: dict[str, TrainConfig], symbols: int, rounds: int) -> dict[str, float]:
    """Times real time of a gradient step, for each network the median of some rounds."""
    rng = np.random.default_rng(0)
    engines = {}
    found: dict[str, list[float]] = {name: [] for name in networks}
    for name, settings in networks.items():
        shape = int(SECONDS / settings.features.hop_seconds), settings.features.mels
        frames = [rng.standard_normal(shape, np.float32) for _ in range(ROWS)]
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


def time_transcription(
    networks: dict[str, TrainConfig], recordings: Sequence[AudioSource], rounds: int
) -> dict[str, float]:
    """Times real time of transcription with untrained weights, for each network the median of some rounds."""
    found: dict[str, list[float]] = {name: [] for name in networks}
    with tempfile.TemporaryDirectory() as scratch:
        transcribers = {}
        for name, settings in networks.items():
            alphabet = Alphabet(settings.alphabet.symbols)
            model = build_model(settings.model, mels=settings.features.mels, symbols=alphabet.size)
            save_bundle(
                Path(scratch) / name, weights=read_weights(model), log_mel=LogMel.from_librosa(settings.features),
                normalizer=settings.normalizer, alphabet=alphabet, model=settings.model,
            )  # fmt: skip
            transcribers[name] = Transcriber(load_bundle(Path(scratch) / name))
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
    parser.add_argument("--recipe", type=Path, help="the recipe's receipts, for its own network")
    parser.add_argument("--recordings", type=Path, default=Path("data/smoke/train.jsonl"), help="to time transcription")
    parser.add_argument("--runs", type=Path, default=Path("runs/cells"), help="folder of the runs")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of timing")
    parser.add_argument("--overrides", nargs="*", default=[], help="settings for every run, such as training.epochs=5")
    arguments = parser.parse_args()
    with Composer("train") as composer:
        base: TrainConfig = composer.compose([f"experiment={arguments.experiment}", *arguments.overrides])
    mels, symbols = base.features.mels, len(base.alphabet.symbols) + 1
    wanted = weights(base.model, mels, symbols)
    networks = {
        name: replace(base, model=of_equal_size(replace(base.model, **changes), mels, symbols, wanted))
        for name, changes in NETWORKS.items()
    }
    written = arguments.output.with_suffix(".json")
    report: dict[str, Any] = {"experiment": arguments.experiment, "overrides": arguments.overrides, "networks": {}}
    if written.exists():
        report = json.loads(written.read_text())
    for name, settings in networks.items():
        size = weights(settings.model, mels, symbols)
        entry = report["networks"].setdefault(name, {"runs": []})
        entry |= {"units": settings.model.units, "weights": size}
    if arguments.recipe:
        receipts = json.loads(arguments.recipe.read_text())["runs"]
        report["networks"][RECIPES_OWN]["runs"] = [
            {key: run[key] for key in ("seed", "cer", "wer")} for run in receipts if run["seed"] in arguments.seeds
        ]
    jobs = [(name, seed) for seed in arguments.seeds for name in networks]
    for name, seed in tqdm(jobs, unit="run", disable=None):
        runs = report["networks"][name]["runs"]
        if seed not in {run["seed"] for run in runs}:
            runs.append(train(arguments.runs / f"{name.lower()}-{seed}", networks[name], arguments, seed))
            write_atomically(written, (json.dumps(report, indent=1) + "\n").encode())
    recordings = [one.audio for one in read_manifest(arguments.recordings).utterances]
    training = time_training(networks, symbols, arguments.rounds)
    transcription = time_transcription(networks, recordings, arguments.rounds)
    print(f"{'':<8} {'units':>6} {'weights':>10} {'WER %':>15} {'CER %':>15} {'training':>9} {'transcription':>14}")
    for name, entry in report["networks"].items():
        entry |= {
            "wer": spread([run["wer"] for run in entry["runs"]]),
            "cer": spread([run["cer"] for run in entry["runs"]]),
            "training_times_real_time": round(training[name], 1),
            "transcription_times_real_time": round(transcription[name], 1),
            "training_ratio": round(training[name] / training[RECIPES_OWN], 3),
            "transcription_ratio": round(transcription[name] / transcription[RECIPES_OWN], 3),
        }
        print(
            f"{name:<8} {entry['units']:>6} {entry['weights']:>10,} {percent(entry['wer']):>15} "
            f"{percent(entry['cer']):>15} {entry['training_ratio']:>8.2f}x {entry['transcription_ratio']:>13.2f}x"
        )
    write_atomically(written, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
