"""Measures training over processes: steps a second by ranks, the exchange of gradients, and how far weights differ.

    KERAS_BACKEND=torch python scripts/bench/ranks.py --manifest train.jsonl --ranks 1 2 4 --steps 50

Every number of ranks trains the same run: the same batches, dropout and augmentation. With more ranks than cores the
speed says nothing about scaling, and the weights must still be the same. A last line of JSON holds all figures.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from asr.bundle import load_bundle
from asr.corpus.manifest import read_manifest, write_manifest
from asr.machine import available_cores
from asr.settings.augment import AugmentConfig
from asr.settings.commands import TrainConfig
from asr.settings.corpus import DataConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.settings.training import OptimizerConfig, TrainingConfig
from asr.settings.yaml_text import from_yaml, to_yaml

_DEFAULT = Path(__file__).parents[2] / "data" / "smoke" / "train.jsonl"
# Steps before the clock starts: kernels are chosen and memory is allocated in them.
_WARM_UP = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """One number of ranks."""

    ranks: int
    steps: int
    """that were taken; the first are not timed"""
    steps_per_second: float
    processor_seconds_per_step: float
    """of all ranks together"""
    reduced_megabytes: float
    """of gradients that each rank adds up in a step"""
    reduce_seconds: float
    """of a step, on rank 0, with waiting for slower ranks"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, default=_DEFAULT)
    parser.add_argument("--utterances", type=int, default=50)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rows", type=int, default=8, help="utterances in a batch of all ranks")
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--rank", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rank:
        config, result, port, rank, count = arguments.rank
        _train(Path(config), Path(result), int(port), int(rank), int(count))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "config.yaml"
        config.write_text(to_yaml(_settings(arguments, folder)))
        measured = [_measure(config, folder, count) for count in arguments.ranks]
        weights = {count: load_bundle(folder / f"run{count}" / "last").weights() for count in arguments.ranks}
    print(f"{'ranks':>5} {'steps/s':>8} {'CPU s/step':>10} {'MB/step':>8} {'all-reduce s/step':>18}")
    for one in measured:
        print(
            f"{one.ranks:>5} {one.steps_per_second:>8.2f} {one.processor_seconds_per_step:>10.3f} "
            f"{one.reduced_megabytes:>8.2f} {one.reduce_seconds:>18.4f}"
        )
    first = arguments.ranks[0]
    differences = {
        count: max(float(np.abs(weights[count][name] - array).max()) for name, array in weights[first].items())
        for count in arguments.ranks[1:]
    }
    for count, difference in differences.items():
        steps = measured[0].steps
        print(f"largest difference of a weight, {first} and {count} ranks, after {steps} steps: {difference:.1e}")
    figures = {"measured": [asdict(one) for one in measured], "differences": differences, "cores": available_cores()}
    print(json.dumps(figures))


def _settings(arguments: argparse.Namespace, folder: Path) -> TrainConfig:
    """Batches of whole epochs, as many as give the steps."""
    utterances = read_manifest(arguments.manifest).utterances[: arguments.utterances]
    held_out = utterances[:2]
    paths = [folder / "train.jsonl", folder / "valid.jsonl"]
    for path, chosen in zip(paths, (utterances[2:], held_out), strict=True):
        write_manifest(path, chosen)
    rows = arguments.rows
    batches = -(-len(utterances[2:]) // rows)
    return TrainConfig(
        data=DataConfig(train=[str(paths[0])], valid=[str(paths[1])]),
        features=FeatureConfig(),
        augment=AugmentConfig(speeds=[1.0], noise_probability=0.3),
        model=ModelConfig(depth=arguments.depth, units=arguments.units, projection=arguments.units, dropout=0.1),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=0),
        training=TrainingConfig(
            epochs=max(1, arguments.steps // batches), batch_size=rows, batch_seconds=10_000.0, buckets=1, patience=0,
            workers=1, valid_every=1_000_000, keep_epochs=0,
        ),
    )  # fmt: skip


def _measure(config: Path, folder: Path, count: int) -> Measured:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    threads = str(max(1, available_cores() // count))
    environment = os.environ | {"KERAS_BACKEND": "torch", "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": threads}
    result = folder / f"result{count}"
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--rank", config, result, str(port), str(rank), str(count)], env=environment
        )
        for rank in range(count)
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"{count} ranks: failed")
    parts = [json.loads(result.with_name(f"{result.name}.{rank}").read_text()) for rank in range(count)]
    return Measured(
        ranks=count,
        steps=parts[0]["steps"] + _WARM_UP + 1,
        steps_per_second=parts[0]["steps"] / parts[0]["seconds"],
        processor_seconds_per_step=sum(one["processor_seconds"] for one in parts) / parts[0]["steps"],
        reduced_megabytes=parts[0]["bytes"] / parts[0]["steps"] / 1e6,
        reduce_seconds=parts[0]["reduce_seconds"] / parts[0]["steps"],
    )


def _train(config: Path, result: Path, port: int, rank: int, count: int) -> None:
    """Train as one rank, and write its figures."""
    from contextlib import nullcontext

    from asr.training.distributed import Ranks, TorchRanks, joined
    from asr.training.engine import Engine
    from asr.training.rank_environment import Place
    from asr.training.run import train_on

    settings = replace(
        from_yaml(TrainConfig, config.read_text(), str(config)), run_dir=str(config.parent / f"run{count}")
    )
    take_step, marks = Engine.step, []

    place = Place(rank, count, rank, "127.0.0.1", port, "bench")
    with joined(place) if count > 1 else nullcontext(Ranks()) as ranks:

        def step(engine, *args, **kwargs):  # type: ignore[no-untyped-def]
            done = take_step(engine, *args, **kwargs)
            reduced = (ranks.reduced_bytes, ranks.reduce_seconds) if isinstance(ranks, TorchRanks) else (0, 0.0)
            marks.append((time.perf_counter(), time.process_time(), *reduced))
            return done

        Engine.step = step  # type: ignore[assignment, method-assign]
        train_on(ranks, settings)
    start, end = np.array(marks[_WARM_UP]), np.array(marks[-1])
    seconds, processor_seconds, reduced_bytes, reduce_seconds = (end - start).tolist()
    figures = {
        "steps": len(marks) - 1 - _WARM_UP,
        "seconds": seconds,
        "processor_seconds": processor_seconds,
        "bytes": reduced_bytes,
        "reduce_seconds": reduce_seconds,
    }
    result.with_name(f"{result.name}.{rank}").write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
