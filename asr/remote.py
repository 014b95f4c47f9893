"""Files in object stores and other remote places, named by URL (`s3://bucket/file`), read and written by fsspec."""

from __future__ import annotations

import hashlib
import posixpath
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from asr.errors import AudioError, ConfigError, OutputError
from asr.files import is_url as is_url
from asr.packages import require_packages

# Where a file appears when all of it has arrived. Elsewhere it is written beside and renamed.
_ATOMIC = frozenset({"memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss"})


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in a remote place."""

    url: str
    size: int
    """bytes"""
    version: int
    """changes with its content: made of what the store says of it, its checksum or its time"""

    @property
    def name(self) -> str:
        """The last part of its URL."""
        return PurePosixPath(self.url).name


def list_files(url: str) -> list[RemoteFile]:
    """The file of a URL, those below a folder, at all levels, or those that a pattern matches; in alphabetical order.

    The name of a file or a folder that is there is no pattern.

    Raises
    ------
    AudioError
        If there is nothing, or the place cannot be reached.
    MissingPackageError
        If fsspec is not installed, or the package for this kind of URL.
    """
    system, path = _system(url)
    kind = url.partition("://")[0]
    try:
        if any(character in path for character in "*?[") and not system.exists(path):
            found = system.glob(path, detail=True)
        else:
            found = system.find(path, detail=True)
    except Exception as error:  # every store has its own
        raise AudioError(url, _reason(error)) from error
    files = [
        RemoteFile(f"{kind}://{name.lstrip('/')}" if kind != "file" else f"file://{name}", *_state(about))
        for name, about in found.items()
        if about.get("type", "file") == "file"
    ]
    return sorted(files, key=lambda one: one.url)


@contextmanager
def local_copy(url: str, folder: Path) -> Iterator[Path]:
    """Downloads a file into a folder; the copy, which has the suffix of the file, is removed at the end.

    Raises
    ------
    AudioError
        If it cannot be read.
    OSError
        If the folder is full.
    """
    copy = folder / f"{secrets.token_hex(8)}{PurePosixPath(url).suffix}"
    system, path = _system(url)
    try:
        try:
            remote = system.open(path, "rb")
        except Exception as error:
            raise AudioError(url, _reason(error)) from error
        with remote, copy.open("wb") as local:
            shutil.copyfileobj(_Reader(remote, url), local, 1 << 20)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


class _Reader:
    """A remote file whose errors are those of a recording, unlike those of the disk that it is copied to."""

    def __init__(self, file: Any, url: str) -> None:
        self._file, self._url = file, url

    def read(self, count: int = -1, /) -> bytes:
        try:
            content: bytes = self._file.read(count)
        except Exception as error:
            raise AudioError(self._url, _reason(error)) from error
        return content


def read_file(url: str) -> bytes:
    """The content of a file.

    Raises
    ------
    AudioError
        If it cannot be read.
    """
    system, path = _system(url)
    try:
        content: bytes = system.cat_file(path)
    except Exception as error:
        raise AudioError(url, _reason(error)) from error
    return content


def write_file(url: str, content: bytes) -> None:
    """Write a file so that it appears when all of it is there.

    Raises
    ------
    OutputError
        If that fails.
    """
    kind = url.partition("://")[0]
    system, path = _system(url)
    try:
        if kind in _ATOMIC:
            system.pipe_file(path, content)
            return
        parent, _, name = path.rpartition("/")
        system.makedirs(parent, exist_ok=True)
        temporary = f"{parent}/.asr-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}-{secrets.token_hex(4)}"
        try:
            system.pipe_file(temporary, content)
            system.mv(temporary, path)
        except BaseException:
            if system.exists(temporary):
                system.rm_file(temporary)
            raise
    except Exception as error:
        raise OutputError(url, f"cannot be written ({_reason(error)})") from error


def joined(folder: str, name: str) -> str:
    """The URL of a file whose name is relative to a folder."""
    kind, _, path = folder.partition("://")
    return f"{kind}://{posixpath.normpath(f'{path}/{name}')}"


def list_names(url: str) -> dict[str, int]:
    """The files below a folder, by their path relative to it, with their sizes; empty where there is no such folder.

    Raises
    ------
    OutputError
        If the place cannot be reached.
    """
    system, path = _system(url)
    system.invalidate_cache()
    top = path.rstrip("/")
    try:
        found = system.find(top, detail=True)
    except FileNotFoundError:
        return {}
    except Exception as error:
        raise OutputError(url, _reason(error)) from error
    return {name[len(top) :].lstrip("/"): int(about.get("size") or 0) for name, about in found.items() if name != top}


def _system(url: str) -> tuple[Any, str]:
    """What reads and writes files of a kind of URL, and the path there.

    Raises
    ------
    MissingPackageError
        If fsspec is not installed.
    ConfigError
        If the kind is not known, or its package is not installed.
    """
    require_packages("fsspec", extra="remote", purpose=url)
    import fsspec.core

    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise ConfigError(f"{url}: {error}") from error
    except Exception as error:
        raise ConfigError(f"{url}: cannot be used ({_reason(error)})") from error
    return system, str(path)


def _state(about: dict[str, Any]) -> tuple[int, int]:
    """Bytes of a file, and a number that changes with it."""
    size = int(about.get("size") or 0)
    for key in ("ETag", "etag", "md5Hash", "checksum"):
        if about.get(key):
            return size, _number(str(about[key]))
    for key in ("LastModified", "last_modified", "mtime", "updated", "created"):
        value = about.get(key)
        if isinstance(value, datetime):
            return size, round(value.timestamp() * 1e9)
        if isinstance(value, int | float):
            return size, round(value * 1e9)
        if value:
            return size, _number(str(value))
    return size, 0


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError):
        return "no permission"
    text = str(getattr(error, "strerror", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__
