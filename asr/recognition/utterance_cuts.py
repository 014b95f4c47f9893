"""Writes the utterances that an aligned recording is cut into, for `asr align cut_dir=`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asr.audio.load import cut_samples, flac_content
from asr.audio.readers import Readers
from asr.audio.segment import AudioSource
from asr.files import obstacle
from asr.recognition.aligner import Cut, cut_utterances
from asr.recognition.finished import Journal
from asr.text.transcript import Transcript


@dataclass(frozen=True, slots=True)
class CutSettings:
    """How recordings are cut."""

    longest: float
    """seconds of an utterance"""
    min_score: float
    """utterances with a lower score are left out"""
    sample_rate: int
    channel: str = "mix"
    track: int | None = None


@dataclass(frozen=True, slots=True)
class CutRecording:
    """The utterances of a recording."""

    rows: list[dict[str, Any]]
    """lines of a manifest in the folder above"""
    left_out: list[float]
    """seconds of each utterance whose score was too low"""


def cut_name(folder: Path, number: int) -> Path:
    """The file of an utterance; its folder is called like the recording."""
    return folder / f"{folder.name}-{number:05d}.flac"


def cuts_in_the_way(folder: Path) -> list[Path]:
    """Existing files with the names of cuts, and the first name in any case, to check that it can be written."""
    first = cut_name(folder, 1)
    if obstacle(first):
        return [first]
    pattern = re.compile(re.escape(folder.name) + r"-\d{5,}\.flac")
    return [first, *sorted(path for path in folder.glob("*.flac") if pattern.fullmatch(path.name))]


def cut_recording(
    source: AudioSource,
    transcript: Transcript,
    folder: Path,
    settings: CutSettings,
    *,
    readers: Readers,
    journal: Journal,
) -> CutRecording:
    """Cut a recording while it is read, and write each utterance when it is complete.

    Parameters
    ----------
    source : str, Path or AudioSegment
    transcript : Transcript
        Aligned, with scores. Its path names the recording in the rows.
    folder : Path
        For the utterances of this recording.
    settings : CutSettings
    readers : Readers
    journal : Journal

    Raises
    ------
    AudioError
        If the recording cannot be read.
    OutputError
        If a file of others is in the way.
    OSError
        If the folder cannot be written to or the disk is full.
    """
    cuts = cut_utterances(
        transcript.words, longest=settings.longest, duration=transcript.duration, spaces=transcript.spaces
    )
    good = [cut for cut in cuts if cut.score >= settings.min_score]
    name, offset = folder.name, transcript.offset or 0.0
    rows = []
    for number, cut in enumerate(_write_cuts(source, good, folder, settings, readers, journal), 1):
        rows.append(
            {
                "audio_filepath": f"{name}/{name}-{number:05d}.flac",
                "duration": round(cut.end - cut.start, 3),
                "text": cut.text,
                "id": f"{name}-{number:05d}",
                "recording": transcript.path,
                "start": round(offset + cut.start, 3),
                "score": round(cut.score, 3),
            }
        )
    return CutRecording(rows, [cut.end - cut.start for cut in cuts if cut.score < settings.min_score])


def _write_cuts(
    source: AudioSource, cuts: Sequence[Cut], folder: Path, settings: CutSettings, readers: Readers, journal: Journal
) -> Iterator[Cut]:
    rate = settings.sample_rate
    read = readers.read(source, sample_rate=rate, channel=settings.channel, track=settings.track)
    blocks = (block.samples for block in read)
    spans = [(round(cut.start * rate), round(cut.end * rate)) for cut in cuts]
    for number, (cut, samples) in enumerate(zip(cuts, cut_samples(blocks, spans), strict=True), 1):
        journal.check([cut_name(folder, number)])
        journal.write(cut_name(folder, number), flac_content(samples, rate))
        yield cut
