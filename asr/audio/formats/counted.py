"""Containers whose header counts samples or bytes, or only says where a recording begins: FLAC, WavPack, AMR, ..."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from asr.audio.formats import starts
from asr.audio.formats.link import Link
from asr.audio.formats.source import Source

Reader = Callable[[Source, int], tuple[Link, int]]
"""of the place where a recording begins: the recording, and where another one may begin"""

# The size that FFmpeg writes into the header of a Flash film in a pipe.
_SWF_UNKNOWN = 100 << 20
# FFmpeg counts a header of RealMedia twice.
_RM_SLACK = 32


def flac(source: Source, start: int) -> tuple[Link, int]:
    """36 bits of a number of samples; 0 from a pipe."""
    end = source.find(starts.FLAC, start + 8)
    samples = int.from_bytes(source.read(start + 21, 5), "big") & ((1 << 36) - 1)
    return Link("flac", start, end, samples=samples), end


def voc(source: Source, start: int) -> tuple[Link, int]:
    """Blocks with a type and 24 bits of size, up to one of type 0."""
    end = source.find(starts.VOC, start + 1)
    position = start + 26
    while position + 4 <= end:
        header = source.read(position, 4)
        if header[0] == 0:
            break
        position += 4 + int.from_bytes(header[1:], "little")
        if position > end:
            raise source.truncated(end - start, position - start)
    return Link("voc", start, end), end


def wavpack(source: Source, start: int) -> tuple[Link, int]:
    """Blocks with a size, the first of which counts all samples."""
    end = source.find(starts.WAVPACK, start + 32)
    samples = int.from_bytes(source.read(start + 12, 4), "little")
    position = start
    while position < end and source.read(position, 4) == b"wvpk":
        position += 8 + int.from_bytes(source.read(position + 4, 4), "little")
        if position > end:
            raise source.truncated(end - start, position - start)
    return Link("wv", start, position, samples=0 if samples == 0xFFFFFFFF else samples), position


def iff(source: Source, start: int) -> tuple[Link, int]:
    """One chunk around everything: 8SVX and 16SV."""
    end = start + 8 + int.from_bytes(source.read(start + 4, 4), "big")
    if end > source.size:
        raise source.truncated(source.size - start, end - start)
    return Link("iff", start, end, sndfile=True), end


def mmf(source: Source, start: int) -> tuple[Link, int]:
    """One chunk around everything; a pipe leaves its size 0."""
    end, size = source.find(starts.MMF, start + 1), int.from_bytes(source.read(start + 4, 4), "big")
    if start + 8 + size > end:
        raise source.truncated(end - start, 8 + size)
    return Link("mmf", start, end), end


def real_media(source: Source, start: int) -> tuple[Link, int]:
    """Chunks with a size; a pipe leaves an empty one for the sound, which extends to the end."""
    end = source.find(starts.RM, start + 1)
    position = start
    while position + 8 <= end:
        name, size = struct.unpack(">4sI", source.read(position, 8))
        if size < 8 or (name == b"DATA" and size <= 18):
            break
        position += size
        if position > end + _RM_SLACK:
            raise source.truncated(end - start, position - start)
    return Link("rm", start, end), end


def swf(source: Source, start: int) -> tuple[Link, int]:
    """A Flash film, whose header says how many bytes it has."""
    size = int.from_bytes(source.read(start + 4, 4), "little")
    if size in (0, _SWF_UNKNOWN):
        end = source.find(starts.SWF_FROM_PIPE, start + 1)
        return Link("swf", start, end), end
    if start + size > source.size:
        raise source.truncated(source.size - start, size)
    return Link("swf", start, start + size), start + size


def sox(source: Source, start: int) -> tuple[Link, int]:
    """SoX's own format, which counts the samples of all channels together; 0 from a pipe."""
    end = source.find(starts.SOX, start + 1)
    order = "<" if source.read(start, 1) == b"." else ">"
    samples, channels = struct.unpack(f"{order}Q8xI", source.read(start + 8, 20))
    return Link("sox", start, end, samples=samples // max(1, channels)), end


def counting(container: str, pattern: re.Pattern[bytes], place: int, order: str) -> Reader:
    """For a header that counts samples in 32 bits at a place; 0 and the largest number come from a pipe."""

    def read(source: Source, start: int) -> tuple[Link, int]:
        end = source.find(pattern, start + 1)
        (samples,) = struct.unpack(f"{order}I", source.read(start + place, 4))
        return Link(container, start, end, samples=0 if samples == 0xFFFFFFFF else samples), end

    return read


def repeating(container: str, pattern: re.Pattern[bytes]) -> Reader:
    """For a header that only marks the beginning of a recording."""

    def read(source: Source, start: int) -> tuple[Link, int]:
        end = source.find(pattern, start + 1)
        return Link(container, start, end), end

    return read
