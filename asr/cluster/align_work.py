"""What a worker does for `asr align`: aligns and cuts one recording after the other."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from asr.cluster.dispatch import Attempt
from asr.cluster.output_store import process_name
from asr.cluster.work_recording import Copies, Recognizer, WorkRecording, shown_error
from asr.cluster.worker_start import Handler, one_by_one
from asr.errors import AudioError, OutputError
from asr.files import clear_leftovers, output_error
from asr.recognition.aligner import align_text, spell
from asr.recognition.finished import Journal, Source
from asr.recognition.utterance_cuts import CutRecording, CutSettings, cut_recording
from asr.settings.transcripts import TranscriptFormat
from asr.text.transcript import Transcript
from asr.writers.table import write

_CUTS = ".asr-cuts.json"


@dataclass(frozen=True, slots=True)
class AlignmentJob:
    """What all recordings have in common."""

    recognizer: Recognizer
    format: TranscriptFormat
    cutting: CutSettings
    overwrite: bool


@dataclass(frozen=True, slots=True)
class AlignmentItem:
    """A recording to align."""

    recording: WorkRecording
    text: str
    path: str
    """the name of the recording in the transcript"""
    name: str | None
    """its id in the formats that have one"""
    offset: float | None
    """seconds of its segment's start"""
    output: Path | None
    cut_folder: Path | None
    source: Source | None


@dataclass(frozen=True, slots=True)
class Aligned:
    """A recording that was aligned."""

    transcript: Transcript | None
    """None where it went into a file, and is not needed any more"""
    cuts: CutRecording | None
    seconds: float
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """words with characters outside the alphabet"""


def finished_alignment(
    output: Path | None, cut_folder: Path | None, source: Source | None, journal: Journal
) -> Aligned | None:
    """What an earlier run made of a recording, if all of it is there."""
    if output is not None and not journal.is_finished(output, source):
        return None
    cuts = None
    if cut_folder is not None:
        if not journal.is_finished(cut_folder / _CUTS, source):
            return None
        try:
            content = json.loads((cut_folder / _CUTS).read_bytes())
            cuts = CutRecording(content["rows"], content["left_out"])
        except (OSError, ValueError, KeyError):
            return None
    return None if output is None and cut_folder is None else Aligned(None, cuts, 0.0)


def make_alignment(job: AlignmentJob) -> Handler:
    """The handler of a worker: it takes an `AlignmentItem` and gives an `Aligned`, or an `AudioError`, `AlignmentError`
    or `OutputError`."""
    bundle, readers, copies = job.recognizer.load_bundle(), job.recognizer.readers(), Copies()
    transcriber = job.recognizer.transcriber(bundle, readers)
    journal = Journal(process_name(), overwrite=job.overwrite)

    def align(attempt: Attempt) -> Aligned:
        item: AlignmentItem = attempt.request
        if attempt.is_repeat:
            _clear(item)
            done = finished_alignment(item.output, item.cut_folder, item.source, Journal())
            if done is not None:
                return done
        try:
            with copies.local(item.recording) as source:
                (output,) = transcriber.run_model_on_files([source])
                if isinstance(output, AudioError):
                    raise output
                spelling = spell(item.text, bundle)
                aligned = align_text(output, spelling, bundle, transcriber.step_seconds)
                aligned = replace(aligned, path=item.path, offset=item.offset)
                cuts = None
                if item.cut_folder is not None:
                    cuts = cut_recording(
                        source, aligned, item.cut_folder, job.cutting, readers=readers, journal=journal
                    )
        except AudioError as error:
            raise shown_error(error, item.recording) from None
        except OSError as error:
            raise output_error(item.cut_folder or Path(item.path), error) from error
        _write(item, aligned, cuts)
        is_printed = item.output is None and item.cut_folder is None
        return Aligned(aligned if is_printed else None, cuts, output.duration, aligned.notes, spelling.unknown)

    def _write(item: AlignmentItem, aligned: Transcript, cuts: CutRecording | None) -> None:
        """The files of a recording; what says that its cuts are complete is the last."""
        place = item.output or item.cut_folder
        try:
            if item.output is not None:
                text = write(aligned, job.format, name=item.name, channel=job.recognizer.channel)
                journal.check_output(item.output, item.source)
                journal.write(item.output, text.encode("utf-8", "surrogateescape"), item.source)
            if item.cut_folder is not None and cuts is not None:
                content = json.dumps(asdict(cuts), ensure_ascii=False)
                place = item.cut_folder / _CUTS
                journal.write(place, content.encode("utf-8", "backslashreplace"), item.source)
        except (OutputError, OSError) as error:
            raise output_error(place or Path(item.path), error) from error

    return one_by_one(align)


def _clear(item: AlignmentItem) -> None:
    """Remove what a lost worker left half written."""
    if item.output is not None:
        clear_leftovers(item.output.parent, of=item.output.name)
    if item.cut_folder is not None:
        clear_leftovers(item.cut_folder)
