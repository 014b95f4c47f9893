"""Measures the memory and the time that the plan of a training takes, by the number of its epochs.

    python scripts/bench/plan_memory.py --utterances 1000000 --epochs 1 30

Utterances of 1 to 16 s with random texts are made up, played at three speeds, and a tenth of them is joined in pairs.
Each number of epochs runs in a process of its own, which goes through the batches of the last two epochs as a training
does. What the made-up utterances take alone is shown as well.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from asr.audio.augment import Augmenter
from asr.audio.features import LogMel
from asr.corpus.manifest import Utterance
from asr.settings.augment import AugmentConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.settings.training import TrainingConfig
from asr.text.alphabet import Alphabet
from asr.training.examples import Examples
from asr.training.plan import TrainingPlan

_SYMBOLS = " 'abcdefghijklmnopqrstuvwxyz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 30])
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure is not None:
        _measure(arguments.utterances, arguments.measure)
        return
    print(f"{'epochs':>6} {'utterances':>10} {'batches':>10} {'utterances MB':>14} {'plan MB':>8} {'plan s':>7}")
    for epochs in arguments.epochs:
        subprocess.run(
            [sys.executable, __file__, "--utterances", str(arguments.utterances), "--measure", str(epochs)], check=True
        )


def _measure(count: int, epochs: int) -> None:
    utterances = _made_up(count)
    before = _peak_megabytes()
    features = FeatureConfig(mels=8)
    augmenter = Augmenter(AugmentConfig(join_probability=0.1, join_seconds=20), features.sample_rate)
    examples = Examples(
        utterances, Alphabet(_SYMBOLS), LogMel.from_librosa(features), ModelConfig(), augmenter=augmenter, seed=1
    )
    started = time.monotonic()
    settings = TrainingConfig(epochs=epochs)
    plan = TrainingPlan(examples, epochs=epochs, frames_per_second=1 / features.hop_seconds, settings=settings)
    seconds = time.monotonic() - started
    for _ in plan.batches_from(plan.batches_before(max(0, epochs - 2))):
        pass
    print(
        f"{epochs:>6} {count:>10} {plan.total:>10} {before:>14.0f} {_peak_megabytes() - before:>8.0f} {seconds:>7.1f}",
        flush=True,
    )


def _made_up(count: int) -> list[Utterance]:
    rng = np.random.default_rng(1)
    durations = rng.uniform(1, 16, count)
    starts = rng.integers(0, 1_000_000, count)
    letters = "".join(_SYMBOLS[number] for number in rng.integers(1, len(_SYMBOLS), 1_000_400))
    path = Path("made-up.wav")
    return [
        Utterance(
            id=str(number),
            audio_path=path,
            text=letters[start : start + int(14 * seconds)],
            duration=seconds,
            speaker=None,
            where="made up",
        )
        for number, (start, seconds) in enumerate(zip(starts.tolist(), durations.tolist(), strict=True))
    ]


def _peak_megabytes() -> float:
    """Peak of the resident memory of this process; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
