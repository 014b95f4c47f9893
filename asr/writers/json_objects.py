"""JSON: one document (json) or one line (jsonl) per recording, with times, segments and scores."""

from __future__ import annotations

import json
from typing import Any

from asr.text.transcript import Transcript
from asr.writers.writer import Context, Writer


def transcript_object(transcript: Transcript, name: str | None = None) -> dict[str, Any]:
    """A transcript as a JSON object; times in seconds, the score a natural log-probability.

    Text, segments and words are plain; `written` has them as srt and vtt show them, with capitals and punctuation,
    where a model predicts these. With the id that a manifest gave the recording, the object is
    a row that `asr evaluate hypotheses=` joins to the manifest.
    """
    result: dict[str, Any] = {} if name is None else {"id": name}
    result["audio_filepath"] = transcript.path
    if transcript.offset is not None:
        result["offset"] = transcript.offset
    result |= {
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "score": round(transcript.score, 4),
        **_parts(transcript),
    }
    if transcript.written is not None:
        result["written"] = {"text": transcript.written.text, **_parts(transcript.written)}
    if transcript.alternatives:
        result["alternatives"] = list(transcript.alternatives)
    return result


def _parts(transcript: Transcript) -> dict[str, Any]:
    return {
        "segments": [{"start": one.start, "end": one.end, "text": one.text} for one in transcript.segments],
        "words": [
            {"text": word.text, "start": word.start, "end": word.end}
            | ({} if word.confidence is None else {"confidence": word.confidence})
            for word in transcript.words
        ],
    }


def json_text(value: Any, *, indent: int | None) -> str:
    """JSON that ends in a line feed; an unpaired surrogate, as in a file name that is not valid text, is escaped."""
    return json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace").decode() + "\n"


def _json(transcript: Transcript, context: Context) -> str:
    return json_text(transcript_object(transcript, context.name), indent=2)


def _jsonl(transcript: Transcript, context: Context) -> str:
    return json_text(transcript_object(transcript, context.name), indent=None)


WRITERS = {
    "json": Writer(_json, ".json", appendable=True),
    "jsonl": Writer(_jsonl, ".jsonl", appendable=True),
}
