"""Inspects the structure of a recording's file before anything is decoded.

The policy for every container is the table in docs/audio-formats.md, which tests/audio/test_formats.py checks.
"""

from __future__ import annotations

import re
from pathlib import Path

from asr.audio.formats import counted, films, ogg, pcm, starts
from asr.audio.formats.link import Link
from asr.audio.formats.mpeg import first_frame, follow_each_other, mpeg
from asr.audio.formats.source import FileRange, Source, open_source
from asr.audio.formats.tags import after_tags

__all__ = ["FileRange", "Link", "find_frames", "find_links"]

_CONTAINERS: list[tuple[re.Pattern[bytes], counted.Reader]] = [
    (starts.WAV, pcm.wav),
    (starts.W64, pcm.w64),
    (starts.AIFF, pcm.aiff),
    (starts.AU, pcm.au),
    (starts.CAF, pcm.caf),
    (starts.SPHERE, pcm.sphere),
    (starts.MATROSKA, films.matroska),
    (starts.MP4, films.mp4),
    (starts.OLD_MOV, films.mp4),
    (starts.AVI, films.avi),
    (starts.FLV, films.flv),
    (starts.ASF, films.asf),
    (starts.FLAC, counted.flac),
    (starts.VOC, counted.voc),
    (starts.WAVPACK, counted.wavpack),
    (starts.IFF, counted.iff),
    (starts.MMF, counted.mmf),
    (starts.RM, counted.real_media),
    (starts.SWF, counted.swf),
    (starts.SOX, counted.sox),
    (starts.TTA, counted.counting("tta", starts.TTA, 14, "<")),
    (starts.ADX, counted.counting("adx", starts.ADX, 12, ">")),
    (starts.AMR, counted.repeating("amr", starts.AMR)),
    (starts.WTV, counted.repeating("wtv", starts.WTV)),
    (starts.NUT, counted.repeating("nut", starts.NUT)),
    (starts.SMJPEG, counted.repeating("smjpeg", starts.SMJPEG)),
    (starts.AST, counted.repeating("ast", starts.AST)),
    (starts.GXF, counted.repeating("gxf", starts.GXF)),
]


def find_links(path: Path) -> list[Link]:
    """The recordings that a file consists of, one after the other: most files hold one.

    Raises
    ------
    AudioError
        If it cannot be read, or is shorter than its structure says.
    """
    with open_source(path) as source:
        links: list[Link] = []
        position = after_tags(source, 0)
        while position < source.size and (found := _links_at(source, position)) is not None:
            more, end = found
            links += [link for link in more if link.end > link.start or not links]
            position = after_tags(source, max(end, position + 1))
        # Unknown bytes after a recording are not audio; a file that begins with unknown bytes is left to FFmpeg.
        return links or [Link("", 0, source.size)]


def find_frames(path: Path) -> list[Link]:
    """As `find_links`, for a file that is known to consist of MP3 or ADTS frames and may begin in the middle of one."""
    with open_source(path) as source:
        start = first_frame(source, 0)
        return mpeg(source, start)[0] if start >= 0 else [Link("", 0, source.size)]


def _links_at(source: Source, position: int) -> tuple[list[Link], int] | None:
    """The recordings that begin here, and where they end; None if no known format begins here."""
    head = source.read(position, starts.LONGEST)
    for pattern, read in _CONTAINERS:
        if pattern.match(head):
            link, end = read(source, position)
            return [link], end
    if starts.OGG.match(head):
        return ogg.ogg(source, position)
    return mpeg(source, position) if follow_each_other(source, position) else None
