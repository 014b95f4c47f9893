"""OpenAI's API for recordings: `/v1/audio/transcriptions` and `/v1/models`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from asr.errors import AudioError, ConfigError, PoolClosedError, PoolFullError, WorkerEndedError
from asr.recognition.pool_jobs import RecordingOptions
from asr.recognition.pool_worker import DecodedStretch
from asr.serving import openai_answers as answers
from asr.serving.languages import language_name
from asr.serving.refusals import ApiError, busy, crashed, stopping
from asr.serving.service import Service, caller_of, service_of
from asr.serving.stopping import unless_stopped
from asr.serving.transcription_request import ResponseFormat, TranscriptionRequest, hotwords, read_parameters
from asr.serving.uploads import receive_upload
from asr.text.transcript import Transcript
from asr.writers.table import write

_log = logging.getLogger(__name__)


_PLAIN = {ResponseFormat.text: "txt", ResponseFormat.srt: "srt", ResponseFormat.vtt: "vtt"}
"""answers without JSON, and their output formats"""


def routes() -> list[BaseRoute]:
    """The routes of this API."""
    return [
        Route("/v1/audio/transcriptions", create_transcription, methods=["POST"]),
        Route("/v1/audio/translations", create_translation, methods=["POST"]),
        Route("/v1/models", list_models),
        Route("/v1/models/{model:path}", show_model),
    ]


async def create_transcription(request: Request) -> Response:
    """`POST /v1/audio/transcriptions`."""
    service = service_of(request)
    limits = service.settings.limits
    service.refuse_if_stopping()
    service.refuse_if_full()
    async with AsyncExitStack() as stack:
        waiting = service.pool.load.wait_seconds
        stack.enter_context(service.open_requests.one_more(caller_of(request), wait_seconds=waiting))
        arriving = receive_upload(
            request, service.folder, most_bytes=round(1e6 * limits.megabytes), idle_seconds=limits.idle_seconds
        )
        upload = stack.enter_context(await unless_stopped(service.stop, None, arriving))
        wanted = read_parameters(upload.fields, service)
        if upload.path is None:
            raise ApiError(400, "The form has no field `file`: send the recording in it.", param="file")
        options = RecordingOptions(decoder=service.decoder(hotwords(wanted, service)))
        service.refuse_if_full()  # others may have come while this one arrived
        if wanted.stream:
            events = _events(service, request, upload.path, wanted, options)
            first = await anext(events)  # an error before it is an answer with its own status
            return _EventStream(first, events, stack.pop_all())
        transcript = await _transcribe(service, request, upload.path, options)
    return _answer(transcript, wanted, service)


async def create_translation(_request: Request) -> Response:
    """`POST /v1/audio/translations`: there is no model that translates."""
    raise ApiError(
        400,
        "The models of this server do not translate. Send the recording to /v1/audio/transcriptions.",
        code="unsupported_operation",
    )


async def list_models(request: Request) -> Response:
    """`GET /v1/models`."""
    service = service_of(request)
    return JSONResponse({"object": "list", "data": [_model_object(service, service.model)]})


async def show_model(request: Request) -> Response:
    """`GET /v1/models/{model}`."""
    service = service_of(request)
    name = request.path_params["model"]
    service.check_model(name)
    return JSONResponse(_model_object(service, name))


def _model_object(service: Service, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": service.created, "owned_by": "asr"}


async def _transcribe(
    service: Service,
    request: Request,
    path: Path,
    options: RecordingOptions,
    on_segment: Callable[[DecodedStretch], object] | None = None,
) -> Transcript:
    """Transcribe a recording, unless its client goes or the server ends."""
    try:
        transcript = await unless_stopped(
            service.stop, request, service.pool.transcribe(path, options, on_segment=on_segment)
        )
        return await service.written(transcript, options.decoder)
    except AudioError as error:
        # Without the path, which is ours.
        message = f"The recording cannot be read: {error.reason}."
        raise ApiError(400, message, code="invalid_audio", param="file") from None
    except ConfigError as error:
        if options.decoder is None:
            raise
        # A word without a pronunciation, which only the decoder knows.
        raise ApiError(400, f"keywords: {error}", code="invalid_value", param="keywords") from None
    except PoolFullError as error:
        raise busy("The server is busy.", code="server_busy", wait_seconds=service.pool.load.wait_seconds) from error
    except PoolClosedError:
        raise stopping() from None
    except WorkerEndedError as error:
        _log.error("a worker ended: %s", error)
        raise crashed() from None


def _answer(transcript: Transcript, wanted: TranscriptionRequest, service: Service) -> Response:
    if wanted.format in _PLAIN:
        return PlainTextResponse(write(transcript, _PLAIN[wanted.format]))
    return JSONResponse(_json_answer(transcript, wanted))


def _json_answer(transcript: Transcript, wanted: TranscriptionRequest) -> dict[str, Any]:
    if wanted.format is not ResponseFormat.verbose_json:
        return answers.json_answer(transcript, logprobs=wanted.logprobs)
    return answers.verbose_answer(
        transcript,
        language=language_name(wanted.language or "unknown"),
        temperature=wanted.temperature,
        granularities=wanted.granularities,
    )


async def _events(
    service: Service, request: Request, path: Path, wanted: TranscriptionRequest, options: RecordingOptions
) -> AsyncGenerator[bytes]:
    """The messages of a stream: the text as it becomes final, in plain words, then the whole as it is written."""
    pieces: asyncio.Queue[DecodedStretch | None] = asyncio.Queue()
    job = asyncio.ensure_future(_transcribe(service, request, path, options, pieces.put_nowait))
    job.add_done_callback(lambda _: pieces.put_nowait(None))
    texts, sent = list[str](), ""
    try:
        while (piece := await pieces.get()) is not None:
            texts.append(piece.text)
            text = service.bundle.alphabet.join(texts)
            if delta := text.removeprefix(sent):
                sent = text
                is_verbose = wanted.format is ResponseFormat.verbose_json
                yield answers.delta_event(delta, end=piece.words[-1].end if is_verbose and piece.words else None)
        transcript = await job
    except ApiError as error:
        if not sent:
            raise
        yield answers.server_event(error.to_json())
        return
    finally:
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
    yield answers.done_event(_json_answer(transcript, wanted))
    yield answers.END_OF_STREAM


class _EventStream(StreamingResponse):
    """Sends messages as they come, and closes what they need afterwards, also if the client goes."""

    media_type = "text/event-stream"

    def __init__(self, first: bytes, events: AsyncGenerator[bytes], needs: AsyncExitStack) -> None:
        super().__init__(self._content(first, events), headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._events, self._needs = events, needs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._needs:
            try:
                await super().__call__(scope, receive, send)
            finally:
                await self._events.aclose()

    @staticmethod
    async def _content(first: bytes, events: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        yield first
        async for event in events:
            yield event
