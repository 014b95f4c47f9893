"""Trains the model that predicts phones from letters, on CMUdict, and measures it on words that it was not trained on.

    KERAS_BACKEND=torch OMP_NUM_THREADS=1 python scripts/research/train_g2p.py g2p.npz

A twentieth of the words is held out, chosen by a hash of each. Once their error rates are measured, training goes on
for one more epoch with these words among the others, and the result of that is written. The file holds the error rates
too. PyTorch's LSTM is several times as fast as TensorFlow's on sequences as short as words; more threads than free
cores make it many times slower.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from tqdm import tqdm

from asr.pronunciation.dictionary import cmudict, read_dictionary
from asr.pronunciation.g2p import G2pSettings
from asr.pronunciation.g2p_training import (
    G2pErrors,
    G2pTraining,
    build_network,
    measure,
    split_dictionary,
    to_g2p,
    train_network,
    usable_examples,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="where the model is written")
    parser.add_argument(
        "--dictionary", type=Path, help="a dictionary in CMUdict's or Kaldi's format (default: CMUdict)"
    )
    parser.add_argument("--epochs", type=int, default=8, help="without the held-out words (default 8)")
    parser.add_argument("--final-epochs", type=int, default=1, help="with them (default 1)")
    parser.add_argument("--units", type=int, default=128, help="of each direction of each LSTM (default 128)")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="the highest (default 0.003)")
    parser.add_argument("--bfloat16", action="store_true", help="twice as fast on processors with AMX or AVX512-BF16")
    parser.add_argument("--words", type=int, help="train on so many words only, for a trial")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    started = time.monotonic()
    dictionary = read_dictionary(arguments.dictionary) if arguments.dictionary else cmudict()
    settings = G2pSettings(units=arguments.units)
    training = G2pTraining(epochs=arguments.epochs, learning_rate=arguments.learning_rate, seed=arguments.seed)
    train, held_out = split_dictionary(dictionary)
    if arguments.words:
        train = dict(list(train.items())[: arguments.words])
    examples = usable_examples(train, settings)
    print(f"{len(examples)} pronunciations of {len(train)} words to train on, {len(held_out)} words held out")

    if arguments.bfloat16:
        keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(arguments.seed)
    network = build_network(settings, dropout=training.dropout)
    _train(network, examples, settings, training, "training")
    g2p = to_g2p(network, settings)
    errors = measure(g2p, held_out)
    print(_describe(errors))
    provenance = {
        "dictionary": str(arguments.dictionary.name) if arguments.dictionary else "CMUdict",
        "training": asdict(training),
        "final_epochs": arguments.final_epochs,
        "held_out": asdict(errors),
    }
    g2p.save(arguments.output, provenance=provenance | {"final_epochs": 0})
    if arguments.final_epochs:
        final = replace(training, epochs=arguments.final_epochs, learning_rate=arguments.learning_rate / 10)
        everything = usable_examples(train | held_out, settings)
        _train(network, everything, settings, final, "training on all words")
        to_g2p(network, settings).save(arguments.output, provenance=provenance)
    size = arguments.output.stat().st_size / 1e6
    print(f"{arguments.output}: {size:.2f} MB, {(time.monotonic() - started) / 60:.0f} minutes")


def _train(
    network: keras.Model,
    examples: list[tuple[str, tuple[str, ...]]],
    settings: G2pSettings,
    training: G2pTraining,
    title: str,
) -> None:
    """Train under a progress bar that shows a running mean of the loss."""
    with tqdm(desc=title, unit="batch", mininterval=1) as bar:
        mean = 0.0

        def on_step(step: int, steps: int, loss: float) -> None:
            nonlocal mean
            bar.total = steps
            share = 1 / min(step, 100)
            mean += share * (loss - mean)
            bar.set_postfix_str(f"{mean:.3f} nats a phone", refresh=False)
            bar.update()

        train_network(network, examples, settings, training, on_step=on_step)


def _describe(errors: G2pErrors) -> str:
    return (
        f"held-out words: {errors.word_error_rate:.1%} of {errors.words} words wrong, "
        f"{errors.phone_error_rate:.1%} of {errors.phones} phones"
    )


if __name__ == "__main__":
    main()
