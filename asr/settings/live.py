"""Settings of live recognition."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.settings.checks import at_most, between, check_settings, require


@dataclass(kw_only=True)
class EndpointConfig:
    """The rules by which a segment of speech ends. The first that holds ends it.

    Silence is the time since the last symbol of the best text: what the acoustic model takes for no speech, at any
    loudness.
    """

    sentence_end_seconds: float = field(default=0.45, metadata=between(0.1, 10))
    """silence after which a segment ends where the language model expects the end of a sentence"""
    sentence_end_log_prob: float = field(default=-2.5, metadata=at_most(0, at_least=-1000))
    """natural log-probability of the end of a sentence, from which it is expected there"""
    silence_seconds: float = field(default=0.7, metadata=between(0.1, 10))
    """silence after which a segment ends in any case"""
    longest_seconds: float = field(default=20.0, metadata=between(2, 30))
    """length after which a segment ends at the next pause between two words, however short"""

    def __post_init__(self) -> None:
        check_settings(self, "live.endpoint")


@dataclass(kw_only=True)
class LiveConfig:
    """How speech is recognised while it is spoken."""

    interval_seconds: float = field(default=0.12, metadata=between(0.04, 5))
    """time between two runs of the acoustic model; rounded to its steps"""
    left_seconds: float = field(default=3.0, metadata=between(0.5, 30))
    """context of a bidirectional acoustic model before what is new; a causal one carries its state"""
    right_seconds: float = field(default=0.64, metadata=between(0, 5))
    """context after a step from which its output is final; before, it is provisional. Of a causal model that is its own
    look-ahead"""
    beam_width: int = field(default=64, metadata=between(1, 65_536))
    """hypotheses that are kept at every step while a segment is spoken, at most those of the decoder"""
    second_pass: bool = True
    """decode every segment again when it is complete, as `asr transcribe` would. Without it, the text of a segment is
    the last partial text, whose beginning is settled while it is spoken. A causal model has no second pass but by
    second_bundle"""
    second_bundle: str | None = None
    """the model of the second pass: the name of a shipped bundle, or the path of a bundle's folder; null is the model
    that runs along, if it is bidirectional"""
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)

    def __post_init__(self) -> None:
        check_settings(self, "live")
        require(
            self.interval_seconds + self.right_seconds + self.left_seconds <= 35,
            "live.left_seconds",
            "at most 35 together with the interval and the right context",
            self.left_seconds,
        )
