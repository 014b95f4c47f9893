"""asr: a small, exact speech recogniser.

>>> import asr
>>> asr.transcribe("interview.wav").text  # doctest: +SKIP
'...'

Everything heavy is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.bundle import Bundle, load_bundle
    from asr.errors import AsrError, AudioError, BundleError, ConfigError, ManifestError
    from asr.evaluation.scoring import ErrorCounts, Score, score
    from asr.recognition.transcriber import Transcriber
    from asr.settings.decoding import AutoConfig, BeamConfig, DecoderConfig, GreedyConfig
    from asr.text.transcript import Transcript

    __version__: str

_HOMES = {
    "AsrError": "asr.errors",
    "AudioError": "asr.errors",
    "AutoConfig": "asr.settings.decoding",
    "BeamConfig": "asr.settings.decoding",
    "Bundle": "asr.bundle",
    "BundleError": "asr.errors",
    "ConfigError": "asr.errors",
    "DecoderConfig": "asr.settings.decoding",
    "ErrorCounts": "asr.evaluation.scoring",
    "GreedyConfig": "asr.settings.decoding",
    "ManifestError": "asr.errors",
    "Score": "asr.evaluation.scoring",
    "Transcriber": "asr.recognition.transcriber",
    "Transcript": "asr.recognition.transcriber",
    "load_bundle": "asr.bundle",
    "score": "asr.evaluation.scoring",
}

__all__ = [
    "AsrError",
    "AudioError",
    "AutoConfig",
    "BeamConfig",
    "Bundle",
    "BundleError",
    "ConfigError",
    "DecoderConfig",
    "ErrorCounts",
    "GreedyConfig",
    "ManifestError",
    "Score",
    "Transcriber",
    "Transcript",
    "__version__",
    "load_bundle",
    "score",
    "transcribe",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("asr")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'asr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def transcribe(
    path: str | Path, *, bundle: str | Path | Bundle = "en", decoder: DecoderConfig | None = None
) -> Transcript:
    """Transcribe one recording. For many, make a `Transcriber` once and call `transcribe_files`.

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
        With its text, and start and end of every word in seconds.

    Raises
    ------
    AudioError
        If the recording cannot be read.
    BundleError
        If the bundle cannot be loaded.
    """
    from asr.bundle import Bundle, load_bundle
    from asr.recognition.transcriber import Transcriber

    loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    return Transcriber(loaded, decoder=decoder).transcribe(path)
