"""Settings of the augmentation of training utterances."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.settings.checks import above, at_least, between, check_settings, require


@dataclass(kw_only=True)
class AugmentConfig:
    """How training utterances are varied, differently in every epoch: speed, room, noise, telephone, level, a second
    utterance behind, masks."""

    speeds: list[float] = field(default_factory=lambda: [0.9, 1.0, 1.1], metadata=between(0.25, 4.0))
    """speeds to resample to; one is drawn for each utterance and epoch; [1.0] for none"""
    speed_probability: float = field(default=1.0, metadata=between(0.0, 1.0))
    """share of utterances whose speed is changed"""
    reverb_probability: float = field(default=0.0, metadata=between(0.0, 1.0))
    """share of utterances that get the reverberation of a room"""
    reverb_manifests: list[str] = field(default_factory=list)
    """manifests of recorded room impulse responses; without one, rooms are simulated"""
    reverb_seconds: list[float] = field(default_factory=lambda: [0.15, 0.7], metadata=above(0, at_most=60))
    """shortest and longest reverberation time (60 dB) of simulated rooms"""
    noise_probability: float = field(default=0.0, metadata=between(0.0, 1.0))
    """share of utterances with added noise"""
    noise_manifests: list[str] = field(default_factory=list)
    """manifests of recorded noise (minutes rather than hours per file); without one, noise from white to brown is
    synthesised"""
    noise_snr_db: list[float] = field(default_factory=lambda: [5.0, 25.0], metadata=between(-100.0, 100.0))
    """lowest and highest signal-to-noise ratio, in dB"""
    telephone_probability: float = field(default=0.0, metadata=between(0.0, 1.0))
    """share of utterances in telephone quality: 300 to 3400 Hz, 8 kHz, 8-bit mu-law"""
    gain_probability: float = field(default=0.0, metadata=between(0.0, 1.0))
    """share of utterances whose level is changed; without effect if features.normalization=utterance"""
    gain_db: list[float] = field(default_factory=lambda: [-12.0, 6.0], metadata=between(-100.0, 100.0))
    """lowest and highest change of level, in dB"""
    join_probability: float = field(default=0.0, metadata=between(0.0, 1.0))
    """share of utterances that are joined with another one, of any speaker and at its own level, in one example: a
    model trained on single voices makes errors where voices change"""
    join_seconds: float = field(default=20.0, metadata=at_least(0, at_most=86_400))
    """longest example made of two joined utterances"""
    mask_probability: float = field(default=1.0, metadata=between(0.0, 1.0))
    """share of utterances with SpecAugment masks"""
    frequency_masks: int = field(default=2, metadata=at_least(0, at_most=1000))
    """SpecAugment: number of masks over mel bands"""
    frequency_mask_mels: int = field(default=20, metadata=at_least(0, at_most=1024))
    """SpecAugment: greatest width of such a mask, in mel bands"""
    time_masks: int = field(default=2, metadata=at_least(0, at_most=1000))
    """SpecAugment: number of masks over time"""
    time_mask_frames: int = field(default=40, metadata=at_least(0, at_most=1_000_000))
    """SpecAugment: greatest length of such a mask, in frames"""
    time_mask_share: float = field(default=0.15, metadata=between(0.0, 1.0))
    """SpecAugment: longest span as a share of the utterance; the shorter of the two limits applies"""

    def __post_init__(self) -> None:
        check_settings(self, "augment")
        require(bool(self.speeds), "augment.speeds", "a list of at least one speed", self.speeds)
        for name in ("reverb_seconds", "noise_snr_db", "gain_db"):
            pair = getattr(self, name)
            ordered = len(pair) == 2 and pair[0] <= pair[1]
            require(ordered, f"augment.{name}", "two numbers, the lower one first", pair)
