"""What ends a request before its answer: its client hangs up, or the server ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from asr.serving.refusals import stopping

Result = TypeVar("Result")


class StoppingError(Exception):
    """The server ends: a live stream gets its last text."""


class Stop:
    """The end of the server: first no new requests, after a time no open ones."""

    def __init__(self) -> None:
        self.begun = False
        """no new request is accepted, and live streams end"""
        self._begun = asyncio.Event()
        self._ended = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, grace_seconds: float) -> None:
        """Accept nothing new from now on, and refuse what is open after so many seconds."""
        if not self.begun:
            self.begun = True
            self._begun.set()
            self._timer = asyncio.get_running_loop().call_later(grace_seconds, self._ended.set)

    def end(self) -> None:
        """Refuse what is open now."""
        self.begun = True
        self._begun.set()
        self._ended.set()

    async def wait_for_begin(self) -> None:
        """Return when nothing new is accepted any more."""
        await self._begun.wait()

    async def wait(self) -> None:
        """Return when open requests have to end."""
        await self._ended.wait()


async def unless_stopped(stop: Stop, request: Request | None, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of some work for a request, which is cancelled if the request ends before.

    Parameters
    ----------
    stop : Stop
    request : Request, optional
        Whose body was read. Without it, only the end of the server ends the work.
    work : coroutine

    Raises
    ------
    ClientDisconnect
        If the client has gone.
    ApiError
        503 if the server ends.
    Exception
        Of the work.
    """
    task = asyncio.ensure_future(work)
    others = [asyncio.ensure_future(stop.wait())]
    if request is not None:
        others.append(asyncio.ensure_future(_until_gone(request)))
    try:
        await asyncio.wait([task, *others], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if others[0].done():
            raise stopping()
        raise ClientDisconnect
    finally:
        for one in (task, *others):
            one.cancel()
        await asyncio.gather(task, *others, return_exceptions=True)


async def unless_begun(stop: Stop, work: Coroutine[Any, Any, Result], *, seconds: float) -> Result:
    """The result of some work for a live stream, which is cancelled if the server ends before, or time is up.

    Raises
    ------
    StoppingError
        If the server ends.
    TimeoutError
        If it takes longer.
    Exception
        Of the work.
    """
    if stop.begun:
        work.close()
        raise StoppingError
    task, begun = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait_for_begin())
    try:
        await asyncio.wait([task, begun], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise StoppingError if begun.done() else TimeoutError
    finally:
        for one in (task, begun):
            one.cancel()
        await asyncio.gather(task, begun, return_exceptions=True)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
