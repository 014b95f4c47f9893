"""The OpenAPI document of the service, at `/openapi.json`."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from asr.packages import asr_version
from asr.serving.openai_api import GRANULARITIES, ResponseFormat
from asr.serving.service import Service, service_of

_NUMBER, _STRING = {"type": "number"}, {"type": "string"}
_NO_EFFECT = "Accepted; it has no effect here."


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
            "`http://HOST:PORT/v1`, and a key if the server has keys.",
        },
        "paths": {
            "/v1/audio/transcriptions": {"post": _transcription(service)},
            "/v1/audio/translations": {"post": _translation()},
            "/v1/models": {"get": _get("The models", "ModelList", "What can be sent as `model`.")},
            "/v1/models/{model}": {
                "get": _get("A model", "Model", "One of them, by its name or an alias.", errors=(404,))
                | {"parameters": [{"name": "model", "in": "path", "required": True, "schema": _STRING}]}
            },
            "/health": {"get": _get("Alive", "Status", "The process answers.", public=True)},
            "/ready": {"get": _ready()},
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Counters",
                    "description": "For Prometheus.",
                    "responses": {
                        "200": {"description": "The counters.", "content": {"text/plain": {"schema": _STRING}}}
                    },
                }
            },
        },
        "components": {"schemas": _schemas()},
    }
    if service.keys:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
        for path in document["paths"].values():
            for operation in path.values():
                if operation.get("security") is None:
                    operation["responses"] |= _errors(401)
    return document


def _transcription(service: Service) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "The recording: WAV, FLAC, Ogg, Opus, MP3, M4A, MP4, WebM and more; at most "
            f"{service.settings.limits.megabytes:g} MB and {service.settings.limits.hours:g} hours.",
        },
        "model": {"type": "string", "enum": [service.model, *service.settings.aliases], "description": "The model."},
        "language": {
            "type": "string",
            "pattern": "^[A-Za-z]{2,3}$",
            "description": "Code of the language that is spoken, such as en; the model must write it.",
        },
        "prompt": {
            "type": "string",
            "maxLength": 5000,
            "description": "Its names become hot words: the entries of a list, and the words of sentences that have a "
            "capital letter or a digit.",
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
            "items": {"type": "string", "minLength": 1, "maxLength": 200},
            "maxItems": 100,
            "description": "Hot words: words and phrases that are likely to be spoken.",
        },
        "languages[]": {
            "type": "array",
            "items": {"type": "string", "pattern": "^[A-Za-z]{2,3}$"},
            "description": "Languages that may be spoken; the model's must be one of them.",
        },
        "stream": {
            "type": "boolean",
            "default": False,
            "description": "Send the text as server-sent events while it is recognised: `transcript.text.delta` for "
            "each piece, `transcript.text.done` with the whole, `[DONE]`.",
        },
        "temperature": {"type": "number", "minimum": 0, "maximum": 1, "default": 0, "description": _NO_EFFECT},
        "chunking_strategy": {"type": "string", "enum": ["auto"], "description": _NO_EFFECT},
    }
    return {
        "operationId": "createTranscription",
        "summary": "Transcribe a recording",
        "description": "The answer comes when the recording is transcribed; a client that hangs up ends the work.",
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file", "model"],
                        "properties": properties,
                        "additionalProperties": False,
                    }
                }
            },
        },
        "responses": {
            "200": {
                "description": "The transcript.",
                "content": {
                    "application/json": {"schema": {"anyOf": [_ref("Transcription"), _ref("VerboseTranscription")]}},
                    "text/plain": {"schema": _STRING},
                    "text/event-stream": {"schema": _STRING},
                },
            }
        }
        | _errors(400, 404, 408, 413, 415, 429, 500, 503),
    }


def _translation() -> dict[str, Any]:
    return {
        "operationId": "createTranslation",
        "summary": "Refused",
        "description": "The models do not translate.",
        "responses": _errors(400),
    }


def _ready() -> dict[str, Any]:
    operation = _get("Ready", "Status", "A new recording would be accepted.", public=True)
    operation["responses"]["503"] = {
        "description": "It would be refused: the server is busy or ends.",
        "content": {"application/json": {"schema": _ref("Status")}},
    }
    return operation


def _get(
    summary: str, schema: str, description: str, *, errors: tuple[int, ...] = (), public: bool = False
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"get{schema}" if schema != "Status" else summary.lower(),
        "summary": summary,
        "description": description,
        "responses": {
            "200": {"description": description, "content": {"application/json": {"schema": _ref(schema)}}},
            **_errors(*errors),
        },
    }
    if public:
        operation["security"] = []
    return operation


_ERRORS = {
    400: "A parameter is wrong, or the recording cannot be read.",
    401: "There is no API key, or it is wrong.",
    404: "There is no such model.",
    408: "The upload was too slow.",
    413: "The file is too large.",
    415: "The body is no form.",
    429: "The server is busy, or the key has too many open requests: `Retry-After` says when to try again.",
    500: "The server failed on this request.",
    503: "The server ends.",
}


def _errors(*statuses: int) -> dict[str, Any]:
    return {
        str(status): {"description": _ERRORS[status], "content": {"application/json": {"schema": _ref("Error")}}}
        for status in statuses
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    """An object; a name that ends in an underscore is optional."""
    return {
        "type": "object",
        "required": [name for name in properties if not name.endswith("_")],
        "properties": {name.removesuffix("_"): schema for name, schema in properties.items()},
    }


def _list_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


def _schemas() -> dict[str, Any]:
    nullable = {"type": ["string", "null"]}
    usage = _object(type={"const": "duration"}, seconds={"type": "integer"})
    word = _object(word=_STRING, start=_NUMBER, end=_NUMBER, confidence_=_NUMBER)
    segment = _object(
        id={"type": "integer"}, seek={"type": "integer"}, start=_NUMBER, end=_NUMBER, text=_STRING,
        tokens=_list_of({"type": "integer"}), temperature=_NUMBER, avg_logprob=_NUMBER, compression_ratio=_NUMBER,
        no_speech_prob=_NUMBER,
    )  # fmt: skip
    logprob = _object(token=_STRING, logprob=_NUMBER, bytes=_list_of({"type": "integer"}))
    return {
        "Transcription": _object(text=_STRING, usage=usage, logprobs_=_list_of(logprob)),
        "VerboseTranscription": _object(
            task={"const": "transcribe"}, language=_STRING, duration=_NUMBER, text=_STRING, usage=usage,
            segments_=_list_of(segment), words_=_list_of(word),
        ),
        "Model": _object(id=_STRING, object={"const": "model"}, created={"type": "integer"}, owned_by=_STRING),
        "ModelList": _object(object={"const": "list"}, data=_list_of(_ref("Model"))),
        "Status": _object(status=_STRING, model_=_STRING),
        "Error": _object(error=_object(message=_STRING, type=_STRING, param=nullable, code=nullable)),
    }  # fmt: skip
