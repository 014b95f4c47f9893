"""Settings of language models."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.settings.checks import ConfigEnum, above, at_least, between, check_settings


class LanguageUnit(ConfigEnum):
    """What a language model counts."""

    words = "words"
    characters = "characters"


class LanguageModelKind(ConfigEnum):
    """Kinds of language models."""

    ngram = "ngram"
    lstm = "lstm"


@dataclass(kw_only=True)
class LstmConfig:
    """The shape of an LSTM language model."""

    pieces: int = field(default=4000, metadata=at_least(8, at_most=65_000))
    """number of word pieces that words are written in"""
    embedding: int = field(default=512, metadata=at_least(1, at_most=4096))
    """width of the vector of a piece"""
    units: int = field(default=512, metadata=at_least(1, at_most=4096))
    """units of each LSTM"""
    depth: int = field(default=2, metadata=at_least(1, at_most=8))
    """number of LSTMs"""

    def __post_init__(self) -> None:
        check_settings(self, "network")


@dataclass(kw_only=True)
class LstmTrainingConfig:
    """Data, length and numerics of the training of an LSTM language model."""

    epochs: int = field(default=4, metadata=at_least(1, at_most=1_000_000))
    """number of passes over the texts"""
    minutes: float | None = field(default=None, metadata=above(0, at_most=1_000_000))
    """end after so many minutes, to which the course of the learning rate is fitted; null ends after `epochs` passes"""
    rows: int = field(default=64, metadata=at_least(1, at_most=65_536))
    """windows of text in a batch"""
    window: int = field(default=64, metadata=at_least(2, at_most=4096))
    """pieces of a window, each of which begins with the state of a new sentence"""
    joined: float = field(default=0.5, metadata=between(0.0, 1.0))
    """share of the sentences that are followed by the next one without an end between them, as a recording has several
    sentences"""
    middle: float = field(default=0.2, metadata=between(0.0, 1.0))
    """share of the windows that begin within a sentence, as segments of recordings do"""
    learning_rate: float = field(default=2e-3, metadata=above(0, at_most=100))
    """the highest, after the warm-up; it falls along a cosine"""
    warmup_steps: int = field(default=400, metadata=at_least(0, at_most=1_000_000_000))
    """steps in which the rate rises from 0; at most a tenth of the training"""
    dropout: float = field(default=0.1, metadata=between(0.0, 0.9))
    """behind the vectors of pieces and behind each LSTM"""
    weight_decay: float = field(default=1e-2, metadata=at_least(0, at_most=100))
    """decoupled weight decay"""
    clip_norm: float = field(default=1.0, metadata=above(0, at_most=1_000_000_000))
    """largest norm of the gradient"""
    bfloat16: bool = False
    """products in bfloat16: several times as fast on a GPU"""
    seed: int = field(default=1, metadata=at_least(0, at_most=2**31 - 1))
    """seed of the initial weights and of the windows"""
    checkpoint_minutes: float = field(default=5.0, metadata=at_least(0, at_most=1_000_000))
    """minutes between checkpoints; 0 writes one after every batch"""
    held_out: float = field(default=0.01, metadata=between(0.0, 0.5, low_open=True))
    """share of the texts that is held out for validation, in blocks of 500 sentences, by a hash of each block"""
    valid_words: int = field(default=200_000, metadata=at_least(1, at_most=1_000_000_000))
    """number of held-out words on which the perplexity is measured"""

    def __post_init__(self) -> None:
        check_settings(self, "training")
