"""The outputs of `asr transcribe`: their names, their content, and what identifies the settings that make it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from asr.cli.inputs import Recording
from asr.cli.streams import write_past_bars
from asr.errors import ConfigError, printable
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


NAMED_BY_FIELD = (TranscriptFormat.ctm, TranscriptFormat.stm)
"""formats that name the recording of each line, so that the lines of several recordings can be in one file"""


def with_distinct_names(recordings: Sequence[Recording]) -> list[Recording]:
    """Recordings with ids where their names as fields of ctm and stm would be equal.

    The name is the file's without suffix; where two are equal, the path in the folder that was searched, else that on
    the command line.

    Raises
    ------
    ConfigError
        If two of them still have one name, or two ids of a manifest become equal.
    """
    from asr.writers.ctm_stm import recording_field

    forms = [_forms_of_name(one) for one in recordings]
    names = [recording_field(one[0]) for one in forms]
    for level in range(1, max(map(len, forms), default=0)):
        counts = Counter(names)
        names = [
            name if counts[name] == 1 else recording_field(form[min(level, len(form) - 1)])
            for name, form in zip(names, forms, strict=True)
        ]
    first: dict[str, Recording] = {}
    for recording, name in zip(recordings, names, strict=True):
        other = first.setdefault(name, recording)
        if other is not recording:
            raise ConfigError(
                f"two recordings would both be called {name!r} in ctm and stm: {other.id or other.shown} and "
                f"{recording.id or recording.shown}; list them in a manifest with different ids"
            )
    return [
        one if name == recording_field(form[0]) else replace(one, id=name)
        for one, name, form in zip(recordings, names, forms, strict=True)
    ]


def _forms_of_name(recording: Recording) -> list[str]:
    """What a recording can be called, the shortest first."""
    if recording.id is not None:
        return [recording.id]
    shown = Path(recording.shown)
    return [shown.stem, str(recording.name.with_suffix("")), str(shown.with_suffix("")), recording.shown]


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
    for name, value in [*kept["decoder"].items(), *kept.items()]:
        if type(value) is str and (state := _state_of_file(value)) is not None:
            kept[f"file of {name}"] = state
    digest = hashlib.blake2b(json.dumps(kept, sort_keys=True, default=plain).encode(), digest_size=16)
    for file in sorted(bundle.path.iterdir()):
        if file.is_file():
            digest.update(hashlib.blake2b(file.read_bytes()).digest())
    return digest.hexdigest()


def _state_of_file(name: str) -> list[int] | None:
    """Size and time of the file that a setting names; None if it names none."""
    try:
        path = typed_path(name)
        status = path.stat()
    except (OSError, ValueError, ConfigError):
        return None
    return [status.st_size, status.st_mtime_ns] if path.is_file() else None


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
