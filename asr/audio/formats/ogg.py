"""Ogg: pages with checksums and numbers; streams may follow each other in one file (chained links).

Layout of a page: RFC 3533, section 6.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from asr.audio.formats import starts
from asr.audio.formats.link import Link
from asr.audio.formats.source import Source
from asr.audio.formats.tags import is_tag
from asr.errors import AudioError

_PAGE = struct.Struct("<4sBBqIIIB")
_FIRST = 2
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class _Page:
    position: int
    end: int
    is_first: bool
    serial: int
    number: int
    granule: int
    content: bytes


def ogg(source: Source, start: int) -> tuple[list[Link], int]:
    """All links of an Ogg file that begins at `start`; and where another recording may begin.

    Raises
    ------
    AudioError
        If it ends in the middle of a page, a page is damaged, or pages are missing between others.
    """
    links: list[Link] = []
    streams: dict[int, bytes] = {}
    granules: dict[int, int] = {}
    numbers: dict[int, int] = {}
    begin = end = start
    opening = True
    for page in _pages(source, start):
        if page.is_first:
            if not opening:
                links.append(_link(begin, page.position, streams))
                begin, streams, granules, numbers, opening = page.position, {}, {}, {}, True
            streams[page.serial] = page.content[:64]
        else:
            opening = False
            before = numbers.get(page.serial)
            # A recording of a radio stream has the headers and starts at any page; after that no page may be missing.
            if before is not None and page.number != before + 1 and granules.get(page.serial, 0) > 0:
                missing = f"{before + 1} to {page.number - 1}"
                raise AudioError(source.path, f"is damaged: Ogg pages {missing} are missing or out of order")
        if page.granule >= 0:
            granules[page.serial] = page.granule
        numbers[page.serial] = page.number
        end = page.end
    links.append(_link(begin, end, streams))
    return links, end


def _pages(source: Source, start: int) -> Iterator[_Page]:
    position = start
    while position < source.size:
        header = source.read(position, _PAGE.size + 255)
        if not header.startswith(b"OggS"):
            if is_tag(header):
                return
            following = source.find(starts.OGG, position)
            if following == source.size:
                if b"OggS".startswith(header):
                    raise _cut_off(source)
                return
            position = following  # libogg skips bytes between pages; page numbers show whether pages are missing
            continue
        if len(header) < _PAGE.size:
            raise _cut_off(source)
        _, _, flags, granule, serial, number, checksum, count = _PAGE.unpack_from(header)
        table = header[_PAGE.size : _PAGE.size + count]
        end = position + _PAGE.size + len(table) + sum(table)
        if len(table) < count or end > source.size:
            raise _cut_off(source)
        page = source.read(position, end - position)
        if _checksum(page[:22] + b"\0\0\0\0" + page[26:]) != checksum:
            raise AudioError(source.path, f"is damaged: the Ogg page at byte {position:,} does not fit its checksum")
        yield _Page(position, end, bool(flags & _FIRST), serial, number, granule, page[_PAGE.size + count :])
        position = end


def _cut_off(source: Source) -> AudioError:
    return AudioError(source.path, "is truncated: it ends in the middle of an Ogg page")


def _checksum(page: bytes) -> int:
    """Ogg's CRC is that of zlib with the bits in the opposite order, without its first and last inversion."""
    reflected = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)


def _link(start: int, end: int, streams: dict[int, bytes]) -> Link:
    """libsndfile decodes a link of one Vorbis or Opus stream, FFmpeg everything else."""
    alone = len(streams) == 1 and next(iter(streams.values())).startswith((b"OpusHead", b"\x01vorbis"))
    return Link("ogg", start, end, sndfile=alone)
