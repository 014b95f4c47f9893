"""The beginning of a worker on any node: checks that the node fits, then makes what answers its requests."""

from __future__ import annotations

import gc
import hashlib
import os
import pickle
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from asr.cluster.dispatch import Attempt
from asr.errors import AsrError, UnfitNodeError
from asr.packages import asr_version
from asr.processes import collect_garbage_rarely, sendable_error

Handler = Callable[[Sequence[Attempt]], Iterable[tuple[int, Any]]]
"""does the items of a group; yields the place of each in the group and its result, which may be an exception"""

Answering = Callable[[Sequence[Attempt] | None], Any]
"""gives the results of a group in its order, or for None the name of the host"""


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


def make_worker(start: WorkerStart) -> Answering:
    """What answers the requests of a worker.

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

    def answer(attempts: Sequence[Attempt] | None) -> Any:
        return socket.gethostname() if attempts is None else _results(handler, attempts)

    return answer


def one_by_one(work: Callable[[Attempt], Any]) -> Handler:
    """A handler that gains nothing by groups; what `work` returns or raises is the result of an item."""

    def handle(attempts: Sequence[Attempt]) -> Iterator[tuple[int, Any]]:
        for place, attempt in enumerate(attempts):
            try:
                result = work(attempt)
            except Exception as error:
                result = error
            yield place, result

    return handle


def _results(handler: Handler, attempts: Sequence[Attempt]) -> list[Any]:
    """The results of a group. After a defect in the midst of it the rest is done one by one: one item fails for it."""
    found: dict[int, Any] = {}
    try:
        found.update(handler(attempts))
    except Exception as error:
        if len(attempts) == 1:
            return [sendable_error(error)]
    for place, attempt in enumerate(attempts):
        if place not in found:
            (found[place],) = _results(handler, [replace(attempt, is_repeat=True)])
    results = (found[place] for place in range(len(attempts)))
    return [sendable_error(one) if isinstance(one, Exception) else one for one in results]


def make_checked_worker(code: str, content: bytes) -> Answering:
    """As `make_worker`, for a pickled `WorkerStart` from another machine, whose code must be the same.

    Raises
    ------
    UnfitNodeError
        Also if the node has another version of this program.
    """
    if code != (own := code_version()):
        raise UnfitNodeError(f"it has asr {own}, and the command was started with {code}: install the same on all")
    collect_garbage_rarely()
    worker = make_worker(pickle.loads(content))
    gc.freeze()  # what is there now stays
    return worker


@cache
def code_version() -> str:
    """The version of this program, and a digest of its source: two states of a clone have the same version."""
    top = Path(__file__).resolve().parents[1]
    digest = hashlib.blake2b(digest_size=4)
    for path in sorted(top.rglob("*.py")):
        digest.update(str(path.relative_to(top)).encode() + b"\0" + path.read_bytes())
    return f"{asr_version()} (code {digest.hexdigest()})"
