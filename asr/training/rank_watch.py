"""Watches that all ranks of a training are alive: when one ends, all others learn which, and why.

A collective operation of a lost rank either fails on its neighbours alone, with an address in place of a rank, or waits
for its timeout. Therefore each rank has one more connection to rank 0: it closes when a process ends, however that
ends, and it is silent when a machine or a network is gone.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from asr.errors import ConfigError

BEAT_SECONDS = 1.0
SILENT_SECONDS = 120.0
"""how long a rank may be silent: a process that computes still sends, from a thread of its own; on a machine that many
programs share, half a minute was not enough for one that imported its libraries"""
_CONNECT_SECONDS = 60.0
_MESSAGE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Failure:
    """The rank that ended first."""

    rank: int
    reason: str
    """why, or how it was noticed"""
    told: bool = False
    """whether the rank itself said why"""


@dataclass(slots=True)
class _Peer:
    rank: int
    connection: socket.socket
    seen: float
    received: bytes = b""
    has_left: bool = False


class Watch:
    """The connections of one rank: rank 0 has one to each other, each other has one to rank 0.

    Parameters
    ----------
    rank : int
    peers : mapping of int to socket.socket
        By rank.
    explain : callable, optional
        From a rank whose connection closed to how its process ended; None where that is not known.
    """

    def __init__(
        self,
        rank: int,
        peers: dict[int, socket.socket],
        *,
        explain: Callable[[int], str | None] = lambda rank: None,
    ) -> None:
        self.rank = rank
        self._explain = explain
        self._lock = threading.Lock()
        self._failed = threading.Event()
        self._failure: Failure | None = None
        now = time.monotonic()
        self._peers = {number: _Peer(number, connection, now) for number, connection in peers.items()}
        self._closing = threading.Event()
        self._finished = threading.Event()
        for connection in peers.values():
            connection.settimeout(SILENT_SECONDS)
        self._threads = [
            threading.Thread(target=work, name=f"rank watch {work.__name__}", daemon=True)
            for work in (self._receive_all, self._beat)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def failure(self) -> Failure | None:
        """The rank that has ended, if one has."""
        return self._failure

    def wait_failure(self, seconds: float) -> Failure | None:
        """The rank that has ended; waits some time for the message."""
        self._failed.wait(seconds)
        return self._failure

    def wait_first(self) -> Failure | None:
        """On other ranks than the first: wait until that has left, or any has ended."""
        while not self._failed.is_set() and not all(peer.has_left for peer in self._peers.values()):
            self._failed.wait(0.05)
        return self._failure

    def fail(self, reason: str) -> None:
        """Report that this rank ends with an error."""
        self._note(Failure(self.rank, reason, told=True))

    def close(self) -> None:
        """End the connections; unless a rank has failed, the others learn that this one leaves in order."""
        if self._failure is None:
            self._send_all({"leave": True})
        self._closing.set()
        for peer in self._peers.values():
            with suppress(OSError):
                peer.connection.shutdown(socket.SHUT_WR)
        for thread in self._threads:
            thread.join(2 * BEAT_SECONDS)
        for peer in self._peers.values():
            peer.connection.close()

    def _note(self, failure: Failure) -> None:
        """Keep the first failure, and pass it on."""
        with self._lock:
            if self._failure is not None:
                return
            self._failure = failure
        self._send_all({"failed": failure.rank, "reason": failure.reason, "told": failure.told})
        self._failed.set()

    def _send_all(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        for peer in self._peers.values():
            with suppress(OSError), self._lock:
                peer.connection.sendall(data)

    def _beat(self) -> None:
        while not self._closing.wait(BEAT_SECONDS):
            self._send_all({"beat": True})

    def _receive_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            for peer in self._peers.values():
                selector.register(peer.connection, selectors.EVENT_READ, peer)
            while selector.get_map() and not self._closing.is_set():
                for key, _ in selector.select(BEAT_SECONDS / 4):
                    if not self._receive(key.data):
                        selector.unregister(key.fileobj)
                for peer in self._peers.values():
                    silent = time.monotonic() - peer.seen
                    if silent > SILENT_SECONDS and not peer.has_left:
                        self._note(Failure(peer.rank, f"has not answered for {SILENT_SECONDS:.0f} s"))

    def _receive(self, peer: _Peer) -> bool:
        """Read what a rank sent; whether its connection is still open."""
        try:
            data = peer.connection.recv(_MESSAGE_BYTES)
        except OSError:
            data = b""
        if not data:
            if not peer.has_left and not self._closing.is_set() and self._failure is None:
                how = self._explain(peer.rank)
                self._note(Failure(peer.rank, "has ended" + (f" ({how})" if how else "")))
            return False
        peer.seen = time.monotonic()
        *lines, peer.received = (peer.received + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "failed" in message:
                self._note(Failure(message["failed"], message["reason"], message["told"]))
            peer.has_left |= "leave" in message
        return True


def listen() -> tuple[socket.socket, int]:
    """On rank 0: the socket for the connections of the other ranks, and its port."""
    if socket.has_dualstack_ipv6():
        listener = socket.create_server(("", 0), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True)
    else:
        listener = socket.create_server(("", 0), backlog=1024)
    return listener, listener.getsockname()[1]


def accept_ranks(listener: socket.socket, count: int) -> tuple[dict[int, socket.socket], dict[int, str]]:
    """On rank 0: the connections of all other ranks, and where each runs.

    Raises
    ------
    ConfigError
        If one does not connect in time.
    """
    peers: dict[int, socket.socket] = {}
    places: dict[int, str] = {}
    end = time.monotonic() + _CONNECT_SECONDS
    while len(peers) < count - 1:
        listener.settimeout(max(0.01, end - time.monotonic()))
        try:
            connection, _ = listener.accept()
            connection.settimeout(max(0.01, end - time.monotonic()))
            hello = json.loads(_read_line(connection))
        except (OSError, ValueError) as error:
            missing = [str(rank) for rank in range(1, count) if rank not in peers]
            if time.monotonic() < end:  # something else connected
                continue
            raise ConfigError(
                f"rank {', '.join(missing)} cannot connect to rank 0 at port {listener.getsockname()[1]} ({error}): "
                "do the machines reach each other at every port?"
            ) from error
        peers[hello["rank"]] = connection
        places[hello["rank"]] = hello["place"]
        connection.sendall(b"{}\n")
    return peers, places


def connect(host: str, port: int, rank: int) -> socket.socket:
    """On another rank: the connection to rank 0.

    Raises
    ------
    ConfigError
        If rank 0 cannot be reached.
    """
    try:
        connection = socket.create_connection((host, port), timeout=_CONNECT_SECONDS)
        connection.sendall(json.dumps({"rank": rank, "place": own_place()}).encode() + b"\n")
        _read_line(connection)
    except OSError as error:
        raise ConfigError(
            f"rank {rank} on {socket.gethostname()} cannot connect to rank 0 at {host}:{port} ({error}): "
            "do the machines reach each other at every port?"
        ) from error
    return connection


def own_place() -> str:
    """Where this process runs."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _read_line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            raise OSError("the connection was closed")
        line += byte
    return line
