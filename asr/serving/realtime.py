"""OpenAI's Realtime API for transcription: `/v1/realtime?intent=transcription`.

Text that was sent stays: a delta has text that is settled. With a second pass (`live.second_pass`), that is the whole
text of a segment when it ends; without, words are settled while they are spoken.
"""

from __future__ import annotations

import binascii
import secrets
from typing import Any

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from asr.recognition.live_events import Final, LiveEvent, Partial, SpeechEnded, SpeechStarted
from asr.serving.live_streams import ClientGoneError, LiveStream, live_stream
from asr.serving.messages import Fields, read_object
from asr.serving.openai_answers import word_logprobs
from asr.serving.realtime_session import LOGPROBS, RealtimeSession, updated
from asr.serving.refusals import ApiError
from asr.serving.service import Service, caller_of, service_of
from asr.serving.stopping import StoppingError
from asr.serving.web_sockets import GOING_AWAY, Socket
from asr.text.transcript import Word

PATH = "/v1/realtime"
_PROTOCOL = "realtime"
_BETA = "realtime=v1"
"""of the header `OpenAI-Beta`"""
_BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
_LEAST_COMMITTED = 0.1
"""seconds, as OpenAI has it"""
_TRANSCRIPTION = "conversation.item.input_audio_transcription"
# What a client can send, and what only conversations have.
_EVENTS = (
    "session.update",
    "transcription_session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
)
_CONVERSATION = ("conversation.", "response.", "output_audio_buffer.")


def routes() -> list[BaseRoute]:
    """The routes of this protocol."""
    return [WebSocketRoute(PATH, transcribe)]


async def transcribe(websocket: WebSocket) -> None:
    """A session of a client."""
    service = service_of(websocket)
    socket = await Socket.accepted(websocket, service)
    beta = _BETA in websocket.headers.get("openai-beta", "") or _BETA_SUBPROTOCOL in websocket.scope["subprotocols"]
    client = _Client(service, socket, beta=beta)
    try:
        try:
            service.check_model(websocket.query_params.get("model"))
            if (session := getattr(websocket.state, "session", None)) is not None:  # of an ephemeral key
                client.session = updated(client.session, Fields(session), service)
            async with live_stream(service, _PROTOCOL, caller_of(websocket), socket.transport) as stream:
                await client.run(stream)
        except ApiError as error:
            await client.send_error(error)
            await socket.refuse(error)
        else:
            await socket.close(GOING_AWAY, "The server is stopping.")
    except ClientGoneError:
        pass


