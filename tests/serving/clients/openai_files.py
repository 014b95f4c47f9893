"""What OpenAI's own client gets from a server, as JSON. It runs in an environment of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai

MODEL = "tiny"


def failure(call: Callable[[], Any]) -> dict[str, Any]:
    """The error that a call raises."""
    try:
        call()
    except openai.APIStatusError as error:
        return {"class": type(error).__name__, "code": error.code, "param": error.param, "type": error.type}
    return {}


def main(base_url: str, path: Path, key: str) -> dict[str, Any]:
    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
    create = client.audio.transcriptions.create
    found: dict[str, Any] = {
        "models": [one.id for one in client.models.list()],
        "model": client.models.retrieve("whisper-1").id,
        "json": create(model=MODEL, file=path).text,
        "usage": create(model="whisper-1", file=path).usage.seconds,
        "prompted": create(
            model=MODEL,
            file=path,
            prompt="Kathleen, New York",
            language="en",
            temperature=0.3,
            chunking_strategy="auto",
        ).text,
        "keywords": create(model=MODEL, file=path, extra_body={"keywords": ["Kathleen", "New York"]}).text,
    }
    for kind in ("text", "srt", "vtt"):
        found[kind] = create(model=MODEL, file=path, response_format=kind)
    verbose = create(
        model=MODEL, file=path, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    found["verbose"] = verbose.model_dump()
    found["segments only"] = create(model=MODEL, file=path, response_format="verbose_json").model_dump()
    found["logprobs"] = [one.token for one in create(model=MODEL, file=path, include=["logprobs"]).logprobs]
    found["stream"] = [event.model_dump() for event in create(model=MODEL, file=path, stream=True)]
    found["errors"] = {
        "model": failure(lambda: create(model="other", file=path)),
        "audio": failure(lambda: create(model=MODEL, file=("a.wav", b"no sound"))),
        "stream": failure(lambda: list(create(model=MODEL, file=("a.wav", b"no sound"), stream=True))),
        "format": failure(lambda: create(model=MODEL, file=path, response_format="diarized_json")),
        "translation": failure(lambda: client.audio.translations.create(model=MODEL, file=path)),
        "key": failure(lambda: openai.OpenAI(base_url=base_url, api_key="wrong", max_retries=0).models.list()),
        "large": failure(lambda: create(model=MODEL, file=("a.wav", bytes(3_000_000)))),
        "chat": failure(lambda: client.chat.completions.create(model=MODEL, messages=[])),
    }
    found["async"], found["async stream"] = asyncio.run(at_once(base_url, path, key))
    return found


async def at_once(base_url: str, path: Path, key: str) -> tuple[list[str], list[str]]:
    """Several requests at once, and a stream."""
    async with openai.AsyncOpenAI(base_url=base_url, api_key=key) as client:
        create = client.audio.transcriptions.create
        answers = await asyncio.gather(*(create(model=MODEL, file=path) for _ in range(5)))
        stream = await create(model=MODEL, file=path, stream=True)
        return [one.text for one in answers], [event.type async for event in stream]


if __name__ == "__main__":
    json.dump(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]), sys.stdout)
