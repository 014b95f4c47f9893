"""The parts of the OpenAPI document: schemas of objects and of errors."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

NUMBER: Schema = {"type": "number"}
STRING: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}

_ERRORS = {
    400: "A parameter is wrong, or the recording cannot be read.",
    401: "There is no API key, or it is wrong.",
    404: "There is no such model, file or format.",
    408: "The body came too slowly.",
    409: "The folder of corrections was changed by somebody else.",
    413: "The body is too large.",
    415: "The body is no form.",
    429: "The server is busy, or the key has too many open requests: `Retry-After` says when to try again.",
    500: "The server failed on this request.",
    503: "The server ends, or cannot store the upload.",
}


def errors(*statuses: int) -> dict[str, Schema]:
    """The answers to requests that are refused or failed."""
    return {
        str(status): {"description": _ERRORS[status], "content": {"application/json": {"schema": ref("Error")}}}
        for status in statuses
    }


def ref(name: str) -> Schema:
    """One of `components`."""
    return {"$ref": f"#/components/schemas/{name}"}


def json_object(**properties: Schema) -> Schema:
    """An object; a name that ends in an underscore is optional."""
    return {
        "type": "object",
        "required": [name for name in properties if not name.endswith("_")],
        "properties": {name.removesuffix("_"): schema for name, schema in properties.items()},
    }


def list_of(schema: Schema, **limits: int) -> Schema:
    """A list; limits are `maxItems` and the like."""
    return {"type": "array", "items": schema} | limits


def nullable(kind: str, **limits: Any) -> Schema:
    """A value of a type, or null, which stands for a value that is not given."""
    if "enum" in limits:
        limits["enum"] = [*limits["enum"], None]
    return {"type": [kind, "null"]} | limits


def request_object(**properties: Schema) -> Schema:
    """An object of a request, or null: everything in it is optional, and nothing else may be in it."""
    return nullable("object", properties=properties, additionalProperties=False)


def components() -> dict[str, Schema]:
    """The schemas of what is answered, by name."""
    text = nullable("string")
    usage = json_object(type={"const": "duration"}, seconds=WHOLE)
    word = json_object(word=STRING, start=NUMBER, end=NUMBER, confidence_=NUMBER)
    segment = json_object(
        id=WHOLE, seek=WHOLE, start=NUMBER, end=NUMBER, text=STRING, tokens=list_of(WHOLE), temperature=NUMBER,
        avg_logprob=NUMBER, compression_ratio=NUMBER, no_speech_prob=NUMBER,
    )  # fmt: skip
    logprob = json_object(token=STRING, logprob=NUMBER, bytes=list_of(WHOLE))
    secret = json_object(value={"type": "string", "pattern": "^ek_"}, expires_at=WHOLE)
    return {
        "Transcription": json_object(text=STRING, usage=usage, logprobs_=list_of(logprob)),
        "VerboseTranscription": json_object(
            task={"const": "transcribe"}, language=STRING, duration=NUMBER, text=STRING, usage=usage,
            segments_=list_of(segment), words_=list_of(word),
        ),
        "Model": json_object(id=STRING, object={"const": "model"}, created=WHOLE, owned_by=STRING),
        "ModelList": json_object(object={"const": "list"}, data=list_of(ref("Model"))),
        "Status": json_object(status=STRING, model_=STRING),
        "ClientSecret": json_object(
            value={"type": "string", "pattern": "^ek_"},
            expires_at=WHOLE,
            session=json_object(
                type={"const": "transcription"}, object={"const": "realtime.transcription_session"}, id=STRING,
                expires_at=WHOLE, audio={"type": "object"}, include=nullable("array", items=STRING),
            ),
        ),
        "BetaSession": json_object(
            object={"const": "realtime.transcription_session"}, id=STRING, client_secret=secret,
            input_audio_format=STRING, input_audio_transcription={"type": "object"}, turn_detection=nullable("object"),
            input_audio_noise_reduction=nullable("object"), include=nullable("array", items=STRING),
        ),
        "CorrectionSummary": json_object(
            recordings=WHOLE, train=WHOLE, test=WHOLE, seconds=NUMBER, train_command=STRING, evaluate_command=STRING
        ),
        "SavedCorrection": json_object(
            id=STRING,
            manifest=nullable("string", enum=["train.jsonl", "test.jsonl"]),
            duration=NUMBER,
            utterances=WHOLE,
            words=list_of(json_object(word=STRING, start=NUMBER, end=NUMBER, score=NUMBER)),
            problem=text,
            summary=ref("CorrectionSummary"),
        ),
        "PageSettings": json_object(
            model=STRING, language=text, language_name=STRING, needs_key={"type": "boolean"},
            saves_corrections={"type": "boolean"}, sample_rate=WHOLE,
        ),
        "Error": json_object(error=json_object(message=STRING, type=STRING, param=text, code=text)),
    }  # fmt: skip
