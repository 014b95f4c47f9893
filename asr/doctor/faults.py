"""The kinds of fault of training data, their severity, and the advice on each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from asr.corpus.manifest import Utterance


class Severity(IntEnum):
    """The severity of a fault."""

    note = 0
    """information"""
    suspicious = 1
    """can be trained on, but probably should not be"""
    unusable = 2
    """cannot be trained or measured on"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault."""

    severity: Severity
    title: str
    advice: str


KINDS = {
    "manifest": Kind(Severity.unusable, "manifest cannot be read", "check its path and permissions"),
    "line": Kind(Severity.unusable, "broken line of a manifest", "correct the line: one JSON object per line"),
    "missing": Kind(Severity.unusable, "recording missing", "correct audio_filepath, or delete the line"),
    "unreadable": Kind(Severity.unusable, "recording cannot be read", "fetch or convert the file again"),
    "silent": Kind(Severity.unusable, "silent, but with a text", "the wrong file or channel, or a muted microphone?"),
    "characters": Kind(
        Severity.unusable,
        "characters outside the alphabet",
        "correct the texts (`asr prepare ... numbers=words` spells numbers out), or set alphabet.symbols or "
        "alphabet.from_data=true",
    ),
    "too_few_steps": Kind(
        Severity.unusable,
        "text too long for its audio (CTC)",
        "a wrong text, or cut-off audio; if there are many, lower model.subsampling",
    ),
    "shared_recording": Kind(
        Severity.unusable, "recording on both sides of the split", "remove it from one of the manifests"
    ),
    "no_text": Kind(Severity.suspicious, "empty text", "add the transcript, or delete the line"),
    "no_speech": Kind(Severity.suspicious, "steady sound, no speech", "listen: noise, hum or music?"),
    "clipping": Kind(Severity.suspicious, "clipped", "record at a lower level"),
    "dc_offset": Kind(Severity.suspicious, "DC offset", "a faulty sound card; a high-pass filter removes it"),
    "low_rate": Kind(
        Severity.suspicious, "lower sample rate than the features'", "upper bands will be empty: telephone speech?"
    ),
    "duration": Kind(Severity.suspicious, "duration differs from the manifest's", "cut-off audio, or the wrong file?"),
    "pace": Kind(Severity.suspicious, "text too long or too short for its audio", "probably the wrong text"),
    "duplicate_audio": Kind(Severity.suspicious, "same audio as another", "keep one"),
    "duplicate_text": Kind(
        Severity.suspicious, "same text of the same speaker as another", "a copy, or a text pasted twice?"
    ),
    "shared_speaker": Kind(
        Severity.suspicious, "speaker on both sides of the split", "error rates will be better than for new speakers"
    ),
    "channels": Kind(Severity.note, "several channels", "they are mixed; two people on two channels should be split"),
    "only_slower": Kind(
        Severity.note, "text does not fit at the fastest speed", "they are not used at that speed in training"
    ),
    "shared_text": Kind(
        Severity.note, "text on both sides of the split", "error rates will be better than for new sentences"
    ),
    "too_short": Kind(Severity.note, "shorter than data.min_seconds", "left out of training"),
    "too_long": Kind(
        Severity.note, "longer than data.max_seconds", "left out of training; cut them, or raise the limit"
    ),
}
"""By the name that a fault has in tables, JSON and quarantine lists; worst first."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of an utterance, or of a line that is not one."""

    kind: str
    where: str
    """`file:line`"""
    message: str
    utterance: Utterance | None = None

    @property
    def severity(self) -> Severity:
        """Of its kind."""
        return KINDS[self.kind].severity

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message
