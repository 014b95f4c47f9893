"""asr: a small, exact speech recogniser.

`asr.transcribe` is the place to start. Each name is imported from its module when it is first used: `import asr` is
quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.bundle import Bundle, load_bundle
    from asr.errors import (
        AlignmentError,
        AsrError,
        AudioError,
        BundleError,
        ClusterError,
        ConfigError,
        DivergenceError,
        LanguageModelError,
        ManifestError,
        MissingPackageError,
        OutputError,
        PoolClosedError,
        PoolFullError,
        RankError,
        TrainingError,
        UnfitNodeError,
        WorkerEndedError,
    )
    from asr.evaluation.report import EvaluationReport
    from asr.evaluation.scoring import ErrorCounts, Score, score
    from asr.evaluation.sets import SetsReport
    from asr.recognition.aligner import align
    from asr.recognition.evaluate import evaluate
    from asr.recognition.session import Session
    from asr.recognition.transcriber import Transcriber
    from asr.settings.augment import AugmentConfig
    from asr.settings.commands import TrainConfig
    from asr.settings.corpus import DataConfig
    from asr.settings.decoding import AutoConfig, BeamConfig, DecoderConfig, GreedyConfig
    from asr.settings.features import FeatureConfig
    from asr.settings.live import EndpointConfig, LiveConfig
    from asr.settings.model import ModelConfig
    from asr.settings.text import AlphabetConfig, NormalizerConfig
    from asr.settings.training import OptimizerConfig, TrackingConfig, TrainingConfig
    from asr.text.transcript import Segment, Transcript, Word
    from asr.training.epoch_record import EpochRecord
    from asr.training.run import TrainingResult, train
    from asr.writers.table import write

    __version__: str

# Each name and its module, as above; tests compare the three lists.
_HOMES = {
    "AlignmentError": "asr.errors",
    "AlphabetConfig": "asr.settings.text",
    "AsrError": "asr.errors",
    "AudioError": "asr.errors",
    "AugmentConfig": "asr.settings.augment",
    "AutoConfig": "asr.settings.decoding",
    "BeamConfig": "asr.settings.decoding",
    "Bundle": "asr.bundle",
    "BundleError": "asr.errors",
    "ClusterError": "asr.errors",
    "ConfigError": "asr.errors",
    "DataConfig": "asr.settings.corpus",
    "DecoderConfig": "asr.settings.decoding",
    "DivergenceError": "asr.errors",
    "EndpointConfig": "asr.settings.live",
    "EpochRecord": "asr.training.epoch_record",
    "ErrorCounts": "asr.evaluation.scoring",
    "EvaluationReport": "asr.evaluation.report",
    "FeatureConfig": "asr.settings.features",
    "GreedyConfig": "asr.settings.decoding",
    "LanguageModelError": "asr.errors",
    "LiveConfig": "asr.settings.live",
    "ManifestError": "asr.errors",
    "MissingPackageError": "asr.errors",
    "ModelConfig": "asr.settings.model",
    "NormalizerConfig": "asr.settings.text",
    "OptimizerConfig": "asr.settings.training",
    "OutputError": "asr.errors",
    "PoolClosedError": "asr.errors",
    "PoolFullError": "asr.errors",
    "RankError": "asr.errors",
    "Score": "asr.evaluation.scoring",
    "Segment": "asr.text.transcript",
    "Session": "asr.recognition.session",
    "SetsReport": "asr.evaluation.sets",
    "TrackingConfig": "asr.settings.training",
    "TrainConfig": "asr.settings.commands",
    "TrainingConfig": "asr.settings.training",
    "TrainingError": "asr.errors",
    "TrainingResult": "asr.training.run",
    "Transcriber": "asr.recognition.transcriber",
    "Transcript": "asr.text.transcript",
    "Word": "asr.text.transcript",
    "UnfitNodeError": "asr.errors",
    "WorkerEndedError": "asr.errors",
    "align": "asr.recognition.aligner",
    "evaluate": "asr.recognition.evaluate",
    "load_bundle": "asr.bundle",
    "score": "asr.evaluation.scoring",
    "train": "asr.training.run",
    "write": "asr.writers.table",
}

__all__ = [
    "AlignmentError",
    "AlphabetConfig",
    "AsrError",
    "AudioError",
    "AugmentConfig",
    "AutoConfig",
    "BeamConfig",
    "Bundle",
    "BundleError",
    "ClusterError",
    "ConfigError",
    "DataConfig",
    "DecoderConfig",
    "DivergenceError",
    "EndpointConfig",
    "EpochRecord",
    "ErrorCounts",
    "EvaluationReport",
    "FeatureConfig",
    "GreedyConfig",
    "LanguageModelError",
    "LiveConfig",
    "ManifestError",
    "MissingPackageError",
    "ModelConfig",
    "NormalizerConfig",
    "OptimizerConfig",
    "OutputError",
    "PoolClosedError",
    "PoolFullError",
    "RankError",
    "Score",
    "Segment",
    "Session",
    "SetsReport",
    "TrackingConfig",
    "TrainConfig",
    "TrainingConfig",
    "TrainingError",
    "TrainingResult",
    "Transcriber",
    "Transcript",
    "UnfitNodeError",
    "Word",
    "WorkerEndedError",
    "__version__",
    "align",
    "evaluate",
    "load_bundle",
    "score",
    "train",
    "transcribe",
    "write",
]


if not TYPE_CHECKING:  # to a type checker, this would allow any name

    def __getattr__(name: str) -> Any:
        from asr.packages import asr_version, import_public

        if name == "__version__":
            return asr_version()
        if name in _HOMES:
            return getattr(import_public(_HOMES[name], f"asr.{name}"), name)
        raise AttributeError(f"module 'asr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def transcribe(
    path: str | Path, *, bundle: str | Path | Bundle = "en", decoder: DecoderConfig | None = None
) -> Transcript:
    """Transcribe one recording. For many at once, `Transcriber.transcribe_files` uses all processor cores.

    The bundle, its decoder and the process that reads recordings are kept for the next call, until the program ends.

    Parameters
    ----------
    path : str or Path
        A recording of any length and common format.
    bundle : Bundle, str or Path
        A loaded bundle, its folder, or the name of one that ships.
    decoder : DecoderConfig, optional
        `GreedyConfig()`, `BeamConfig(...)` or `AutoConfig(...)`; the bundle's own by default.

    Returns
    -------
    Transcript
        Its text, and each word with its start and end in seconds.

    Raises
    ------
    AudioError
        If the recording cannot be read.
    BundleError
        If the bundle cannot be loaded.

    Examples
    --------
    >>> import asr
    >>> transcript = asr.transcribe("data/samples/422-122949-0004.opus")
    >>> transcript.text
    'he honours whatever he recognizes in himself such morality equals self glorification'
    """
    from asr.recognition.shared import shared_transcriber

    return shared_transcriber(bundle, decoder).transcribe(path)
