"""Containers that only FFmpeg reads, whose header counts samples or bytes: TTA, WavPack, VOC, SoX, ADX, SWF and others."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from asr.audio.formats.link import Link
from asr.audio.formats.source import Source

_VOC = re.compile(rb"Creative Voice File\x1a\x1a\0", re.DOTALL)
_WAVPACK = re.compile(rb"wvpk.{4}[\x02-\x10]\x04.{6}\0\0\0\0", re.DOTALL)
_RM = re.compile(rb"\.RMF\0\0\0[\x10-\x20]", re.DOTALL)
_SWF_UNKNOWN = 100 << 20
_SWF_FROM_PIPE = re.compile(rb"FWS[\x03-\x20]\0\0\x40\x06", re.DOTALL)
_MMF = re.compile(rb"MMMD.{4}CNTI", re.DOTALL)


def _voc(source: Source, start: int) -> tuple[Link, int]:
    """Blocks with a type and 24 bits of size, up to one of type 0."""
    another = source.find(_VOC, start + 1)
    position = start + 26
    while position + 4 <= another:
        kind, size = struct.unpack("<B3s", source.read(position, 4))
        if kind == 0:
            break
        position += 4 + int.from_bytes(size, "little")
        if position > another:
            raise source.truncated(another - start, position - start)
    return Link("voc", start, another), another


def _wavpack(source: Source, start: int) -> tuple[Link, int]:
    """Blocks with a size, the first of which counts all samples."""
    another = source.find(_WAVPACK, start + 32)
    (stated,) = struct.unpack("<I", source.read(start + 12, 4).ljust(4, b"\0"))
    position = start
    while source.read(position, 4) == b"wvpk":
        index = int.from_bytes(source.read(position + 16, 4), "little")
        if index == 0 and position >= another:
            break
        position += 8 + int.from_bytes(source.read(position + 4, 4), "little")
        if position > source.size:
            raise source.truncated(source.size - start, position - start)
    return Link("wv", start, min(position, source.size), samples=0 if stated == 0xFFFFFFFF else stated), position


def _swf(source: Source, start: int) -> tuple[Link, int]:
    """A Flash film, whose header says how many bytes it has; a pipe leaves 100 MB."""
    size = int.from_bytes(source.read(start + 4, 4), "little")
    if size in (0, _SWF_UNKNOWN):
        end = source.find(_SWF_FROM_PIPE, start + 1)
        return Link("swf", start, end), end
    if start + size > source.size:
        raise source.truncated(source.size - start, size)
    return Link("swf", start, start + size), start + size


def _real_media(source: Source, start: int) -> tuple[Link, int]:
    """Chunks with a size; a pipe leaves an empty one for the sound, which goes on to the end."""
    end = source.find(_RM, start + 1)
    position = start
    while position + 8 <= end:
        name, size = struct.unpack(">4sI", source.read(position, 8))
        if size < 8 or (name == b"DATA" and size <= 18):
            break
        position += size
        if position > end + 32:  # FFmpeg counts a header twice
            raise source.truncated(end - start, position - start)
    return Link("rm", start, end), end


def _mmf(source: Source, start: int) -> tuple[Link, int]:
    """One chunk around everything; a pipe leaves its size 0."""
    end, size = source.find(_MMF, start + 1), int.from_bytes(source.read(start + 4, 4), "big")
    if start + 8 + size > end:
        raise source.truncated(end - start, 8 + size)
    return Link("mmf", start, end), end


def _counting(container: str, pattern: re.Pattern[bytes], kind: str, place: int, divided_by: str = "") -> Reader:
    """Of a header that counts samples at a place, of all channels together where it says how many at another.

    `divided_by` is the format and place of the number of channels, separated by a space.
    """

    def read(source: Source, start: int) -> tuple[Link, int]:
        end = source.find(pattern, start + 1)
        (count,) = struct.unpack(kind, source.read(start + place, struct.calcsize(kind)))
        if divided_by:
            channel_kind, channel_place = divided_by.split()
            data = source.read(start + int(channel_place), struct.calcsize(channel_kind))
            count //= max(1, struct.unpack(channel_kind, data)[0])
        return Link(container, start, end, samples=count if count < 0xFFFFFF00 else 0), end

    return read


def _repeating(container: str, pattern: re.Pattern[bytes]) -> Reader:
    """Of a header that only says where a recording begins."""

    def read(source: Source, start: int) -> tuple[Link, int]:
        end = source.find(pattern, start + 1)
        return Link(container, start, end), end

    return read


Reader = Callable[[Source, int], tuple[Link, int]]

_COUNTING = [
    ("tta", rb"TTA1[\x01-\x03]\0.{12}", "<I", 14, ""),
    ("sox", rb"\.SoX.{20}[\x01-\x20]\0\0\0", "<Q", 8, "<I 24"),
    ("adx", rb"\x80\0.{2}[\x02-\x04]\x12\x04[\x01-\x08].{8}", ">I", 12, ""),
]
_REPEATING = [
    ("flac", rb"fLaC[\x00\x80]\0\0\x22"),
    ("amr", rb"#!AMR(?:-WB)?\n"),
    ("wtv", rb"\xb7\xd8\x00\x20\x37\x49\xda\x11\xa6\x4e\x00\x07\xe9\x5e\xad\x8d"),
    ("smjpeg", rb"\0\nSMJPEG"),
    ("ast", rb"STRM.{4}\0[\x00\x01]\0\x10\0[\x01-\x10]"),
    ("gxf", rb"\0\0\0\0\x01\xbc.{8}\xe1\xe2"),
]

CONTAINERS: list[tuple[re.Pattern[bytes], Reader]] = [
    (_VOC, _voc),
    (_WAVPACK, _wavpack),
    (_RM, _real_media),
    (_MMF, _mmf),
    (re.compile(rb"FWS[\x03-\x20]", re.DOTALL), _swf),
]
for _name, _start, _kind, _place, _divided in _COUNTING:
    _pattern = re.compile(_start, re.DOTALL)
    CONTAINERS.append((_pattern, _counting(_name, _pattern, _kind, _place, _divided)))
for _name, _start in _REPEATING:
    _pattern = re.compile(_start, re.DOTALL)
    CONTAINERS.append((_pattern, _repeating(_name, _pattern)))
