"""A client of the Wyoming protocol that is nothing but a socket."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from .running import RunningServer

FORMAT = {"rate": 16_000, "width": 2, "channels": 1}


class WyomingSocket:
    """A connection."""

    def __init__(self, connection: socket.socket, file: BinaryIO) -> None:
        self.connection, self._file = connection, file

    def send(self, kind: str, data: dict[str, Any] | None = None, payload: bytes = b"") -> None:
        """Send a message."""
        self.connection.sendall(message(kind, data, payload))

    def receive(self) -> dict[str, Any] | None:
        """The next message; None at the end."""
        line = self._file.readline()
        if not line:
            return None
        head = json.loads(line)
        return {"type": head["type"], "data": json.loads(self._file.read(head["data_length"]))}

    def receive_all(self) -> list[dict[str, Any]]:
        """Messages until the server closes its end."""
        found = []
        while (one := self.receive()) is not None:
            found.append(one)
        return found


def message(kind: str, data: dict[str, Any] | None = None, payload: bytes = b"") -> bytes:
    """The bytes of a message."""
    content = b"" if data is None else json.dumps(data).encode()
    head = {"type": kind, "data_length": len(content), "payload_length": len(payload)}
    return json.dumps(head).encode() + b"\n" + content + payload


@contextmanager
def wyoming_socket(server: RunningServer) -> Iterator[WyomingSocket]:
    """A connection to a server that was started with `wyoming_port=0`."""
    (port,) = re.findall(r"serving Wyoming at tcp://\S+:(\d+)", "".join(server.log))
    place = (server.host, int(port))
    with socket.create_connection(place, timeout=30) as connection, connection.makefile("rb") as file:
        yield WyomingSocket(connection, file)
