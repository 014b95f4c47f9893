"""`asr align`."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from asr.audio.readers import Limits, Readers
from asr.cli.arguments import split_arguments
from asr.cli.command import load_engine, settings_or_answer
from asr.cli.inputs import Recording, is_pipe, keep_stream
from asr.corpus.manifest import MANIFEST_SUFFIXES, read_manifest
from asr.errors import (
    AlignmentError,
    AsrError,
    AudioError,
    ConfigError,
    OutputError,
    encoding_problem,
    is_utf_16,
    printable,
)
from asr.files import is_url, output_error, refuse_to_replace_inputs, typed_path
from asr.remote import RemoteFile, read_file
from asr.settings.commands import AlignConfig
from asr.settings.transcripts import TranscriptFormat
from asr.text.counts import counted

if TYPE_CHECKING:
    from asr.cli.progress import RecordingsBar
    from asr.recognition.finished import Journal, Source
    from asr.recognition.utterance_cuts import CutRecording, CutSettings
    from asr.text.transcript import Transcript

_log = logging.getLogger(__name__)

USAGE = "asr align AUDIO TEXT [key=value...]   or   asr align MANIFEST... [key=value...]"
TEXT = """
Finds the start and end of each word of a known text in its recording (forced alignment): for subtitles from a script,
for finding wrong labels (every word gets a score, wrong ones a low one), and for cutting hours of a book or a lecture
into utterances for training. AUDIO may last for hours; TEXT is a text file, or - for standard input. The utterances of
a MANIFEST are aligned one by one.
"""
EXAMPLES = """\
  asr align chapter.mp3 chapter.txt format=srt > chapter.srt
  asr align chapter.mp3 chapter.txt cut_dir=utterances min_score=0.3
  asr align books.jsonl cut_dir=utterances cluster=auto
  asr align s3://bucket/chapter.mp3 s3://bucket/chapter.txt format=srt
  asr align train.jsonl format=jsonl > scores.jsonl
"""


_MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class _Task:
    recording: Recording
    text: str

    @property
    def called(self) -> str:
        """Its name in messages."""
        return self.recording.id or self.recording.shown

    @property
    def path(self) -> str:
        """The recording's name in outputs."""
        if self.recording.segment is None:
            return self.recording.shown
        return str(self.recording.path) if self.recording.remote is None else self.recording.remote.url

    @property
    def offset(self) -> float | None:
        """Where its segment begins in the recording, in seconds."""
        return self.recording.segment.offset if self.recording.segment else None

    @property
    def source(self) -> Source | None:
        """The recording as the journal of the outputs knows it; None for one by URL."""
        from asr.recognition.finished import Source

        segment = self.recording.segment
        return Source.of(self.recording.path, "", segment.span if segment else "")


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    settings: AlignConfig | None = settings_or_answer("align", split, usage=USAGE, text=TEXT, examples=EXAMPLES)
    if settings is None:
        return 0
    with tempfile.TemporaryDirectory(prefix="asr-") as scratch:
        tasks, problems = _tasks(split.files, Path(scratch))
        return _run(tasks, problems, settings, split.files)


def _run(tasks: Sequence[_Task], problems: Sequence[str], settings: AlignConfig, files: Sequence[str]) -> int:
    for problem in problems:
        _log.error("%s", problem)
    if not tasks:
        return 1
    if len(tasks) > 1 and not settings.output_dir and not settings.cut_dir:
        from asr.writers.table import WRITERS

        if not WRITERS[settings.format].appendable:
            raise ConfigError(f"format={settings.format.value} is one document per recording: name output_dir=FOLDER")
    if settings.overwrite and settings.output_dir:
        read = [task.recording.path for task in tasks if task.recording.remote is None]
        refuse_to_replace_inputs(_outputs(tasks, settings), [*read, *files])
    return max(_align(tasks, settings), 1 if problems else 0)


def _outputs(tasks: Sequence[_Task], settings: AlignConfig) -> list[Path]:
    """The output of each recording in output_dir."""
    from asr.writers.table import output_paths

    return output_paths([task.recording.name for task in tasks], settings.format, typed_path(settings.output_dir or ""))


def _tasks(files: Sequence[str], scratch: Path) -> tuple[list[_Task], list[str]]:
    """The alignments to make, and the faulty lines of manifests."""
    if all(Path(name).suffix.lower() in MANIFEST_SUFFIXES for name in files):
        readings = [read_manifest(name, remote=True) for name in files]
        tasks = [_Task(Recording.of(one), one.text or "") for reading in readings for one in reading.utterances]
        return tasks, [problem for reading in readings for problem in reading.problems]
    if len(files) != 2:
        raise ConfigError("name a recording and its text, or manifests; `asr align --help` shows examples")
    audio, text = files
    try:
        content = _content(text)
        words = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{text}: the text cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        if is_utf_16(error.object):
            raise ConfigError(f"{text}: {encoding_problem(error)}") from error
        raise ConfigError(f"{text}: not a text in UTF-8 (name the recording first, then its text)") from error
    if is_url(audio) and not os.path.lexists(audio):
        name = Path(PurePosixPath(audio).name)
        return [_Task(Recording(name, audio, name, remote=RemoteFile(audio, 0, 0)), words)], []
    is_stream = is_pipe(Path(audio))
    recording = keep_stream(audio, scratch) if is_stream else Recording(Path(audio), audio, Path(Path(audio).name))
    return [_Task(recording, words)], []


