"""WebSockets: messages with limits of time, and an end of the server at which streams end themselves."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from asr.serving.limits import KEY_PROTOCOL
from asr.serving.live_streams import ClientGoneError, limit_received
from asr.serving.refusals import ApiError
from asr.serving.service import Service
from asr.serving.stopping import unless_begun

MOST_BYTES = 16 << 20
"""of a message"""
GOING_AWAY = 1001
# By the status that an HTTP request would have: too large, too late, no more room, a fault; all others, malformed.
_CODES = {413: 1009, 408: 1008, 404: 1008, 429: 1013, 503: GOING_AWAY, 500: 1011}
_MALFORMED = 1007
_PARAMETERS = ("openai-", KEY_PROTOCOL)
"""a subprotocol that begins so is no protocol: browsers can send keys in no other way"""
# The longest reason of an end, and how long the client's own end is waited for.
_REASON_BYTES, _CLOSE_SECONDS = 120, 5.0


class Socket:
    """A WebSocket of a client.

    Parameters
    ----------
    websocket : WebSocket
    service : Service
    """

    def __init__(self, websocket: WebSocket, service: Service) -> None:
        self._websocket, self._stop = websocket, service.stop
        self.transport: asyncio.Transport = websocket.state.transport
        self._idle_seconds = service.settings.limits.stream_idle_seconds

    @classmethod
    async def accepted(cls, websocket: WebSocket, service: Service) -> Socket:
        """A connection that is accepted, with the first subprotocol of the client that is no parameter of OpenAI's."""
        offered = [one for one in websocket.scope["subprotocols"] if not one.startswith(_PARAMETERS)]
        await websocket.accept(offered[0] if offered else None)
        return cls(websocket, service)

    async def receive(self) -> str | bytes:
        """The next message.

        Raises
        ------
        ClientGoneError
            If the client has closed its end.
        StoppingError
            If the server ends.
        ApiError
            408 if none comes.
        """
        try:
            message = await unless_begun(self._stop, self._websocket.receive(), seconds=self._idle_seconds)
        except TimeoutError:
            raise idle(self._idle_seconds) from None
        if message["type"] != "websocket.receive":
            raise ClientGoneError
        text: str | None = message.get("text")
        content: bytes = message.get("bytes") or b""
        return content if text is None else text

    async def send(self, message: dict[str, Any]) -> None:
        """Send an object.

        Raises
        ------
        ClientGoneError
            If the client has closed its end, or reads nothing.
        """
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        try:
            async with asyncio.timeout(_CLOSE_SECONDS if self._stop.begun else self._idle_seconds):
                await self._websocket.send_text(text)
        except (TimeoutError, WebSocketDisconnect):
            raise ClientGoneError from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End the connection; the reason is cut where the protocol has no more room."""
        content = reason.encode()[:_REASON_BYTES].decode(errors="ignore")
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._websocket.close(code, content)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):  # the last if it has ended already
            pass

    async def refuse(self, error: ApiError) -> None:
        """End the connection because of an error."""
        await self.close(_CODES.get(error.status, _MALFORMED), error.message)


def idle(seconds: float) -> ApiError:
    """408: nothing comes."""
    return ApiError(
        408, f"Nothing came for {seconds:g} s (limits.stream_idle_seconds), and the stream was ended.", code="idle"
    )


class StreamProtocol(WebSocketsSansIOProtocol):
    """WebSockets by uvicorn, which leaves the end of a stream to the stream."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is a WebSocket."""
        super().connection_made(transport)
        limit_received(transport)

    def handle_connect(self, event: Request) -> None:
        """Begin a stream, which is given its connection."""
        super().handle_connect(event)
        if not self.handshake_complete:  # it is not refused
            self.scope["state"]["transport"] = self.transport

    def shutdown(self) -> None:
        """The server ends: streams know it from `Service.stop`, and send their last texts."""
        if not self.handshake_complete:
            super().shutdown()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The stream has ended: the connection has some time to send what waits."""
        super().on_task_complete(task)
        self.loop.call_later(_CLOSE_SECONDS, self.transport.abort)

    _is_failed = False
    """a frame was malformed"""

    def data_received(self, data: bytes) -> None:
        """Drop what comes after a malformed frame."""
        if not self._is_failed:
            super().data_received(data)

    async def send(self, message: Any) -> None:
        """Send nothing after a malformed frame."""
        if self._is_failed:
            raise ClientDisconnected
        await super().send(message)

    def handle_parser_exception(self) -> None:
        """A frame is malformed, or too large: the connection closes when the client has had time to read why."""
        if self._is_failed:
            return
        sent, self._is_failed = self.conn.close_sent, True
        assert sent is not None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": sent.code, "reason": sent.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        self.close_sent = True
        self.read_paused = False
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(_CLOSE_SECONDS, self.transport.close)

    def send_receive_event_to_app(self) -> None:
        """Refuse text that is no UTF-8 as the protocol says; uvicorn would write a traceback to the log."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.fail(1007, "text must be UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()
