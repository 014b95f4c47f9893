"""The application: the table of routes, and what holds for all of them."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asr.serving import (
    api_document,
    api_page,
    corrections_api,
    live_socket,
    openai_api,
    realtime,
    realtime_secrets,
    vosk,
    web_page,
)
from asr.serving.client_secrets import client_secret
from asr.serving.counters import CONTENT_TYPE
from asr.serving.limits import key_of_browser, unauthorized
from asr.serving.refusals import ApiError, answer_api_error, answer_unexpected
from asr.serving.service import Service, service_of
from asr.settings.checks import shown

_log = logging.getLogger(__name__)

PUBLIC = ("/health", "/ready", "/openapi.json", "/docs")
"""what is answered without a key"""
_LOCAL_DOMAINS = (".localhost", ".local", ".internal", ".home.arpa")
"""in which nobody can register a name"""
_MOST_SHOWN = 200
"""characters of a path in a message"""
_MOST_DRAINED, _DRAIN_SECONDS = 64 << 20, 4.0
"""of the body of a request that is refused before it has arrived; at the end of the server, it has 5 s for that"""


def is_public(path: str) -> bool:
    """Whether a path is answered without a key."""
    return path in PUBLIC or web_page.is_public(path)


def routes() -> list[BaseRoute]:
    """Every route of the service. Each protocol has a module with its own."""
    return [
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", show_metrics),
        Route("/openapi.json", api_document.show),
        Route("/docs", api_page.show),
        *openai_api.routes(),
        *realtime.routes(),
        *realtime_secrets.routes(),
        *vosk.routes(),
        *live_socket.routes(),
        *corrections_api.routes(),
        *web_page.routes(),
    ]


def make_app(service: Service) -> Starlette:
    """The application of a service.

    Parameters
    ----------
    service : Service
        Whose pool runs.
    """
    origins = service.settings.origins
    cors = Middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    middleware = [
        Middleware(_Observed, service=service),
        Middleware(_CloseUnread),
        Middleware(_OriginCheck, service=service),
        *([cors] if origins else []),
        Middleware(_KeyCheck, service=service),
    ]
    app = Starlette(
        routes=routes(),
        middleware=middleware,
        exception_handlers={
            ApiError: answer_api_error,
            HTTPException: _answer_http_error,
            ClientDisconnect: _answer_disconnect,
            Exception: answer_unexpected,
        },
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return app


async def health(_request: Request) -> Response:
    """`GET /health`: the process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """`GET /ready`: a new request would be accepted."""
    service = service_of(request)
    status = "stopping" if service.stop.begun else "busy" if service.is_full else "ready"
    return JSONResponse({"status": status, "model": service.model}, 200 if status == "ready" else 503)


async def show_metrics(request: Request) -> Response:
    """`GET /metrics`."""
    text = await asyncio.to_thread(service_of(request).counters.text)  # it reads files
    return Response(text, media_type=CONTENT_TYPE)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        if any(isinstance(one, WebSocketRoute) and one.path == request.url.path for one in request.app.routes):
            message = f"{request.url.path} is for WebSockets: connect to ws://... instead. /docs tells how."
            return ApiError(426, message, code="upgrade_required", headers={"Upgrade": "websocket"}).response()
        path = request.url.path if len(request.url.path) <= _MOST_SHOWN else f"{request.url.path[:_MOST_SHOWN]}..."
        message = f"Unknown request URL: {request.method} {path}. /docs lists what there is."
        return ApiError(404, message, code="unknown_url").response()
    if error.status_code == 405:
        message = f"Not allowed to {request.method} on {request.url.path}."
        return ApiError(405, message, code="method_not_allowed", headers=dict(error.headers or {})).response()
    return ApiError(error.status_code, error.detail, headers=dict(error.headers or {})).response()


async def _answer_disconnect(_request: Request, _error: Exception) -> Response:
    """Nobody reads this; the status is for the counters, as nginx writes it."""
    return Response(status_code=499)


