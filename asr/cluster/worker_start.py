"""The beginning of a worker on any node: checks that the node fits, then makes what answers its requests."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from asr.cluster.dispatch import Attempt
from asr.errors import AsrError, UnfitNodeError
from asr.packages import asr_version

Handler = Callable[[Attempt], Any]
"""does an item; what it returns or raises is the result"""


@dataclass(frozen=True, slots=True)
class WorkerStart:
    """What makes a worker.

    Parameters
    ----------
    function : str
        "package.module:function", called with `first`; it returns a `Handler`.
    first : object
        Anything that can be pickled.
    paths : sequence of Path
        Files and folders that every node must have.
    contents : sequence of (Path, bytes)
        Files that must have this content on every node, so that their folder is the same.
    """

    function: str
    first: Any
    paths: Sequence[Path] = ()
    contents: Sequence[tuple[Path, bytes]] = ()


def make_worker(start: WorkerStart) -> Callable[[Attempt | None], Any]:
    """What answers the requests of a worker: None is answered by the name of the host.

    Raises
    ------
    UnfitNodeError
        If the node lacks something that the work needs.
    """
    missing = [path for path in start.paths if not os.path.lexists(path)]
    if missing:
        raise UnfitNodeError(
            f"it has no {missing[0]}: every node needs the same files under the same paths (a shared file system), "
            "or inputs and outputs by URL (s3://...)"
        )
    for path, content in start.contents:
        try:
            is_same = path.read_bytes() == content
        except OSError:
            is_same = False
        if not is_same:
            raise UnfitNodeError(
                f"its folder {path.parent} is another one than where the command was started: outputs need a shared "
                "file system, or a URL (s3://...)"
            )
    module, _, name = start.function.partition(":")
    try:
        handler: Handler = getattr(import_module(module), name)(start.first)
    except UnfitNodeError:
        raise
    except AsrError as error:
        raise UnfitNodeError(str(error)) from error

    def answer(attempt: Attempt | None) -> Any:
        return socket.gethostname() if attempt is None else handler(attempt)

    return answer


def make_checked_worker(code: str, content: bytes) -> Callable[[Attempt | None], Any]:
    """As `make_worker`, for a pickled `WorkerStart` from another machine, whose code must be the same.

    Raises
    ------
    UnfitNodeError
        Also if the node has another version of this program.
    """
    if code != (own := code_version()):
        raise UnfitNodeError(f"it has asr {own}, and the command was started with {code}: install the same on all")
    return make_worker(pickle.loads(content))


@cache
def code_version() -> str:
    """The version of this program, and a digest of its source: two states of a clone have the same version."""
    top = Path(__file__).resolve().parents[1]
    digest = hashlib.blake2b(digest_size=4)
    for path in sorted(top.rglob("*.py")):
        digest.update(str(path.relative_to(top)).encode() + b"\0" + path.read_bytes())
    return f"{asr_version()} (code {digest.hexdigest()})"
