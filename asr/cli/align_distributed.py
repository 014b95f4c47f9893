"""`asr align cluster=...`: aligns and cuts recordings by many processes."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asr.cli.distributed import (
    common_folders,
    in_order,
    is_over_machines,
    reason_of,
    run_items,
    shared_folder_check,
)
from asr.cli.inputs import Recording
from asr.errors import ConfigError, OutputError
from asr.files import typed_path
from asr.settings.commands import AlignConfig
from asr.settings.decoding import GreedyConfig

if TYPE_CHECKING:
    from asr.bundle import Bundle
    from asr.cluster.align_work import Aligned, AlignmentItem
    from asr.cluster.dispatch import Done
    from asr.cluster.worker_start import WorkerStart
    from asr.recognition.utterance_cuts import CutSettings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AlignTask:
    """A recording and its text."""

    recording: Recording
    text: str
    called: str
    """its name in messages"""
    path: str
    """the name of the recording in outputs"""
    output: Path | None
    cut_folder: Path | None


def align_elsewhere(
    tasks: Sequence[AlignTask], settings: AlignConfig, cutting: CutSettings
) -> Iterator[Aligned | None]:
    """Align recordings; yields the result of each in order, None for one that failed and was reported.

    Those that an earlier run has finished, with these settings and this text, are not done again.
    """
    from asr.bundle import load_bundle
    from asr.cluster.align_work import finished_alignment
    from asr.cluster.dispatch import Item
    from asr.recognition.finished import Journal

    if is_over_machines(settings.cluster) and any(one.recording.is_stream for one in tasks):
        raise ConfigError("a stream can be read on this machine only: save it to a file, or leave cluster out")
    bundle = load_bundle(settings.bundle)
    fingerprint = _fingerprint(settings, cutting, bundle)
    wanted = [_item(one, fingerprint) for one in tasks]
    journal = Journal()
    finished = {
        number: done
        for number, one in enumerate(wanted)
        if not settings.overwrite
        and (done := finished_alignment(one.output, one.cut_folder, one.source, journal)) is not None
    }
    if finished:
        _log.info("%d recordings were finished by an earlier run", len(finished))
    left = [number for number in range(len(wanted)) if number not in finished]
    items = [Item(wanted[number], tasks[number].recording.bytes_on_disk) for number in left]
    found = run_items(
        items,
        lambda: _start(tasks, settings, cutting, bundle),
        cluster=settings.cluster,
        workers=settings.workers,
        seconds=lambda result: float(result.seconds),
    )
    results = in_order(found, len(items))
    for number, task in enumerate(tasks):
        yield finished[number] if number in finished else _result(task, next(results))


def _result(task: AlignTask, done: Done) -> Aligned | None:
    """A result, or None for an error, which is reported."""
    if isinstance(done.result, Exception):
        is_output = isinstance(done.result, OutputError)
        reason = f"{done.result} (on {done.node})" if is_output else reason_of(done.result, done.node)
        _log.error("%s: %s", task.called, reason)
        return None
    aligned: Aligned = done.result
    _warn(task, aligned)
    return aligned


def _warn(task: AlignTask, result: Aligned) -> None:
    for note in result.notes:
        _log.warning("%s: %s", task.recording.shown, note)
    if result.unknown:
        _log.warning(
            "%s: %d words have characters outside the alphabet of the model, which are skipped: %s",
            task.called, len(result.unknown), ", ".join(dict.fromkeys(result.unknown[:5])),
        )  # fmt: skip


def _item(task: AlignTask, fingerprint: str) -> AlignmentItem:
    from asr.cluster.align_work import AlignmentItem
    from asr.cluster.work_recording import WorkRecording
    from asr.recognition.finished import Source

    recording = task.recording
    digest = hashlib.blake2b(f"{fingerprint}\n{task.text}".encode("utf-8", "surrogatepass"), digest_size=16)
    segment = recording.segment
    return AlignmentItem(
        WorkRecording.remote(recording.remote.url, recording.shown, segment)
        if recording.remote
        else WorkRecording.of(recording.audio, recording.shown),
        task.text,
        task.path,
        recording.id,
        segment.offset if segment else None,
        None if task.output is None else Path(os.path.abspath(task.output)),
        None if task.cut_folder is None else Path(os.path.abspath(task.cut_folder)),
        # A remote recording is aligned again: whether it has changed is not known.
        None if recording.remote else Source.of(recording.path, digest.hexdigest(), segment.span if segment else ""),
    )


def _start(tasks: Sequence[AlignTask], settings: AlignConfig, cutting: CutSettings, bundle: Bundle) -> WorkerStart:
    from asr.cluster.align_work import AlignmentJob
    from asr.cluster.work_recording import Recognizer, recognizer_start

    recognizer = Recognizer.of(bundle, GreedyConfig(), settings, name=settings.bundle)
    contents = [
        content
        for name in (settings.output_dir, settings.cut_dir)
        for content in shared_folder_check(settings.cluster, Path(os.path.abspath(typed_path(name))) if name else None)
    ]
    return recognizer_start(
        "asr.cluster.align_work:make_alignment",
        AlignmentJob(recognizer, settings.format, cutting, settings.overwrite),
        recognizer,
        shared=common_folders([one.recording.path for one in tasks if one.recording.remote is None]),
        contents=contents,
    )


def _fingerprint(settings: AlignConfig, cutting: CutSettings, bundle: Bundle) -> str:
    """A digest that is equal where the same recording and text give the same files."""
    from asr.cluster.work_recording import bundle_digest

    values = (bundle_digest(bundle.path), settings.engine.name, settings.format.name, sorted(asdict(cutting).items()))
    return hashlib.blake2b(repr(values).encode(), digest_size=16).hexdigest()
