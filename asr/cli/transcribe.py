"""`asr transcribe`."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asr.audio.readers import Limits, Readers
from asr.cli.arguments import split_arguments
from asr.cli.command import load_engine, settings_or_answer, warn_of_unused_model
from asr.cli.inputs import Found, Recording, find_recordings
from asr.cli.transcript_outputs import (
    NAMED_BY_FIELD,
    PrintedTranscripts,
    finished_transcript,
    format_transcript,
    local_outputs,
    settings_digest,
    shard_of,
    text_writer_of,
    with_distinct_names,
)
from asr.errors import AudioError, ConfigError, OutputError
from asr.files import obstacle, refuse_to_replace_inputs, typed_path
from asr.remote import is_url
from asr.settings.commands import TranscribeConfig
from asr.text.counts import counted

if TYPE_CHECKING:
    from asr.bundle import Bundle
    from asr.punctuation.text_writer import TextWriter
    from asr.recognition.finished import Journal, Source
    from asr.recognition.transcriber import Transcriber
    from asr.text.transcript import Transcript

_log = logging.getLogger(__name__)

USAGE = "asr transcribe FILE... [key=value...]"
TEXT = """
Transcribes recordings: WAV, FLAC, Ogg, Opus, MP3, M4A, MP4, WebM and more, of any length. A FILE is a recording, a
folder (searched at all levels), a pattern ('calls/**/*.mp3'), a manifest (.jsonl; a line with an offset is a segment),
a pipe such as <(command), or - for audio on standard input. The text is written to standard output: alone for one
recording, after the file's name and a tab for several; or to one file per recording, in output_dir or beside it, where
a second run skips finished recordings. A recording that cannot be read is named on standard error, the others are
transcribed, and the exit code is 1.
"""
EXAMPLES = """\
  asr transcribe interview.mp3
  asr transcribe film.mp4 format=srt > film.srt
  asr transcribe recordings/ decoder.beam_width=64 output_dir=texts
  asr transcribe calls/ format=json beside=true
  find /archive -name '*.opus' | asr transcribe files_from=- output_dir=texts shard=3/20
  asr transcribe call.wav channel=2 bundle=runs/mine/best
  asr transcribe film.mkv track=2 format=srt
  asr transcribe interview.mp3 written=plain
  asr transcribe s3://bucket/calls output_dir=s3://bucket/texts cluster=auto
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    lists = any(one.lstrip("+").startswith("files_from=") for one in split.overrides)
    settings: TranscribeConfig | None = settings_or_answer(
        "transcribe", split, usage=USAGE, text=TEXT, examples=EXAMPLES, files_required=not lists
    )
    if settings is None:
        return 0
    with tempfile.TemporaryDirectory(prefix="asr-") as scratch:
        return _transcribe(split.files, settings, Path(scratch))


def _transcribe(files: Sequence[str], settings: TranscribeConfig, scratch: Path) -> int:
    if settings.beside and "-" in files:
        raise ConfigError("there is no place beside standard input: name a folder with output_dir=FOLDER")
    if settings.output_dir and not is_url(settings.output_dir):
        _make_folder(typed_path(settings.output_dir))
    if settings.cluster is not None or is_url(settings.output_dir or ""):
        return _distribute(files, settings, scratch)
    readers = Readers(Limits(hours=settings.max_hours, timeout=settings.timeout))
    readers.start()  # it starts while the bundle is loaded
    try:
        from asr.recognition.transcriber import Transcriber

        bundle, found = _prepare(files, settings, scratch)
        if any(one.remote for one in found.recordings):
            return _distribute_found(found, settings, bundle)
        transcriber = Transcriber(
            bundle,
            decoder=settings.decoder,
            channel=settings.channel,
            track=settings.track,
            workers=settings.workers,
            engine=load_engine(bundle, settings.engine),
            readers=readers,
        )
        writer = text_writer_of(settings, bundle)
        failed = len(found.problems)
        if settings.output_dir or settings.beside:
            failed += _into_files(found.recordings, settings, transcriber, writer)
        else:
            shard = shard_of(found.recordings, settings.shard)
            failed += _to_stdout(shard, settings, transcriber, writer, alone=found.alone)
    finally:
        readers.close()
    return _exit_code(failed, found, settings)


def _prepare(files: Sequence[str], settings: TranscribeConfig, scratch: Path) -> tuple[Bundle, Found]:
    """The bundle, and the recordings; what cannot be used is reported before any work."""
    from asr.bundle import load_bundle

    bundle = load_bundle(settings.bundle)
    warn_of_unused_model(bundle, settings.decoder)
    found = find_recordings(files, settings.files_from, scratch)
    if found.passed_over:
        _log.info("%s", found.describe_passed_over())
    for problem in found.problems:
        _log.error("%s", problem)
    if settings.beside and any(one.is_stream or one.remote for one in found.recordings):
        raise ConfigError("there is no place beside a stream or a URL: name a folder with output_dir=FOLDER")
    _check_format(settings, len(found.recordings), alone=found.alone)
    if settings.overwrite and (settings.beside or settings.output_dir) and not is_url(settings.output_dir or ""):
        read = [one.path for one in found.recordings if one.remote is None]
        refuse_to_replace_inputs(local_outputs(found.recordings, settings), [*read, *files, settings.files_from or "-"])
    if settings.mark_below is not None and not bundle.confidence:
        raise ConfigError(f"{settings.bundle} has no confidences to mark words by: `asr tune` calibrates them")
    if settings.format in NAMED_BY_FIELD:
        found.recordings = with_distinct_names(found.recordings)
    return bundle, found


