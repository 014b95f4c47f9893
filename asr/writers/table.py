"""Writes transcripts: plain text, JSON, subtitles, and the formats of speech research."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr.errors import ConfigError
from asr.settings.transcripts import TranscriptFormat
from asr.text.segments import Segment, make_segments
from asr.text.transcript import Transcript, Word


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
    """JSON that ends in a line feed; half a surrogate pair, as in a file name that is no valid text, is escaped."""
    return json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace").decode() + "\n"


def mark_doubtful(transcript: Transcript, below: float) -> Transcript:
    """Put words whose confidence is lower into brackets, with a question mark: `[word?]`."""
    words = tuple(
        replace(word, text=f"[{word.text}?]") if word.confidence is not None and word.confidence < below else word
        for word in transcript.words
    )
    text = "".join(space + word.text for space, word in zip(transcript.spaces, words, strict=True))
    return replace(transcript, words=words, text=text)


def format_transcript(
    transcript: Transcript, kind: TranscriptFormat, name: str | None = None, *, channel: str = "mix"
) -> str:
    """A transcript as the content of a file, ending in a line feed.

    Parameters
    ----------
    transcript : Transcript
    kind : TranscriptFormat
        One of `WRITERS`.
    name : str, optional
        The recording's id; its file name without suffix by default.
    channel : str
        The channel that was transcribed.
    """
    return WRITERS[kind].write(transcript, name, channel)


def _segments(transcript: Transcript) -> list[Segment]:
    return make_segments(transcript.words, separator=transcript.spaces)


def _line(text: str) -> str:
    """A text as valid Unicode in one line: white space and control characters become single spaces.

    Half a surrogate pair, which cannot be written in any encoding, becomes the replacement character U+FFFD.
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return " ".join("".join(" " if unicodedata.category(one) == "Cc" else one for one in text).split())


def _json(transcript: Transcript, name: str | None, channel: str) -> str:
    return json_text(transcript_object(transcript, name), indent=2)


def _json_line(transcript: Transcript, name: str | None, channel: str) -> str:
    return json_text(transcript_object(transcript, name), indent=None)


def _text(transcript: Transcript, name: str | None, channel: str) -> str:
    return _line(transcript.text) + "\n"


def _srt(transcript: Transcript, name: str | None, channel: str) -> str:
    return _subtitles(transcript, ",", _srt_text)


def _vtt(transcript: Transcript, name: str | None, channel: str) -> str:
    return "WEBVTT\n\n" + _subtitles(transcript, ".", _vtt_text)


def _subtitles(transcript: Transcript, point: str, escape: Callable[[str], str]) -> str:
    blocks: list[str] = []
    for one in _segments(transcript):
        # An empty line would end the subtitle.
        text = escape("\n".join(line for given in one.lines if (line := _line(given))))
        if text:
            times = f"{_clock(one.start, point)} --> {_clock(one.end, point)}"
            blocks.append(f"{len(blocks) + 1}\n{times}\n{text}\n")
    return "\n".join(blocks)


# What players of SubRip files take for markup (<i>, {\an8}, \N) or for a time (00:00:01,000). The format
# has no escapes: a wide form of the character shows as the text is.
_SRT_MARKUP = re.compile(r"<(?=.*>)|\{(?=.*\})|\\(?=[Nnh])|(?:(?<=\d:\d)|(?<=\d:\d\d)):(?=\d{1,2}[.,]\d)", re.DOTALL)
_WIDE = {"<": "\uff1c", "{": "\uff5b", "\\": "\uff3c", ":": "\uff1a"}


def _srt_text(text: str) -> str:
    return _SRT_MARKUP.sub(lambda match: _WIDE[match[0]], text.replace("-->", "->"))


