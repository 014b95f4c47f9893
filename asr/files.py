"""Writing files so that no reader ever sees half of one: beside the target, then renamed; reading compressed ones."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all; an older one of that name stays until then.

    Raises
    ------
    OSError
        If the folder cannot be written to or the disk is full; nothing half-written is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files for the owner alone; give ours what any other program would.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def folder_written_atomically(path: str | Path) -> Iterator[Path]:
    """Yields an empty folder beside `path`; when the block ends well it takes the place of `path`, else it goes.

    Raises
    ------
    OSError
        If the folder cannot be written to or the disk is full; an older `path` then stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            # A folder cannot be renamed over another that holds files: move the old one aside for the moment between.
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
            os.replace(path, old / path.name)
            os.replace(temporary, path)
            shutil.rmtree(old)
        else:
            os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def clear_leftovers(folder: str | Path) -> None:
    """Tidy a folder that a process was killed while writing to: drop what is half-written, put back what was set aside.

    Nobody else may write there meanwhile.
    """
    for path in Path(folder).glob(".*.old"):
        for kept in path.iterdir():
            if not (path.parent / kept.name).exists():
                os.replace(kept, path.parent / kept.name)
        shutil.rmtree(path)
    for path in Path(folder).glob(".*.part"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def typed_path(name: str | Path) -> Path:
    """A path as a user typed it in a setting: `~` and `~/...` stand for the home folder, any other name for itself.

    A shell leaves `output_dir=~/texts` as it is. `~name` is taken literally, as a file may be called so.
    """
    text = os.fspath(name)
    return Path(os.path.expanduser(text) if text == "~" or text.startswith("~/") else text)


def open_decompressed(file: IO[bytes]) -> IO[bytes]:
    """A file's content, unpacked on the way if it begins like one of gzip, bzip2 or xz.

    Parameters
    ----------
    file : binary file
        At its beginning, and seekable.
    """
    import bz2
    import gzip
    import lzma

    opening = file.read(6)
    file.seek(0)
    if opening.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if opening.startswith(b"BZh"):
        return cast(IO[bytes], bz2.BZ2File(file))
    if opening.startswith(b"\xfd7zXZ"):
        return cast(IO[bytes], lzma.LZMAFile(file))
    return file


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
