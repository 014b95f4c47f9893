"""The page at `/`, its files under `/page/`, and what it asks the server besides the API.

The page is plain HTML, style sheets and JavaScript modules from the folder `page`. Its content security policy lets it
load from, and send to, this server alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from asr.serving.languages import language_name
from asr.serving.refusals import ApiError
from asr.serving.service import service_of
from asr.settings.checks import shown
from asr.text.transcript import Transcript, Word
from asr.text.words import one_line
from asr.writers.table import write

_FOLDER = Path(__file__).parent / "page"
_INDEX = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; media-src blob:; "
    "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-cache",  # it asks whether its copy is still right
    "Content-Security-Policy": _POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SUBTITLES = ("srt", "vtt", "txt")
_MOST_BYTES, _MOST_WORDS = 16 << 20, 200_000


def routes() -> list[BaseRoute]:
    """The page, its files, its settings, and subtitles of what was corrected or spoken there."""
    return [
        Route("/", show_page),
        Route("/page/settings", show_settings),
        Route("/page/{name}", show_file),
        Route("/v1/subtitles/{format}", make_subtitles, methods=["POST"]),
    ]


def is_public(path: str) -> bool:
    """Whether a path is of the page itself, which asks for the key, and so needs none."""
    return path == "/" or path.startswith("/page/")


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    kind: str
    tag: str
    """which changes with the content"""


@cache
def page_files() -> dict[str, _File]:
    """The files of the page, by name."""
    files = {}
    for path in sorted(_FOLDER.iterdir()):
        if kind := _TYPES.get(path.suffix):
            content = path.read_bytes()
            files[path.name] = _File(content, kind, f'"{hashlib.sha256(content).hexdigest()[:24]}"')
    return files


async def show_page(request: Request) -> Response:
    """`GET /`."""
    return _answer(request, page_files()[_INDEX])


async def show_file(request: Request) -> Response:
    """`GET /page/{name}`."""
    name = request.path_params["name"]
    file = page_files().get(name)
    if file is None or name == _INDEX:
        raise ApiError(404, f"The page has no file {shown(name)}.", code="unknown_url")
    return _answer(request, file)


def _answer(request: Request, file: _File) -> Response:
    headers = _HEADERS | {"ETag": file.tag}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers | {"Content-Type": file.kind})


async def show_settings(request: Request) -> Response:
    """`GET /page/settings`: what the page has to know before it has a key."""
    service = service_of(request)
    return JSONResponse(
        {
            "model": service.model,
            "language": service.language,
            "language_name": language_name(service.language or "unknown"),
            "needs_key": bool(service.keys),
            "saves_corrections": service.settings.data_dir is not None,
            "sample_rate": service.bundle.log_mel.settings.sample_rate,
        },
        headers={"Cache-Control": "no-store"},
    )


async def make_subtitles(request: Request) -> Response:
    """`POST /v1/subtitles/{format}`: a text and the times of its words as the file that `asr transcribe` writes.

    The body is JSON: `{"text": ..., "duration": ..., "words": [{"word": ..., "start": ..., "end": ...}]}`.
    """
    kind = request.path_params["format"]
    if kind not in _SUBTITLES:
        raise ApiError(404, f"The format must be one of {', '.join(_SUBTITLES)}, not {shown(kind)}.", param="format")
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MOST_BYTES:
            raise ApiError(413, f"The transcript is larger than {_MOST_BYTES >> 20} MiB.", code="file_too_large")
    try:
        transcript = _transcript(json.loads(content))
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ApiError(
            400,
            "The body must be JSON with text, duration and words, each with word, start and end.",
            code="invalid_json",
        ) from None
    return PlainTextResponse(await asyncio.to_thread(write, transcript, kind))


def _transcript(value: Any) -> Transcript:
    """A transcript from the words of a client.

    Raises
    ------
    ValueError, TypeError, KeyError
        If it is none.
    """
    words, given = [], value["words"]
    if not isinstance(given, list) or len(given) > _MOST_WORDS:
        raise ValueError
    before = 0.0
    for one in given:
        start, end = _seconds(one["start"]), _seconds(one["end"])
        start = max(start, before)  # in order, as a recogniser writes them
        before = start
        words.append(Word(one_line(_text(one["word"])), start, max(start, end)))
    text = one_line(_text(value["text"]))
    if "".join(text.split()) != "".join("".join(word.text.split()) for word in words):
        raise ValueError
    return Transcript("", text, _seconds(value["duration"]), 0.0, tuple(words), ())


def _seconds(value: Any) -> float:
    seconds = float(value)
    if isinstance(value, str) or not math.isfinite(seconds) or not 0 <= seconds < 1e7:
        raise ValueError
    return seconds


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
