"""Tags of music players, before, after and between recordings: ID3, APE, Lyrics3."""

from __future__ import annotations

import re

from asr.audio.formats.source import Source

_LYRICS_END = re.compile(rb"LYRICS200|LYRICSEND")


def is_tag(data: bytes) -> bool:
    """Whether a tag begins with these bytes, at least 11."""
    return _is_id3(data) or data.startswith((b"TAG", b"APETAGEX", b"LYRICSBEGIN"))


def after_tags(source: Source, position: int) -> int:
    """The first position from this one on at which no tag begins."""
    while True:
        data = source.read(position, 32)
        if _is_id3(data):
            high, upper, lower, low = data[6:10]
            position += 10 + (high << 21 | upper << 14 | lower << 7 | low) + (10 if data[5] & 0x10 else 0)
        elif data.startswith(b"TAG+"):
            position += 227
        elif data.startswith(b"TAG"):
            position += 128
        elif data.startswith(b"APETAGEX") and len(data) == 32:
            position += 32 + int.from_bytes(data[12:16], "little")
        elif data.startswith(b"LYRICSBEGIN"):
            position = min(source.find(_LYRICS_END, position) + 9, source.size)
        else:
            return min(position, source.size)


def _is_id3(data: bytes) -> bool:
    return data.startswith(b"ID3") and len(data) >= 10 and data[3] < 0x10 and max(data[6:10]) < 0x80
