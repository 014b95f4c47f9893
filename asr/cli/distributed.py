"""Shared by the commands that have `cluster=`: workers for a setting, one bar over all of them, messages with nodes."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr.errors import AsrError, AudioError
from asr.machine import available_cores

if TYPE_CHECKING:
    from asr.cluster.dispatch import Done, Item, Workers
    from asr.cluster.work_recording import WorkRecording
    from asr.cluster.worker_start import WorkerStart
    from asr.corpus.manifest import Utterance

_log = logging.getLogger(__name__)

_BYTES_A_SECOND = 32_000


def run_items(
    items: Sequence[Item],
    start: Callable[[], WorkerStart],
    *,
    cluster: str | None,
    workers: int,
    seconds: Callable[[Any], float] = lambda result: 0.0,
) -> Iterator[Done]:
    """Have the workers of a setting do items, with a progress bar over all of them.

    Parameters
    ----------
    items : sequence of Item
    start : callable
        Makes what starts a worker; not called where there is nothing to do.
    cluster, workers
        The settings of these names; None is local.
    seconds : callable
        The seconds of audio of a result.

    Yields
    ------
    Done
        As soon as an item is finished, in any order. A result that is an error of the recording is logged.

    Raises
    ------
    AsrError
        If there are no workers.
    """
    if not items:
        return
    from asr.cli.progress import ItemsBar
    from asr.cluster.dispatch import distribute

    pool = _open_workers(start(), cluster, workers, most=len(items))
    try:
        with ItemsBar([item.size for item in items]) as bar:
            for done in distribute(items, pool):
                failed = isinstance(done.result, Exception)
                bar.finish(done.number, 0.0 if failed else seconds(done.result))
                yield done
    finally:
        pool.close()


def is_over_machines(cluster: str | None) -> bool:
    """Whether a setting means other processes than those of this machine."""
    return cluster not in (None, "local")


def shared_folder_check(cluster: str | None, folder: Path | None) -> list[tuple[Path, bytes]]:
    """A file in a folder of outputs, and its content, by which every node shows that it has the same folder.

    The file is made by the first run over machines, and stays.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    if folder is None or not is_over_machines(cluster):
        return []
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".asr-folder"
    with suppress(FileExistsError), path.open("xb") as file:
        file.write(secrets.token_hex(16).encode())
    return [(path, path.read_bytes())]


def common_folders(paths: Sequence[Path]) -> list[Path]:
    """The folder that holds all files; that of the first where they have no other in common than the root."""
    folders = list(dict.fromkeys(os.path.abspath(path.parent) for path in paths))
    if not folders:
        return []
    common = os.path.commonpath(folders)
    return [Path(folders[0] if common == os.sep else common)]


def work_of(utterance: Utterance) -> WorkRecording:
    """The recording of an utterance, for a worker."""
    from asr.audio.segment import split_source
    from asr.cluster.work_recording import WorkRecording

    if utterance.url is None:
        return WorkRecording.of(utterance.audio, str(utterance.audio_path))
    return WorkRecording.remote(utterance.url, utterance.url, split_source(utterance.audio)[1])


def size_of(utterance: Utterance) -> int:
    """Bytes of an utterance as samples of 16 bits at 16 kHz, those of its file if its length is unknown, or 0."""
    if utterance.duration:
        return round(_BYTES_A_SECOND * utterance.duration)
    try:
        return utterance.audio_path.stat().st_size
    except (OSError, ValueError):
        return 0


def in_order(found: Iterator[Done], count: int) -> Iterator[Done]:
    """The results of items in their order; each as soon as those before it are there.

    Parameters
    ----------
    found : iterator of Done
    count : int
        Number of items.
    """
    waiting: dict[int, Done] = {}
    for number in range(count):
        while number not in waiting:
            done = next(found)
            waiting[done.number] = done
        yield waiting.pop(number)


def reason_of(error: Exception, node: str) -> str:
    """Why an item failed, and on which node."""
    reason = error.reason if isinstance(error, AudioError) else str(error)
    if not isinstance(error, AsrError):  # a defect, or a system without memory or space
        reason = f"{type(error).__name__}: {error}"
    return reason if node and node in reason else f"{reason} (on {node})"


def _open_workers(start: WorkerStart, cluster: str | None, count: int, *, most: int) -> Workers:
    if not is_over_machines(cluster):
        from asr.cluster.local_workers import LocalWorkers

        return LocalWorkers(start, min(count or available_cores(), most))
    from asr.cluster.ray_workers import RayWorkers

    return RayWorkers(start, str(cluster), min(count or most, most))
