"""The OpenAPI document of the service, at `/openapi.json`. Every path has its route, and every route its path here."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from asr.packages import asr_version
from asr.serving import realtime_session as realtime
from asr.serving.api_schemas import (
    STRING,
    Schema,
    components,
    errors,
    json_object,
    list_of,
    nullable,
    ref,
    request_object,
)
from asr.serving.client_secrets import LONGEST_SECONDS, SHORTEST_SECONDS
from asr.serving.service import Service, service_of
from asr.serving.transcription_request import GRANULARITIES, ResponseFormat
from asr.serving.web_page import MOST_SECONDS, MOST_WORDS, SUBTITLES

_NO_EFFECT = "Accepted; it has no effect here."
_CODE: Schema = {"type": "string", "pattern": "^[A-Za-z]{2,3}$"}


async def show(request: Request) -> Response:
    """`GET /openapi.json`."""
    return JSONResponse(api_document(service_of(request)))


def api_document(service: Service) -> dict[str, Any]:
    """The document of a server, with its model, and with keys if it has some."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "asr",
            "version": asr_version(),
            "description": "Speech recognition, by the audio API of OpenAI: its clients need the base URL "
            "`http://HOST:PORT/v1`, and a key if the server has keys. Live speech comes by WebSockets, which this "
            "format cannot describe: `/v1/realtime`, `/v1/live` and `/`.",
        },
        "paths": {
            "/v1/audio/transcriptions": {"post": _transcription(service)},
            "/v1/audio/translations": {"post": _translation()},
            "/v1/models": {"get": _get("The models", "ModelList", "What can be sent as `model`.")},
            "/v1/models/{model}": {
                "get": _get("A model", "Model", "One of them, by its name or an alias.", errors(404))
                | {"parameters": [_in_path("model", STRING)]}
            },
            "/v1/realtime/client_secrets": {"post": _client_secret(service)},
            "/v1/realtime/transcription_sessions": {"post": _beta_session(service)},
            "/v1/corrections": {
                "post": _correction(service),
                "get": _get(
                    "The corrections", "CorrectionSummary", "How many there are, and the commands that use them.",
                    _no_corrections() | errors(409),
                ),
            },
            "/v1/subtitles/{format}": {"post": _subtitles()},
            "/health": {"get": _get("Alive", "Status", "The process answers.", public=True)},
            "/ready": {"get": _ready()},
            "/metrics": {"get": _text("metrics", "Counters", "For Prometheus.", "text/plain")},
            "/openapi.json": {
                "get": {
                    "operationId": "document",
                    "summary": "This document",
                    "description": "The description of this API for programs.",
                    "responses": {"200": _json("The document.", {"type": "object"})},
                    "security": [],
                }
            },
            "/docs": {"get": _text("docs", "This page", "The description of this API for people.", public=True)},
            "/": {"get": _cached(_text("page", "The page", "Captions, recordings, corrections.", public=True))},
            "/page/settings": {
                "get": _get("Settings of the page", "PageSettings", "What it has to know of the server.", public=True)
            },
            "/page/{name}": {"get": _page_file()},
        },
        "components": {"schemas": components()},
    }  # fmt: skip
    if service.keys:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
        for path in document["paths"].values():
            for operation in path.values():
                if operation.get("security") is None:
                    operation["responses"] |= errors(401)
    return document


