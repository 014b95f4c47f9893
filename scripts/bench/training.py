#!/usr/bin/env python3
"""Times a whole training step of ours beside stock Keras and plain PyTorch, on the same network and batch.

Every contender is a process of its own that has made its network, compiled it and taken its first steps before
anything is timed. Then they take turns, round by round, so that what else the machine does falls on all alike, and
the median round of each counts. The network is 3 bidirectional LSTMs of 256 units and an output layer; a step is
forward, CTC with true lengths, backward, clipping and AdamW. Speed is steps of the network (rows times time steps) a
second. Contenders whose library is not installed are left out.

    python scripts/bench/training.py
    python scripts/bench/training.py --rounds 9 --rows 32 --steps 200
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

MELS, SYMBOLS, LABEL = 80, 29, 40
DEPTH, UNITS = 3, 256

# name: (back end or library, function that makes a step, its argument)
CONTENDERS = {
    "stock Keras, TensorFlow": ("tensorflow", "stock", False),
    "stock Keras, TensorFlow, XLA": ("tensorflow", "stock", True),
    "stock Keras, JAX (XLA)": ("jax", "stock", True),
    "asr, TensorFlow": ("tensorflow", "ours", "float32"),
    "asr, TensorFlow, bfloat16": ("tensorflow", "ours", "bfloat16"),
    "asr, JAX": ("jax", "ours", "float32"),
    "plain PyTorch": ("torch", "plain", False),
    "asr, PyTorch": ("torch", "ours", "float32"),
    "plain PyTorch, bfloat16": ("torch", "plain", True),
    "asr, PyTorch, bfloat16": ("torch", "ours", "bfloat16"),
}


def make_arrays(options: argparse.Namespace) -> tuple[Any, ...]:
    """Noise to learn: frames, their counts, labels, their counts; rows of different lengths, the first is full."""
    import numpy as np

    rng = np.random.default_rng(0)
    frames = rng.standard_normal((options.rows, options.steps, MELS)).astype(np.float32)
    frame_counts = rng.integers(int(0.8 * options.steps), options.steps + 1, options.rows).astype(np.int32)
    frame_counts[0] = options.steps
    labels = rng.integers(1, SYMBOLS, (options.rows, LABEL)).astype(np.int32)
    return frames, frame_counts, labels, np.full(options.rows, LABEL, np.int32)


def ours(options: argparse.Namespace, precision: str) -> Callable[[], float]:
    """The step that `asr train` takes, from arrays in memory."""
    from asr.corpus.batching import Batch
    from asr.settings.commands import TrainConfig
    from asr.settings.features import FeatureConfig
    from asr.settings.model import FrontEnd, ModelConfig
    from asr.settings.training import Precision, TrainingConfig
    from asr.training.engine import Engine

    settings = TrainConfig(
        features=FeatureConfig(mels=MELS),
        model=ModelConfig(
            front_end=FrontEnd.stack, subsampling=1, depth=DEPTH, units=UNITS, projection=0,
            layer_normalization=False, dropout=0.0,
        ),
        training=TrainingConfig(precision=Precision(precision)),
    )  # fmt: skip
    engine = Engine(settings, symbols=SYMBOLS)
    batch = Batch(*make_arrays(options))
    return lambda: engine.step(batch).loss


def stock(options: argparse.Namespace, xla: bool) -> Callable[[], float]:
    """The same network of Keras's own layers."""
    import keras
    import numpy as np

    frames, frame_counts, labels, label_counts = make_arrays(options)
    inputs = keras.Input((None, MELS))
    x = inputs
    for _ in range(DEPTH):
        x = keras.layers.Bidirectional(keras.layers.LSTM(UNITS, return_sequences=True))(x)
    model = keras.Model(inputs, keras.layers.Dense(SYMBOLS)(x))

    class Ctc(keras.losses.Loss):  # type: ignore[misc]
        def call(self, y_true: Any, y_pred: Any) -> Any:
            y_true = keras.ops.cast(y_true, "int32")
            return keras.ops.ctc_loss(y_true[:, 2:], y_pred, y_true[:, 1], y_true[:, 0], mask_index=0)

    model.compile(optimizer=keras.optimizers.AdamW(1e-3, global_clipnorm=1.0), loss=Ctc(), jit_compile=xla)
    targets = np.concatenate([frame_counts[:, None], label_counts[:, None], labels], axis=1)
    return lambda: float(model.train_on_batch(frames, targets))


