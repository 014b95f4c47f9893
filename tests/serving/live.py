"""Live streams for the tests of the protocols: samples, what `asr.Session` makes of them, and a WebSocket client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect

from asr import Session
from asr.audio.load import load_audio
from asr.recognition.live_events import Final, LiveEvent

from ..conftest import RATE
from .running import SAMPLE, RunningServer


@cache
def samples(path: Path = SAMPLE, *, rate: int = RATE) -> np.ndarray:
    """A recording as 16-bit samples."""
    return np.round(32767 * np.clip(load_audio(path, sample_rate=rate), -1, 1)).astype("<i2")


_known: dict[Any, list[LiveEvent]] = {}


def session_events(content: np.ndarray, *, rate: int = RATE, **options: Any) -> list[LiveEvent]:
    """What `asr.Session` makes of them."""
    key = (content.tobytes(), rate, repr(options))
    if key not in _known:
        session = Session("tiny", sample_rate=rate, **options)
        _known[key] = [*session.push(content), *session.finish()]
    return _known[key]


def session_finals(content: np.ndarray, **options: Any) -> list[Final]:
    """Its final texts."""
    return [event for event in session_events(content, **options) if isinstance(event, Final)]


def pieces(content: np.ndarray, *, seconds: float = 0.2, rate: int = RATE) -> Iterator[bytes]:
    """The samples in messages."""
    size = round(seconds * rate)
    for start in range(0, len(content), size):
        yield content[start : start + size].tobytes()


def two_segments(*, rate: int = RATE) -> np.ndarray:
    """Three seconds of speech, a pause, the same again, and a pause."""
    speech, pause = samples(rate=rate)[: 3 * rate], np.zeros(rate + rate // 4, "<i2")
    return np.concatenate([speech, pause, speech, pause])


@contextmanager
def web_socket(server: RunningServer, path: str, **options: Any) -> Iterator[ClientConnection]:
    """A connection."""
    with connect(f"ws://{server.host}:{server.port}{path}", max_size=None, compression=None, **options) as socket:
        yield socket


def send(socket: ClientConnection, **message: Any) -> None:
    """Send an object."""
    socket.send(json.dumps(message))


def receive(socket: ClientConnection, timeout: float = 30) -> dict[str, Any]:
    """The next object."""
    return json.loads(socket.recv(timeout))