def _transcription(service: Service) -> Schema:
    properties: Schema = {
        "file": _recording(service),
        "model": {"type": "string", "enum": [service.model, *service.settings.aliases], "description": "The model."},
        "language": _CODE
        | {"description": "Code of the language that is spoken, such as en; the model must write it."},
        "prompt": {
            "type": "string",
            "maxLength": 5000,
            "description": "Its names become hot words: the entries of a list, and the words of sentences that have a "
            "capital letter or a digit. They are written as they are here.",
        },
        "response_format": {
            "type": "string",
            "enum": [one.value for one in ResponseFormat],
            "default": "json",
            "description": "The format of the answer; srt and vtt are subtitles.",
        },
        "timestamp_granularities[]": {
            "type": "array",
            "items": {"type": "string", "enum": list(GRANULARITIES)},
            "description": "With verbose_json: segments, words, or both. By default segments.",
        },
        "include[]": {
            "type": "array",
            "items": {"type": "string", "enum": ["logprobs"]},
            "description": "With json: logprobs adds the logarithm of each word's confidence.",
        },
        "keywords[]": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 500},
            "maxItems": 100,
            "description": "Hot words: words, of at most 100 characters, and phrases that are likely to be spoken.",
        },
        "languages[]": {
            "type": "array",
            "items": _CODE,
            "description": "Languages that may be spoken; the model's must be one of them.",
        },
        "stream": {
            "type": "boolean",
            "default": False,
            "description": "Send the text as server-sent events while it is recognised: `transcript.text.delta` for "
            "each piece, `transcript.text.done` with the whole, `[DONE]`. Deltas have plain words; the text of `done` "
            "has capitals and punctuation where answers without `stream` have them.",
        },
        "temperature": {"type": "number", "minimum": 0, "maximum": 1, "default": 0, "description": _NO_EFFECT},
        "chunking_strategy": {
            "type": "string",
            "enum": ["auto"],
            "description": "Or an object with type=server_vad. " + _NO_EFFECT,
        },
    }
    transcript = {"anyOf": [ref("Transcription"), ref("VerboseTranscription")]}
    return {
        "operationId": "createTranscription",
        "summary": "Transcribe a recording",
        "description": "The answer comes when the recording is transcribed; a client that hangs up ends the work.",
        "requestBody": _form(properties, "file", "model"),
        "responses": {
            "200": {
                "description": "The transcript.",
                "content": {
                    "application/json": {"schema": transcript},
                    "text/plain": {"schema": STRING},
                    "text/event-stream": {"schema": STRING},
                },
            }
        }
        | errors(400, 404, 408, 413, 415, 429, 500, 503),
    }


def _translation() -> Schema:
    return {
        "operationId": "createTranslation",
        "summary": "Refused",
        "description": "The models do not translate.",
        "responses": errors(400),
    }


def _client_secret(service: Service) -> Schema:
    audio = {"format": _audio_format(), **_input(service, "")}
    session = request_object(
        type=nullable("string", enum=["transcription"]),
        audio=request_object(input=request_object(**audio)),
        include=_included(),
    ) | {"description": "The settings that streams opened with the key begin with, as in `session.update`."}
    return {
        "operationId": "createClientSecret",
        "summary": "An ephemeral key",
        "description": "A key for a browser or a device, with which it can open `ws /v1/realtime` until it expires, "
        "and do nothing else. Creating one needs an API key.",
        "requestBody": _json_body({"session": session, "expires_after": _expiry()}),
        "responses": {"200": _json("The key, and its session.", ref("ClientSecret"))}
        | errors(400, 404, 408, 413, 429, 500, 503),
    }


def _beta_session(service: Service) -> Schema:
    properties = {
        "input_audio_format": nullable("string", enum=list(realtime.BETA_FORMATS)),
        **_input(service, "input_audio_"),
        "include": _included(),
        "modalities": nullable("array", items={"type": "string", "enum": ["text", "audio"]}),
        "client_secret": request_object(expires_at=_expiry()),
    }
    return {
        "operationId": "createTranscriptionSession",
        "summary": "An ephemeral key, for clients of the beta",
        "description": "The same as `/v1/realtime/client_secrets`, by the names of OpenAI's beta.",
        "requestBody": _json_body(properties),
        "responses": {"200": _json("The session, with its key.", ref("BetaSession"))}
        | errors(400, 404, 408, 413, 429, 500, 503),
    }


def _expiry() -> Schema:
    return request_object(
        anchor=nullable("string", enum=["created_at"]),
        seconds=nullable("integer", minimum=SHORTEST_SECONDS, maximum=LONGEST_SECONDS),
    ) | {"description": "For how long the key opens streams, in seconds."}


def _audio_format() -> Schema:
    rates = {"minimum": realtime.LOWEST_RATE, "maximum": realtime.HIGHEST_RATE}
    return request_object(
        type=nullable("string", enum=list(realtime.DECODERS)), rate=nullable("integer", **rates)
    )  # fmt: skip


def _input(service: Service, before: str) -> dict[str, Schema]:
    """The settings of audio, with what is before the names in the beta."""
    transcription = request_object(
        model=nullable("string", enum=[service.model, *service.settings.aliases]),
        language=nullable("string", pattern="^[A-Za-z]{2,3}$"),
        languages=nullable("array", items=_CODE, maxItems=100),
        prompt=nullable("string", maxLength=5000),
        keywords=nullable("array", items={"type": "string", "minLength": 1}, maxItems=100),
        delay=nullable("string", enum=list(realtime.DELAYS)),
    )
    noise = request_object(
        type=nullable("string", enum=list(realtime.NOISE)), strength=nullable("number", minimum=0, maximum=100)
    )
    turns = request_object(
        type=nullable("string", enum=["server_vad", "semantic_vad"]),
        threshold=nullable("number", minimum=0, maximum=1),
        prefix_padding_ms=nullable("integer", minimum=0, maximum=60_000),
        silence_duration_ms=nullable(
            "integer", minimum=realtime.SHORTEST_SILENCE, maximum=realtime.LONGEST_SILENCE
        ),
        eagerness=nullable("string", enum=list(realtime.EAGERNESS)),
        create_response=nullable("boolean"),
        interrupt_response=nullable("boolean"),
        idle_timeout_ms=nullable("integer", minimum=0, maximum=3_600_000),
    )  # fmt: skip
    return {f"{before}transcription": transcription, f"{before}noise_reduction": noise, "turn_detection": turns}


