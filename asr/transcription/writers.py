"""Writes transcripts: plain text, JSON, subtitles, and the formats of speech research."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr.config import TranscriptFormat
from asr.errors import ConfigError
from asr.transcription.segments import Segment, make_segments
from asr.transcription.transcriber import Transcript, Word

APPENDABLE = frozenset(
    [TranscriptFormat.txt, TranscriptFormat.json, TranscriptFormat.jsonl, TranscriptFormat.ctm, TranscriptFormat.stm]
)
"""formats of which several recordings share one document"""
_SUFFIXES = {TranscriptFormat.textgrid: ".TextGrid"}


def transcript_object(transcript: Transcript, name: str | None = None) -> dict[str, Any]:
    """A transcript as an object for JSON; times in seconds, the score a natural log-probability.

    With the id that a manifest gave the recording, it is a row that `asr evaluate hypotheses=` joins to the manifest.
    """
    result: dict[str, Any] = {} if name is None else {"id": name}
    result |= {
        "audio_filepath": transcript.path,
    }
    if transcript.offset is not None:
        result["offset"] = transcript.offset
    result |= {
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


def mark_doubtful(transcript: Transcript, below: float) -> Transcript:
    """Put words whose confidence is lower into brackets, with a question mark: `[word?]`."""
    words = tuple(
        replace(word, text=f"[{word.text}?]") if word.confidence is not None and word.confidence < below else word
        for word in transcript.words
    )
    return replace(transcript, words=words, text=_separator(transcript).join(word.text for word in words))


def format_transcript(
    transcript: Transcript, kind: TranscriptFormat, name: str | None = None, *, channel: str = "mix"
) -> str:
    """A transcript as the content of a file, ending in a line feed.

    Parameters
    ----------
    transcript : Transcript
    kind : TranscriptFormat
        `txt`: the text. `json`, `jsonl`: see `transcript_object`. `srt`, `vtt`: subtitles (SubRip, WebVTT). `tsv`: a
        table of subtitles, times in milliseconds. `ctm`, `stm`: words and segments for NIST's scoring programs.
        `textgrid`: words and segments as tiers for Praat.
    name : str, optional
        The recording's id; its file name without suffix by default.
    channel : str
        The channel that was transcribed.
    """
    if kind is TranscriptFormat.json:
        return json_text(transcript_object(transcript, name), indent=2)
    if kind is TranscriptFormat.jsonl:
        return json_text(transcript_object(transcript, name), indent=None)
    if kind is TranscriptFormat.txt:
        return transcript.text + "\n"
    segments = make_segments(transcript.words, separator=_separator(transcript))
    if kind is TranscriptFormat.srt:
        return _subtitles(segments, ",")
    if kind is TranscriptFormat.vtt:
        return "WEBVTT\n\n" + _subtitles(segments, ".")
    if kind is TranscriptFormat.tsv:
        rows = [f"{1000 * one.start:.0f}\t{1000 * one.end:.0f}\t{one.text}\n" for one in segments]
        return "".join(["start\tend\ttext\n", *rows])
    # NIST's formats part their fields by spaces.
    recording = "_".join((name or Path(transcript.path).stem or "recording").split())
    number = "1" if channel == "mix" else channel
    if kind is TranscriptFormat.ctm:
        return "".join(_ctm_line(word, f"{recording} {number}") for word in transcript.words)
    if kind is TranscriptFormat.stm:
        return "".join(
            f"{recording} {number} {recording} {one.start:.3f} {one.end:.3f} {one.text}\n" for one in segments
        )
    return _text_grid(transcript, segments)


def _separator(transcript: Transcript) -> str:
    """What stands between the words: nothing in scripts without spaces."""
    return "" if " " not in transcript.text and len(transcript.words) > 1 else " "


def _subtitles(segments: Sequence[Segment], point: str) -> str:
    blocks = [
        f"{number}\n{_clock(one.start, point)} --> {_clock(one.end, point)}\n{chr(10).join(one.lines)}\n"
        for number, one in enumerate(segments, 1)
    ]
    return "\n".join(blocks)


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"


def _ctm_line(word: Word, recording: str) -> str:
    confidence = "" if word.confidence is None else f" {word.confidence:.3f}"
    return f"{recording} {word.start:.3f} {word.end - word.start:.3f} {word.text}{confidence}\n"


def _text_grid(transcript: Transcript, segments: Sequence[Segment]) -> str:
    end = max([transcript.duration, *(one.end for one in segments)])
    tiers = [
        ("words", [(word.start, word.end, word.text) for word in transcript.words]),
        ("segments", [(one.start, one.end, one.text) for one in segments]),
    ]
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end:.3f}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (title, intervals) in enumerate(tiers, 1):
        filled = _without_gaps(intervals, end)
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f'        name = "{title}"',
            "        xmin = 0",
            f"        xmax = {end:.3f}",
            f"        intervals: size = {len(filled)}",
        ]
        for count, (start, stop, text) in enumerate(filled, 1):
            quoted = text.replace('"', '""')
            lines += [
                f"        intervals [{count}]:",
                f"            xmin = {start:.3f}",
                f"            xmax = {stop:.3f}",
                f'            text = "{quoted}"',
            ]
    return "\n".join(lines) + "\n"


def _without_gaps(intervals: Sequence[tuple[float, float, str]], end: float) -> list[tuple[float, float, str]]:
    """Praat wants a tier to be covered from 0 to its end, each interval of some length."""
    filled: list[tuple[float, float, str]] = []
    position = 0.0
    for start, stop, text in intervals:
        start = max(start, position)
        if start > position:
            filled.append((position, start, ""))
        if stop > start:
            filled.append((start, stop, text))
            position = stop
    if end > position or not filled:
        filled.append((position, end, ""))
    return filled


def output_paths(names: Sequence[Path], kind: TranscriptFormat, folder: Path) -> list[Path]:
    """Where the transcript of each recording goes.

    Parameters
    ----------
    names : sequence of Path
        Of the recordings, relative to the folders they were found in.
    kind : TranscriptFormat
    folder : Path

    Returns
    -------
    list of Path
        `talk.wav` becomes `talk.txt`, or `talk.wav.txt` where there is a `talk.mp3` too.

    Raises
    ------
    ConfigError
        If two recordings of one name would write the same file.
    """
    suffix = _SUFFIXES.get(kind, f".{kind.value}")
    taken = Counter(name.with_suffix(suffix) for name in names)
    relative = [
        name.with_suffix(suffix) if taken[name.with_suffix(suffix)] == 1 else name.with_name(name.name + suffix)
        for name in names
    ]
    twice = [str(path) for path, count in Counter(relative).items() if count > 1]
    if twice:
        raise ConfigError(
            f"two recordings would both be written to {folder / twice[0]}: name the folder above them instead, "
            "and their folders are kept apart"
        )
    return [folder / path for path in relative]