def _vtt_text(text: str) -> str:
    """With the escapes of WebVTT, after which no arrow `-->` is left either."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"


def _tsv(transcript: Transcript, name: str | None, channel: str) -> str:
    rows = [f"{1000 * one.start:.0f}\t{1000 * one.end:.0f}\t{_line(one.text)}\n" for one in _segments(transcript)]
    return "".join(["start\tend\ttext\n", *rows])


def _nist_fields(transcript: Transcript, name: str | None, channel: str) -> tuple[str, str]:
    """Recording and channel, in formats whose fields are separated by spaces and whose comments begin with `;;`."""
    recording = "_".join(_line(name or Path(transcript.path).stem).split()) or "recording"
    return re.sub("^;", "_", recording), "1" if channel == "mix" else channel


def _ctm(transcript: Transcript, name: str | None, channel: str) -> str:
    fields = " ".join(_nist_fields(transcript, name, channel))
    return "".join(
        f"{fields} {token.start:.3f} {token.end - token.start:.3f} {token.text}"
        + ("" if token.confidence is None else f" {token.confidence:.3f}")
        + "\n"
        for word in transcript.words
        for token in _tokens(word)
    )


def _tokens(word: Word) -> list[Word]:
    """What a word with white space inside is made of, as a known text has words with a dash or a number beside them.

    The time is that of the first token with a letter; the others take none, before and behind it.
    """
    texts = _line(word.text).split()
    said = next((place for place, text in enumerate(texts) if any(map(str.isalpha, text))), 0)
    return [
        replace(
            word,
            text=text,
            start=word.start if place <= said else word.end,
            end=word.start if place < said else word.end,
        )
        for place, text in enumerate(texts)
    ]


def _stm(transcript: Transcript, name: str | None, channel: str) -> str:
    recording, number = _nist_fields(transcript, name, channel)
    rows = []
    for one in _segments(transcript):
        # What begins with < would be read as the label that may stand before the text.
        text = _line(one.text)
        label = "<o> " if text.startswith("<") else ""
        rows.append(f"{recording} {number} {recording} {one.start:.3f} {one.end:.3f} {label}{text}\n")
    return "".join(rows)


def _text_grid(transcript: Transcript, name: str | None, channel: str) -> str:
    segments = _segments(transcript)
    end = max([transcript.duration, *(one.end for one in segments), *(word.end for word in transcript.words)])
    tiers = [
        ("words", [(word.start, word.end, _line(word.text)) for word in transcript.words]),
        ("segments", [(one.start, one.end, _line(one.text)) for one in segments]),
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
                f"            xmin = {start / 1000:.3f}",
                f"            xmax = {stop / 1000:.3f}",
                f'            text = "{quoted}"',
            ]
    return "\n".join(lines) + "\n"


def _without_gaps(intervals: Sequence[tuple[float, float, str]], end: float) -> list[tuple[int, int, str]]:
    """Intervals in milliseconds that cover a tier from 0 to its end, as Praat wants it, each of some length.

    One begins where the last one ends at the earliest. What has no time left joins the text of the last one.
    """
    filled: list[tuple[int, int, str]] = []
    position, last = 0, max(round(1000 * end), 1)
    for begin, finish, text in intervals:
        start = min(max(round(1000 * begin), position), last - 1)
        stop = min(max(round(1000 * finish), start + 1), last)
        if start < position or (filled and round(1000 * finish) <= position):
            filled[-1] = (*filled[-1][:2], f"{filled[-1][2]} {text}")
            continue
        if start > position:
            filled.append((position, start, ""))
        filled.append((start, stop, text))
        position = stop
    if last > position:
        filled.append((position, last, ""))
    return filled


@dataclass(frozen=True, slots=True)
class Writer:
    """An output format."""

    write: Callable[[Transcript, str | None, str], str]
    """a file's content, from a transcript, the recording's id (None is its file name) and the channel"""
    suffix: str
    """of file names"""
    appendable: bool = False
    """whether several recordings share one document"""


WRITERS = {
    TranscriptFormat.txt: Writer(_text, ".txt", appendable=True),
    TranscriptFormat.json: Writer(_json, ".json", appendable=True),
    TranscriptFormat.jsonl: Writer(_json_line, ".jsonl", appendable=True),
    TranscriptFormat.srt: Writer(_srt, ".srt"),
    TranscriptFormat.vtt: Writer(_vtt, ".vtt"),
    TranscriptFormat.tsv: Writer(_tsv, ".tsv"),
    TranscriptFormat.ctm: Writer(_ctm, ".ctm", appendable=True),
    TranscriptFormat.stm: Writer(_stm, ".stm", appendable=True),
    TranscriptFormat.textgrid: Writer(_text_grid, ".TextGrid"),
}
"""every format: text; JSON (see `transcript_object`), a document or a line a recording; subtitles (SubRip, WebVTT); a
table of subtitles, times in milliseconds; words and segments for NIST's scoring programs; words and segments as tiers
for Praat"""

APPENDABLE = frozenset(kind for kind, writer in WRITERS.items() if writer.appendable)
"""formats of which several recordings share one document"""


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
    suffix = WRITERS[kind].suffix
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
