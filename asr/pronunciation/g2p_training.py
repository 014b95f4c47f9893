"""Trains the network of `asr.pronunciation.g2p` on a dictionary, in Keras."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.acoustic.initializers import Drawn
from asr.acoustic.keras_layers import Dropout
from asr.acoustic.loss import ctc_nats
from asr.acoustic.rnn import Recurrent
from asr.pronunciation.dictionary import Pronunciation
from asr.pronunciation.g2p import G2p, G2pSettings
from asr.settings.model import Cell
from asr.text.alphabet import BLANK

Ints = npt.NDArray[np.int32]
Variants = tuple[Pronunciation, ...]


@dataclass(frozen=True, kw_only=True)
class G2pTraining:
    """How a network is trained."""

    epochs: int = 8
    batch_words: int = 256
    learning_rate: float = 3e-3
    """the highest, after a tenth of the steps; it falls to zero along a cosine"""
    dropout: float = 0.1
    """after each recurrent layer"""
    clip_norm: float = 1.0
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class G2pErrors:
    """Errors of first pronunciations against the nearest variant of the dictionary."""

    words: int
    wrong_words: int
    phones: int
    """of the nearest variants"""
    wrong_phones: int

    @property
    def word_error_rate(self) -> float:
        return self.wrong_words / self.words

    @property
    def phone_error_rate(self) -> float:
        return self.wrong_phones / self.phones


def split_dictionary(
    dictionary: Mapping[str, Variants], share: float = 0.05
) -> tuple[dict[str, Variants], dict[str, Variants]]:
    """Words to train on and held-out words, by a hash of each word: the same on every machine and in any order."""
    bound = int(share * 2**32)
    train: dict[str, Variants] = {}
    held_out: dict[str, Variants] = {}
    for word, variants in dictionary.items():
        digest = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
        (held_out if digest < bound else train)[word] = variants
    return train, held_out


def usable_examples(dictionary: Mapping[str, Variants], settings: G2pSettings) -> list[tuple[str, Pronunciation]]:
    """Every word with every pronunciation that the network can spell: known letters, and as many steps as CTC needs.

    This excludes abbreviations ("www") and words with periods ("a.m.").
    """
    letters = set(settings.letters)
    return [
        (word, phones)
        for word, variants in dictionary.items()
        if letters.issuperset(word)
        for phones in variants
        if len(word) * settings.steps_per_letter >= len(phones) + sum(map(str.__eq__, phones, phones[1:]))
    ]


def build_network(settings: G2pSettings, dropout: float = 0.0) -> keras.Model:
    """The network with fresh weights.

    Returns
    -------
    keras.Model
        From `[letters, letter_counts]`, int32 [shape=(batch, letters)] and [shape=(batch,)], to logits
        [shape=(batch, letters * steps_per_letter, symbols)].
    """
    letters = keras.Input((None,), name="letters", dtype="int32")
    counts = keras.Input((), name="letter_counts", dtype="int32")
    x = keras.layers.Embedding(len(settings.letters) + 1, settings.embedding, name="embedding")(letters)
    for number in (1, 2):
        x = Recurrent(Cell.lstm, units=settings.units, directions=2, name=f"recurrent_{number}")(x, counts)
        x = Dropout(dropout, name=f"dropout_{number}")(x)
    outputs = settings.steps_per_letter * settings.symbols
    # In float32 whatever the precision of the rest, as the loss is.
    x = keras.layers.Dense(outputs, kernel_initializer=Drawn("glorot_uniform"), dtype="float32", name="symbols")(x)
    logits = keras.layers.Reshape((-1, settings.symbols), dtype="float32", name="steps")(x)
    return keras.Model([letters, counts], logits, name="g2p")


def to_g2p(network: keras.Model, settings: G2pSettings) -> G2p:
    """The trained network without Keras."""
    layers = {layer.name: layer for layer in network.layers}
    weights = {
        name: np.asarray(ops.convert_to_numpy(getattr(layers[layer], variable or "embeddings")), np.float32)
        for name in settings.shapes()
        for layer, _, variable in [name.partition("/")]
    }
    return G2p(settings, weights)


def train_network(
    network: keras.Model,
    examples: Sequence[tuple[str, Pronunciation]],
    settings: G2pSettings,
    training: G2pTraining,
    *,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
) -> None:
    """Train a network in place.

    Parameters
    ----------
    network : keras.Model
        As `build_network` makes it.
    examples : sequence of (word, pronunciation)
        As `usable_examples` gives them.
    on_step : callable
        Called with the number of the step, the number of all steps, and the step's loss in nats per phone.
    """
    rng = random.Random(training.seed)
    steps = training.epochs * sum(1 for _ in _batches(examples, training.batch_words, random.Random(0)))
    warm_up = max(1, steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-5, max(1, steps - warm_up), warmup_target=training.learning_rate, warmup_steps=warm_up
    )
    network.compile(
        keras.optimizers.AdamW(rate, weight_decay=1e-4, beta_2=0.98, global_clipnorm=training.clip_norm), loss=_loss
    )
    step = 0
    for _ in range(training.epochs):
        for batch in _batches(examples, training.batch_words, rng):
            letters, counts, targets = pack(batch, settings)
            network.reset_metrics()  # before Keras 3.15, the loss would be the mean over all batches so far
            loss = float(network.train_on_batch([letters, counts], targets))
            step += 1
            on_step(step, steps, loss)


def pack(batch: Sequence[tuple[str, Pronunciation]], settings: G2pSettings) -> tuple[Ints, Ints, Ints]:
    """Letters, their counts, and what the loss needs: CTC steps, phones, and the labels, in one array."""
    letter_numbers = {letter: number for number, letter in enumerate(settings.letters, start=1)}
    phone_numbers = {phone: number for number, phone in enumerate(settings.phones, start=BLANK + 1)}
    counts = np.array([len(word) for word, _ in batch], np.int32)
    letters = np.zeros((len(batch), counts.max()), np.int32)
    # As wide as the longest word may need: back ends that compile do so once for each length of words.
    # The loss does not read the padding.
    targets = np.zeros((len(batch), 2 + int(counts.max()) * settings.steps_per_letter), np.int32)
    for row, (word, phones) in enumerate(batch):
        letters[row, : len(word)] = [letter_numbers[letter] for letter in word]
        targets[row, :2] = len(word) * settings.steps_per_letter, len(phones)
        targets[row, 2 : 2 + len(phones)] = [phone_numbers[phone] for phone in phones]
    return letters, counts, targets


def measure(
    g2p: G2p,
    held_out: Mapping[str, Variants],
    pronounce: Callable[[Sequence[str]], Sequence[Pronunciation]] | None = None,
) -> G2pErrors:
    """Errors on words of a dictionary; any variant of a word counts as right.

    Words with characters that the network does not know are left out.
    """
    words = [word for word in held_out if set(g2p.settings.letters).issuperset(word)]
    found = pronounce(words) if pronounce else [results[0][0] for results in g2p.pronounce(words)]
    nearest = [
        min(((_distance(phones, right), len(right)) for right in held_out[word]), key=lambda one: one[0])
        for word, phones in zip(words, found, strict=True)
    ]
    return G2pErrors(
        words=len(words),
        wrong_words=sum(errors > 0 for errors, _ in nearest),
        phones=sum(count for _, count in nearest),
        wrong_phones=sum(errors for errors, _ in nearest),
    )


def _loss(y_true: Any, y_pred: Any) -> Any:
    """The loss of a batch, in nats per phone."""
    y_true = ops.cast(y_true, "int32")
    nats = ctc_nats(y_pred, y_true[:, 0], y_true[:, 2:], y_true[:, 1])
    return ops.sum(nats) / ops.cast(ops.sum(y_true[:, 1]), "float32")


def _batches(
    examples: Sequence[tuple[str, Pronunciation]], batch_words: int, rng: random.Random
) -> Iterator[list[tuple[str, Pronunciation]]]:
    """All examples once, words of about the same length together, in random order."""
    # A word's length, and up to one letter of noise: batches differ from epoch to epoch, and little is padded.
    order = sorted(range(len(examples)), key=lambda place: len(examples[place][0]) + rng.random())
    starts = list(range(0, len(order), batch_words))
    rng.shuffle(starts)
    for start in starts:
        yield [examples[place] for place in order[start : start + batch_words]]


def _distance(left: Sequence[str], right: Sequence[str]) -> int:
    """Insertions, deletions and substitutions between two sequences (V. Levenshtein, 1966)."""
    row = list(range(len(right) + 1))
    for above, one in enumerate(left, start=1):
        diagonal, row[0] = row[0], above
        for place, other in enumerate(right, start=1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (one != other))
    return row[-1]