def _included() -> Schema:
    return nullable("array", items={"type": "string", "enum": [realtime.LOGPROBS]})


def _correction(service: Service) -> Schema:
    properties: Schema = {
        "file": _recording(service),
        "text": {"type": "string", "pattern": r"\S", "description": "What is said in it, in words."},
        "recognised": {"type": "string", "description": "The text as it was recognised."},
        "name": {"type": "string", "description": "A name for the recording, such as that of its file."},
        "speaker": {"type": "string", "description": "A name for who speaks."},
    }
    return {
        "operationId": "saveCorrection",
        "summary": "Save a corrected text",
        "description": "The recording and its right text, to fine-tune the model with. The text is aligned first. "
        "Only where the server was started with `data_dir=FOLDER`.",
        "requestBody": _form(properties, "file", "text"),
        "responses": {"201": _json("It is saved.", ref("SavedCorrection"))}
        | _no_corrections()
        | errors(400, 408, 409, 413, 415, 429, 500, 503),
    }


def _no_corrections() -> Schema:
    return {"404": errors(404)["404"] | {"description": "The server saves no corrections."}}


def _subtitles() -> Schema:
    seconds = {"type": "number", "minimum": 0, "exclusiveMaximum": MOST_SECONDS}
    words = list_of(json_object(word=STRING, start=seconds, end=seconds), maxItems=MOST_WORDS)
    operation = _text("makeSubtitles", "Make subtitles", "A text and the times of its words as a file.", "text/plain")
    operation["responses"] |= errors(400, 404, 408, 413)
    body = {
        "text": STRING | {"description": "The text, which consists of the words."},
        "duration": seconds | {"description": "Of the recording, in seconds."},
        "words": words | {"description": "With times in seconds."},
    }
    content = {"application/json": {"schema": json_object(**body)}}
    return operation | {
        "parameters": [_in_path("format", {"type": "string", "enum": list(SUBTITLES)})],
        "requestBody": {"required": True, "content": content},
    }


def _ready() -> Schema:
    operation = _get("Ready", "Status", "A new recording would be accepted.", public=True)
    operation["responses"]["503"] = _json("It would be refused: the server is busy or ends.", ref("Status"))
    return operation


def _page_file() -> Schema:
    operation = _text("pageFile", "A file of the page", "Its scripts, style sheets and pictures.", public=True)
    kinds = ("text/css", "text/html", "text/javascript", "image/svg+xml")
    operation["responses"]["200"]["content"] = {kind: {"schema": STRING} for kind in kinds}
    operation["responses"] |= errors(404)
    return _cached(operation) | {"parameters": [_in_path("name", STRING)]}


def _cached(operation: Schema) -> Schema:
    operation["responses"]["304"] = {"description": "The client's copy, named in `If-None-Match`, is still right."}
    return operation


def _get(summary: str, schema: str, description: str, refused: Schema | None = None, *, public: bool = False) -> Schema:
    operation: Schema = {
        "operationId": f"get{schema}" if schema != "Status" else summary.lower(),
        "summary": summary,
        "description": description,
        "responses": {"200": _json(description, ref(schema)), **(refused or {})},
    }
    return operation | ({"security": []} if public else {})


def _text(name: str, summary: str, description: str, kind: str = "text/html", *, public: bool = False) -> Schema:
    operation: Schema = {
        "operationId": name,
        "summary": summary,
        "description": description,
        "responses": {"200": {"description": description, "content": {kind: {"schema": STRING}}}},
    }
    return operation | ({"security": []} if public else {})


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _json_body(properties: Schema) -> Schema:
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _form(properties: Schema, *required: str) -> Schema:
    schema = {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


def _recording(service: Service) -> Schema:
    return {
        "type": "string",
        "format": "binary",
        "description": "The recording: WAV, FLAC, Ogg, Opus, MP3, M4A, MP4, WebM and more; at most "
        f"{service.settings.limits.megabytes:g} MB and {service.settings.limits.hours:g} hours.",
    }


def _in_path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}
