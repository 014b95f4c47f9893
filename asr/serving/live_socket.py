"""`ws /v1/live`: raw samples in, the events of `asr listen format=jsonl` out. The page of the service uses it.

The rate and the format of the samples are in the query (`/v1/live?rate=48000&format=f32le`), or in a first message
`{"rate": 48000, "format": "f32le"}`. Binary messages are samples of one channel; `{"type": "end"}` ends the stream, and
the last events follow before the connection closes. A stream that is refused, or fails, gets
`{"type": "error", "error": {...}}` with the error in the shape of OpenAI.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import numpy as np
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from asr.audio.load import Samples
from asr.audio.raw_samples import decode_pcm
from asr.errors import AudioError
from asr.recognition.live_events import Final, LiveEvent
from asr.recognition.live_writing import LiveWriter
from asr.recognition.pool_session import StreamOptions
from asr.serving.live_streams import ClientGoneError, LiveStream, decode_samples, live_stream
from asr.serving.messages import Fields, read_object
from asr.serving.refusals import ApiError
from asr.serving.refusals import stopping as server_stopping
from asr.serving.service import Service, caller_of, service_of
from asr.serving.stopping import StoppingError
from asr.serving.web_sockets import Socket

_PROTOCOL = "live"
_FORMATS = ("s16le", "f32le")
_LOWEST_RATE, _HIGHEST_RATE = 8_000, 384_000


def routes() -> list[BaseRoute]:
    """The route of this protocol."""
    return [WebSocketRoute("/v1/live", recognise)]


async def recognise(websocket: WebSocket) -> None:
    """A stream of a client."""
    service = service_of(websocket)
    socket = await Socket.accepted(websocket, service)
    try:
        async with live_stream(service, _PROTOCOL, caller_of(websocket), socket.transport) as stream:
            await _Recogniser(service, socket, stream).run(dict(websocket.query_params))
        await socket.close()
    except ClientGoneError:
        return
    except ApiError as error:
        await _refuse(socket, error)


async def _refuse(socket: Socket, error: ApiError) -> None:
    """Send an error as an event, with the seconds after which to try again, and end the connection."""
    event: dict[str, Any] = {"type": "error"} | error.to_json()
    if "Retry-After" in error.headers:
        event["retry_after"] = int(error.headers["Retry-After"])
    try:
        await socket.send(event)
    except ClientGoneError:
        return
    await socket.refuse(error)


class _Recogniser:
    def __init__(self, service: Service, socket: Socket, stream: LiveStream) -> None:
        self._default_rate = service.bundle.log_mel.settings.sample_rate
        self._socket, self._stream = socket, stream
        self._format = _FORMATS[0]
        self._writer = None if service.text_writer is None else LiveWriter(service.text_writer)

    async def run(self, query: dict[str, Any]) -> None:
        """Send events until the client ends the stream, or has to be refused."""
        try:
            message = await self._socket.receive()
            is_open = await self._begin(query, message)
            while is_open:
                if isinstance(message, bytes):
                    await self._push(message)
                message = await self._socket.receive()
                is_open = isinstance(message, bytes) or not _is_end(read_object(message))
        except StoppingError:
            await self._finish()
            raise server_stopping() from None
        except ApiError:
            await self._finish()  # what was spoken before is not lost
            raise
        await self._finish()

    async def _begin(self, query: dict[str, Any], message: str | bytes) -> bool:
        """Begin with the first message; returns whether the stream goes on."""
        is_end = False
        if isinstance(message, str):
            first = read_object(message)
            is_end = first.text("type", one_of=("start", "end")) == "end"
            for name in ("rate", "format"):
                if name in first:
                    query[name] = first.take(name)
            first.refuse_unknown()
        if isinstance(given := query.get("rate"), str) and re.fullmatch(r"[0-9]{1,9}", given):
            query["rate"] = int(given)
        fields = Fields(query)
        rate = fields.whole("rate", _LOWEST_RATE, _HIGHEST_RATE) or self._default_rate
        self._format = fields.text("format", one_of=_FORMATS) or self._format
        fields.refuse_unknown()
        await self._stream.begin(StreamOptions(sample_rate=rate))
        return not is_end

    async def _push(self, content: bytes) -> None:
        decode = decode_pcm if self._format == "s16le" else _decode_floats
        async for event in self._stream.push(decode_samples(decode, content)):
            await self._send(event)

    async def _finish(self) -> None:
        if self._stream.is_begun:
            for event in await self._stream.finish():
                await self._send(event)

    async def _send(self, event: LiveEvent) -> None:
        if isinstance(event, Final) and self._writer is not None:
            event = await asyncio.to_thread(self._writer.write, event)
        await self._socket.send(event.to_json())


def _is_end(fields: Fields) -> bool:
    """True: no other message of text comes after the first."""
    if fields.text("type") != "end":
        raise ApiError(400, 'A message after the first is samples, or {"type": "end"}.', code="invalid_value")
    return True


def _decode_floats(content: bytes) -> Samples:
    """32-bit floating-point numbers as samples.

    Raises
    ------
    AudioError
        If the content ends within a sample.
    """
    if len(content) % 4:
        raise AudioError("samples", f"end within one: {len(content)} bytes are no multiple of 4")
    return np.frombuffer(content, "<f4").astype(np.float32, copy=False)
