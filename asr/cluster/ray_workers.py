"""Workers on the nodes of a Ray cluster, each an actor with one core. The only module that imports Ray."""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import signal
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from asr.cluster.dispatch import Answer, Attempt, Event, Lost, Started
from asr.cluster.local_workers import STARTS
from asr.cluster.worker_start import WorkerStart, code_version
from asr.errors import ClusterError
from asr.packages import require_packages

_log = logging.getLogger(__name__)

_CONNECT_SECONDS = 5.0
# How often to look for nodes that have come or gone.
_NODES_SECONDS = 2.0
_START_HINT = "`ray start --head` starts a cluster on this machine, cluster=local uses its processes without Ray"


@dataclass(frozen=True, slots=True)
class _Actor:
    handle: Any
    node: str
    """its identity in the cluster"""


class RayWorkers:
    """Actors on the nodes of a Ray cluster; see `asr.cluster.dispatch.Workers`.

    A node that joins gets workers, the workers of one that leaves are lost. Work on a node that does not fit (other
    code, missing files) is not tried again.

    Parameters
    ----------
    start : WorkerStart
    address : str
        "auto" for the cluster that this machine is part of, or HOST:PORT of its head.
    count : int > 0
        Workers over all nodes, if they have so many cores.

    Raises
    ------
    MissingPackageError
        If Ray is not installed.
    ClusterError
        If there is no cluster at the address.
    """

    def __init__(self, start: WorkerStart, address: str, count: int) -> None:
        self._ray = connect(address)
        self._code, self._content = code_version(), self._ray.put(pickle.dumps(start))
        self._count = count
        self._numbers = itertools.count()
        self._actors: dict[int, _Actor] = {}
        self._names: dict[str, str] = {}
        self._pending: dict[Any, tuple[int, int | None]] = {}
        """worker and group of each call that was not answered; no group for its start"""
        self._failures: Counter[str] = Counter()
        """starts in a row that failed, by node"""
        self._unfit: dict[str, str] = {}
        self._looked = -_NODES_SECONDS
        self._kind = _actor_class(self._ray)

    @property
    def expected(self) -> int:
        """See `Workers`."""
        return len(self._actors)

    def send(self, worker: int, group: int, attempts: Sequence[Attempt]) -> None:
        """See `Workers`."""
        self._pending[self._actors[worker].handle.run.remote(attempts)] = (worker, group)

    def events(self, seconds: float) -> Sequence[Event]:
        """See `Workers`."""
        if time.monotonic() - self._looked >= _NODES_SECONDS:
            self._looked = time.monotonic()
            self._adjust()
        if not self._pending:
            time.sleep(min(seconds, 0.2))
            return []
        ready, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=seconds, fetch_local=False)
        if ready:
            ready, _ = self._ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0, fetch_local=False)
        events: list[Event] = []
        for reference in ready:
            if reference in self._pending:  # not one of a worker that was lost with an earlier one
                events += self._answered(reference)
        return events

    def close(self) -> None:
        """See `Workers`. The cluster stays as it is."""
        for actor in self._actors.values():
            with suppress(Exception):
                self._ray.kill(actor.handle, no_restart=True)
        self._actors.clear()
        self._pending.clear()

    def _answered(self, reference: Any) -> Sequence[Event]:
        worker, group = self._pending.pop(reference)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return self._ended(worker, self._reason(error), has_started=group is not None)
        if group is not None:
            return [Answer(worker, group, answer)]
        node = self._actors[worker].node
        is_ready, value = answer
        if is_ready:
            self._failures.pop(node, None)
            return [Started(worker, self._names[node])]
        self._drop(worker)
        if value[0]:
            self._exclude(node, value[1])
            return []
        return self._start_failed(node, value[1])

    def _ended(self, worker: int, reason: str, *, has_started: bool) -> Sequence[Event]:
        node = self._actors[worker].node
        self._drop(worker)
        is_alive = any(one["NodeID"] == node and one["Alive"] for one in self._ray.nodes())
        if has_started:
            return [Lost(worker, reason if is_alive else "its node is gone", with_node=not is_alive)]
        return self._start_failed(node, reason) if is_alive else []

    def _reason(self, error: Exception) -> str:
        """How a worker ended, without the advice and identities of Ray's messages."""
        if isinstance(error, self._ray.exceptions.ActorUnavailableError):
            return "the connection to it was lost"
        if isinstance(error, self._ray.exceptions.ActorDiedError):
            return "its process ended"
        return _first_line(error)

    def _start_failed(self, node: str, reason: str) -> Sequence[Event]:
        self._failures[node] += 1
        if self._failures[node] >= STARTS:
            self._exclude(node, f"{STARTS} workers ended before they were ready ({reason})")
        return []

    def _drop(self, worker: int) -> None:
        actor = self._actors.pop(worker)
        with suppress(Exception):
            self._ray.kill(actor.handle, no_restart=True)
        self._pending = {reference: of for reference, of in self._pending.items() if of[0] != worker}

    def _exclude(self, node: str, reason: str) -> None:
        if node not in self._unfit:
            self._unfit[node] = f"{self._names[node]}: {reason}"
            _log.error("%s; it gets no work", self._unfit[node])

    def _adjust(self) -> None:
        """Start workers where cores have none.

        Raises
        ------
        ClusterError
            If no node can be used.
        """
        nodes = [one for one in self._ray.nodes() if one["Alive"] and one["Resources"].get("CPU", 0) >= 1]
        hosts = Counter(one["NodeManagerAddress"] for one in nodes)
        for one in nodes:
            self._names[one["NodeID"]] = _node_name(one, is_alone=hosts[one["NodeManagerAddress"]] == 1)
        usable = {one["NodeID"]: int(one["Resources"]["CPU"]) for one in nodes if one["NodeID"] not in self._unfit}
        if nodes and not usable:
            raise ClusterError("no node of the cluster can be used: " + "; ".join(self._unfit.values()))
        present = Counter(actor.node for actor in self._actors.values())
        for node, count in _shares(usable, self._count).items():
            for _ in range(count - present[node]):
                self._start_worker(node)

    def _start_worker(self, node: str) -> None:
        worker = next(self._numbers)
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        handle = self._kind.options(scheduling_strategy=strategy).remote()
        self._actors[worker] = _Actor(handle, node)
        self._pending[handle.start.remote(self._code, self._content)] = (worker, None)


