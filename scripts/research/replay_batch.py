#!/usr/bin/env python3
"""Takes a batch that a training passed over, with the weights of that moment, and shows what was wrong with it.

    python scripts/research/replay_batch.py runs/mine/non_finite/epoch2-batch17.npz

For every utterance: frames, steps, label symbols, its loss, and whether its features hold numbers that are not finite.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("batch", type=Path, help="an .npz file in non_finite/ of a run directory")
    path = parser.parse_args(arguments).batch

    import numpy as np

    from asr.acoustic.keras_model import write_weights
    from asr.acoustic.steps import step_counts
    from asr.corpus.batching import Batch
    from asr.settings.commands import TrainConfig
    from asr.settings.yaml_text import from_yaml
    from asr.training.engine import Engine

    config = path.parent.parent / "config.yaml"
    settings = from_yaml(TrainConfig, config.read_text("utf-8"), str(config))
    with np.load(path, allow_pickle=False) as arrays:
        batch = Batch(*(arrays[name] for name in ("frames", "frame_counts", "labels", "label_counts")))
        ids = arrays["ids"].tolist()
        weights = {name.removeprefix("weights/"): arrays[name] for name in arrays.files if name.startswith("weights/")}
    engine = Engine(settings, symbols=len(weights["symbols/bias"]))
    write_weights(engine.model, weights)
    nats = engine.nats(batch, engine.logits(batch))
    steps = step_counts(batch.frame_counts, settings.model)
    print(f"{'utterance':<40} {'frames':>7} {'steps':>6} {'symbols':>8} {'nats':>10}  features")
    for row, name in enumerate(ids):
        finite = bool(np.isfinite(batch.frames[row]).all())
        print(
            f"{name:<40} {batch.frame_counts[row]:>7} {steps[row]:>6} {batch.label_counts[row]:>8} {nats[row]:>10.2f}"
            f"  {'finite' if finite else 'NOT FINITE'}"
        )
    print(
        "a step from here:", "not finite" if engine.step(batch).fault else "finite: the weights were at fault, or luck"
    )


if __name__ == "__main__":
    main()