def _content(name: str) -> bytes:
    """The content of a text: of a file, a URL or standard input."""
    if name == "-":
        return sys.stdin.buffer.read()
    if not is_url(name) or os.path.lexists(name):
        return Path(name).read_bytes()
    try:
        return read_file(name)
    except AudioError as error:
        raise ConfigError(f"{name}: the text cannot be read ({error.reason})") from error


def _align(tasks: Sequence[_Task], settings: AlignConfig) -> int:
    from asr.cli.progress import RecordingsBar
    from asr.recognition.finished import Journal
    from asr.writers.table import write

    total, journal = len(tasks), Journal(overwrite=settings.overwrite)
    if settings.cluster is not None or any(task.recording.remote for task in tasks):
        return _exit_code(_distribute(tasks, settings, journal), total)
    pairs = _without_obstacles(tasks, settings, journal)
    tasks = [task for task, _ in pairs]
    readers = Readers(Limits(hours=settings.max_hours, timeout=settings.timeout))
    failed, objects, transcripts = total - len(tasks), _Objects(settings, total), []
    try:
        with RecordingsBar([task.recording.bytes_on_disk for task in tasks]) as bar:
            for number, result in enumerate(_results(tasks, settings, readers, bar)):
                bar.finish(number)
                task, output = pairs[number]
                if isinstance(result, AsrError):
                    reason = result.reason if isinstance(result, AudioError) else str(result)
                    _log.error("%s: %s", task.called, reason)
                    failed += 1
                    continue
                if settings.cut_dir:
                    transcripts.append((task, result))
                name = task.recording.id
                if output is not None:
                    text = write(result, settings.format, name=name, channel=settings.channel)
                    failed += not journal.write_text(output, text, task.source)
                elif not settings.cut_dir:
                    objects.add(result, name)
        objects.finish()
        if settings.cut_dir:
            failed += _cut(transcripts, settings, readers, journal)
    finally:
        readers.close()
    return _exit_code(failed, total)


def _exit_code(failed: int, total: int) -> int:
    if failed and total > 1:
        _log.error("%d of %d inputs failed", failed, total)
    return 1 if failed else 0


def _without_obstacles(
    tasks: Sequence[_Task], settings: AlignConfig, journal: Journal
) -> list[tuple[_Task, Path | None]]:
    """The tasks whose outputs can be written, with the file of each; the others are reported before any work.

    Raises
    ------
    OutputError
        If nothing can be written.
    """
    from asr.recognition.utterance_cuts import cuts_in_the_way

    outputs: Sequence[Path | None] = [None] * len(tasks)
    if settings.output_dir:
        outputs = _outputs(tasks, settings)
    cut_dir = typed_path(settings.cut_dir) if settings.cut_dir else None
    if cut_dir:
        manifest = cut_dir / _MANIFEST
        if manifest.exists() and not settings.overwrite:
            raise ConfigError(f"{manifest} exists already: name another cut_dir, or overwrite=true replaces it")
        twice = [name for name, count in Counter(_folder_name(task) for task in tasks).items() if count > 1]
        if twice:
            raise ConfigError(f"two recordings would both be cut into {twice[0]!r}: give them different ids")
        journal.check([manifest])
    found: list[tuple[_Task, Path | None]] = []
    problems = []
    for task, output in zip(tasks, outputs, strict=True):
        try:
            if output is not None:
                journal.check_output(output, task.source)
            if cut_dir:
                journal.check(cuts_in_the_way(cut_dir / _folder_name(task)))
            found.append((task, output))
        except OutputError as error:
            problems.append(error)
    if problems and not found:
        raise problems[0]
    for problem in problems:
        _log.error("%s", problem)
    return found


def _folder_name(task: _Task) -> str:
    return "-".join(task.recording.name.with_suffix("").parts)