class _Observed:
    """Counts requests, and writes a line about each to the log: no name of a file, no text."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._paths: dict[Any, str] = {route.endpoint: route.path for route in routes() if isinstance(route, Route)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, status = time.monotonic(), 500

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            seconds = time.monotonic() - begin
            # The path of a client may be anything: names of counters must be few.
            route = self._paths.get(scope.get("endpoint"), "other")
            self._service.counters.requests.labels(route, status).inc()
            self._service.counters.request_seconds.labels(route).observe(seconds)
            level = logging.DEBUG if route in (*PUBLIC, "/metrics") else logging.INFO
            _log.log(level, "%s %s %d %.2f s", scope["method"], route, status, seconds)


class _KeyCheck:
    """Refuses requests without a key, where the server has keys."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            connection = HTTPConnection(scope)
            authorization = connection.headers.get("authorization", "") or key_of_browser(scope)
            state = scope.setdefault("state", {})
            caller = self._service.keys.caller(authorization)
            if secret := client_secret(authorization):
                # It opens live streams, and nothing else.
                opens = scope["type"] == "websocket" and connection.url.path == realtime.PATH
                grant = self._service.client_secrets.find(secret) if opens else None
                caller = None if grant is None else grant.caller
                state["session"] = None if grant is None else grant.session
            if caller is None and not (scope["type"] == "http" and is_public(connection.url.path)):
                await unauthorized(authorization).response()(scope, receive, send)
                return
            state["caller"] = caller
        await self._app(scope, receive, send)


class _OriginCheck:
    """Refuses requests that a page of another site sends from a browser, unless its origin is allowed.

    CORS alone would only hide the answers from it, and does not hold for WebSockets. A site can also give its own name
    the address of this machine: a browser takes its requests for those of one site, and names no origin where they only
    read. Where there are no keys, names that a site can have are therefore not served, unless they are allowed.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        settings = service.settings
        self._allows_all = "*" in settings.origins
        self._names = {settings.host.lower(), socket.gethostname().lower(), *map(_host_name, settings.origins)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not self._allows_all:
            headers = HTTPConnection(scope).headers
            origin, host = headers.get("origin"), headers.get("host", "")
            error = None
            if not (self._service.keys or self._is_own(host)):
                message = (
                    f"The server has no keys, and is not served by the name {shown(host)}: use http://127.0.0.1 or "
                    "localhost, or allow the name (origins=[https://NAME])."
                )
                error = ApiError(403, message, code="host_not_allowed")
            elif not (origin is None or origin in self._service.settings.origins or origin.partition("://")[2] == host):
                error = ApiError(403, f"The origin {origin} is not allowed (origins).", code="origin_not_allowed")
            if error is not None:
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_own(self, host: str) -> bool:
        """Whether a `Host` can be no other site's: an address, a name without a domain, or one of a local network."""
        name = _host_name(f"//{host}")
        if name is None:
            return False
        if "." not in name or name in self._names or name.endswith(_LOCAL_DOMAINS):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def _host_name(url: str) -> str | None:
    """The name in a URL, in lower case, empty if there is none; None if the URL is malformed."""
    try:
        return (urlsplit(url).hostname or "").removesuffix(".")
    except ValueError:
        return None


class _CloseUnread:
    """Closes the connection of a request that was answered before its body had arrived.

    The answer is sent at once, and for some seconds what the client still sends is read and dropped: it would see a
    reset connection instead of the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_complete = False

        async def read() -> Message:
            nonlocal is_complete
            message = await receive()
            is_complete = is_complete or message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def write(message: Message) -> None:
            if is_complete or scope["method"] not in ("POST", "PUT", "PATCH"):
                await send(message)
            elif message["type"] == "http.response.start":
                await send({**message, "headers": [*message["headers"], (b"connection", b"close")]})
            elif message.get("more_body", False):
                await send(message)
            else:
                await send({**message, "more_body": True})
                await drain()
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def drain() -> None:
            drained = 0
            try:
                async with asyncio.timeout(_DRAIN_SECONDS):
                    while not is_complete and drained < _MOST_DRAINED:
                        drained += len((await read()).get("body", b""))
            except TimeoutError:
                pass

        await self._app(scope, read, write)
