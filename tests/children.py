"""Handlers that the tests of child processes start: each does what its request says."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


class OddError(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def echo(first: Any) -> Callable[[Any], Any]:
    def answer(request: Any) -> Any:
        match request:
            case "first":
                return first
            case "pid":
                return os.getpid()
            case "path":
                return list(sys.path), os.getcwd()
            case "print":
                os.write(1, b"to standard output\n")
                return None
            case "abort":
                os.abort()
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case ("leave", int(code)):
                os._exit(code)
            case ("sleep", float(seconds)):
                time.sleep(seconds)
                return None
            case "fail":
                raise ValueError("a bad request")
            case "fail oddly":
                raise OddError("no ", "twin")
            case "end of file":
                raise EOFError("of a recording")
            case "memory":
                return bytearray(1 << 60)
            case "threads":
                return os.environ["OMP_NUM_THREADS"]
        return request

    return answer


def double(_first: None) -> Callable[[Any], Any]:
    return lambda arrays: {name: 2 * array for name, array in arrays.items()}


def refuse(first: str) -> Callable[[Any], Any]:
    raise ValueError(f"cannot start with {first}")


def slow_start(_first: None) -> Callable[[Any], Any]:
    time.sleep(1.5)
    return lambda request: request


def large(_first: None) -> Callable[[Any], Any]:
    return lambda count: np.zeros(count, np.float32)


def killed(_first: Any) -> Callable[[Any], Any]:
    return lambda _request: os.kill(os.getpid(), signal.SIGKILL)
