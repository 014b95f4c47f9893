"""Settings of the log-mel features."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.settings.checks import ConfigEnum, above, at_least, between, check_settings, require


class Normalization(ConfigEnum):
    """How log-mel frames are shifted and scaled before the network sees them."""

    none = "none"
    utterance = "utterance"
    corpus = "corpus"
    running = "running"


@dataclass(kw_only=True)
class FeatureConfig:
    """Log-mel features, the same in training and in transcription."""

    sample_rate: int = field(default=16000, metadata=between(1000, 192_000, unit="Hz"))
    """Hz; recordings with other sample rates are resampled"""
    window_seconds: float = field(default=0.025, metadata=between(0.001, 1.0))
    """length of the analysis window"""
    hop_seconds: float = field(default=0.010, metadata=between(0.001, 1.0))
    """distance between the starts of two frames"""
    mels: int = field(default=80, metadata=at_least(1, at_most=1024))
    """number of mel bands"""
    fmin: float = field(default=20.0, metadata=at_least(0, at_most=96_000))
    """Hz, lower edge of the lowest band"""
    fmax: float = field(default=7600.0, metadata=above(0, at_most=96_000))
    """Hz, upper edge of the highest band; at most half the sample rate"""
    log_floor: float = field(default=1e-8, metadata=between(1e-30, 1.0))
    """smallest mel power: the logarithm is taken of max(power, log_floor)"""
    dither: float = field(default=0.0, metadata=between(0.0, 1.0))
    """standard deviation of the white noise that is added to the samples in training (full scale is 1); 0 adds none"""
    normalization: Normalization = Normalization.utterance
    """none, utterance (each band has mean 0 and standard deviation 1 over the utterance), corpus (with the statistics
    of the training set, which are stored in the bundle), or running (with the statistics of the frames so far, as a
    live stream needs it; it begins with those of the training set)"""
    prior_seconds: float = field(default=1.0, metadata=between(0.01, 1000.0))
    """running normalisation: the statistics of the training set count as so many seconds"""
    memory_seconds: float = field(default=15.0, metadata=between(1.0, 10_000.0))
    """running normalisation: the time after which a frame counts 1 / e"""

    def __post_init__(self) -> None:
        check_settings(self, "features")
        require(
            self.window_seconds >= self.hop_seconds,
            "features.window_seconds",
            "at least features.hop_seconds",
            self.window_seconds,
        )
        require(
            0 <= self.fmin < self.fmax <= self.sample_rate / 2,
            "features.fmin and features.fmax",
            f"0 <= fmin < fmax <= {self.sample_rate / 2:g} Hz (half the sample rate)",
            (self.fmin, self.fmax),
        )

    @property
    def hop_samples(self) -> int:
        """Samples between two frames."""
        return round(self.hop_seconds * self.sample_rate)

    @property
    def window_samples(self) -> int:
        """Samples under the analysis window."""
        return round(self.window_seconds * self.sample_rate)

    @property
    def fft_size(self) -> int:
        """The power of two that the window is padded to."""
        return 1 << (self.window_samples - 1).bit_length()
