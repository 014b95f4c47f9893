"""Settings of the network that predicts punctuation and capitals, and of its training."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.settings.checks import above, at_least, between, check_settings


@dataclass(kw_only=True)
class TaggerConfig:
    """The shape of the network."""

    vocabulary: int = field(default=14000, metadata=at_least(0, at_most=1_000_000))
    """number of most frequent words with a vector of their own; the others are known by their pieces"""
    buckets: int = field(default=6000, metadata=at_least(1, at_most=1_000_000))
    """number of vectors of hashed pieces of words"""
    embedding: int = field(default=96, metadata=at_least(1, at_most=4096))
    """width of these vectors"""
    units: int = field(default=128, metadata=at_least(1, at_most=4096))
    """units of each direction of each LSTM"""
    depth: int = field(default=2, metadata=at_least(1, at_most=16))
    """number of bidirectional LSTMs"""
    top_units: int = field(default=0, metadata=at_least(0, at_most=4096))
    """units of each direction of a further LSTM, beside which the tags see what it reads; 0 for none"""

    def __post_init__(self) -> None:
        check_settings(self, "tagger")


@dataclass(kw_only=True)
class TextBatchConfig:
    """How training texts are cut into windows, and what is changed in them."""

    words: int = field(default=4000, metadata=at_least(1, at_most=1_000_000))
    """words of a batch"""
    window: int = field(default=128, metadata=at_least(2, at_most=4096))
    """words of a window"""
    short_window: int = field(default=24, metadata=at_least(2, at_most=4096))
    """words of a short window, like those of single utterances"""
    short_share: float = field(default=0.2, metadata=between(0.0, 1.0))
    """share of the documents of an epoch that are cut into short windows"""
    noise: float = field(default=0.15, metadata=between(0.0, 0.9))
    """highest share of the words of a window with errors as a recogniser makes them; half of the windows have none"""
    pauses: float = field(default=0.5, metadata=between(0.0, 1.0))
    """share of the windows with pauses"""
    held_out: float = field(default=0.02, metadata=between(0.0, 0.5, low_open=True))
    """share of the documents that is held out for validation, and as much for tests; by a hash of each document. Where
    that takes none for validation, as of one book, the last paragraphs with this share of the text are held out"""

    def __post_init__(self) -> None:
        check_settings(self, "batches")


@dataclass(kw_only=True)
class TaggerTrainingConfig:
    """Length of a training, its checkpoints and numerics."""

    epochs: int = field(default=1, metadata=at_least(1, at_most=1_000_000))
    """number of passes over the texts"""
    minutes: float | None = field(default=None, metadata=above(0, at_most=1_000_000))
    """end after so many minutes, to which the course of the learning rate is fitted; null ends after `epochs` passes"""
    learning_rate: float = field(default=2e-3, metadata=above(0, at_most=100))
    """the highest, after the warm-up; it falls along a cosine"""
    warmup_steps: int = field(default=200, metadata=at_least(0, at_most=1_000_000_000))
    """steps in which the rate rises from 0; at most a tenth of the training"""
    dropout: float = field(default=0.1, metadata=between(0.0, 0.9))
    """behind the vectors of words and behind each LSTM"""
    weight_decay: float = field(default=1e-4, metadata=at_least(0, at_most=100))
    """decoupled weight decay"""
    clip_norm: float = field(default=1.0, metadata=above(0, at_most=1_000_000_000))
    """largest norm of the gradient"""
    bfloat16: bool = False
    """products in bfloat16: twice as fast on processors with AVX512-BF16 or AMX"""
    seed: int = field(default=1, metadata=at_least(0, at_most=2**31 - 1))
    """seed of the initial weights, the windows and the noise"""
    checkpoint_minutes: float = field(default=5.0, metadata=at_least(0, at_most=1_000_000))
    """minutes between checkpoints; 0 writes one after every batch"""
    valid_words: int = field(default=200_000, metadata=at_least(1, at_most=1_000_000_000))
    """words of the held-out documents that are validated on"""

    def __post_init__(self) -> None:
        check_settings(self, "training")
