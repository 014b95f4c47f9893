"""Standard streams that are closed, full, or without a reader."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _StandardOutput(io.FileIO):
    """Standard output, whose errors name it, also where the text is longer than the buffer."""

    def write(self, content: ReadableBuffer, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from None


def open_standard_streams() -> None:
    """Replace every closed standard stream, so that no file gets its descriptor.

    Reading from a closed standard input, or writing to a closed standard output, is then an `OSError`: Python would
    drop the output. Messages to a closed standard error are dropped.
    """
    for number, (name, mode, access) in enumerate(
        [("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY)]
    ):
        if getattr(sys, name) is None:
            # The system takes the lowest free descriptor: this one.
            os.set_inheritable(os.open(os.devnull, access), True)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    output = sys.stdout
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_StandardOutput(output.fileno(), "w", closefd=False)),
        encoding=output.encoding,
        errors=output.errors,
        line_buffering=bool(output.line_buffering),
        write_through=getattr(output, "write_through", False),
    )


def write_past_bars(text: str, stream: TextIO) -> None:
    """Write a text without touching the progress bars of tqdm, if it is imported."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(text, file=stream, end="")
    else:
        stream.write(text)


def say(message: str) -> None:
    """Print a message on standard error; where that cannot be written to, this and all that follow are dropped."""
    try:
        write_past_bars(f"{message}\n", sys.stderr)
        sys.stderr.flush()
    except OSError:
        drop_unwritable()


def drop_unwritable() -> list[str]:
    """Discard the content of standard streams that cannot be written; returns their names.

    Python would try again when it exits, and change the exit code.
    """
    names = []
    for stream, name in ((sys.stdout, "standard output"), (sys.stderr, "standard error")):
        try:
            stream.flush()
        except OSError:
            names.append(name)
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, stream.fileno())
            os.close(sink)
            stream.flush()
    return names
