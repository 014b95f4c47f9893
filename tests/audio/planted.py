"""Readers whose decoder aborts, hangs, leaves, fails, or eats or reserves memory on recordings of certain names."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from typing import Any

from asr.audio import measure, reader_process, readers
from asr.audio.segment import split_source

READER = "tests.audio.planted:make_reader"
WORKER = "tests.audio.planted:make_worker"
"""of batches, which reads by such readers"""

_reserved: list[mmap.mmap] = []
_open_audio, _probe_seconds = reader_process.open_audio, reader_process.probe_seconds


def _spring(source: Any) -> None:
    match split_source(source)[0].stem:
        case "abort":
            os.abort()
        case "hang":
            time.sleep(1000)
        case "leave":
            os._exit(3)
        case "eat":
            bytearray(1 << 40)
        case "reserve":
            _reserved.append(mmap.mmap(-1, 5 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0))
        case "odd":
            raise RuntimeError("an odd codec")


def _open(source: Any, **settings: Any) -> Any:
    _spring(source)
    return _open_audio(source, **settings)


def _probe(source: Any) -> float:
    if split_source(source)[0].parent.name == "headers":
        _spring(source)
    return _probe_seconds(source)


def make_reader(first: None) -> Callable[[Any], Any]:
    reader_process.open_audio = measure.open_audio = _open
    reader_process.probe_seconds = _probe
    return reader_process.make_reader(first)


def make_worker(first: Any) -> Callable[[Any], Any]:
    from asr.training.worker import make_worker

    readers._READER = READER
    return make_worker(first)