def _distribute(files: Sequence[str], settings: TranscribeConfig, scratch: Path) -> int:
    bundle, found = _prepare(files, settings, scratch)
    return _distribute_found(found, settings, bundle)


def _distribute_found(found: Found, settings: TranscribeConfig, bundle: Bundle) -> int:
    from asr.cli.transcribe_distributed import transcribe_distributed

    failed = len(found.problems) + transcribe_distributed(found, settings, bundle)
    return _exit_code(failed, found, settings)


def _exit_code(failed: int, found: Found, settings: TranscribeConfig) -> int:
    total = len(shard_of(found.recordings, settings.shard)) + len(found.problems)
    if failed and total > 1:
        _log.error("%d of %d inputs failed", failed, total)
    return 1 if failed else 0


def _check_format(settings: TranscribeConfig, count: int, *, alone: bool) -> None:
    from asr.writers.table import WRITERS

    if not (alone or count <= 1 or settings.output_dir or settings.beside or WRITERS[settings.format].appendable):
        raise ConfigError(
            f"format={settings.format.value} is one document per recording, and there are {count}: name a folder with "
            "output_dir=FOLDER, or put them beside the recordings with beside=true"
        )


def _to_stdout(
    recordings: Sequence[Recording],
    settings: TranscribeConfig,
    transcriber: Transcriber,
    writer: TextWriter | None,
    *,
    alone: bool,
) -> int:
    """Print transcripts; returns the number of failures."""
    printed, failed = PrintedTranscripts(settings, alone=alone), 0
    for recording, result in _results(recordings, transcriber):
        if isinstance(result, AudioError):
            failed += 1
            continue
        printed.add(finished_transcript(result, recording, settings, writer), recording)
    printed.finish()
    return failed


def _results(
    recordings: Sequence[Recording], transcriber: Transcriber
) -> Iterator[tuple[Recording, Transcript | AudioError]]:
    """Recordings with their transcripts or errors; the errors are logged already."""
    from asr.cli.progress import RecordingsBar

    with RecordingsBar([one.bytes_on_disk for one in recordings]) as bar:
        results = transcriber.transcribe_files((one.audio for one in recordings), progress=bar.advance)
        for number, (recording, result) in enumerate(zip(recordings, results, strict=True)):
            bar.finish(number)
            if isinstance(result, AudioError):
                _log.error("%s: %s", recording.shown, result.reason)
            else:
                for note in result.notes:
                    _log.warning("%s: %s", recording.shown, note)
            yield recording, result


@dataclass(frozen=True)
class _Job:
    """A transcript to be written."""

    recording: Recording
    output: Path
    source: Source | None


def _into_files(
    recordings: Sequence[Recording], settings: TranscribeConfig, transcriber: Transcriber, writer: TextWriter | None
) -> int:
    """Write one file per recording; returns the number of failures."""
    from asr.recognition.finished import Journal

    # Over all shards together: the name of an output depends on other recordings of the same name.
    pairs = list(zip(recordings, local_outputs(recordings, settings), strict=True))
    journal = Journal((settings.shard or "").replace("/", "-of-"), overwrite=settings.overwrite)
    jobs, skipped, failed = _jobs(shard_of(pairs, settings.shard), settings, journal, transcriber.bundle)
    done = 0
    for job, (recording, result) in zip(jobs, _results([job.recording for job in jobs], transcriber), strict=True):
        if isinstance(result, AudioError):
            failed += 1
            continue
        text = format_transcript(finished_transcript(result, recording, settings, writer), recording, settings)
        if journal.write_text(job.output, text, job.source):
            done += 1
        else:
            failed += 1
    where = settings.output_dir or "the recordings' folders"
    there = f", {skipped} were there already" if skipped else ""
    _log.info("%s written to %s%s", counted(done, "transcript"), where, there)
    return failed


def _make_folder(folder: Path) -> None:
    """Make the folder of the outputs, and check that it is writable, before hours of work."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:  # which names the file
        raise OSError(error.errno, error.strerror, str(folder)) from error


def _jobs(
    pairs: Sequence[tuple[Recording, Path]], settings: TranscribeConfig, journal: Journal, bundle: Bundle
) -> tuple[list[_Job], int, int]:
    """The remaining jobs; the number of finished ones; the number of outputs that cannot be written."""
    from asr.recognition.finished import Source

    digest = settings_digest(settings, bundle)
    jobs, skipped, failed = [], 0, 0
    for recording, output in pairs:
        source = Source.of(recording.path, digest, recording.segment.span if recording.segment else "")
        problem = obstacle(output)
        if problem is None and not settings.overwrite and journal.is_finished(output, source):
            skipped += 1
        elif problem := problem or journal.problem(output, source):
            _log.error("%s", OutputError(output, problem))
            failed += 1
        else:
            jobs.append(_Job(recording, output, source))
    return jobs, skipped, failed
