"""The ranks of a training: processes that share every batch and take every step together.

Each rank plans the same batches, computes its rows, and adds its gradients to those of the others before they are
clipped and checked. So the number of ranks changes no result but by rounding. Only rank 0 reports and writes.
"""

from __future__ import annotations

import datetime
import logging
import pickle
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import keras
import numpy as np

from asr.errors import AsrError, ConfigError, RankError
from asr.machine import available_cores
from asr.training.rank_environment import Place
from asr.training.rank_watch import Failure, Watch, accept_ranks, connect, listen, own_place

Value = TypeVar("Value")

_JOIN_SECONDS = 300.0
"""for all ranks to start and connect"""
_WAITING_SECONDS = 30.0
"""after this, the log names the ranks that are missing"""
# `Watch` notices lost ranks; the time limit of the operations themselves is for none of the waits of a training, such
# as that for rank 0 while it writes.
_OPERATION_LIMIT = datetime.timedelta(days=7)
# A lost rank closes connections: an operation that has not failed this long after the rank was lost never will.
_STUCK_SECONDS = 5.0
_SHORTEST_POLL, _LONGEST_POLL = 5e-5, 2e-3
_SHORT_BYTES, _SIZE = 2048, struct.Struct("<Q")
LOCAL = "asr"
"""the launcher of ranks that asr starts itself"""
_RESUME = "the same command resumes from the last checkpoint"

_log = logging.getLogger(__name__)


class Ranks:
    """The ranks of a training in a single process: there is one, and it shares nothing."""

    rank = 0
    """number of this process, from 0"""
    count = 1
    """number of processes"""

    @property
    def is_first(self) -> bool:
        """Whether this process reports and writes."""
        return self.rank == 0

    @property
    def places(self) -> list[str]:
        """Where each rank runs."""
        return [own_place()]

    def gather(self, value: Value) -> list[Value]:
        """The values of all ranks, in order; on every rank."""
        return [value]

    def from_first(self, make: Callable[[], Value]) -> Value:
        """What a function returns on the first rank; the others do not call it."""
        return make()

    def sum_gradients(self, gradients: Sequence[Any]) -> list[Any]:
        """The sum of each tensor over all ranks."""
        return list(gradients)

    def wait_first(self) -> None:
        """On other ranks than the first: wait until that is done, however long it writes."""


class TorchRanks(Ranks):
    """Ranks that exchange arrays with `torch.distributed`: gloo for processors, NCCL for GPUs.

    Parameters
    ----------
    place : Place
    watch : Watch
    places : list of str
        Where each rank runs.
    small, large : ProcessGroup or None
        For numbers and objects, on processors; for gradients, wherever these are. None is PyTorch's default group.
    """

    def __init__(self, place: Place, watch: Watch, places: list[str], *, small: Any = None, large: Any = None) -> None:
        self.rank, self.count = place.rank, place.count
        self.reduced_bytes = 0
        """of gradients, added up so far"""
        self.reduce_seconds = 0.0
        """spent on that, with waiting for slower ranks"""
        self._watch = watch
        self._places = places
        self._small, self._large = small, large

    @property
    def places(self) -> list[str]:
        return self._places

    def gather(self, value: Value) -> list[Value]:
        import torch
        import torch.distributed as dist

        content = pickle.dumps(value)
        data = _SIZE.pack(len(content)) + content
        length = _SHORT_BYTES
        while True:
            # Short values, which every step exchanges, need one operation.
            own = torch.zeros(length, dtype=torch.uint8)
            first = data[:length]
            own[: len(first)] = torch.frombuffer(bytearray(first), dtype=torch.uint8)
            rows = [torch.empty(length, dtype=torch.uint8) for _ in range(self.count)]
            self._wait(partial(dist.all_gather, rows, own, group=self._small, async_op=True))
            texts = [row.numpy().tobytes() for row in rows]
            sizes = [_SIZE.unpack_from(text)[0] for text in texts]
            longest = _SIZE.size + max(sizes)
            if longest <= length:
                return [pickle.loads(text[_SIZE.size :][:size]) for text, size in zip(texts, sizes, strict=True)]
            length = longest

    def from_first(self, make: Callable[[], Value]) -> Value:
        import torch
        import torch.distributed as dist

        value = make() if self.is_first else None
        content = pickle.dumps(value) if self.is_first else b""
        size = torch.tensor([len(content)])
        self._wait(lambda: dist.broadcast(size, 0, group=self._small, async_op=True))
        data = torch.empty(int(size), dtype=torch.uint8)
        if self.is_first:
            data[:] = torch.from_numpy(np.frombuffer(content, np.uint8).copy())
        self._wait(lambda: dist.broadcast(data, 0, group=self._small, async_op=True))
        return value if value is not None else pickle.loads(data.numpy().tobytes())

    def sum_gradients(self, gradients: Sequence[Any]) -> list[Any]:
        import torch
        import torch.distributed as dist

        started = time.perf_counter()
        present = [one for one in gradients if one is not None]
        flat = torch.cat([one.detach().reshape(-1) for one in present])
        self._wait(lambda: dist.all_reduce(flat, group=self._large, async_op=True))
        sums = iter(torch.split(flat, [one.numel() for one in present]))
        found = [None if one is None else next(sums).reshape(one.shape) for one in gradients]
        self.reduced_bytes += flat.numel() * flat.element_size()
        self.reduce_seconds += time.perf_counter() - started
        return found

    def wait_first(self) -> None:
        if not self.is_first and (failure := self._watch.wait_first()):
            raise self._error(failure)

    def _wait(self, begin: Callable[[], Any]) -> None:
        """Wait for an operation, unless a rank is lost: then it may never end.

        Polled, because a blocking wait would react neither to the watch nor to Ctrl-C.
        """
        pause = _SHORTEST_POLL
        try:
            work = begin()
            while not work.is_completed():
                if failure := self._watch.failure:
                    raise self._error(failure, is_stuck=not _completes(work))
                time.sleep(pause)
                pause = min(1.5 * pause, _LONGEST_POLL)
            work.wait()
        except RuntimeError as error:
            failure = self._watch.wait_failure(_STUCK_SECONDS)
            if failure is None:
                raise RankError(f"rank {self.rank} lost its connection to other ranks ({error}): {_RESUME}") from error
            raise self._error(failure) from error

    def _error(self, failure: Failure, *, is_stuck: bool = False) -> RankError:
        who = f"rank {failure.rank} of {self.count} ({self._places[failure.rank]})"
        # Rank 0 reports; if it cannot, rank 1 does.
        reporter = 1 if failure.rank == 0 else 0
        is_reported = self.rank != reporter or (failure.rank == 0 and failure.told)
        message = f"{who}: {failure.reason}" if failure.told else f"{who} {failure.reason}: {_RESUME}"
        return RankError(message, is_reported=is_reported, is_stuck=is_stuck)


