"""Writes transcripts: plain text, JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asr.config import TranscribeConfig, TranscriptFormat
from asr.errors import ConfigError
from asr.transcription.transcriber import Transcript


def transcript_object(transcript: Transcript, name: str | None = None) -> dict[str, Any]:
    """A transcript as an object for JSON; times in seconds, the score a natural log-probability.

    With the id that a manifest gave the recording, it is a row that `asr evaluate hypotheses=` joins to the manifest.
    """
    result: dict[str, Any] = {} if name is None else {"id": name}
    result |= {
        "audio_filepath": transcript.path,
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "score": round(transcript.score, 4),
        "words": [
            {"text": word.text, "start": word.start, "end": word.end}
            | ({} if word.confidence is None else {"confidence": word.confidence})
            for word in transcript.words
        ],
    }
    if transcript.alternatives:
        result["alternatives"] = list(transcript.alternatives)
    return result


def json_text(value: Any, *, indent: int | None) -> str:
    """JSON that ends in a line feed; a file name that is no valid text is escaped."""
    return json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace").decode() + "\n"


def format_transcript(transcript: Transcript, kind: TranscriptFormat, name: str | None = None) -> str:
    """A transcript as the content of a file, ending in a line feed; `name` as in `transcript_object`."""
    if kind is TranscriptFormat.txt:
        return transcript.text + "\n"
    return json_text(transcript_object(transcript, name), indent=2 if kind is TranscriptFormat.json else None)


def output_paths(names: Sequence[Path], settings: TranscribeConfig) -> list[Path]:
    """Where the transcript of each recording goes.

    Parameters
    ----------
    names : sequence of Path
        Of the recordings, relative to the folders they were found in.
    settings : TranscribeConfig
        With an `output_dir`.

    Returns
    -------
    list of Path
        `talk.wav` becomes `talk.txt`, or `talk.wav.txt` where there is a `talk.mp3` too.

    Raises
    ------
    ConfigError
        If two recordings of one name would write the same file.
    """
    folder = Path(settings.output_dir or "").expanduser()
    suffix = f".{settings.format.value}"
    short = Counter(name.with_suffix(suffix) for name in names)
    relative = [
        name.with_suffix(suffix) if short[name.with_suffix(suffix)] == 1 else name.with_name(name.name + suffix)
        for name in names
    ]
    twice = [str(path) for path, count in Counter(relative).items() if count > 1]
    if twice:
        raise ConfigError(
            f"two recordings would both be written to {folder / twice[0]}: name the folder above them instead, "
            "and their folders are kept apart"
        )
    return [folder / path for path in relative]
