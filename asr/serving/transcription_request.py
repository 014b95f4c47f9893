"""The parameters of `/v1/audio/transcriptions`: every one that OpenAI documents is used, accepted or refused here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from asr.errors import ConfigError
from asr.serving.languages import language_name, primary
from asr.serving.messages import Fields
from asr.serving.prompt_words import prompt_phrases
from asr.serving.refusals import ApiError
from asr.serving.service import Service
from asr.settings.checks import shown


class ResponseFormat(Enum):
    """The format of an answer, by the names of OpenAI."""

    json = "json"
    text = "text"
    srt = "srt"
    vtt = "vtt"
    verbose_json = "verbose_json"


GRANULARITIES = ("word", "segment")
_DIARIZED = "diarized_json"
# Of OpenAI's parameters, those for models that separate speakers.
_SPEAKERS = ("known_speaker_names", "known_speaker_references")
_CHUNKING = "chunking_strategy"
_CHUNKING_PART = re.compile(rf"{_CHUNKING}\[(\w{{1,40}})\]")
_ARRAYS = ("timestamp_granularities", "include", "keywords", "languages")
_VALUES = ("model", "language", "prompt", "response_format", "temperature", "stream", _CHUNKING)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, kw_only=True)
class TranscriptionRequest:
    """The parameters of a request, checked."""

    format: ResponseFormat = ResponseFormat.json
    granularities: frozenset[str] = frozenset()
    logprobs: bool = False
    stream: bool = False
    temperature: float = 0.0
    language: str | None = None
    """its code"""
    keywords: tuple[str, ...] = ()
    prompt: str = ""


def read_parameters(fields: Sequence[tuple[str, str]], service: Service) -> TranscriptionRequest:
    """Check the values of a form.

    Parameters
    ----------
    fields : sequence of (name, value)
        Arrays have a value each, with or without brackets after the name.
    service : Service

    Raises
    ------
    ApiError
        400 for a parameter that OpenAI does not have, or a value that it cannot be; 404 for an unknown model.
    """
    values: dict[str, str] = {}
    chunking: dict[str, str] = {}
    arrays: dict[str, list[str]] = {name: [] for name in _ARRAYS}
    for name, value in fields:
        bare = name.removesuffix("[]")
        if bare in arrays:
            arrays[bare].append(value)
        elif name in _VALUES:
            values[name] = value
        elif found := _CHUNKING_PART.fullmatch(name):
            chunking[found[1]] = value
        elif bare in _SPEAKERS:
            raise ApiError(
                400,
                f"{bare} is for models that separate speakers, and {service.model!r} does not.",
                code="unsupported_parameter",
                param=bare,
            )
        else:
            raise ApiError(400, f"Unrecognized request argument supplied: {name}", param=name)
    if "model" not in values:
        raise ApiError(400, f"You must provide a model parameter, such as {service.model!r}.", param="model")
    service.check_model(values["model"])
    _check_chunking(values.get(_CHUNKING), chunking)
    if values.get("response_format") == _DIARIZED:
        raise ApiError(
            400,
            f"response_format {_DIARIZED!r} is for models that separate speakers, and {service.model!r} does not: "
            "choose json, or verbose_json for times.",
            code="unsupported_value",
            param="response_format",
        )
    wanted = TranscriptionRequest(
        format=_format(values.get("response_format", "json")),
        granularities=frozenset(arrays["timestamp_granularities"]),
        logprobs="logprobs" in arrays["include"],
        stream=_truth("stream", values.get("stream", "false")),
        temperature=_temperature(values.get("temperature", "0")),
        language=_language(values.get("language"), arrays["languages"], service),
        keywords=tuple(arrays["keywords"]),
        prompt=values.get("prompt", ""),
    )
    for name, allowed in (("timestamp_granularities", GRANULARITIES), ("include", ("logprobs",))):
        for value in arrays[name]:
            if value not in allowed:
                raise _invalid(name, value, f"one of {', '.join(allowed)}")
    if wanted.granularities and wanted.format is not ResponseFormat.verbose_json:
        raise ApiError(
            400, "timestamp_granularities needs response_format=verbose_json.", param="timestamp_granularities"
        )
    if wanted.logprobs and wanted.format is not ResponseFormat.json:
        raise ApiError(400, "include[]=logprobs needs response_format=json.", param="include")
    if wanted.stream and wanted.format in (ResponseFormat.srt, ResponseFormat.vtt):
        raise ApiError(400, "stream=true needs response_format=json, text or verbose_json.", param="stream")
    return wanted


def _check_chunking(value: str | None, parts: Mapping[str, str]) -> None:
    """Check how a recording shall be cut, which has no effect: every recording is cut at its pauses.

    Parameters
    ----------
    value : str, optional
        "auto", or an object as JSON.
    parts : mapping
        The object as fields with brackets, as clients of OpenAI send it.
    """
    given: dict[str, object] = dict(parts)
    if value is not None and value != "auto":
        try:
            decoded = json.loads(value)
        except (ValueError, RecursionError):
            decoded = None
        if not isinstance(decoded, dict):
            raise _invalid(_CHUNKING, value, "auto, or an object with type=server_vad")
        given |= decoded
    elif not given:
        return
    for name in ("prefix_padding_ms", "silence_duration_ms", "threshold"):
        if isinstance(text := given.get(name), str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
            given[name] = float(text)
    fields = Fields(given, _CHUNKING)
    if fields.text("type", one_of=("server_vad",)) is None:
        fields.refuse("type", "is missing: it must be server_vad")
    for name in ("prefix_padding_ms", "silence_duration_ms"):
        fields.whole(name, 0, 3_600_000)
    fields.number("threshold", 0, 1)
    fields.refuse_unknown()


def _format(value: str) -> ResponseFormat:
    try:
        return ResponseFormat(value)
    except ValueError:
        raise _invalid("response_format", value, f"one of {', '.join(one.value for one in ResponseFormat)}") from None


def _truth(name: str, value: str) -> bool:
    try:
        return _TRUTH[value.lower()]
    except KeyError:
        raise _invalid(name, value, "true or false") from None


def _temperature(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise _invalid("temperature", value, "a number between 0 and 1")
    return number


def _language(value: str | None, several: list[str], service: Service) -> str | None:
    """The language of a request: one that the model writes, if it is known."""
    given = [one for one in (value, *several) if one]
    for one in given:
        if not _LANGUAGE.fullmatch(one):
            raise _invalid("language", one, "a code such as en")
    codes = [primary(one) for one in given]
    if codes and service.language is not None and service.language not in codes:
        raise ApiError(
            400,
            f"The model {service.model!r} writes {language_name(service.language)} ({service.language}), "
            f"not {', '.join(codes)}.",
            code="unsupported_language",
            param="language",
        )
    return service.language or (codes[0] if codes else None)


def _invalid(name: str, value: str, wanted: str) -> ApiError:
    return ApiError(400, f"{name} must be {wanted}, not {shown(value)}.", code="invalid_value", param=name)


def hotwords(wanted: TranscriptionRequest, service: Service) -> tuple[str, ...]:
    """The hot words of a request: its keywords, and the names in its prompt that the model can write.

    Raises
    ------
    ApiError
        400 for a keyword that the model cannot write.
    """
    found = []
    for phrase in wanted.keywords:
        try:
            found.append(service.hotword(phrase))
        except ConfigError as error:
            raise ApiError(400, f"keywords: {error}", code="invalid_value", param="keywords") from None
    for phrase in prompt_phrases(wanted.prompt):
        with suppress(ConfigError):  # a prompt may be about anything
            found.append(service.hotword(phrase))
    return tuple(dict.fromkeys(found))
