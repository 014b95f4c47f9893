"""What ends a request before its answer: its client hangs up, or the server ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from asr.serving.refusals import stopping

Result = TypeVar("Result")


class Stop:
    """The end of the server: first no new requests, after a time no open ones."""

    def __init__(self) -> None:
        self.begun = False
        """no new request is accepted"""
        self._ended = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, grace_seconds: float) -> None:
        """Accept nothing new from now on, and refuse what is open after so many seconds."""
        if not self.begun:
            self.begun = True
            self._timer = asyncio.get_running_loop().call_later(grace_seconds, self._ended.set)

    def end(self) -> None:
        """Refuse what is open now."""
        self.begun = True
        self._ended.set()

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


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
