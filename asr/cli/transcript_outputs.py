"""The outputs of `asr transcribe`: their names, their content, and what identifies the settings that make it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from asr.cli.inputs import Recording
from asr.cli.streams import write_past_bars
from asr.errors import printable
from asr.files import typed_path
from asr.settings.commands import TranscribeConfig
from asr.settings.transcripts import TranscriptFormat

if TYPE_CHECKING:
    from asr.bundle import Bundle
    from asr.punctuation.text_writer import TextWriter
    from asr.text.transcript import Transcript

Item = TypeVar("Item")

# What decides where outputs are written and who makes them, but not what they hold.
_WITHOUT_EFFECT = (
    *("output_dir", "beside", "overwrite", "files_from", "shard", "workers", "timeout", "log", "bundle"),
    *("cluster", "retry_failed"),
)


def shard_of(everything: Sequence[Item], shard: str | None) -> Sequence[Item]:
    """The part of a sequence that `shard` names, such as 3/20."""
    if shard is None:
        return everything
    part, parts = map(int, shard.split("/"))
    return everything[part - 1 :: parts]


def relative_outputs(recordings: Sequence[Recording], settings: TranscribeConfig) -> list[Path]:
    """The output of each recording, relative to output_dir; with beside=true the path itself."""
    from asr.writers.table import output_paths

    names = [one.place if settings.beside else one.name for one in recordings]
    return output_paths(names, settings.format, Path())


def local_outputs(recordings: Sequence[Recording], settings: TranscribeConfig) -> list[Path]:
    """The output file of each recording."""
    folder = typed_path(settings.output_dir) if settings.output_dir else Path()
    return [folder / path for path in relative_outputs(recordings, settings)]


def transcript_path(recording: Recording) -> str:
    """What a transcript calls its recording."""
    return str(recording.path) if recording.segment else recording.shown


def text_writer_of(settings: TranscribeConfig, bundle: Bundle) -> TextWriter | None:
    """What writes the text for people; None where the words stay plain."""
    from asr.decoding.assembly import hot_phrases
    from asr.punctuation.text_writer import load_text_writer
    from asr.writers.table import shows_written

    if not shows_written(settings.format):
        return None
    return load_text_writer(bundle.tagger, settings.written, settings.punctuation, hot_phrases(settings.decoder))


def finished_transcript(
    result: Transcript, recording: Recording, settings: TranscribeConfig, writer: TextWriter | None
) -> Transcript:
    """A transcript with the name of its recording, its written form, and its doubtful words marked."""
    result = replace(result, path=transcript_path(recording))
    if writer is not None:
        result = writer.write(result)
    return result if settings.mark_below is None else result.mark_doubtful(settings.mark_below)


def format_transcript(result: Transcript, recording: Recording, settings: TranscribeConfig) -> str:
    """The content of an output file."""
    from asr.writers.table import write

    return write(result, settings.format, name=recording.id, channel=settings.channel)


def settings_digest(settings: TranscribeConfig, bundle: Bundle) -> str:
    """A digest that is equal where the same recording gives the same file."""

    def plain(value: object) -> object:
        return value.name if isinstance(value, Enum) else str(value)

    kept = asdict(settings)
    for name in _WITHOUT_EFFECT:
        del kept[name]
    kept["kind"] = type(settings.decoder).__name__
    # The content of a model or a word list may have changed under the same name.
    for name in ("lm", "lexicon", "hotwords_file", "punctuation"):
        path = kept["decoder"].get(name) or kept.get(name)
        if path is not None and typed_path(path).exists():
            status = typed_path(path).stat()
            kept[name] = [status.st_size, status.st_mtime_ns]
    digest = hashlib.blake2b(json.dumps(kept, sort_keys=True, default=plain).encode(), digest_size=16)
    for file in sorted(bundle.path.iterdir()):
        if file.is_file():
            digest.update(hashlib.blake2b(file.read_bytes()).digest())
    return digest.hexdigest()


class PrintedTranscripts:
    """Transcripts on standard output; those in JSON are one document, printed at the end."""

    def __init__(self, settings: TranscribeConfig, *, alone: bool) -> None:
        self._settings, self._alone = settings, alone
        self._objects: list[dict[str, Any]] = []

    def add(self, transcript: Transcript, recording: Recording) -> None:
        """Print a transcript, or keep it for the document."""
        from asr.writers.json_objects import transcript_object

        if self._settings.format is TranscriptFormat.json:
            self._objects.append(transcript_object(transcript, recording.id))
            return
        text = printable(format_transcript(transcript, recording, self._settings))
        if self._settings.format is TranscriptFormat.txt and not self._alone:
            text = f"{recording.shown}\t{text}"
        write_past_bars(text, sys.stdout)
        sys.stdout.flush()

    def finish(self) -> None:
        """Print the document."""
        from asr.writers.json_objects import json_text

        if self._objects:
            print(json_text(self._objects[0] if self._alone else self._objects, indent=2), end="")
