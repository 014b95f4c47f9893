"""What OpenAI's own client gets from a server over the Realtime API, as JSON. It runs in an environment of its own."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import wave
from typing import Any

import openai
from openai.resources.realtime.realtime import AsyncRealtimeConnection, RealtimeConnection

COMPLETED = "conversation.item.input_audio_transcription.completed"
QUERY = {"intent": "transcription"}
TRANSCRIPTION = {"model": "gpt-4o-transcribe", "language": "en"}
FORMAT = {"type": "audio/pcm", "rate": 24000}
VAD = {
    "type": "transcription",
    "audio": {
        "input": {
            "format": FORMAT,
            "transcription": TRANSCRIPTION,
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300},
            "noise_reduction": {"type": "near_field"},
        }
    },
    "include": ["item.input_audio_transcription.logprobs"],
}
MANUAL = {
    "type": "transcription",
    "audio": {"input": {"format": FORMAT, "transcription": TRANSCRIPTION, "turn_detection": None}},
}


def pieces(path: str) -> list[str]:
    """A recording in messages of a fifth of a second."""
    with wave.open(path) as file:
        content, size = file.readframes(file.getnframes()), 2 * file.getframerate() // 5
    return [base64.b64encode(content[start : start + size]).decode() for start in range(0, len(content), size)]


def described(event: Any) -> dict[str, Any]:
    """An event, with the class that the client made of it."""
    return {"class": type(event).__name__} | event.model_dump()


def manual(connection: RealtimeConnection, path: str) -> list[dict[str, Any]]:
    """A recording that is committed."""
    events = [described(connection.recv())]
    connection.session.update(session=MANUAL)
    for piece in pieces(path):
        connection.input_audio_buffer.append(audio=piece)
    connection.input_audio_buffer.commit()
    while events[-1]["type"] != COMPLETED:
        events.append(described(connection.recv()))
    connection.input_audio_buffer.commit()  # of nothing
    events.append(described(connection.recv()))
    connection.input_audio_buffer.clear()
    events.append(described(connection.recv()))
    return events


async def automatic(connection: AsyncRealtimeConnection, path: str) -> list[dict[str, Any]]:
    """A recording whose turns the server finds."""
    await connection.session.update(session=VAD)

    async def send() -> None:
        for piece in pieces(path):
            await connection.input_audio_buffer.append(audio=piece)
        await connection.input_audio_buffer.clear()

    sending, events = asyncio.create_task(send()), []
    async for event in connection:
        events.append(described(event))
        if event.type == "input_audio_buffer.cleared":
            break
    await sending
    return events


async def asynchronous(base_url: str, path: str, key: str) -> dict[str, Any]:
    sockets = base_url.replace("http", "ws", 1)  # the beta's own default is encrypted
    client = openai.AsyncOpenAI(base_url=base_url, websocket_base_url=sockets, api_key=key, max_retries=0)
    found = {}
    async with client.realtime.connect(extra_query=QUERY) as connection:
        found["automatic"] = await automatic(connection, path)
    async with client.beta.realtime.connect(model="gpt-4o-transcribe", extra_query=QUERY) as connection:
        created = await connection.recv()
        await connection.transcription_session.update(
            session={
                "input_audio_format": "pcm16",
                "input_audio_transcription": {"model": "gpt-4o-transcribe"},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 700},
            }
        )
        found["beta"] = [created.type, described(await connection.recv())]
    return found


def ephemeral(client: openai.OpenAI, base_url: str, path: str) -> dict[str, Any]:
    """A key that a client without an API key uses, and that opens nothing else."""
    secret = client.realtime.client_secrets.create(
        session=MANUAL, expires_after={"anchor": "created_at", "seconds": 60}
    )
    found: dict[str, Any] = {"secret": described(secret)}
    beta = client.beta.realtime.transcription_sessions.create(
        input_audio_format="g711_ulaw", turn_detection={"type": "server_vad", "silence_duration_ms": 700}
    )
    found["beta secret"] = described(beta)
    browser = openai.OpenAI(base_url=base_url, api_key=secret.value, max_retries=0)
    with browser.realtime.connect(extra_query=QUERY) as connection:
        found["created"] = described(connection.recv())
        for piece in pieces(path):
            connection.input_audio_buffer.append(audio=piece)
        connection.input_audio_buffer.commit()
        while (event := connection.recv()).type != COMPLETED:
            pass
        found["transcript"] = event.transcript
    for name, ask in (
        ("models", browser.models.list),
        ("more keys", browser.realtime.client_secrets.create),
        ("too long", lambda: client.realtime.client_secrets.create(expires_after={"seconds": 7201})),
        ("conversation", lambda: client.realtime.client_secrets.create(session={"type": "realtime"})),
    ):
        try:
            ask()
        except openai.APIStatusError as error:
            found[name] = [type(error).__name__, error.code, error.param]
    return found


def main(base_url: str, path: str, key: str) -> dict[str, Any]:
    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
    with client.realtime.connect(extra_query=QUERY) as connection:
        found: dict[str, Any] = {"manual": manual(connection, path)}
    found |= asyncio.run(asynchronous(base_url, path, key))
    found["ephemeral"] = ephemeral(client, base_url, path)
    try:
        with openai.OpenAI(base_url=base_url, api_key="wrong").realtime.connect(extra_query=QUERY):
            found["wrong key"] = "accepted"
    except Exception as error:  # of the library below the client
        found["wrong key"] = str(error)
    return found


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
