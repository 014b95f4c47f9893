"""Writes the page of `asr evaluate`, with what it shows of the recordings."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.cli.command import load_engine
from asr.errors import AudioError
from asr.files import OutputJournal, foreign_entry, replace_folder, temporary_folder
from asr.settings.commands import EvaluateConfig
from asr.settings.decoding import GreedyConfig

if TYPE_CHECKING:
    from asr.bundle import Bundle
    from asr.corpus.manifest import Utterance
    from asr.evaluation.page import Sound

PAGE, MEDIA_FOLDER = "report.html", "report_files"
# Names that the recordings and pictures have, and the journal.
_MEDIUM = re.compile(r"\d{5,}\.[0-9a-z]{3,4}|\.asr-outputs\.jsonl")
# Symbols less likely than this at a step are not shown; a picture with more would be unreadable.
_LEAST_SHOWN = 0.15

_log = logging.getLogger(__name__)


def write_page(
    folder: Path, report: Mapping[str, Any], utterances: Sequence[Utterance], settings: EvaluateConfig
) -> Path:
    """Write report.html into a folder that is there; recordings and pictures go into it, or, if large, beside it.

    Raises
    ------
    OutputError
        If what is there was not written by asr, or changed since.
    OSError
        If a file cannot be written.
    """
    from tqdm import tqdm

    from asr.bundle import load_bundle
    from asr.evaluation.page import Sound, render_page
    from asr.evaluation.recordings import media_bytes, write_media

    page, beside = folder / PAGE, folder / MEDIA_FOLDER
    journal = OutputJournal(overwrite=settings.overwrite)
    sounds: list[Sound | None] = []
    with temporary_folder(beside) as media_folder:
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
        if not embedded:
            journal.record_folder(media_folder)
            replace_folder(media_folder, beside, foreign=lambda old: foreign_media(old, overwrite=settings.overwrite))
            _log.info("%d MB of recordings and pictures are in %s: keep them beside the page", size / 1e6, beside)
    journal.write(page, text.encode("utf-8", "xmlcharrefreplace"))
    if (
        embedded
        and beside.is_dir()
        and not beside.is_symlink()
        and not foreign_media(beside, overwrite=settings.overwrite)
    ):
        shutil.rmtree(beside)  # of an earlier page
    return page


def foreign_media(folder: Path, *, overwrite: bool) -> str | None:
    """What a folder of recordings and pictures holds besides, in words; for `check_folder`."""
    if overwrite:
        return foreign_entry(folder, lambda path: path.is_file() and bool(_MEDIUM.fullmatch(path.name)))
    return OutputJournal().foreign(folder)


def _spikes(
    bundle: Bundle, utterances: Sequence[Utterance], settings: EvaluateConfig
) -> Iterator[list[tuple[float, str, float]]]:
    """What the bundle that is evaluated hears in each recording: seconds, character, probability; nothing else's."""
    if settings.hypotheses:
        yield from ([] for _ in utterances)
        return
    import numpy as np

    from asr.recognition.transcriber import Transcriber
    from asr.text.alphabet import BLANK

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
