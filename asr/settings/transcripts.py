"""The formats of transcripts."""

from __future__ import annotations

from asr.settings.checks import ConfigEnum


class TranscriptFormat(ConfigEnum):
    """How a transcript is written."""

    txt = "txt"
    json = "json"
    jsonl = "jsonl"
    srt = "srt"
    vtt = "vtt"
    tsv = "tsv"
    ctm = "ctm"
    stm = "stm"
    textgrid = "textgrid"
