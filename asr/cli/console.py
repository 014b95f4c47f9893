"""Messages of a command on stderr, and error rates in them."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from asr.cli.streams import say
from asr.settings.commands import LogStyle


def percent(rate: float | None) -> str:
    """An error rate, given as a share of 1; n/a without one."""
    return "n/a" if rate is None else f"{100 * rate:.2f} %"


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return prefix + super().format(record)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        return json.dumps(entry, ensure_ascii=False)


class _StderrHandler(logging.Handler):
    """Writes above a progress bar, if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def configure_logging(style: LogStyle, flags: set[str]) -> None:
    """Send the messages of `asr` to stderr; --verbose and --quiet change the level."""
    if "--quiet" in flags:
        os.environ["TQDM_DISABLE"] = "1"
    logger = logging.getLogger("asr")
    for name, one in logging.root.manager.loggerDict.items():
        if name.startswith("asr.") and isinstance(one, logging.Logger):
            one.disabled = False  # as Hydra leaves earlier ones after a sweep
    logger.handlers.clear()
    handler = _StderrHandler()
    handler.setFormatter(_JsonFormatter() if style is LogStyle.json else _TextFormatter())
    logger.addHandler(handler)
    logger.propagate = False
    level = logging.ERROR if "--quiet" in flags else logging.DEBUG if "--verbose" in flags else logging.INFO
    logger.setLevel(level)


@contextmanager
def quiet_native_libraries() -> Iterator[None]:
    """Suppress the messages of C++ libraries on stderr while they load, which TensorFlow cannot switch off.

    Python errors are raised as usual.
    """
    with suppress(OSError):
        sys.stderr.flush()
    saved = os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)
