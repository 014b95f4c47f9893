"""Containers of video and audio, whose structure states where they end: Matroska, MP4, AVI, FLV and ASF.

FFmpeg decodes their audio. It reads a truncated file as a shorter one, and only the first of joined files.
"""

from __future__ import annotations

import struct

from asr.audio.formats import starts
from asr.audio.formats.link import Link
from asr.audio.formats.source import Source
from asr.errors import AudioError

_SEGMENT = b"\x18\x53\x80\x67"
_BOXES = frozenset(
    b"ftyp,moov,mdat,moof,mfra,free,skip,wide,pnot,uuid,styp,sidx,ssix,prft,emsg,meta,udta,pdin,imda,idat".split(b",")
)
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
# The end of an index: a file that ends without it is complete.
_AVI_SLACK = 16


def matroska(source: Source, start: int) -> tuple[Link, int]:
    """A Matroska or WebM file that begins at `start`; returns it, and where another recording may begin."""
    position = start
    for wanted in (b"\x1a\x45\xdf\xa3", _SEGMENT):
        while source.read(position, 4) != wanted:
            name = source.read(position, 1)
            if name != b"\xec":  # Void
                raise AudioError(source.path, "is damaged: its EBML header is not followed by a segment")
            size, length = _ebml_size(source, position + 1)
            position += 1 + length + (size or 0)
        size, length = _ebml_size(source, position + 4)
        content = position + 4 + length
        position = content + (size or 0)
    if size is None:  # a live recording
        end = source.find(starts.MATROSKA, content)
    elif position > source.size:
        raise source.truncated(source.size - start, position - start)
    else:
        end = position
    return Link("matroska", start, end, unfinished=size is None), end


def _ebml_size(source: Source, position: int) -> tuple[int | None, int]:
    """A variable-length size, None if unknown; and how many bytes it takes."""
    data = source.read(position, 8)
    if not data or not data[0]:
        raise AudioError(source.path, "is damaged or truncated: an element has no size")
    length = 9 - data[0].bit_length()
    value = int.from_bytes(data[:length], "big") & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), length


def mp4(source: Source, start: int) -> tuple[Link, int]:
    """An MP4, MOV, M4A or 3GP file; as `matroska`."""
    position, names = start, set()
    while position + 8 <= source.size:
        size, name = struct.unpack(">I4s", source.read(position, 8))
        if name == b"ftyp" and b"moov" in names:
            break
        if size == 1:
            size = int.from_bytes(source.read(position + 8, 8), "big")
        elif size == 0:
            size = source.size - position
        if name not in _BOXES and (size < 8 or not name.isalnum()):
            break  # a tag, or unknown bytes
        if position + size > source.size:
            if name not in _BOXES:
                break
            if name == b"mdat" and b"moov" not in names:
                raise AudioError(source.path, "is truncated: the index (moov), which stands at its end, is missing")
            raise source.truncated(source.size - start, position + size - start)
        if size < 8:
            raise AudioError(source.path, f"is damaged: a box ({name.decode('latin-1')}) of {size} bytes")
        if name == b"moov" and name in names:
            raise AudioError(source.path, "holds two recordings that cannot be separated (two moov boxes)")
        names.add(name)
        position += size
    if b"moov" not in names:
        raise AudioError(source.path, "is truncated or damaged: it has no index (moov)")
    return Link("mov", start, position), position


def avi(source: Source, start: int) -> tuple[Link, int]:
    """An AVI file; as `matroska`."""
    position, unfinished = start, False
    while position + 12 <= source.size:
        name, size, kind = struct.unpack("<4sI4s", source.read(position, 12))
        if name != b"RIFF" or kind != (b"AVI " if position == start else b"AVIX"):
            break
        if size in (0, 0xFFFFFFFF):
            position, unfinished = source.find(starts.AVI, position + 12), True
            break
        if position + 8 + size > source.size + _AVI_SLACK:
            raise source.truncated(source.size - start, position + 8 + size - start)
        position = min(source.size, position + 8 + size + size % 2)
    return Link("avi", start, position, unfinished=unfinished), position


def flv(source: Source, start: int) -> tuple[Link, int]:
    """A Flash video; as `matroska`."""
    stated = _amf_number(source.read(start, 4096), b"filesize")
    end = source.find(starts.FLV, start + max(13, int(stated)))
    if stated > end - start:
        raise source.truncated(end - start, stated)
    last = int.from_bytes(source.read(end - 4, 4), "big")
    tag = source.read(end - 4 - last, 4) if 11 <= last <= end - start - 17 else b""
    if len(tag) < 4 or tag[0] & 0x1F not in (8, 9, 18) or int.from_bytes(tag[1:], "big") != last - 11:
        raise AudioError(source.path, "is truncated: it ends in the middle of a tag")
    return Link("flv", start, end), end


def _amf_number(data: bytes, name: bytes) -> float:
    """A number of a Flash video's metadata; 0 if it is not there."""
    place = data.find(struct.pack(">H", len(name)) + name + b"\0")
    if place < 0 or place + 11 + len(name) > len(data):
        return 0.0
    value = float(struct.unpack_from(">d", data, place + 3 + len(name))[0])
    return value if 0 < value < 1e15 else 0.0


def asf(source: Source, start: int) -> tuple[Link, int]:
    """A Windows Media file; as `matroska`."""
    header_size = max(30, int.from_bytes(source.read(start + 16, 8), "little"))
    header = source.read(start, min(header_size, 1 << 20))
    place = header.find(_ASF_FILE)
    promised: list[int] = []
    if place >= 0 and len(header) >= place + 92 and not header[place + 88] & 1:  # a live recording does not know
        data = source.read(start + header_size, 24)
        data_size = int.from_bytes(data[16:], "little") if data.startswith(_ASF_DATA) else 0
        file_size = int.from_bytes(header[place + 40 : place + 48], "little")
        promised = [size for size in (file_size, header_size + data_size) if size > header_size + 50]
    end = source.find(starts.ASF, start + min([*promised, source.size - start] if promised else [header_size]))
    if promised and min(promised) > end - start:
        raise source.truncated(end - start, min(promised))
    return Link("asf", start, end), end
