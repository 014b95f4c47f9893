"""`asr transcribe cluster=...`, and recordings or outputs by URL: the same texts, by many processes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asr.cli.distributed import common_folders, in_order, is_over_machines, reason_of, run_items, shared_folder_check
from asr.cli.inputs import Found, Recording
from asr.cli.transcript_outputs import (
    PrintedTranscripts,
    relative_outputs,
    settings_digest,
    shard_of,
    transcript_path,
)
from asr.errors import AudioError, ConfigError, OutputError, WorkerEndedError
from asr.files import typed_path
from asr.remote import is_url
from asr.settings.commands import TranscribeConfig
from asr.text.counts import counted

if TYPE_CHECKING:
    from asr.bundle import Bundle
    from asr.cluster.dispatch import Done
    from asr.cluster.output_store import OutputStore
    from asr.cluster.transcribe_work import TranscriptionItem, Written
    from asr.cluster.worker_start import WorkerStart
    from asr.text.transcript import Transcript

_log = logging.getLogger(__name__)


def transcribe_distributed(found: Found, settings: TranscribeConfig, bundle: Bundle) -> int:
    """Transcribe recordings by processes here or on other machines; returns the number of failures."""
    if is_over_machines(settings.cluster) and any(one.is_stream for one in found.recordings):
        raise ConfigError("a stream can be read on this machine only: save it to a file, or leave cluster out")
    if settings.output_dir or settings.beside:
        return _into_files(found.recordings, settings, bundle)
    return _to_stdout(shard_of(found.recordings, settings.shard), settings, bundle, alone=found.alone)


def _start(
    recordings: Sequence[Recording], settings: TranscribeConfig, bundle: Bundle, fingerprint: str
) -> WorkerStart:
    from asr.cluster.transcribe_work import TranscriptionJob
    from asr.cluster.work_recording import Recognizer, recognizer_start
    from asr.decoding.assembly import hot_phrases

    top = settings.output_dir
    if top is not None and not is_url(top):
        top = str(typed_path(top).absolute())
    recognizer = Recognizer.of(bundle, settings.decoder, settings, name=settings.bundle)
    punctuation = None if settings.punctuation is None else str(typed_path(settings.punctuation).absolute())
    marks = settings.mark_below, settings.written, punctuation
    names = tuple(hot_phrases(settings.decoder))
    job = TranscriptionJob(recognizer, settings.format, *marks, top, fingerprint, settings.overwrite, names)
    contents = shared_folder_check(settings.cluster, None if top is None or is_url(top) else Path(top))
    return recognizer_start(
        "asr.cluster.transcribe_work:make_transcription",
        job,
        recognizer,
        shared=common_folders([one.path for one in recordings if one.remote is None]),
        contents=contents,
    )


def _item(recording: Recording, output: str | None = None, source: object = None) -> TranscriptionItem:
    from asr.cluster.transcribe_work import TranscriptionItem
    from asr.cluster.work_recording import WorkRecording

    if recording.remote is not None:
        work = WorkRecording(recording.remote.url, recording.shown)
    else:
        work = WorkRecording.of(recording.audio, recording.shown)
    return TranscriptionItem(work, transcript_path(recording), recording.id, output, source)  # type: ignore[arg-type]


def _to_stdout(recordings: Sequence[Recording], settings: TranscribeConfig, bundle: Bundle, *, alone: bool) -> int:
    """Print transcripts in the order of the recordings; returns the number of failures."""
    from asr.cluster.dispatch import Item

    items = [Item(_item(one), one.bytes_on_disk) for one in recordings]
    results: Iterator[Done] = run_items(
        items,
        lambda: _start(recordings, settings, bundle, ""),
        cluster=settings.cluster,
        workers=settings.workers,
        seconds=lambda result: result.duration,
    )
    printed, failed = PrintedTranscripts(settings, alone=alone), 0
    for recording, done in zip(recordings, in_order(results, len(items)), strict=True):
        if isinstance(done.result, Exception):
            _log.error("%s: %s", recording.shown, reason_of(done.result, done.node))
            failed += 1
            continue
        result: Transcript = done.result
        for note in result.notes:
            _log.warning("%s: %s", recording.shown, note)
        printed.add(result, recording)
    printed.finish()
    return failed


@dataclass
class _Tally:
    """What became of the recordings."""

    written: int = 0
    there: int = 0
    """were finished by an earlier run"""
    failed: int = 0
    failed_before: int = 0
    """failed in an earlier run, and are not tried again"""

    def describe(self, where: str) -> str:
        parts = [f"{counted(self.written, 'transcript')} written to {where}"]
        if self.there:
            parts.append(f"{self.there} were there already")
        if self.failed_before:
            parts.append(f"{self.failed_before} failed in an earlier run (retry_failed=true tries them again)")
        return ", ".join(parts)


def _into_files(recordings: Sequence[Recording], settings: TranscribeConfig, bundle: Bundle) -> int:
    """Write one file per recording; returns the number of failures."""
    from asr.cluster.dispatch import Item
    from asr.cluster.output_store import open_store

    fingerprint = settings_digest(settings, bundle)
    store = open_store(settings.output_dir, settings=fingerprint, overwrite=settings.overwrite)
    tally = _Tally()
    todo = list(_remaining(recordings, settings, store, fingerprint, tally))
    store.clear([output for _, output, _ in todo])
    items = [Item(_item(recording, output, source), recording.bytes_on_disk) for recording, output, source in todo]
    results: Iterator[Done] = run_items(
        items,
        lambda: _start([one for one, _, _ in todo], settings, bundle, fingerprint),
        cluster=settings.cluster,
        workers=settings.workers,
        seconds=lambda result: result.seconds,
    )
    for done in results:
        recording, output, source = todo[done.number]
        if isinstance(done.result, Exception):
            tally.failed += 1
            _failed(recording, output, source, done, store)
            continue
        result: Written = done.result
        tally.written += 1
        for note in result.notes:
            _log.warning("%s: %s", recording.shown, note)
    _log.info("%s", tally.describe(settings.output_dir or "the recordings' folders"))
    return tally.failed + tally.failed_before


def _remaining(
    recordings: Sequence[Recording],
    settings: TranscribeConfig,
    store: OutputStore,
    fingerprint: str,
    tally: _Tally,
) -> Iterator[tuple[Recording, str, object]]:
    """The recordings that are to be transcribed, with the output and the state of each.

    Raises
    ------
    ConfigError
        If the place of the outputs holds those of another bundle or of other settings.
    """
    from asr.cluster.output_store import State, source_of

    pairs = zip(recordings, _outputs(recordings, settings), strict=True)
    others = []
    for recording, output in shard_of(list(pairs), settings.shard):
        span = recording.segment.span if recording.segment else ""
        source = source_of(recording.remote or recording.path, fingerprint, span)
        verdict = store.verdict(output, source)
        match verdict.state:
            case State.finished:
                tally.there += 1
            case State.failed if not settings.retry_failed:
                tally.failed_before += 1
            case State.other_settings:
                others.append(output)
            case State.blocked:
                _log.error("%s", OutputError(output, verdict.reason))
                tally.failed += 1
            case _:
                yield recording, output, source
    if others:
        raise ConfigError(
            f"{len(others)} transcripts are there already, of another bundle or with other settings ({others[0]}): "
            "name another output_dir, use the same settings, or overwrite=true makes all of them again"
        )


def _outputs(recordings: Sequence[Recording], settings: TranscribeConfig) -> list[str]:
    """Absolute paths or URLs."""
    relative = relative_outputs(recordings, settings)
    if settings.output_dir and is_url(settings.output_dir):
        return [f"{settings.output_dir.rstrip('/')}/{path.as_posix()}" for path in relative]
    top = os.path.abspath(typed_path(settings.output_dir) if settings.output_dir else Path())
    return [os.path.join(top, path) for path in relative]


def _failed(recording: Recording, output: str, source: object, done: Done, store: OutputStore) -> None:
    """Report a failure, and record it if it is the recording's."""
    from asr.recognition.finished import Source

    error = done.result
    if isinstance(error, OutputError):
        _log.error("%s (on %s)", error, done.node)
        return
    reason = reason_of(error, done.node)
    _log.error("%s: %s", recording.shown, reason)
    is_missing = isinstance(error, AudioError) and error.reason.startswith("no such file")
    if isinstance(error, AudioError | WorkerEndedError) and isinstance(source, Source) and not is_missing:
        try:
            store.record_failure(output, source, reason)
        except OutputError as problem:
            _log.error("%s", problem)