class _Client:
    def __init__(self, service: Service, socket: Socket, *, beta: bool) -> None:
        self._service, self._socket, self._beta = service, socket, beta
        self._number = f"sess_{secrets.token_hex(10)}"
        self.session = RealtimeSession()
        """the settings that its client has chosen"""
        self._item: str | None = None
        """of the segment that is spoken; without turn detection, of what was committed"""
        self._last_item: str | None = None
        self._sent = ""
        """of the text of the item"""
        self._texts: list[str] = []
        self._words: list[Word] = []
        self._is_withdrawn = False

    async def run(self, stream: LiveStream) -> None:
        """Answer until the server ends, or the client has to be refused."""
        self._stream = stream
        await stream.begin(self.session.stream_options(self._service))
        await self._send_session("created")
        while True:
            try:
                message = await self._socket.receive()
            except StoppingError:
                await self._end_turn(is_asked=False)
                return
            except ApiError:  # nothing comes
                await self._end_turn(is_asked=False)
                raise
            event_id = None
            try:
                if isinstance(message, bytes):
                    raise ApiError(400, "A message must be text; samples are base64 in `audio`.", code="invalid_value")
                fields = read_object(message)
                event_id = fields.text("event_id", longest=512)
                await self._obey(fields)
            except ApiError as error:
                if error.code == "stream_too_long":
                    await self._end_turn(is_asked=False)
                    raise
                if error.status not in (400, 404):
                    raise
                await self.send_error(error, event_id)

    async def _obey(self, fields: Fields) -> None:
        """Do what a message says."""
        kind = fields.text("type") or ""
        match kind:
            case "session.update" | "transcription_session.update":
                await self._update(fields)
            case "input_audio_buffer.append":
                await self._append(fields)
            case "input_audio_buffer.commit":
                await self._commit()
            case "input_audio_buffer.clear":
                await self._begin()
                await self._send("input_audio_buffer.cleared")
            case _ if kind.startswith(_CONVERSATION):
                fields.refuse("type", f"is {kind!r}, and this server has no conversations: it transcribes")
            case _:
                fields.refuse("type", f"must be one of {', '.join(_EVENTS)}")

    async def _update(self, fields: Fields) -> None:
        given = fields.object("session")
        if given is None:
            fields.refuse("session", "is missing")
        session = updated(self.session, given, self._service)
        options = session.stream_options(self._service)
        if options != self.session.stream_options(self._service) or (session.turns is None) != (
            self.session.turns is None
        ):
            if self.session.turns is None and self._stream.seconds:
                raise ApiError(
                    400,
                    "The format, the words and the turn detection can change while the buffer is empty: commit or "
                    "clear it before.",
                    code="invalid_value",
                )
            await self._end_turn(is_asked=False)
            await self._change(session)
        self.session = session
        await self._send_session("updated")

    async def _change(self, session: RealtimeSession) -> None:
        """Go on with other settings, or as before if the recogniser cannot use them."""
        before, self.session = self.session, session
        try:
            await self._begin()
        except ApiError:
            self.session = before
            await self._begin()
            raise

    async def _append(self, fields: Fields) -> None:
        audio = fields.take("audio")
        if not isinstance(audio, str):
            fields.refuse("audio", "must be samples in base64")
        try:
            content = binascii.a2b_base64(audio, strict_mode=True)
        except ValueError:
            fields.refuse("audio", "must be samples in base64, and this is none")
        async for event in self._stream.push(self.session.decode(content)):
            await self._take(event)

    async def _commit(self) -> None:
        seconds = self._stream.seconds
        if seconds < _LEAST_COMMITTED:
            raise ApiError(
                400,
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{1000 * _LEAST_COMMITTED:.0f}ms of audio, but buffer only has {1000 * seconds:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        await self._end_turn(is_asked=True)
        await self._begin()

    async def _end_turn(self, *, is_asked: bool) -> None:
        """Recognise what the buffer has left.

        Parameters
        ----------
        is_asked : bool
            Whether the client commits it: then there is an item, also if nothing was said.
        """
        last = self._last_item
        if self.session.turns is None and (is_asked or self._stream.seconds):
            await self._send_committed()
            item = self._item
            try:
                for event in await self._stream.finish():
                    await self._take(event)
            except ApiError as error:
                await self._send(
                    f"{_TRANSCRIPTION}.failed", item_id=item, content_index=0, error=error.to_json()["error"]
                )
                raise
            await self._send_completed(self._stream.seconds)
            return
        for event in await self._stream.finish():
            await self._take(event)
        if is_asked and self._last_item == last:  # nothing was said
            await self._send_committed()
            await self._send_completed(0.0)

    async def _begin(self) -> None:
        """Begin with an empty buffer."""
        self._forget_item()
        await self._stream.begin(self.session.stream_options(self._service))

    async def _take(self, event: LiveEvent) -> None:
        if isinstance(event, Final):
            self._texts.append(event.text)
            self._words += event.words
        if self.session.turns is None:
            return
        match event:
            case SpeechStarted():
                self._item = self._item or _new_item()
                await self._send(
                    "input_audio_buffer.speech_started", audio_start_ms=self._ms(event.time), item_id=self._item
                )
            case Partial():
                self._is_withdrawn = not event.text
                await self._send_delta(event.text[: event.settled])
            case SpeechEnded():
                await self._send(
                    "input_audio_buffer.speech_stopped", audio_end_ms=self._ms(event.time), item_id=self._item
                )
                await self._send_committed()
                if self._is_withdrawn:
                    await self._send_completed(0.0)
            case Final():
                await self._send_completed(event.end - event.start)

    async def _send_deltas(self, written: str) -> None:
        """Send what was not sent of the item: as it is written if nothing was, else its words, each segment for itself.
        Text that was sent stays, and settled words have neither capitals nor marks."""
        join = self._service.bundle.alphabet.join
        if not self._sent and self._service.text_writer is not None:
            await self._send_delta(written)
            return
        for count in range(1, len(self._texts) + 1):
            await self._send_delta(join(self._texts[:count]))

    async def _send_delta(self, text: str) -> None:
        """Send what a text has more than was sent of it."""
        if len(text) > len(self._sent):
            delta, self._sent = text[len(self._sent) :], text
            await self._send(f"{_TRANSCRIPTION}.delta", item_id=self._item, content_index=0, delta=delta)

    async def _send_completed(self, seconds: float) -> None:
        decoder = self.session.stream_options(self._service).decoder
        joined = self._service.bundle.alphabet.join(self._texts)
        text, words = await self._service.written_words(joined, self._words, decoder)
        await self._send_deltas(text)
        logprobs = {"logprobs": word_logprobs(text, words)} if LOGPROBS in self.session.include else {}
        await self._send(
            f"{_TRANSCRIPTION}.completed",
            item_id=self._item,
            content_index=0,
            transcript=text,
            usage={"type": "duration", "seconds": round(seconds, 3)},
            **logprobs,
        )
        self._forget_item()

    def _forget_item(self) -> None:
        self._item, self._sent, self._texts, self._words, self._is_withdrawn = None, "", [], [], False

    async def _send_committed(self) -> None:
        """The samples of a segment are an item of the conversation now."""
        self._item = self._item or _new_item()
        before, self._last_item = self._last_item, self._item
        await self._send("input_audio_buffer.committed", item_id=self._item, previous_item_id=before)
        item = {
            "id": self._item,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        for kind in ("created",) if self._beta else ("added", "done"):
            await self._send(f"conversation.item.{kind}", previous_item_id=before, item=item)

    async def _send_session(self, what: str) -> None:
        kind = "transcription_session" if self._beta else "session"
        session = self.session.to_json(self._service, number=self._number, beta=self._beta)
        await self._send(f"{kind}.{what}", session=session)

    async def send_error(self, error: ApiError, event_id: str | None = None) -> None:
        """Send an error, which belongs to a message of the client where it has a name."""
        await self._send("error", error=error.to_json()["error"] | {"event_id": event_id})

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._socket.send({"type": kind, "event_id": f"event_{secrets.token_hex(10)}"} | fields)

    def _ms(self, seconds: float) -> int:
        return round(1000 * (self._stream.offset + seconds))


def _new_item() -> str:
    return f"item_{secrets.token_hex(10)}"