def _results(
    tasks: Sequence[_Task], settings: AlignConfig, readers: Readers, bar: RecordingsBar
) -> Iterator[Transcript | AsrError]:
    """The alignment of each task, or its error."""
    from asr.bundle import load_bundle
    from asr.recognition.aligner import align_text, spell
    from asr.recognition.transcriber import Transcriber
    from asr.settings.decoding import GreedyConfig

    readers.start()
    bundle = load_bundle(settings.bundle)
    transcriber = Transcriber(
        bundle,
        decoder=GreedyConfig(),
        channel=settings.channel,
        track=settings.track,
        workers=settings.workers,
        engine=load_engine(bundle, settings.engine),
        readers=readers,
    )
    for task, output in zip(
        tasks,
        transcriber.run_model_on_files((task.recording.audio for task in tasks), progress=bar.advance),
        strict=True,
    ):
        if isinstance(output, AudioError):
            yield output
            continue
        spelling = spell(task.text, bundle)
        if spelling.unknown:
            shown = ", ".join(dict.fromkeys(spelling.unknown[:5]))
            _log.warning(
                "%s: %d words have characters outside the alphabet of the model, which are skipped: %s",
                task.called, len(spelling.unknown), shown,
            )  # fmt: skip
        try:
            aligned = align_text(output, spelling, bundle, transcriber.step_seconds)
        except AlignmentError as error:
            for note in output.notes:
                _log.warning("%s: %s", task.recording.shown, note)
            yield error
        else:
            for note in aligned.notes:
                _log.warning("%s: %s", task.recording.shown, note)
            yield replace(aligned, path=task.path, offset=task.offset)


def _cut(
    transcripts: Sequence[tuple[_Task, Transcript]], settings: AlignConfig, readers: Readers, journal: Journal
) -> int:
    """Write utterances and their manifest; returns the number of failures."""
    from asr.recognition.utterance_cuts import cut_recording

    folder, failed, found = typed_path(settings.cut_dir or ""), 0, []
    cutting = _cut_settings(settings)
    for task, transcript in transcripts:
        place = folder / _folder_name(task)
        try:
            found.append(
                cut_recording(task.recording.audio, transcript, place, cutting, readers=readers, journal=journal)
            )
        except AudioError as error:
            _log.error("%s: %s", task.recording.shown, error.reason)
            failed += 1
        except (OutputError, OSError) as error:
            _log.error("%s", output_error(place, error))
            failed += 1
    _write_manifest(found, settings, journal)
    return failed


def _cut_settings(settings: AlignConfig) -> CutSettings:
    from asr.bundle import load_bundle
    from asr.recognition.utterance_cuts import CutSettings

    rate = load_bundle(settings.bundle).log_mel.settings.sample_rate
    return CutSettings(settings.cut_seconds, settings.min_score, rate, settings.channel, settings.track)


def _write_manifest(found: Sequence[CutRecording], settings: AlignConfig, journal: Journal) -> None:
    """Write the manifest of all utterances."""
    manifest = typed_path(settings.cut_dir or "") / _MANIFEST
    rows = [row for one in found for row in one.rows]
    left_out = [seconds for one in found for seconds in one.left_out]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    journal.check([manifest])
    journal.write(manifest, content.encode("utf-8", "backslashreplace"))
    seconds = sum(float(row["duration"]) for row in rows)
    _log.info("%s (%.2f h) written to %s", counted(len(rows), "utterance"), seconds / 3600, manifest)
    if left_out:
        _log.info(
            "%s (%.2f h) left out: their score is below min_score",
            counted(len(left_out), "utterance"),
            sum(left_out) / 3600,
        )


def _distribute(tasks: Sequence[_Task], settings: AlignConfig, journal: Journal) -> int:
    """Align, and cut, by processes here or on other machines; returns the number of failures."""
    from asr.cli.align_distributed import AlignTask, align_elsewhere

    pairs = _without_obstacles(tasks, settings, journal)
    failed = len(tasks) - len(pairs)
    cut_dir = typed_path(settings.cut_dir) if settings.cut_dir else None
    wanted = [
        AlignTask(task.recording, task.text, task.called, task.path, output, cut_dir and cut_dir / _folder_name(task))
        for task, output in pairs
    ]
    objects, cuts = _Objects(settings, len(tasks)), []
    for task, result in zip(wanted, align_elsewhere(wanted, settings, _cut_settings(settings)), strict=True):
        if result is None:
            failed += 1
            continue
        if result.cuts is not None:
            cuts.append(result.cuts)
        if task.output is None and cut_dir is None and result.transcript is not None:
            objects.add(result.transcript, task.recording.id)
    objects.finish()
    if cut_dir:
        _write_manifest(cuts, settings, journal)
    return failed


class _Objects:
    """Prints alignments: JSON as one document at the end, other formats as they come."""

    def __init__(self, settings: AlignConfig, total: int) -> None:
        self._settings, self._total, self._objects = settings, total, list[object]()

    def add(self, transcript: Transcript, name: str | None) -> None:
        from asr.writers.json_objects import transcript_object
        from asr.writers.table import write

        if self._settings.format is TranscriptFormat.json:
            self._objects.append(transcript_object(transcript, name))
        else:
            text = write(transcript, self._settings.format, name=name, channel=self._settings.channel)
            print(printable(text), end="")

    def finish(self) -> None:
        from asr.writers.json_objects import json_text

        if self._objects:
            print(json_text(self._objects[0] if self._total == 1 else self._objects, indent=2), end="")
