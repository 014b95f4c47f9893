"""The Wyoming protocol, by which Home Assistant asks for transcripts, on a port of its own.

A message is a line of JSON with its type, then as many bytes of JSON and of samples as the line says.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from asr.audio.load import Samples
from asr.audio.raw_samples import decode_pcm
from asr.packages import asr_version
from asr.recognition.live_events import Final, LiveEvent
from asr.recognition.pool_session import StreamOptions
from asr.serving.limits import ANYONE
from asr.serving.live_streams import ClientGoneError, LiveStream, decode_samples, limit_received, live_stream
from asr.serving.messages import Fields, read_object
from asr.serving.refusals import ApiError, busy
from asr.serving.service import Service
from asr.serving.stopping import StoppingError, unless_begun
from asr.serving.transcription_request import TranscriptionRequest, hotwords
from asr.serving.web_sockets import idle
from asr.settings.decoding import DecoderConfig
from asr.text.transcript import Word

_log = logging.getLogger(__name__)

_PROTOCOL = "wyoming"
VERSION = "1.7.2"
"""of the protocol: since 1.7.0 it has streams of text"""
# A line, and what may follow it: JSON, and samples.
_LINE_BYTES, _FOLLOWING_BYTES = 64 << 10, 1 << 20
_LOWEST_RATE, _HIGHEST_RATE, _MOST_CHANNELS = 4000, 384_000, 32
_CLOSE_SECONDS = 2.0


@dataclass(frozen=True)
class AudioFormat:
    """The samples of a stream."""

    rate: int
    """Hz"""
    width: int
    """bytes of a number"""
    channels: int

    @classmethod
    def read(cls, data: Fields) -> AudioFormat:
        """That of a message.

        Raises
        ------
        ApiError
            400 if one of its numbers is missing, or none that is possible.
        """
        rate, width = data.whole("rate", _LOWEST_RATE, _HIGHEST_RATE), data.whole("width", 2, 4)
        channels = data.whole("channels", 1, _MOST_CHANNELS)
        if rate is None or width is None or channels is None:
            raise ApiError(400, "Samples must have rate, width and channels.")
        return cls(rate, width, channels)

    def decode(self, content: bytes) -> Samples:
        """The samples of a message."""
        return decode_pcm(content, width=self.width, channels=self.channels)


@asynccontextmanager
async def listening(service: Service, listener: socket.socket | None) -> AsyncIterator[None]:
    """Serve clients at a socket, if there is one. At the end of the server, streams are finished first.

    Parameters
    ----------
    service : Service
    listener : socket, optional
        That accepts connections.
    """
    if listener is None:
        yield
        return
    host, port = listener.getsockname()[:2]
    _log.info("serving Wyoming at tcp://%s:%d", f"[{host}]" if ":" in host else host, port)
    if not ip_address(host.partition("%")[0]).is_loopback:
        _log.warning("Wyoming has no keys: everyone who reaches %s can use it (wyoming_host)", host)
    clients: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.add(asyncio.current_task())
        limit_received(writer.transport)
        try:
            await _Client(service, reader, writer).run(is_full=len(clients) > service.settings.limits.connections)
        finally:
            clients.discard(asyncio.current_task())

    async with await asyncio.start_server(serve, sock=listener, limit=_LINE_BYTES) as server:
        try:
            yield
        finally:
            server.close()
            open_clients = [client for client in clients if client is not None]
            if open_clients:
                await asyncio.wait(open_clients, timeout=2 * _CLOSE_SECONDS)
            for client in open_clients:
                client.cancel()


class _Client:
    def __init__(self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._service, self._reader, self._writer = service, reader, writer
        self._idle_seconds = service.settings.limits.stream_idle_seconds
        self._request = TranscriptionRequest()
        self._texts: list[str] = []
        """of this stream, so far"""
        self._words: list[Word] = []

    async def run(self, *, is_full: bool) -> None:
        """Answer until the client is done."""
        try:
            if is_full:
                message = "The server has too many connections (limits.connections)."
                raise busy(message, code="server_busy", wait_seconds=1)
            self._service.refuse_if_stopping()
            while True:
                await self._answer(*await self._next())
        except (ClientGoneError, StoppingError):
            pass
        except ApiError as error:
            with suppress(ClientGoneError):
                await self._send("error", {"text": error.message, "code": error.code or error.kind})
        finally:
            await self._end()

    async def _end(self) -> None:
        """Close the connection, and for a while read and drop what still comes: the client would see a reset connection
        instead of the last message."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                self._writer.write_eof()
                while await self._reader.read(_LINE_BYTES):
                    pass
        self._writer.transport.abort()

    async def _answer(self, kind: str, data: Fields, payload: bytes) -> None:
        """Answer a message. Those of other services than recognition are no errors."""
        match kind:
            case "describe":
                await self._send("info", self._info())
            case "ping":
                await self._send("pong", {"text": data.text("text")})
            case "transcribe":
                self._request = self._read_request(data)
            case "audio-start" | "audio-chunk":
                await self._transcribe(AudioFormat.read(data), payload)

    def _read_request(self, data: Fields) -> TranscriptionRequest:
        self._service.check_model(data.text("name"))
        # In a prompt, the entries of a list are hot words, unless the model cannot write them.
        phrases = ", ".join((*data.texts("transcript_names"), *data.texts("transcript_terms")))
        return TranscriptionRequest(language=self._service.check_language(data.text("language")), prompt=phrases)

    async def _transcribe(self, samples_format: AudioFormat, first: bytes) -> None:
        """Recognise the samples of a stream, and send the text."""
        request, self._request, self._texts = self._request, TranscriptionRequest(), []
        self._words = []
        transport = self._writer.transport
        async with live_stream(self._service, _PROTOCOL, ANYONE, transport, half_closes=True) as stream:
            decoder = self._service.decoder(hotwords(request, self._service))
            await stream.begin(StreamOptions(decoder=decoder, sample_rate=samples_format.rate))
            content: bytes | None = first
            try:
                while content is not None:
                    async for event in stream.push(decode_samples(samples_format.decode, content)):
                        await self._take(event)
                    content = await self._next_samples(samples_format)
            except ApiError:
                await self._finish(stream, decoder, is_asked=False)  # what was spoken before is not lost
                raise
            await self._finish(stream, decoder, is_asked=True)

    async def _finish(self, stream: LiveStream, decoder: DecoderConfig | None, *, is_asked: bool) -> None:
        """Send the text of the stream; if the client did not end it, only if something was said."""
        for event in await stream.finish():
            await self._take(event)
        if not self._texts:
            if not is_asked:
                return
            await self._send("transcript-start", {"language": self._service.language})
        joined = self._service.bundle.alphabet.join(self._texts)
        text, _ = await self._service.written_words(joined, self._words, decoder)
        await self._send("transcript", {"text": text, "language": self._service.language})
        await self._send("transcript-stop", {})

    async def _next_samples(self, samples_format: AudioFormat) -> bytes | None:
        """The next samples of a stream; None at its end, and at that of the server."""
        while True:
            try:
                kind, data, payload = await self._next()
            except StoppingError:
                return None
            match kind:
                case "audio-chunk" if AudioFormat.read(data) == samples_format:
                    return payload
                case "audio-chunk":
                    raise ApiError(400, f"The samples of a stream must stay as they began: {samples_format}.")
                case "audio-stop":
                    return None
                case "describe" | "ping":
                    await self._answer(kind, data, payload)

    async def _take(self, event: LiveEvent) -> None:
        """Send the final text of a segment."""
        if isinstance(event, Final):
            join = self._service.bundle.alphabet.join
            if not self._texts:
                await self._send("transcript-start", {"language": self._service.language})
            before = join(self._texts)
            self._texts.append(event.text)
            self._words += event.words
            await self._send("transcript-chunk", {"text": join(self._texts).removeprefix(before)})

    async def _next(self) -> tuple[str, Fields, bytes]:
        """The next message.

        Raises
        ------
        ClientGoneError
            If the client has closed its end.
        StoppingError
            If the server ends.
        ApiError
            408 if none comes, 400 if it is malformed.
        """
        try:
            return await unless_begun(self._service.stop, self._read(), seconds=self._idle_seconds)
        except TimeoutError:
            raise idle(self._idle_seconds) from None
        except (OSError, asyncio.IncompleteReadError):
            raise ClientGoneError from None

    async def _read(self) -> tuple[str, Fields, bytes]:
        try:
            line = await self._reader.readuntil()
        except asyncio.LimitOverrunError:
            raise ApiError(400, f"A line must have at most {_LINE_BYTES} bytes.", code="invalid_json") from None
        head = read_object(line)
        kind = head.text("type", longest=100)
        if kind is None:
            head.refuse("type", "is missing")
        data, data_length = head.object("data"), head.whole("data_length", 0, _FOLLOWING_BYTES)
        payload_length = head.whole("payload_length", 0, _FOLLOWING_BYTES)
        if data_length:
            data = read_object(await self._reader.readexactly(data_length))
        payload = await self._reader.readexactly(payload_length) if payload_length else b""
        return kind, Fields({}) if data is None else data, payload

    async def _send(self, kind: str, data: dict[str, Any]) -> None:
        content = json.dumps({name: value for name, value in data.items() if value is not None}, ensure_ascii=False)
        following = content.encode()
        head = json.dumps({"type": kind, "version": VERSION, "data_length": len(following)})
        self._writer.write(head.encode() + b"\n" + following)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS if self._service.stop.begun else self._idle_seconds):
                await self._writer.drain()
        except (TimeoutError, OSError):
            raise ClientGoneError from None

    def _info(self) -> dict[str, Any]:
        """What Home Assistant shows."""
        about = {"attribution": {"name": "asr", "url": ""}, "installed": True, "version": asr_version()}
        language = self._service.language
        model = about | {
            "name": self._service.model,
            "description": f"The model {self._service.model}",
            "languages": [language] if language else [],
        }
        program = about | {
            "name": "asr",
            "description": "Speech recognition",
            "models": [model],
            "supports_transcript_streaming": True,
            "requires_external_vad": True,
        }
        return {"asr": [program]} | {one: [] for one in ("tts", "handle", "intent", "wake", "mic", "snd")}
