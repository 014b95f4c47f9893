"""`/v1/realtime/client_secrets`: ephemeral keys for OpenAI's Realtime API, also by the path of its beta."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from asr.serving.client_secrets import DEFAULT_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS
from asr.serving.messages import Fields
from asr.serving.realtime_session import RealtimeSession, updated
from asr.serving.service import caller_of, service_of
from asr.serving.uploads import read_json

_MOST_BYTES = 32 << 10


def routes() -> list[BaseRoute]:
    """The routes of this module."""
    return [
        Route("/v1/realtime/client_secrets", create_client_secret, methods=["POST"]),
        Route("/v1/realtime/transcription_sessions", create_beta_session, methods=["POST"]),
    ]


async def create_client_secret(request: Request) -> Response:
    """`POST /v1/realtime/client_secrets`."""
    fields = await _body(request)
    seconds = _seconds(fields.object("expires_after"))
    given = fields.take("session")
    fields.refuse_unknown()
    value, expires, session = _make(request, {} if given is None else given, seconds, path="session", beta=False)
    return JSONResponse({"value": value, "expires_at": expires, "session": session | {"expires_at": expires}})


async def create_beta_session(request: Request) -> Response:
    """`POST /v1/realtime/transcription_sessions`, as clients of the beta ask for a key."""
    fields = await _body(request)
    secret = fields.object("client_secret")
    seconds = DEFAULT_SECONDS
    if secret is not None:
        seconds = _seconds(secret.object("expires_at"))
        secret.refuse_unknown()
    value, expires, session = _make(request, fields.values, seconds, path="", beta=True)
    return JSONResponse(session | {"client_secret": {"value": value, "expires_at": expires}})


async def _body(request: Request) -> Fields:
    service = service_of(request)
    service.refuse_if_stopping()
    idle_seconds = service.settings.limits.idle_seconds
    return await read_json(request, most_bytes=_MOST_BYTES, idle_seconds=idle_seconds)


def _seconds(fields: Fields | None) -> int:
    """For how long a key is valid."""
    if fields is None:
        return DEFAULT_SECONDS
    fields.text("anchor", one_of=("created_at",))
    seconds = fields.whole("seconds", SHORTEST_SECONDS, LONGEST_SECONDS)
    fields.refuse_unknown()
    return DEFAULT_SECONDS if seconds is None else seconds


def _make(request: Request, given: Any, seconds: int, *, path: str, beta: bool) -> tuple[str, int, dict[str, Any]]:
    """An ephemeral key for a session: its value, when it expires, and the session as its client sees it."""
    service = service_of(request)
    session = updated(RealtimeSession(), Fields(given, path), service)
    session.stream_options(service)  # it refuses words that the model cannot write
    value, expires = service.client_secrets.make(caller_of(request), given, seconds)
    number = f"sess_{secrets.token_hex(10)}"
    return value, expires, session.to_json(service, number=number, beta=beta)
