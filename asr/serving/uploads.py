"""Bodies of requests: forms whose file goes to the disk while it arrives and is gone with the answer, and JSON."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from asr.errors import ConfigError
from asr.serving.messages import Fields, read_object
from asr.serving.refusals import ApiError

_PREFIX, _LOCK = "asr-serve-", "lock"
# The values of a form, without its files: a prompt is the largest.
_MOST_FIELDS, _FIELD_BYTES = 200, 64 << 10
_FORM_BYTES = 1 << 20
"""of values, names and boundaries, which count as no part of the file"""
# An upload that arrives slower than this on the whole is abandoned.
_BYTES_PER_SECOND = 1000
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")


class UploadFolder:
    """A folder for the files of requests; a context manager, which removes it.

    What a killed server left is removed when the next one starts: a folder belongs to a process that holds the lock
    on a file in it.

    Parameters
    ----------
    parent : Path, optional
        The system's folder for temporary files by default.

    Raises
    ------
    ConfigError
        If nothing can be written there.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = Path(tempfile.gettempdir()) if parent is None else parent
        self.path = Path()

    def __enter__(self) -> UploadFolder:
        for folder in self._parent.glob(f"{_PREFIX}*"):
            _remove_if_left(folder)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))  # no other user may enter it
        except OSError as error:
            raise ConfigError(f"uploads cannot be written to {self._parent} (upload_dir): {error.strerror}") from None
        self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder whose process has ended. Those of other users cannot be opened."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass  # it runs
    finally:
        os.close(lock)


@dataclass
class Upload:
    """A form that has arrived. Close it, which removes its file."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    path: Path | None = None
    """the file of the field `file`; None if there was none"""
    name: str = ""
    """its name at the client, without folders; it may be empty"""

    def close(self) -> None:
        """Remove the file. A second call does nothing."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


