"""What the client of the package `wyoming` gets from a server, as JSON. It runs in an environment of its own."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from typing import Any

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import wav_to_chunks
from wyoming.client import AsyncClient
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong


async def main(uri: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with AsyncClient.from_uri(uri) as client:
        await client.write_event(Describe().event())
        found["info"] = Info.from_event(await client.read_event()).event().data
        await client.write_event(Ping("here").event())
        found["pong"] = Pong.from_event(await client.read_event()).text
        found["texts"] = [await transcribe(client, path) for _ in range(2)]
    return found


async def transcribe(client: AsyncClient, path: str) -> list[dict[str, Any]]:
    """The events of a recording."""
    await client.write_event(Transcribe(language="en-GB", transcript_names=["Kathleen"], transcript_terms=[]).event())
    with wave.open(path) as file:
        for event in wav_to_chunks(file, samples_per_chunk=1024, start_event=True, stop_event=True):
            await client.write_event(event.event())
    events = []
    while not events or events[-1]["type"] != "transcript-stop":
        event = await client.read_event()
        assert event is not None, events
        events.append({"type": event.type, "data": event.data})
        if Transcript.is_type(event.type):
            events[-1]["text"] = Transcript.from_event(event).text
    return events


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
