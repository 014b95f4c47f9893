"""Transcripts in the response formats of OpenAI's `/v1/audio/transcriptions`."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Sequence
from math import ceil, log
from typing import Any

from asr.text.transcript import Segment, Transcript, Word
from asr.text.words import spaces_before

# The numbers of Whisper's segments: `seek` counts frames of 10 ms.
_SEEK_PER_SECOND = 100
_LEAST_CONFIDENCE = 1e-6


def json_answer(transcript: Transcript, *, logprobs: bool) -> dict[str, Any]:
    """The format `json`.

    Parameters
    ----------
    transcript : Transcript
    logprobs : bool
        Whether to add the log-probabilities of the words.
    """
    answer: dict[str, Any] = {"text": transcript.text}
    if logprobs:
        answer["logprobs"] = word_logprobs(transcript.text, transcript.words)
    return answer | {"usage": usage(transcript)}


def verbose_answer(
    transcript: Transcript, *, language: str, temperature: float, granularities: Collection[str]
) -> dict[str, Any]:
    """The format `verbose_json`.

    Parameters
    ----------
    transcript : Transcript
    language : str
        Its English name, in lower case.
    temperature : float
        Of the request; it has no effect.
    granularities : collection of str
        "word" adds words. Segments are there unless "word" alone was asked for.
    """
    answer: dict[str, Any] = {
        "task": "transcribe",
        "language": language,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
    }
    if "segment" in granularities or "word" not in granularities:
        answer["segments"] = [
            _segment(number, segment, temperature) for number, segment in enumerate(transcript.segments)
        ]
    if "word" in granularities:
        answer["words"] = [
            {"word": word.text, "start": word.start, "end": word.end}
            | ({} if word.confidence is None else {"confidence": word.confidence})
            for word in transcript.words
        ]
    return answer | {"usage": usage(transcript)}


def _segment(number: int, segment: Segment, temperature: float) -> dict[str, Any]:
    """A segment with all fields of Whisper's, which its clients require."""
    content = segment.text.encode()
    return {
        "id": number,
        "seek": round(segment.start * _SEEK_PER_SECOND),
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": [],  # there are none
        "temperature": temperature,
        "avg_logprob": round(_mean_logprob(segment.words), 4),
        "compression_ratio": round(len(content) / len(zlib.compress(content)), 4),
        "no_speech_prob": 0.0,  # a segment is made of recognised words
    }


def _mean_logprob(words: tuple[Word, ...]) -> float:
    """The mean log-probability that a word is right; 0 where the model has no calibrated confidences."""
    known = [_logprob(word) for word in words if word.confidence is not None]
    return sum(known) / len(known) if known else 0.0


def _logprob(word: Word) -> float:
    return log(max(word.confidence or 0.0, _LEAST_CONFIDENCE))


def word_logprobs(text: str, words: Sequence[Word]) -> list[dict[str, Any]]:
    """The words of a text as tokens, with the natural logarithm of their confidences; none where the model has none."""
    return [
        {"token": space + word.text, "logprob": round(_logprob(word), 4), "bytes": list((space + word.text).encode())}
        for space, word in zip(spaces_before(text, [word.text for word in words]), words, strict=True)
        if word.confidence is not None
    ]


def usage(transcript: Transcript) -> dict[str, Any]:
    """What the request counts: whole seconds of audio."""
    return {"type": "duration", "seconds": ceil(transcript.duration)}


def delta_event(delta: str, *, end: float | None = None) -> bytes:
    """A piece of text of a stream, which follows those before it; with the second at which it ends, if given."""
    event: dict[str, Any] = {"type": "transcript.text.delta", "delta": delta}
    return server_event(event if end is None else event | {"end": end})


def done_event(answer: dict[str, Any]) -> bytes:
    """The last event of a stream: the answer that a request without a stream gets."""
    return server_event({"type": "transcript.text.done"} | answer)


END_OF_STREAM = b"data: [DONE]\n\n"


def server_event(value: dict[str, Any]) -> bytes:
    """A message of `text/event-stream`."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