async def receive_upload(request: Request, folder: Path, *, most_bytes: int, idle_seconds: float) -> Upload:
    """Read a form; its file is written to a folder while it arrives.

    Parameters
    ----------
    request : Request
    folder : Path
    most_bytes : int
        Of the file.
    idle_seconds : float
        An upload that pauses for longer is refused, and so is one that goes on with less than 1000 bytes a second.

    Raises
    ------
    ApiError
        413 if the file is too large, by `Content-Length` or while it arrives; 415 for another type of content than a
        form; 408 for one that is too slow; 400 for one that is malformed, or whose client closed its end.
    ClientDisconnect
        If the client has gone.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise ApiError(
            415,
            "The body must be a form (Content-Type: multipart/form-data) with the recording in the field `file`.",
            code="unsupported_content_type",
        )
    boundary = options.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise _malformed("its Content-Type names no boundary")
    promised = request.headers.get("content-length", "")
    if promised.isdecimal() and int(promised) > most_bytes + _FORM_BYTES:
        raise too_large(most_bytes)
    form = _Form(boundary, folder, most_bytes)
    try:
        async for chunk in _chunks(request, idle_seconds):
            await asyncio.to_thread(form.write, chunk)
        form.finish()
    except BaseException as error:
        form.abandon()
        if isinstance(error, FormParserError):
            raise _malformed("it cannot be parsed") from None
        if isinstance(error, OSError):
            raise ApiError(503, f"The upload cannot be stored: {error.strerror}.", kind="server_error") from error
        raise
    return form.upload


async def read_json(request: Request, *, most_bytes: int, idle_seconds: float) -> Fields:
    """Read a body that is a JSON object, in memory.

    Parameters
    ----------
    request : Request
    most_bytes : int
    idle_seconds : float
        As for `receive_upload`.

    Raises
    ------
    ApiError
        413 if it is larger, 408 if it comes too slowly, 400 if it is no JSON object.
    ClientDisconnect
        If the client has gone.
    """
    content = bytearray()
    async for chunk in _chunks(request, idle_seconds):
        content += chunk
        if len(content) > most_bytes:
            raise ApiError(413, f"The body is larger than {most_bytes >> 10} KiB.", code="body_too_large")
    return read_object(bytes(content))


def too_large(most_bytes: int) -> ApiError:
    """413."""
    return ApiError(
        413,
        f"The file is larger than {most_bytes / 1e6:g} MB, the most that this server takes (limits.megabytes).",
        code="file_too_large",
        param="file",
    )


def _malformed(problem: str) -> ApiError:
    return ApiError(400, f"The form is malformed: {problem}.", code="invalid_form")


async def _chunks(request: Request, idle_seconds: float) -> AsyncIterator[bytes]:
    """The body of a request, unless it comes too slowly."""
    begin, received = time.monotonic(), 0
    stream = request.stream()
    while True:
        allowed = begin + idle_seconds + received / _BYTES_PER_SECOND - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(idle_seconds, allowed))):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ApiError(
                408, "The upload arrived too slowly, and was abandoned.", code="upload_timeout",
                headers={"Connection": "close"},
            ) from None  # fmt: skip
        received += len(chunk)
        if chunk:
            yield chunk


class _Form:
    """Takes a form apart: values stay in memory, the file goes to the disk."""

    def __init__(self, boundary: bytes, folder: Path, most_bytes: int) -> None:
        self.upload = Upload()
        self._folder, self._most_bytes = folder, most_bytes
        self._file: IO[bytes] | None = None
        self._received, self._written = 0, 0
        self._complete = False
        self._header_name, self._header_value = bytearray(), bytearray()
        self._disposition = b""
        self._name, self._value, self._is_file = "", bytearray(), False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_header_name,
                "on_header_value": self._add_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        self._received += len(chunk)
        if self._received - self._written > len(chunk) + _FORM_BYTES:
            raise _malformed(f"it has more than {_FORM_BYTES >> 20} MiB beside its file")
        self._parser.write(chunk)

    def finish(self) -> None:
        """The body is complete."""
        self._parser.finalize()
        if not self._complete:
            raise _malformed("it ends before its last boundary")

    def abandon(self) -> None:
        """Remove what was written."""
        if self._file is not None:
            self._file.close()
        self.upload.close()

    def _begin_part(self) -> None:
        self._disposition = b""
        self._value.clear()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise _malformed("a part has no name")
        self._name = options[b"name"].decode("utf-8", "replace")
        self._is_file = self._name == "file"
        if not self._is_file and b"filename" in options:
            raise ApiError(400, f"{self._name!r} must be a value, not a file.", param=self._name)
        if self._is_file:
            if self.upload.path is not None:
                raise ApiError(400, "The form has several files: send one recording a request.", param="file")
            filename = options.get(b"filename", b"").decode("utf-8", "replace").replace("\\", "/")
            self.upload.name = filename.rpartition("/")[2]
            suffix = Path(self.upload.name).suffix
            handle, path = tempfile.mkstemp(suffix if _SUFFIX.fullmatch(suffix) else "", dir=self._folder)
            self.upload.path, self._file = Path(path), os.fdopen(handle, "wb")
        elif len(self.upload.fields) >= _MOST_FIELDS:
            raise _malformed(f"it has more than {_MOST_FIELDS} fields")

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            assert self._file is not None
            self._written += end - start
            if self._written > self._most_bytes:
                raise too_large(self._most_bytes)
            self._file.write(memoryview(data)[start:end])
        elif len(self._value) + end - start > _FIELD_BYTES:
            raise ApiError(400, f"{self._name!r} is longer than {_FIELD_BYTES >> 10} KiB.", param=self._name)
        else:
            self._value += data[start:end]

    def _end_part(self) -> None:
        if self._is_file:
            assert self._file is not None
            self._file.close()
            return
        try:
            self.upload.fields.append((self._name, self._value.decode("utf-8")))
        except UnicodeDecodeError:
            raise ApiError(400, f"{self._name!r} is no UTF-8 text.", param=self._name) from None

    def _end(self) -> None:
        self._complete = True