def plain(options: argparse.Namespace, half: bool) -> Callable[[], float]:
    """The same network of PyTorch's own layers."""
    import torch

    class Network(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(MELS, UNITS, DEPTH, bidirectional=True, batch_first=True)
            self.symbols = torch.nn.Linear(2 * UNITS, SYMBOLS)

        def forward(self, frames: Any) -> Any:
            return self.symbols(self.lstm(frames)[0])

    frames, frame_counts, labels, label_counts = (torch.from_numpy(array) for array in make_arrays(options))
    model = Network()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(frames)
        log_probs = logits.float().log_softmax(-1).transpose(0, 1)
        loss = torch.nn.functional.ctc_loss(log_probs, labels, frame_counts, label_counts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def serve(name: str, options: argparse.Namespace) -> None:
    """A contender's process: says that it is ready, then times a round for every line it reads."""
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _, maker, argument = CONTENDERS[name]
    started = time.perf_counter()
    try:
        step = globals()[maker](options, argument)
        for _ in range(2):
            loss = step()
    except Exception as error:
        print(json.dumps({"error": str(error).splitlines()[0]}), file=results, flush=True)
        return
    print(json.dumps({"first": time.perf_counter() - started, "loss": loss}), file=results, flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        for _ in range(options.repeats):
            step()
        seconds = (time.perf_counter() - started) / options.repeats
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        print(json.dumps({"seconds": seconds, "memory_mb": memory}), file=results, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of which the median counts (default 5)")
    parser.add_argument("--repeats", type=int, default=3, help="training steps in a round (default 3)")
    parser.add_argument("--rows", type=int, default=16, help="utterances in the batch (default 16)")
    parser.add_argument("--steps", type=int, default=320, help="time steps of the network (default 320)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contenders whose name holds one of these")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        serve(options.contender, options)
        return
    names = [
        name
        for name, (library, *_) in CONTENDERS.items()
        if find_spec(library) and (not options.only or any(part in name for part in options.only))
    ]
    seconds, memory, first = compete(names, options)
    report(seconds, memory, first, options)


def compete(
    names: list[str], options: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, float], dict[str, float]]:
    """Seconds a training step in every round, peak memory in MB, and seconds until the second step, by contender."""
    from tqdm import tqdm

    size = [f"--{key}={getattr(options, key)}" for key in ("rows", "steps", "repeats")]
    seconds: dict[str, list[float]] = {}
    memory: dict[str, float] = {}
    first: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        processes = {}
        for name in tqdm(names, "starting", unit="contender", disable=None, leave=False):
            process = subprocess.Popen(
                [sys.executable, __file__, "--contender", name, *size],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env=os.environ | {"KERAS_BACKEND": CONTENDERS[name][0], "TF_CPP_MIN_LOG_LEVEL": "3"},
            )  # fmt: skip
            stack.callback(process.kill)
            answer = read(process, name)
            if "error" in answer:
                print(f"{name}: left out ({answer['error']})", file=sys.stderr)
                continue
            processes[name], first[name], seconds[name] = process, answer["first"], []
        rounds = [name for _ in range(options.rounds) for name in processes]
        for name in tqdm(rounds, "timing", unit="round", disable=None, leave=False):
            print(file=processes[name].stdin, flush=True)
            answer = read(processes[name], name)
            seconds[name].append(answer["seconds"])
            memory[name] = answer["memory_mb"]
            time.sleep(0.2)  # until its threads have stopped waiting for more
    return seconds, memory, first


def read(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    """A contender's answer."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        sys.exit(f"{name}: its process has ended with code {process.wait()}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def report(
    seconds: dict[str, list[float]], memory: dict[str, float], first: dict[str, float], options: argparse.Namespace
) -> None:
    """The table, then all figures in one line of JSON."""
    speed = {name: options.rows * options.steps / statistics.median(times) for name, times in seconds.items()}

    def ratio(name: str, base: str) -> float | None:
        # Of the rounds, one by one: what slows the machine for a while slows both.
        if name not in seconds or base not in seconds:
            return None
        pairs = zip(seconds[base], seconds[name], strict=True)
        return round(statistics.median(one / other for one, other in pairs), 3)

    stock_xla, torch_float = "stock Keras, TensorFlow, XLA", "plain PyTorch"
    print(f"{options.rows} rows of {options.steps} steps, {options.rounds} rounds of {options.repeats}")
    print(f"{'':<30}{'steps/s':>9}{'x stock XLA':>13}{'x PyTorch':>11}{'MB':>7}{'start, s':>10}")
    for name, value in speed.items():
        ratios = [ratio(name, stock_xla), ratio(name, torch_float)]
        shown = ["-" if one is None else f"{one:.2f}" for one in ratios]
        print(f"{name:<30}{value:>9,.0f}{shown[0]:>13}{shown[1]:>11}{memory[name]:>7.0f}{first[name]:>10.1f}")
    print(
        json.dumps(
            {
                "tensorflow_vs_stock_keras_xla": ratio("asr, TensorFlow", stock_xla),
                "jax_vs_stock_keras_xla": ratio("asr, JAX", "stock Keras, JAX (XLA)"),
                "torch_vs_plain_torch": ratio("asr, PyTorch", torch_float),
                "torch_bf16_vs_plain_torch_bf16": ratio("asr, PyTorch, bfloat16", "plain PyTorch, bfloat16"),
                "tensorflow_vs_plain_torch": ratio("asr, TensorFlow", torch_float),
                "tensorflow_bf16_vs_plain_torch_bf16": ratio("asr, TensorFlow, bfloat16", "plain PyTorch, bfloat16"),
                "steps_per_second": {name: round(value) for name, value in speed.items()},
                "memory_mb": {name: round(value) for name, value in memory.items()},
                "start_seconds": {name: round(value, 1) for name, value in first.items()},
                "rows": options.rows,
                "steps": options.steps,
                "rounds": options.rounds,
            }
        )
    )


if __name__ == "__main__":
    main()
