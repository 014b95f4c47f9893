"""Measures an LSTM language model: words a second at several numbers of hypotheses, and what integers cost.

    python scripts/bench/neural_lm.py RUN_DIR TEXT

RUN_DIR is a finished run of `asr lm kind=lstm`, TEXT a file or a manifest. The integers of the run's file are compared
with float32 made of the same weights: speed in seconds of the processor, and perplexity of a word.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np

from asr.cli.lm_inputs import sentences_of
from asr.language.neural import NeuralLanguageModel
from asr.language.neural_export import export_language_model
from asr.language.neural_scoring import score_sentences
from asr.settings.commands import LmConfig
from asr.training.language_run import GRAPH, WEIGHTS

_SECONDS = 2.0


def words_a_second(model: NeuralLanguageModel, words: list[str], hypotheses: int) -> float:
    """Of `advance`, in seconds of the processor."""
    states, done, place = model.initial_state().take([0] * hypotheses), 0, 0
    model.advance(states, words[:hypotheses])
    started = time.process_time()
    while time.process_time() - started < _SECONDS:
        _, states = model.advance(states, words[place : place + hypotheses])
        done += hypotheses
        place = (place + hypotheses) % (len(words) - hypotheses)
    return done / (time.process_time() - started)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("text")
    arguments = parser.parse_args()
    integers = NeuralLanguageModel.load(arguments.run_dir / GRAPH)
    with np.load(arguments.run_dir / WEIGHTS) as arrays:
        content = export_language_model(dict(arrays), integers.header, quantized=False)
    models = {"integers": integers, "float32": NeuralLanguageModel(content, "float32")}
    sentences = [one.split() for one in sentences_of([arguments.text], LmConfig()) if one]
    words = [word for sentence in sentences for word in sentence]
    pieces = sum(len(integers.header.pieces.encode(word)) for word in words)
    print(f"{len(words):,} words, {pieces / len(words):.2f} pieces a word")
    for name, model in models.items():
        speeds = ", ".join(f"{words_a_second(model, words, count):,.0f} ({count})" for count in (1, 8, 32, 128))
        print(f"{name}: words a second of one core at (hypotheses): {speeds}")
    for name, model in models.items():
        scores = score_sentences(model, sentences)
        nats = -sum(float(one.sum()) for one in scores)
        print(f"{name}: perplexity {math.exp(nats / (len(words) + len(sentences))):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