def connect(address: str) -> Any:
    """Connect this process to a Ray cluster, without any message; returns the module `ray`.

    A process that is connected already stays connected to its cluster.

    Raises
    ------
    MissingPackageError, ClusterError
        As in `RayWorkers`.
    """
    require_packages("ray", extra="cluster", purpose=f"cluster={address}")
    # Ray sends statistics about its use to its makers, unless told otherwise before it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    import ray.exceptions
    import ray.util.scheduling_strategies

    if ray.is_initialized():
        return ray
    _check_reachable(address)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:  # of many kinds, each for one way not to find a cluster
        raise ClusterError(
            f"cluster={address}: there is no Ray cluster ({_first_line(error)}); {_START_HINT}"
        ) from error
    finally:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, handler)  # Ray sets its own
    # Ray writes the errors of a cluster to standard output, where the results are: they are reported from here.
    ray._private.worker._worker_logs_enabled = False
    return ray


def _check_reachable(address: str) -> None:
    """Refuse an address where nothing answers, for which Ray would wait a minute.

    Raises
    ------
    ClusterError
        If nothing answers.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ClusterError(f"cluster={address}: nothing answers there ({reason}); {_START_HINT}") from error


def _actor_class(ray: Any) -> Any:
    """The class of the actors, which is sent as it is: it must run where this program is not installed."""

    class Worker:
        def start(self, code: str, content: bytes) -> tuple[bool, Any]:
            """Whether the worker is ready; if not, whether its node is unfit, and why."""
            try:
                from asr.cluster.worker_start import make_checked_worker
            except Exception as error:
                return False, (True, f"asr cannot be imported there ({type(error).__name__}: {error}): install it")
            try:
                self._answer = make_checked_worker(code, content)
                return True, self._answer(None)
            except Exception as error:
                is_unfit = type(error).__name__ == "UnfitNodeError"
                return False, (is_unfit, str(error) if is_unfit else f"{type(error).__name__}: {error}")

        def run(self, attempts: Any) -> Any:
            """The results of a group."""
            return self._answer(attempts)

    # A lost actor is replaced by a new one, under a new number: Ray itself restarts nothing.
    return ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Worker)


def _shares(cores: Mapping[str, int], count: int) -> dict[str, int]:
    """How many workers each node has, one a core at most; `count` in all."""
    if count >= sum(cores.values()):
        return dict(cores)
    shares = dict.fromkeys(cores, 0)
    for _ in range(count):
        free = [node for node in cores if shares[node] < cores[node]]
        shares[min(free, key=lambda node: shares[node] / cores[node])] += 1
    return shares


def _node_name(node: Mapping[str, Any], *, is_alone: bool) -> str:
    """A node in messages: its host and address, and its identity where several have the same."""
    name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}"
    return f"{name})" if is_alone else f"{name}, {node['NodeID'][:8]})"


def _first_line(error: BaseException) -> str:
    """The first line of one of Ray's errors, which have many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")
