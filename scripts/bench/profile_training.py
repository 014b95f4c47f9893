#!/usr/bin/env python3
"""Shows where the time of a training step goes, layer by layer, on the Keras back end in use.

The network is trained as far as its front end, then as far as its first recurrent layer, and so on; what each piece
adds to a step is its share (forward and backward). What the whole step of `asr train` takes more is the loss, the
optimizer and the guard. The pieces take turns, round by round, and medians count.

    python scripts/bench/profile_training.py
    KERAS_BACKEND=torch python scripts/bench/profile_training.py --rows 8 --seconds 12 model=small
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8, help="utterances in the batch (default 8)")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each utterance (default 12)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of which the median counts (default 7)")
    parser.add_argument("settings", nargs="*", help="settings of `asr train`, such as model=small")
    options = parser.parse_args()

    import keras
    import numpy as np

    from asr.acoustic.keras_model import build_model
    from asr.cli.composition import Composer
    from asr.corpus.batching import collate
    from asr.settings.commands import TrainConfig
    from asr.training.engine import Engine

    with Composer("train") as composer:
        settings: TrainConfig = composer.compose(options.settings)
    symbols = 29
    rng = np.random.default_rng(0)
    frames = int(options.seconds / settings.features.hop_seconds)
    batch = collate(
        [rng.standard_normal((frames, settings.features.mels)).astype(np.float32) for _ in range(options.rows)],
        [rng.integers(1, symbols, int(14 * options.seconds)).tolist() for _ in range(options.rows)],
    )

    def up_to(name: str) -> Callable[[], Any]:
        """A step of the network as far as a layer, without loss and optimizer to speak of."""
        model = build_model(settings.model, mels=settings.features.mels, symbols=symbols)
        part = keras.Model(model.inputs, model.get_layer(name).output)

        class Sum(keras.losses.Loss):  # type: ignore[misc]
            def call(self, y_true: Any, y_pred: Any) -> Any:
                return keras.ops.sum(y_pred, axis=(1, 2))

        part.compile(keras.optimizers.SGD(0.0), Sum())
        targets = np.zeros((options.rows, 1, 1), np.float32)
        return lambda: part.train_on_batch([batch.frames, batch.frame_counts], targets)

    engine = Engine(settings, symbols=symbols)
    names = [layer.name for layer in engine.model.layers]
    # The last layer of each block.
    blocks = ["front_end", *(f"recurrent_{number}" for number in range(1, settings.model.depth + 1)), "symbols"]
    ends = [next(name for name in reversed(names) if name.startswith(block) or is_end(name, block)) for block in blocks]
    pieces = dict(zip(blocks, (up_to(name) for name in ends), strict=True))
    pieces["whole step"] = lambda: engine.step(batch)
    times: dict[str, list[float]] = {name: [] for name in pieces}
    for number in range(options.rounds + 2):
        for name, step in pieces.items():
            started = time.perf_counter()
            step()
            if number >= 2:
                times[name].append(time.perf_counter() - started)
    seconds = {name: statistics.median(values) for name, values in times.items()}
    whole = seconds["whole step"]
    print(
        f"{options.rows} utterances of {options.seconds:g} s, Keras on {keras.backend.backend()}: {whole:.3f} s a step"
    )
    shares, before = {}, 0.0
    for name in pieces:
        label = "CTC, AdamW, clipping, guard" if name == "whole step" else name.replace("_", " ")
        shares[label] = max(0.0, seconds[name] - before) / whole
        before = seconds[name]
        print(f"  {label:<28} {shares[label]:>6.1%}")
    speed = options.rows * options.seconds / whole
    print(f"  {speed:,.0f} times faster than the audio plays")
    print(json.dumps({"backend": keras.backend.backend(), "step_seconds": whole, "times_real_time": speed, **shares}))


def is_end(name: str, block: str) -> bool:
    """Dropout is the last layer of a recurrent block."""
    return name == block.replace("recurrent", "dropout")


if __name__ == "__main__":
    main()
