"""The formats of transcripts and of live recognition."""

from __future__ import annotations

from asr.settings.checks import ConfigEnum


class TranscriptFormat(ConfigEnum):
    """The output format of a transcript."""

    txt = "txt"
    json = "json"
    jsonl = "jsonl"
    srt = "srt"
    vtt = "vtt"
    tsv = "tsv"
    ctm = "ctm"
    stm = "stm"
    textgrid = "textgrid"


class WrittenForm(ConfigEnum):
    """How text for people is written."""

    plain = "plain"
    punctuated = "punctuated"
    full = "full"


class LiveFormat(ConfigEnum):
    """The output format of live recognition."""

    text = "text"
    jsonl = "jsonl"
    vtt = "vtt"
    srt = "srt"
