"""The systems that `asr evaluate` scores: a bundle that runs for it, or texts from a file."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.cli.command import load_engine, warn_of_unused_model
from asr.errors import AudioError, ConfigError
from asr.settings.commands import EvaluateConfig
from asr.settings.decoding import AutoConfig, DecoderConfig, GreedyConfig

if TYPE_CHECKING:
    from asr.corpus.manifest import Utterance
    from asr.evaluation.sources import System

GREEDY = "greedy"

_log = logging.getLogger(__name__)


def gather_systems(utterances: Sequence[Utterance], settings: EvaluateConfig) -> list[System]:
    """The system that is evaluated, then those that it is compared with.

    Raises
    ------
    AsrError
        If a bundle or a file of hypotheses cannot be used.
    """
    from asr.evaluation.sources import HYPOTHESIS_SUFFIXES, System

    # Everything that can be wrong is told before an hour of audio has been heard.
    planned: list[System | tuple[str, DecoderConfig]] = []
    for place, name in enumerate([settings.hypotheses, *settings.against]):
        if name and (place == 0 or Path(name).suffix.lower() in HYPOTHESIS_SUFFIXES):
            planned.append(_from_file(name, utterances))
        elif name == GREEDY and settings.hypotheses:
            raise ConfigError("against=[greedy] is for a bundle; hypotheses=FILE has no other decoder")
        else:
            decoder: DecoderConfig = GreedyConfig() if name == GREEDY else settings.decoder
            bundle = settings.bundle if name in (None, GREEDY) else str(name)
            planned.append((bundle, _resolved(decoder, bundle)))
    names = [one.name if isinstance(one, System) else _name(*one) for one in planned]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"{twice[0]!r} is compared with itself: against= wants other systems")
    return [
        one if isinstance(one, System) else _run(*one, utterances, settings, is_first=place == 0)
        for place, one in enumerate(planned)
    ]


def resolved_decoder(settings: EvaluateConfig) -> DecoderConfig | None:
    """The decoder that a bundle is evaluated with; None where no bundle is."""
    return None if settings.hypotheses else _resolved(settings.decoder, settings.bundle)


def _resolved(decoder: DecoderConfig, bundle: str) -> DecoderConfig:
    """A decoder, or the one that a bundle recommends; the bundle must be there in either case."""
    from asr.bundle import load_bundle

    recommended = load_bundle(bundle).decoder
    return decoder.resolve(recommended) if isinstance(decoder, AutoConfig) else decoder


def _from_file(path: str, utterances: Sequence[Utterance]) -> System:
    from asr.evaluation.sources import System, read_hypotheses

    outputs, notes = read_hypotheses(path, utterances)
    for note in notes:
        _log.warning("%s", note)
    return System(path, outputs, {"hypotheses": path})


def _run(
    name: str,
    decoder: DecoderConfig,
    utterances: Sequence[Utterance],
    settings: EvaluateConfig,
    *,
    is_first: bool = False,
) -> System:
    """Have a bundle transcribe all recordings; one that cannot be read is named and counts as an empty text.

    Memory is that of the first alone: the system keeps no account of what a process used since.
    """
    from tqdm import tqdm

    from asr.audio.readers import Limits, Readers
    from asr.bundle import load_bundle
    from asr.decoding import describe_decoder
    from asr.evaluation.sources import Output, System
    from asr.machine import describe_machine, usage
    from asr.recognition.transcriber import Transcriber

    missing = [one.where for one in utterances if one.audio_path == Path()]
    if missing:
        raise ConfigError(f"{missing[0]}: a text without a recording: hypotheses=FILE scores texts made elsewhere")
    bundle = load_bundle(name)
    warn_of_unused_model(bundle, decoder)
    before, started = usage(), time.monotonic()
    readers = Readers(Limits(hours=settings.max_hours, timeout=settings.timeout))
    transcriber = Transcriber(
        bundle,
        decoder=decoder,
        channel=settings.channel,
        track=settings.track,
        workers=settings.workers,
        engine=load_engine(bundle, settings.engine),
        readers=readers,
    )
    outputs, unreadable, seconds = [], 0, 0.0
    results = transcriber.transcribe_files(one.audio for one in utterances)
    for utterance, result in tqdm(
        zip(utterances, results, strict=True), "transcribing", len(utterances), unit="file", disable=None, leave=False
    ):
        if isinstance(result, AudioError):
            _log.error("%s: %s", utterance.where, result)
            unreadable += 1
            outputs.append(Output(""))
        else:
            for note in result.notes:
                _log.warning("%s: %s", utterance.where, note)
            outputs.append(Output(result.text, result.words))
            seconds += result.duration
    readers.close()  # so that what they used is in the accounts
    spent, after = time.monotonic() - started, usage()
    decoder_settings = asdict(decoder)
    if decoder_settings.get("lm"):  # in which folder it lies, a report's readers need not know
        decoder_settings["lm"] = Path(decoder_settings["lm"]).name
    about: dict[str, Any] = {
        "bundle": name,
        "decoder": describe_decoder(decoder),
        "decoder_settings": decoder_settings,
        "engine": settings.engine.value,
        "speed": {
            "audio_seconds": round(seconds, 3),
            "wall_seconds": round(spent, 3),
            "core_seconds": round(after.core_seconds - before.core_seconds, 3),
            "real_time_factor": round(spent / seconds, 6) if seconds else None,
            "peak_memory_mb": round(after.peak_memory_mb, 1) if is_first else None,
            "workers": settings.workers or describe_machine()["cores"],
            "machine": describe_machine(),
        },
    }
    return System(_name(name, decoder), outputs, about, unreadable)


def _name(bundle: str, decoder: DecoderConfig) -> str:
    from asr.decoding import describe_decoder

    return f"{bundle}, {describe_decoder(decoder)}"