def _completes(work: Any) -> bool:
    end = time.monotonic() + _STUCK_SECONDS
    while time.monotonic() < end:
        if work.is_completed():
            return True
        time.sleep(_LONGEST_POLL)
    return False


def check_ranks_supported(devices: int) -> None:
    """Refuse several ranks where they cannot keep the result.

    Raises
    ------
    ConfigError
        Naming what can.
    """
    backend = keras.backend.backend()
    if backend != "torch":
        raise ConfigError(
            f"training.processes above 1 needs KERAS_BACKEND=torch, not {backend}: with TensorFlow and JAX, "
            "training.devices divides batches among the devices of one machine"
        )
    if devices > 1:
        raise ConfigError("training.processes above 1 needs training.devices=1: each process has one device")


def thread_count() -> int:
    """Threads that PyTorch computes with."""
    import torch

    return int(torch.get_num_threads())


def serve_store(count: int) -> tuple[Any, int]:
    """The store in which ranks on this machine meet, and its port."""
    import torch.distributed as dist

    limit = datetime.timedelta(seconds=_JOIN_SECONDS)
    store = dist.TCPStore("127.0.0.1", 0, None, is_master=True, timeout=limit, wait_for_workers=False)
    return store, store.port


@contextmanager
def joined(
    place: Place,
    *,
    store: Any = None,
    explain: Callable[[int], str | None] = lambda rank: None,
    ended: Callable[[], Failure | None] = lambda: None,
    threads: int | None = None,
) -> Iterator[TorchRanks]:
    """Join the other ranks, and leave them at the end of this block; all learn of an error in it.

    Parameters
    ----------
    place : Place
    store : torch.distributed.Store, optional
        In which the ranks meet, if there already is one.
    explain : callable, optional
        As `Watch` takes it.
    ended : callable, optional
        The first of the other ranks whose process has ended, for those that end before they join.
    threads : int, optional
        That the ranks of this machine compute with together, if asr starts them; PyTorch's number by default.

    Raises
    ------
    ConfigError
        If the ranks cannot connect.
    RankError
        If a rank ends: the first to end is named.
    """
    import torch
    import torch.distributed as dist

    made_here = not dist.is_initialized()
    has_gpus = torch.cuda.is_available()
    if has_gpus:
        _choose_gpu(place)
    with _quiet(place.rank), _threads(place, threads):
        if made_here:
            store = store or _open_store(place)
            _meet(store, place, ended)
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if has_gpus else "gloo",
                store=dist.PrefixStore(f"group{place.attempt}", store),
                rank=place.rank,
                world_size=place.count,
                timeout=datetime.timedelta(seconds=_JOIN_SECONDS),
            )
        is_stuck = False
        small = None
        try:
            small = dist.new_group(backend="gloo", timeout=_OPERATION_LIMIT)
            watch, places = _watch(place, small, explain)
            ranks = TorchRanks(place, watch, places, small=small, large=None if has_gpus else small)
            try:
                yield ranks
                ranks.wait_first()
            except RankError as error:
                is_stuck = error.is_stuck
                raise
            except BaseException as error:
                watch.fail(_describe(error))
                if ranks.is_first or not isinstance(error, AsrError):
                    raise
                raise RankError(f"{error}", is_reported=True) from error
            finally:
                watch.close()
        finally:
            # Connections to a machine that does not answer would be waited for.
            if not is_stuck:
                with suppress(RuntimeError, ValueError):
                    dist.destroy_process_group(None if made_here else small)


