"""What a worker does for `asr transcribe`: one recording after the other, each output written when it is finished."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from asr.cluster.dispatch import Attempt
from asr.cluster.output_store import open_store
from asr.cluster.work_recording import Copies, Recognizer, WorkRecording, shown_error
from asr.errors import AudioError
from asr.punctuation.text_writer import load_text_writer
from asr.recognition.finished import Source
from asr.settings.transcripts import TranscriptFormat, WrittenForm
from asr.text.transcript import Transcript
from asr.writers.table import shows_written, write


@dataclass(frozen=True, slots=True)
class TranscriptionJob:
    """What all recordings have in common."""

    recognizer: Recognizer
    format: TranscriptFormat
    mark_below: float | None
    written: WrittenForm
    punctuation: str | None
    """a model that is used instead of the bundle's"""
    output_top: str | None
    """folder or URL; None for outputs beside the recordings"""
    settings: str
    """fingerprint"""
    overwrite: bool


@dataclass(frozen=True, slots=True)
class TranscriptionItem:
    """A recording to transcribe."""

    recording: WorkRecording
    path: str
    """the name of the recording in the transcript"""
    name: str | None
    """its id in the formats that have one"""
    output: str | None = None
    """absolute path or URL; None returns the transcript instead"""
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A transcript that was written."""

    seconds: float
    """of the recording; 0 if another worker had written it"""
    notes: tuple[str, ...] = ()


def make_transcription(job: TranscriptionJob) -> Callable[[Attempt], Transcript | Written]:
    """The handler of a worker.

    Returns
    -------
    callable
        It takes a `TranscriptionItem`; raises `AudioError` for a recording that cannot be read, and `OutputError` for
        an output that cannot be written.
    """
    bundle = job.recognizer.load_bundle()
    transcriber = job.recognizer.transcriber(bundle, job.recognizer.readers())
    store = open_store(job.output_top, settings=job.settings, overwrite=job.overwrite)
    copies = Copies()
    writer = load_text_writer(bundle.tagger, job.written, job.punctuation) if shows_written(job.format) else None

    def transcribe(attempt: Attempt) -> Transcript | Written:
        item: TranscriptionItem = attempt.request
        if attempt.is_repeat and item.output is not None and store.is_finished(item.output, item.source):
            return Written(0.0)
        try:
            with copies.local(item.recording) as source:
                result = transcriber.transcribe(source)
        except AudioError as error:
            raise shown_error(error, item.recording) from None
        result = replace(result, path=item.path)
        if writer is not None:
            result = writer.write(result)
        if job.mark_below is not None:
            result = result.mark_doubtful(job.mark_below)
        if item.output is None:
            return result
        text = write(result, job.format, name=item.name, channel=job.recognizer.channel)
        store.write(item.output, text, item.source)
        return Written(result.duration, result.notes)

    return transcribe
