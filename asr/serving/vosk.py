"""The WebSocket protocol of vosk-server: `/vosk`, and `/` where vosk-server has it.

The client sends `{"config": {"sample_rate": 16000}}`, then messages of 16-bit samples, then `{"eof": 1}`. Each message
of samples gets one answer, which counts all samples up to it: `{"partial": …}`, or the final text of what has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from asr.audio.raw_samples import decode_pcm
from asr.errors import ConfigError
from asr.recognition.live_events import Final, LiveEvent, Partial
from asr.recognition.pool_session import StreamOptions
from asr.serving.live_streams import ClientGoneError, LiveStream, decode_samples, live_stream
from asr.serving.messages import Fields, read_object
from asr.serving.refusals import ApiError
from asr.serving.service import Service, caller_of, service_of
from asr.serving.stopping import StoppingError
from asr.serving.web_sockets import GOING_AWAY, Socket

_PROTOCOL = "vosk"
# What vosk-server takes without a `sample_rate`, and the rates that are taken here.
_DEFAULT_RATE, _LOWEST_RATE, _HIGHEST_RATE = 8000, 4000, 384_000
_UNKNOWN_WORD = "[unk]"
"""an entry of a phrase list, for all other words"""


def routes() -> list[BaseRoute]:
    """The routes of this protocol."""
    return [WebSocketRoute("/", recognise), WebSocketRoute("/vosk", recognise)]


async def recognise(websocket: WebSocket) -> None:
    """A stream of a client."""
    service = service_of(websocket)
    socket = await Socket.accepted(websocket, service)
    try:
        async with live_stream(service, _PROTOCOL, caller_of(websocket), socket.transport) as stream:
            code = await _Recogniser(service, socket, stream).run()
    except ClientGoneError:
        return
    except ApiError as error:  # the protocol has no message for it
        await socket.refuse(error)
        return
    await socket.close(code)


class _Recogniser:
    def __init__(self, service: Service, socket: Socket, stream: LiveStream) -> None:
        self._service, self._socket, self._stream = service, socket, stream
        self._rate, self._phrases = _DEFAULT_RATE, tuple[str, ...]()
        self._words, self._alternatives = True, 0
        self._finals: list[Final] = []
        """that were not sent"""
        self._partial = ""

    async def run(self) -> int:
        """Answer until the client is done, or has to be refused; returns the code of the end."""
        await self._begin()
        try:
            while True:
                message = await self._socket.receive()
                if isinstance(message, bytes):
                    async for event in self._stream.push(decode_samples(decode_pcm, message)):
                        self._take(event)
                    await self._socket.send(self._result() if self._finals else {"partial": self._partial})
                elif not await self._command(read_object(message)):
                    return 1000
        except StoppingError:
            await self._finish()
            return GOING_AWAY
        except ApiError:
            await self._finish(is_asked=False)  # what was spoken before is not lost
            raise

    async def _command(self, fields: Fields) -> bool:
        """Obey a message of text; returns whether the stream goes on."""
        config = fields.object("config")
        if config is not None:
            await self._configure(config)
            return True
        if "eof" not in fields and "reset" not in fields:
            raise ApiError(400, "A text must be a config, eof or reset; samples are binary messages.")
        await self._finish()
        if "eof" in fields:
            return False
        await self._begin()
        return True

    async def _configure(self, config: Fields) -> None:
        """Take over a configuration. What concerns the recogniser must come before the samples."""
        before = (self._rate, self._phrases)
        self._service.check_model(config.text("model"))
        self._rate = config.whole("sample_rate", _LOWEST_RATE, _HIGHEST_RATE) or self._rate
        if "phrase_list" in config:
            self._phrases = self._writable(config.texts("phrase_list"))
        if "words" in config:
            self._words = bool(config.take("words"))
        self._alternatives = config.whole("max_alternatives", 0, 1000) or 0
        if (self._rate, self._phrases) != before:
            if self._stream.seconds:
                raise ApiError(400, "sample_rate and phrase_list must come before the samples.")
            await self._begin()

    def _writable(self, phrases: Sequence[str]) -> tuple[str, ...]:
        """Those that the model can write, as hot words. As in vosk-server, the others are left out."""
        found = []
        for phrase in phrases:
            if phrase != _UNKNOWN_WORD:
                with suppress(ConfigError):
                    found.append(self._service.hotword(phrase))
        return tuple(dict.fromkeys(found))

    async def _begin(self) -> None:
        self._partial = ""
        options = StreamOptions(decoder=self._service.decoder(self._phrases), sample_rate=self._rate)
        await self._stream.begin(options)

    async def _finish(self, *, is_asked: bool = True) -> None:
        """Send what is left as final; if nobody asks for it, only if something was said."""
        for event in await self._stream.finish():
            self._take(event)
        if is_asked or self._finals:
            await self._socket.send(self._result())

    def _take(self, event: LiveEvent) -> None:
        if isinstance(event, Partial):
            self._partial = event.text
        elif isinstance(event, Final):
            self._finals.append(event)
            self._partial = ""

    def _result(self) -> dict[str, Any]:
        """The final texts that were not sent, as one."""
        finals, self._finals = self._finals, []
        text, offset = self._service.bundle.alphabet.join(one.text for one in finals), self._stream.offset
        words = [
            {
                "conf": 1.0 if word.confidence is None else word.confidence,
                "end": round(offset + word.end, 3),
                "start": round(offset + word.start, 3),
                "word": word.text,
            }
            for final in finals
            for word in final.words
        ]
        result: dict[str, Any] = ({"result": words} if self._words and words else {}) | {"text": text}
        return {"alternatives": [{"confidence": 1.0} | result]} if self._alternatives else result
