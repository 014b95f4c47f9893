"""Files of networks over text: an ONNX graph, and a header in JSON among its metadata."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from asr.acoustic.runtimes.onnx_graph import open_session
from asr.errors import LanguageModelError

Header = TypeVar("Header")


def read_text_graph(path: str | Path, kind: str, *, largest: int) -> bytes:
    """The content of a file; its name and `kind` are named in messages.

    Raises
    ------
    LanguageModelError
        If it cannot be read, or has more than `largest` bytes.
    """
    path = Path(path)
    try:
        if path.stat().st_size > largest:
            raise LanguageModelError(path, f"is too large for {kind}")
        return path.read_bytes()
    except FileNotFoundError:
        raise LanguageModelError(path, "no such file") from None
    except OSError as error:
        raise LanguageModelError(path, error.strerror or str(error)) from error


def open_text_graph(
    content: bytes, name: str, kind: str, *, key: str, read_header: Callable[[Mapping[str, Any]], Header]
) -> tuple[Any, Header]:
    """A session of ONNX Runtime for a graph, and its header.

    Parameters
    ----------
    content : bytes
    name, kind : str
        Name of the file, and what it should be, in messages.
    key : str
        Of the header in the metadata.
    read_header : callable
        Checks and reads it.

    Raises
    ------
    LanguageModelError
        If it is no such file, or a damaged one.
    """
    try:
        session = open_session(content)
        return session, read_header(json.loads(session.get_modelmeta().custom_metadata_map[key]))
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        raise LanguageModelError(name, f"is no {kind.partition(' ')[2]}, or damaged ({error})") from error
