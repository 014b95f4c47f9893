"""Starts the other ranks of a training on this machine, as child processes of rank 0."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import keras

from asr.errors import AsrError, RankError
from asr.processes import Child, ChildEndedError
from asr.settings.commands import TrainConfig
from asr.training.distributed import (
    LOCAL,
    Ranks,
    check_ranks_supported,
    initialised_place,
    joined,
    serve_store,
    thread_count,
)
from asr.training.rank_environment import Place, find_place
from asr.training.rank_watch import Failure

_WORKER = "asr.training.rank_worker:make_rank"
# From the end of a connection to the end of its process, which says more.
_EXIT_SECONDS = 5.0
_FOREVER_SECONDS = 1e9


def launched_place(settings: TrainConfig) -> Place | None:
    """The place of this process, if a launcher such as torchrun started the ranks of the training.

    Raises
    ------
    ConfigError
        If it started another number of processes than `training.processes`.
    """
    processes = settings.training.processes
    if keras.backend.backend() == "torch" and (place := initialised_place()):
        variables = {"RANK": str(place.rank), "WORLD_SIZE": str(place.count), "MASTER_ADDR": "-", "MASTER_PORT": "0"}
        return place if find_place(variables, processes) else None
    return find_place(os.environ, processes)


@contextmanager
def started_ranks(settings: TrainConfig, place: Place | None) -> Iterator[Ranks]:
    """The ranks of a training: those of a launcher, those that this process starts, or this process alone.

    Parameters
    ----------
    settings : TrainConfig
    place : Place or None
        From `launched_place`.

    Raises
    ------
    ConfigError
        If the back end cannot train on several.
    RankError
        If a rank ends.
    """
    count = settings.training.processes
    if count == 1:
        yield Ranks()
        return
    check_ranks_supported(settings.training.devices)
    if place is not None:
        with joined(place) as ranks:
            yield ranks
        return
    store, port = serve_store(count)
    places = [Place(rank, count, rank, "127.0.0.1", port, LOCAL) for rank in range(count)]
    others = [_Process(settings, one, thread_count()) for one in places[1:]]
    try:
        with joined(
            places[0],
            store=store,
            explain=lambda rank: others[rank - 1].exit_reason(),
            ended=lambda: next((failure for one in others if (failure := one.failure)), None),
        ) as ranks:
            yield ranks
    finally:
        for other in others:
            other.close()


class _Process:
    """The process of a rank, and a thread that waits for its end."""

    def __init__(self, settings: TrainConfig, place: Place, threads: int) -> None:
        self._rank = place.rank
        self._job = (settings, place, threads)
        self._child = Child(_WORKER, quiet=True)
        self._ended = threading.Event()
        self._reason: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"rank {place.rank}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            # Without an end: neither for a start on a busy machine nor for the training.
            self._child.ask(self._job, timeout=_FOREVER_SECONDS, stopped=threading.Event())
        except ChildEndedError as error:
            self._reason = str(error)
        except RankError:  # which the first rank knows already
            pass
        except AsrError as error:
            self._reason = str(error)
        except Exception as error:
            self._reason = f"{type(error).__name__}: {error}"
        self._ended.set()

    @property
    def failure(self) -> Failure | None:
        """Of a process that has ended."""
        return Failure(self._rank, self._reason) if self._ended.is_set() and self._reason else None

    def exit_reason(self) -> str | None:
        """How the process ended, if it has."""
        self._ended.wait(_EXIT_SECONDS)
        return self._reason

    def close(self) -> None:
        """End the process at once."""
        self._child.close()
        self._thread.join()
