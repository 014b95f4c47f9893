"""A line of CSV for every batch of a run: its loss and its time."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from asr.files import write_atomically

_HEADER = "epoch,batch,loss,learning_rate,seconds,input_wait_seconds\n"


class BatchLog:
    """Appends to a file. Lines that a killed process wrote after its last checkpoint are removed when it continues."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def begin(self, batches: int) -> None:
        """Open the file, and keep the lines of the first batches, as many as given."""
        lines = self._path.read_text("utf-8").splitlines(keepends=True)[1:] if self._path.exists() else []
        write_atomically(self._path, (_HEADER + "".join(lines[:batches])).encode())
        self._file = self._path.open("a", encoding="utf-8")

    def add(
        self, epoch: int, batch: int, loss: float, learning_rate: float, seconds: float, waited_seconds: float
    ) -> None:
        """Add a batch that is done. The loss is written with all its digits."""
        if self._file:
            self._file.write(f"{epoch},{batch},{loss!r},{learning_rate:.6g},{seconds:.4f},{waited_seconds:.4f}\n")

    def flush(self) -> None:
        """Give what was added to the operating system, so that it is kept if this process is killed."""
        if self._file:
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
