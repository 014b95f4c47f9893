"""Measures the training step of networks of several sizes: the cost of a wider or deeper one, before training it.

    python scripts/bench/networks.py --precision bfloat16
    python scripts/bench/networks.py --networks depth=4 units=320,projection=320 --rows 24

The networks alternate, on the same batch; the median step of each is reported. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from typing import Any

import numpy as np

from asr.corpus.batching import Batch
from asr.settings.commands import TrainConfig
from asr.settings.model import ModelConfig
from asr.settings.training import Precision, TrainingConfig
from asr.training.engine import Engine

MELS, SYMBOLS, FRAMES_A_SECOND, SYMBOLS_A_SECOND, WARM_UP = 80, 29, 100, 14, 2
NETWORKS = ("", "depth=4", "units=320,projection=320", "units=384", "depth=4,units=320,projection=320")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="settings of model., separated by commas")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=6.5, help="length of a row (6.5)")
    parser.add_argument("--steps", type=int, default=7, help="timed steps of each network (7)")
    parser.add_argument("--precision", default="float32", choices=[one.value for one in Precision])
    arguments = parser.parse_args()
    batch = make_batch(arguments.rows, arguments.seconds)
    training = TrainingConfig(precision=Precision(arguments.precision))
    engines = {
        network or "default": Engine(TrainConfig(model=model(network), training=training), symbols=SYMBOLS)
        for network in arguments.networks
    }
    times: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(WARM_UP + arguments.steps):
        for name, engine in engines.items():
            started = time.perf_counter()
            engine.step(batch)
            times[name].append(time.perf_counter() - started)
    audio = arguments.rows * arguments.seconds
    figures = {}
    print(f"{'network':<36}{'weights':>12}{'seconds a step':>16}{'x real time':>13}")
    for name, engine in engines.items():
        seconds, weights = statistics.median(times[name][WARM_UP:]), engine.model.count_params()
        print(f"{name:<36}{weights:>12,}{seconds:>16.3f}{audio / seconds:>13.0f}")
        figures[name] = {"weights": weights, "seconds": seconds, "times_real_time": audio / seconds}
    print(json.dumps(figures))
    return 0


def model(network: str) -> ModelConfig:
    """The default network with some settings changed."""
    changes: dict[str, Any] = {}
    for pair in filter(None, network.split(",")):
        name, _, value = pair.partition("=")
        changes[name] = int(value)
    return ModelConfig(**changes)


def make_batch(rows: int, seconds: float) -> Batch:
    """Noise, and labels as long as speech has them."""
    rng = np.random.default_rng(1)
    frames, symbols = int(seconds * FRAMES_A_SECOND), int(seconds * SYMBOLS_A_SECOND)
    return Batch(
        rng.standard_normal((rows, frames, MELS)).astype(np.float32),
        np.full(rows, frames, np.int32),
        rng.integers(1, SYMBOLS, (rows, symbols)).astype(np.int32),
        np.full(rows, symbols, np.int32),
    )


if __name__ == "__main__":
    sys.exit(main())
