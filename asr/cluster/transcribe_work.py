"""What a worker does for `asr transcribe`: recordings of a group together, each output written when it is finished."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from asr.cluster.dispatch import Attempt
from asr.cluster.output_store import open_store
from asr.cluster.work_recording import Copies, Recognizer, WorkRecording, recognize_group
from asr.cluster.worker_start import Handler
from asr.errors import AudioError, OutputError
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
    names: tuple[str, ...] = ()
    """hot words as they are written"""


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


def make_transcription(job: TranscriptionJob) -> Handler:
    """The handler of a worker: it takes `TranscriptionItem`s. Each gives a `Transcript`, or `Written` if it has an
    output; or `AudioError` if the recording cannot be read, `OutputError` if the output cannot be written."""
    bundle = job.recognizer.load_bundle()
    transcriber = job.recognizer.transcriber(bundle, job.recognizer.readers())
    store = open_store(job.output_top, settings=job.settings, overwrite=job.overwrite)
    copies = Copies()
    writer = None
    if shows_written(job.format):
        writer = load_text_writer(bundle.tagger, job.written, job.punctuation, job.names)

    def transcribe(
        attempts: Sequence[Attempt],
    ) -> Iterator[tuple[int, Transcript | Written | AudioError | OutputError]]:
        places: list[int] = []
        for place, attempt in enumerate(attempts):
            if attempt.is_repeat and is_finished(attempt.request):
                yield place, Written(0.0)
            else:
                places.append(place)
        items: list[TranscriptionItem] = [attempts[place].request for place in places]
        recordings = [item.recording for item in items]
        for number, result in recognize_group(recordings, copies, transcriber.transcribe_files):
            yield places[number], result if isinstance(result, AudioError) else finish(items[number], result)

    def is_finished(item: TranscriptionItem) -> bool:
        return item.output is not None and store.is_finished(item.output, item.source)

    def finish(item: TranscriptionItem, result: Transcript) -> Transcript | Written | OutputError:
        result = replace(result, path=item.path)
        if writer is not None:
            result = writer.write(result)
        if job.mark_below is not None:
            result = result.mark_doubtful(job.mark_below)
        if item.output is None:
            return result
        text = write(result, job.format, name=item.name, channel=job.recognizer.channel)
        try:
            store.write(item.output, text, item.source)
        except OutputError as error:
            return error
        return Written(result.duration, result.notes)

    return transcribe
