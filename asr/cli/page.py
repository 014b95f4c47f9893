"""Writes the page of `asr evaluate`, with what it shows of the recordings."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.cli.command import load_engine
from asr.config import EvaluateConfig, GreedyConfig
from asr.errors import AudioError

if TYPE_CHECKING:
    from asr.bundle import Bundle
    from asr.corpus.manifest import Utterance
    from asr.evaluation.page import Sound

MEDIA_FOLDER = "report_files"
# Symbols less likely than this at a step are not shown; a picture with more would be unreadable.
_LEAST_SHOWN = 0.15

_log = logging.getLogger(__name__)


def write_page(
    folder: Path, report: Mapping[str, Any], utterances: Sequence[Utterance], settings: EvaluateConfig
) -> Path:
    """Write report.html into a folder that is there; recordings and pictures go into it, or, if large, beside it.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    from tqdm import tqdm

    from asr.bundle import load_bundle
    from asr.evaluation.page import Sound, render_page
    from asr.evaluation.recordings import media_bytes, write_media
    from asr.files import write_atomically

    page, beside = folder / "report.html", folder / MEDIA_FOLDER
    sounds: list[Sound | None] = []
    with tempfile.TemporaryDirectory(prefix=f".{MEDIA_FOLDER}.", suffix=".part", dir=folder) as temporary:
        media_folder = Path(temporary) / MEDIA_FOLDER
        media_folder.mkdir()
        if settings.page_audio and any(os.path.isfile(one.audio_path) for one in utterances):
            bundle = load_bundle(settings.bundle)
            heard = _spikes(bundle, utterances, settings)
            media = write_media(utterances, media_folder, bundle.log_mel)
            sounds = [
                None if medium is None else Sound(medium, spikes)
                for medium, spikes in tqdm(
                    zip(media, heard, strict=True), "picturing", len(utterances), unit="file", disable=None, leave=False
                )
            ]
        size = media_bytes([one.medium for one in sounds if one is not None])
        embedded = size <= settings.embed_megabytes * 1e6
        text = render_page(report, sounds, folder=None if embedded else MEDIA_FOLDER)
        shutil.rmtree(beside, ignore_errors=True)
        if not embedded:
            media_folder.rename(beside)
            _log.info("%d MB of recordings and pictures are in %s: keep them beside the page", size / 1e6, beside)
    write_atomically(page, text.encode("utf-8"))
    return page


def _spikes(
    bundle: Bundle, utterances: Sequence[Utterance], settings: EvaluateConfig
) -> Iterator[list[tuple[float, str, float]]]:
    """What the bundle that is evaluated hears in each recording: seconds, character, probability; nothing else's."""
    if settings.hypotheses:
        yield from ([] for _ in utterances)
        return
    import numpy as np

    from asr.text.alphabet import BLANK
    from asr.transcription.transcriber import Transcriber

    transcriber = Transcriber(
        bundle,
        decoder=GreedyConfig(),  # nothing is decoded
        channel=settings.channel,
        track=settings.track,
        workers=settings.workers,
        engine=load_engine(bundle, settings.engine),
    )
    seconds = transcriber.step_seconds
    for heard in transcriber.hear_files(one.audio for one in utterances):
        if isinstance(heard, AudioError):
            yield []
            continue
        log_probs = heard.log_probs()
        steps, symbols = np.nonzero(log_probs >= np.log(_LEAST_SHOWN))
        yield [
            (seconds * (step + 0.5), bundle.alphabet.decode([symbol]), float(np.exp(log_probs[step, symbol])))
            for step, symbol in zip(steps.tolist(), symbols.tolist(), strict=True)
            if symbol != BLANK
        ]