def _describe(error: BaseException) -> str:
    if isinstance(error, AsrError):
        return str(error)
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return "was interrupted"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def initialised_place() -> Place | None:
    """The place in a process group that exists already, such as Ray Train makes; None without one."""
    import os

    import torch.distributed as dist

    if not dist.is_available() or not dist.is_initialized():
        return None
    return Place(
        rank=dist.get_rank(),
        count=dist.get_world_size(),
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
        host=os.environ.get("MASTER_ADDR", ""),
        port=0,
        launcher="torch.distributed",
    )


def _choose_gpu(place: Place) -> None:
    import torch

    found = torch.cuda.device_count()
    # Some launchers show each process its own GPU alone.
    number = 0 if found == 1 and place.count > 1 and place.launcher != LOCAL else place.local_rank
    if number >= found:
        raise ConfigError(
            f"rank {place.rank} is number {number} on its machine, which has {found} "
            f"GPU{'s' if found > 1 else ''}: use one process for each, or CUDA_VISIBLE_DEVICES= for processors"
        )
    torch.cuda.set_device(number)


def _open_store(place: Place) -> Any:
    import torch.distributed as dist

    is_master = place.rank == 0 and not place.store_is_shared
    try:
        return dist.TCPStore(
            place.host,
            place.port,
            None,
            is_master=is_master,
            timeout=datetime.timedelta(seconds=_JOIN_SECONDS),
            wait_for_workers=False,
        )
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        address = f"{place.host}:{place.port}"
        what = (
            f"rank 0 cannot listen at {address} ({reason}): set MASTER_PORT to a free port"
            if is_master
            else f"rank {place.rank} on {socket.gethostname()} finds no rank 0 at {address} ({reason}): was "
            "it started, and can this machine reach it?"
        )
        raise ConfigError(what) from error


def _meet(store: Any, place: Place, ended: Callable[[], Failure | None]) -> None:
    """Wait until all ranks are there; on rank 0, name those that are missing."""
    store.set(f"asr/{place.attempt}/{place.rank}", own_place())
    wanted = {rank: f"asr/{place.attempt}/{rank}" for rank in range(place.count)}
    started, has_logged = time.monotonic(), False
    while missing := [rank for rank, key in wanted.items() if not store.check([key])]:
        if failure := ended():
            raise RankError(f"rank {failure.rank} of {place.count} has ended before it joined ({failure.reason})")
        waited = time.monotonic() - started
        names = f"rank{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))} of {place.count}"
        # Processes that this one has started are not late while they run, however busy the machine is.
        if waited > _JOIN_SECONDS and place.launcher != LOCAL:
            how = "srun starts all ranks of a step; " if place.launcher == "Slurm" else ""
            raise ConfigError(
                f"{names} did not come to rank 0 at {place.host}:{place.port} within {_JOIN_SECONDS:.0f} s: {how}"
                "start the same command on all machines"
            )
        if waited > _WAITING_SECONDS and not has_logged:
            _log.info("waiting for %s", names)
            has_logged = True
        time.sleep(0.05)


def _watch(place: Place, small: Any, explain: Callable[[int], str | None]) -> tuple[Watch, list[str]]:
    """Connect this rank's watch; also returns where each rank runs."""
    import torch.distributed as dist

    host = place.host or socket.gethostname()
    if place.rank == 0:
        listener, port = listen()
        with listener:
            dist.broadcast_object_list([(host, port)], 0, group=small)
            peers, places = accept_ranks(listener, place.count)
        found = [own_place(), *(places[rank] for rank in range(1, place.count))]
    else:
        address: list[Any] = [None]
        dist.broadcast_object_list(address, 0, group=small)
        first_host, port = address[0]
        peers, found = {0: connect(first_host, port, place.rank)}, []
    everywhere: list[Any] = [found]
    dist.broadcast_object_list(everywhere, 0, group=small)
    return Watch(place.rank, peers, explain=explain), everywhere[0]


@contextmanager
def _quiet(rank: int) -> Iterator[None]:
    """No messages of other ranks than the first."""
    logger = logging.getLogger("asr")
    before = logger.level
    if rank:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _threads(place: Place, threads: int | None) -> Iterator[None]:
    """Processes that asr starts on one machine share its cores; other launchers set their numbers themselves."""
    import torch

    before = torch.get_num_threads()
    if place.launcher == LOCAL:
        torch.set_num_threads(max(1, min(threads or before, available_cores() // place.count)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
