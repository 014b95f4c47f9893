"""`/v1/corrections`: saves recordings with corrected texts, where the server was started with `data_dir=`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from asr.errors import AudioError, ManifestError, OutputError
from asr.processes import ChildEndedError
from asr.serving.corrections import Correction, Corrections
from asr.serving.realignment import AlignRequest
from asr.serving.refusals import SERVER_ERROR, ApiError, crashed
from asr.serving.service import Service, caller_of, service_of
from asr.serving.stopping import unless_stopped
from asr.serving.uploads import Upload, receive_upload

_log = logging.getLogger(__name__)

_FIELDS = ("text", "recognised", "name", "speaker")
_MOST_NAMED = 5


def routes() -> list[BaseRoute]:
    """The routes of this module."""
    # One route, whose answer to other methods names both.
    return [Route("/v1/corrections", corrections, methods=["GET", "POST"])]


async def corrections(request: Request) -> Response:
    """`/v1/corrections`."""
    return await (save_correction if request.method == "POST" else show_summary)(request)


async def show_summary(request: Request) -> Response:
    """`GET /v1/corrections`: how many there are, and the commands that use them."""
    return JSONResponse(await _summary(_corrections(service_of(request))))


async def save_correction(request: Request) -> Response:
    """`POST /v1/corrections`: a form with the recording (`file`) and its right `text`."""
    service = service_of(request)
    folder, limits = _corrections(service), service.settings.limits
    with service.open_requests.one_more(caller_of(request), wait_seconds=service.pool.load.wait_seconds):
        most = int(limits.megabytes * 1e6)
        arriving = receive_upload(request, service.folder, most_bytes=most, idle_seconds=limits.idle_seconds)
        with await unless_stopped(service.stop, None, arriving) as upload:
            return await _save(request, service, folder, upload)


async def _save(request: Request, service: Service, folder: Corrections, upload: Upload) -> Response:
    fields = _fields(upload.fields)
    if upload.path is None:
        raise ApiError(400, "The form has no field `file`: send the recording in it.", param="file")
    try:
        # What is aligned is stored, also if the request ends meanwhile.
        work = service.aligner.align(AlignRequest(upload.path, fields["text"]))
        aligned = await unless_stopped(service.stop, request, work)
    except AudioError as error:
        message = f"The recording cannot be read: {error.reason}."
        raise ApiError(400, message, code="invalid_audio", param="file") from None
    except (ChildEndedError, TimeoutError) as error:
        _log.error("the process that aligns corrections ended: %s", error)
        raise crashed() from None
    if aligned.unknown:
        named = ", ".join(dict.fromkeys(aligned.unknown[:_MOST_NAMED]))
        raise ApiError(
            400,
            f"The model {service.model!r} cannot write these words, so it cannot learn from them: {named}. "
            "Write them as they are spoken, in letters.",
            code="unknown_characters",
            param="text",
        )
    correction = Correction(
        name=fields["name"] or upload.name,
        text=fields["text"],
        recognised=fields["recognised"],
        model=service.model,
        duration=aligned.duration,
        utterances=aligned.utterances,
        speaker=fields["speaker"] or None,
        problem=aligned.problem,
    )
    try:
        saved = await asyncio.to_thread(folder.add, upload.path, correction)
    except (OutputError, ManifestError) as error:
        raise ApiError(409, str(error), code="data_folder_changed") from None
    except OSError as error:
        _log.error("data_dir: %s", error)
        raise ApiError(
            503, f"The correction cannot be stored: {error.strerror}.", kind=SERVER_ERROR, code="cannot_store"
        ) from None
    answer = {
        "id": saved.id,
        "manifest": saved.manifest,
        "duration": round(aligned.duration, 3),
        "utterances": max(1, len(aligned.utterances)) if saved.manifest else 0,
        "words": [
            {"word": word.text, "start": word.start, "end": word.end, "score": word.confidence}
            for word in aligned.words
        ],
        "problem": aligned.problem,
        "summary": await _summary(folder),
    }
    return JSONResponse(answer, 201)


async def _summary(folder: Corrections) -> dict[str, Any]:
    try:
        summary = asdict(await asyncio.to_thread(folder.summary))
    except (ManifestError, OSError) as error:
        raise ApiError(409, f"The corrections cannot be read: {error}", code="data_folder_changed") from None
    return summary | {"seconds": round(summary["seconds"], 3)}


def _corrections(service: Service) -> Corrections:
    """Where corrections go.

    Raises
    ------
    ApiError
        404 if they go nowhere.
    """
    if service.corrections is None:
        raise ApiError(
            404, "This server saves no corrections: it was started without data_dir=FOLDER.", code="corrections_off"
        )
    return service.corrections


def _fields(given: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The values of the form.

    Raises
    ------
    ApiError
        400 for an unknown one, and for an empty text.
    """
    values = dict.fromkeys(_FIELDS, "")
    for name, value in given:
        if name not in values:
            raise ApiError(400, f"Unrecognized request argument supplied: {name}", param=name)
        values[name] = value.strip()
    if not values["text"]:
        raise ApiError(400, "The field `text` is empty: it is what is said in the recording.", param="text")
    return values
