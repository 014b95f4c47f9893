"""Subtitles: SubRip (srt), WebVTT (vtt), and a table of them (tsv)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from asr.text.transcript import Segment, Transcript
from asr.writers.writer import Context, Writer

VTT_HEADER = "WEBVTT\n\n"
# Text that players of SubRip files take for markup (<i>, {\an8}, \N) or for a time (00:00:01,000). The format has no
# escapes, so the character is replaced by its full-width form, which looks the same.
_SRT_MARKUP = re.compile(r"<(?=.*>)|\{(?=.*\})|\\(?=[Nnh])|(?:(?<=\d:\d)|(?<=\d:\d\d)):(?=\d{1,2}[.,]\d)", re.DOTALL)
_WIDE = {"<": "\uff1c", "{": "\uff5b", "\\": "\uff3c", ":": "\uff1a"}


def _srt(transcript: Transcript, context: Context) -> str:
    return "\n".join(srt_cues(transcript.segments))


def _vtt(transcript: Transcript, context: Context) -> str:
    return VTT_HEADER + "\n".join(vtt_cues(transcript.segments))


def _tsv(transcript: Transcript, context: Context) -> str:
    """Start and end in milliseconds."""
    rows = [f"{1000 * one.start:.0f}\t{1000 * one.end:.0f}\t{one.text}\n" for one in transcript.segments]
    return "".join(["start\tend\ttext\n", *rows])


def srt_cues(segments: Sequence[Segment], *, first: int = 1) -> list[str]:
    """The cues of a SubRip file, numbered from `first`; an empty line separates them."""
    return _cues(segments, first, ",", _srt_text)


def vtt_cues(segments: Sequence[Segment], *, first: int = 1) -> list[str]:
    """The cues of a WebVTT file, numbered from `first`; an empty line separates them, `VTT_HEADER` precedes them."""
    return _cues(segments, first, ".", _vtt_text)


def _cues(segments: Sequence[Segment], first: int, point: str, escape: Callable[[str], str]) -> list[str]:
    return [
        f"{number}\n{_clock(one.start, point)} --> {_clock(one.end, point)}\n{escape(chr(10).join(one.lines))}\n"
        for number, one in enumerate(segments, start=first)
    ]


def _srt_text(text: str) -> str:
    return _SRT_MARKUP.sub(lambda match: _WIDE[match[0]], text.replace("-->", "->"))


def _vtt_text(text: str) -> str:
    """With the escapes of WebVTT, which also leave no arrow `-->`."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(1000 * seconds)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"


WRITERS = {
    "srt": Writer(_srt, ".srt", for_people=True),
    "vtt": Writer(_vtt, ".vtt", for_people=True),
    "tsv": Writer(_tsv, ".tsv", for_people=True),
}
