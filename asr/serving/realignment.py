"""Aligns corrected texts in a process of its own: the times of their words, and utterances to train on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from asr.audio.readers import Limits, Readers
from asr.bundle import load_bundle
from asr.errors import AlignmentError, AudioError
from asr.processes import Pool
from asr.recognition.aligner import Cut, align_text, cut_utterances, spell
from asr.recognition.transcriber import Transcriber
from asr.serving.corrections import LONGEST_SECONDS
from asr.settings.decoding import GreedyConfig
from asr.text.transcript import Word

_ALIGNER = "asr.serving.realignment:make_aligner"
_MOST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class AlignerSettings:
    """What an aligner works with."""

    bundle: str
    """path"""
    limits: Limits


@dataclass(frozen=True, slots=True)
class AlignRequest:
    """A recording, and what is said in it."""

    recording: Path
    text: str


@dataclass(frozen=True, slots=True)
class Aligned:
    """Where the words of a text are."""

    duration: float
    """of the recording, in seconds"""
    words: tuple[Word, ...] = ()
    """with a score each in place of a confidence; none if the text does not fit the recording"""
    utterances: tuple[Cut, ...] = ()
    """of a recording that is too long to train on"""
    unknown: tuple[str, ...] = ()
    """words that the model cannot write; then nothing was aligned"""
    problem: str | None = None
    """why the text does not fit"""


class Aligner:
    """Aligns one recording at a time, in a process that is started for the first one.

    Parameters
    ----------
    settings : AlignerSettings
    """

    def __init__(self, settings: AlignerSettings) -> None:
        self._processes = Pool(_ALIGNER, settings)
        self._turn = asyncio.Lock()

    async def align(self, request: AlignRequest) -> Aligned:
        """Align a text with its recording. To cancel it ends the process; the next one has another.

        Raises
        ------
        AudioError
            If the recording cannot be read.
        ChildEndedError, TimeoutError
            If the process ends, or hangs.
        """
        async with self._turn:
            stopped = threading.Event()
            ask = partial(self._processes.ask, request, timeout=_MOST_SECONDS, stopped=stopped)
            try:
                aligned: Aligned = await asyncio.to_thread(ask)
            finally:
                stopped.set()  # the thread would outlive a cancelled task, and the server would wait for it
        return aligned


def make_aligner(settings: AlignerSettings) -> Callable[[AlignRequest], Aligned]:
    """What answers requests, in the process."""
    bundle = load_bundle(settings.bundle)
    readers = Readers(settings.limits)
    transcriber = Transcriber(bundle, decoder=GreedyConfig(), workers=1, readers=readers)

    def answer(request: AlignRequest) -> Aligned:
        spelling = spell(request.text, bundle)
        if spelling.unknown:
            return Aligned(0.0, unknown=spelling.unknown)
        (output,) = transcriber.run_model_on_files([request.recording])
        if isinstance(output, AudioError):
            raise output
        if not output.stretches:
            return Aligned(output.duration, problem="nothing is spoken in it")
        try:
            transcript = align_text(output, spelling, bundle, transcriber.step_seconds)
        except AlignmentError as error:
            return Aligned(output.duration, problem=str(error))
        cuts: list[Cut] = []
        if output.duration > LONGEST_SECONDS:
            cuts = cut_utterances(
                transcript.words, longest=LONGEST_SECONDS, duration=output.duration, spaces=transcript.spaces
            )
        return Aligned(output.duration, transcript.words, tuple(cuts))

    return answer
