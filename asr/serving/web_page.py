"""The page at `/`, its files under `/page/`, and what it asks the server besides the API.

The page is plain HTML, style sheets and JavaScript modules from the folder `page`. Its content security policy lets it
load from, and send to, this server alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from asr.serving.languages import language_name
from asr.serving.messages import Fields
from asr.serving.refusals import ApiError
from asr.serving.service import service_of
from asr.serving.uploads import read_json
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
SUBTITLES = ("srt", "vtt", "txt")
_MOST_BYTES, MOST_WORDS, MOST_SECONDS = 16 << 20, 200_000, 10_000_000


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
    if kind not in SUBTITLES:
        raise ApiError(404, f"The format must be one of {', '.join(SUBTITLES)}, not {shown(kind)}.", param="format")
    idle_seconds = service_of(request).settings.limits.idle_seconds
    transcript = _transcript(await read_json(request, most_bytes=_MOST_BYTES, idle_seconds=idle_seconds))
    return PlainTextResponse(await asyncio.to_thread(write, transcript, kind))


def _transcript(fields: Fields) -> Transcript:
    """A transcript from the words of a client.

    Raises
    ------
    ApiError
        400 if it is none.
    """
    words, given = [], fields.take("words")
    if not isinstance(given, list) or len(given) > MOST_WORDS:
        fields.refuse("words", f"must be a list of at most {MOST_WORDS} words, not {shown(given)}")
    before = 0.0
    for number, one in enumerate(given):
        word = Fields(one, f"words[{number}]")
        start, end = max(_seconds(word, "start"), before), _seconds(word, "end")  # in order, as recognised
        before = start
        words.append(Word(one_line(_text(word, "word")), start, max(start, end)))
    text = one_line(_text(fields, "text"))
    if "".join(text.split()) != "".join("".join(word.text.split()) for word in words):
        fields.refuse("text", "must consist of the words")
    return Transcript("", text, _seconds(fields, "duration"), 0.0, tuple(words), ())


def _seconds(fields: Fields, name: str) -> float:
    seconds = fields.number(name, 0, MOST_SECONDS)
    if seconds is None or seconds == MOST_SECONDS:
        fields.refuse(name, "must be a number of seconds")
    return seconds


def _text(fields: Fields, name: str) -> str:
    text = fields.text(name, longest=_MOST_BYTES)
    if text is None:
        fields.refuse(name, "must be a text")
    return text
