"""Containers of samples with a size in their header: WAV, RF64, W64, AIFF, AU, CAF and SPHERE.

Sizes are wrong where a writer could not go back to fill them in (pipes), lost its power, or wrote more than 32 bits
hold. A file counts as truncated only where every size that it states reaches beyond its end; where the sizes are wrong
in another way, the decoder is given a corrected header.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from asr.audio.formats import starts
from asr.audio.formats.link import Link
from asr.audio.formats.source import Source
from asr.audio.formats.tags import is_tag
from asr.errors import AudioError

# Sizes that programs write to pipes: 0x7FFFF000 (sox, espeak), 0x80000000 (arecord), 0xFFFFFFFF (FFmpeg)
# and their neighbours, rounded to whole samples or with a header added; 0x7F000000 in AIFF (sox).
_UNKNOWN_32 = ((0x7F000000 - 0x100, 0x7F000000 + 0x100), (0x7FFF0000, 0x80001000), (0xFFFF0000, 0xFFFFFFFF))
_UNKNOWN_64 = 1 << 62
# Chunks that follow samples, whose own size may be wrong.
_KNOWN_CHUNKS = frozenset(
    b"LIST,id3 ,ID3 ,bext,cue ,smpl,fact,PEAK,JUNK,junk,PAD ,FLLR,iXML,axml,chna,inst,note,labl,DISP,umid,levl,plst,"
    b"adtl,acid,strc,afsp,_PMX,cart,LGWV,minf,elm1,regn,MARK,COMT,INST,MIDI,AESD,APPL,NAME,AUTH,ANNO,(c) ,info,uuid,"
    b"free,pakt,chan,strg,mark,kuki".split(b",")
)
_LARGEST_HEADER = 1 << 24
# A number before the samples of CAF.
_CAF_EDITS = 4
# PCM, floating point, A-law, mu-law, and PCM or floating point with a description of the channels.
_PLAIN_CODECS = frozenset([b"\x01\0", b"\x03\0", b"\x06\0", b"\x07\0", b"\xfe\xff"])

Chunk = Callable[[int], tuple[bytes, int]]
"""of a position: the name of the chunk there, and where the next one would begin"""


def wav(source: Source, start: int) -> tuple[Link, int]:
    """A WAV, RIFX, RF64 or BW64 file that begins at `start`; and where another recording may begin."""
    kind = source.read(start, 4)
    order = ">" if kind == b"RIFX" else "<"
    (riff,) = struct.unpack(f"{order}I", source.read(start + 4, 4))
    position, form, sizes, data, is_padded = start + 12, b"", b"", 0, True
    while position + 8 <= source.size:
        name, length = struct.unpack(f"{order}4sI", source.read(position, 8))
        if name == b"data":
            data = position + 8
            break
        if name == b"fmt ":
            form = source.read(position + 8, min(length, 1024))
        elif name == b"ds64" and kind in {b"RF64", b"BW64"}:
            sizes = source.read(position + 8, 16)
        position += 8 + length
        # An odd chunk is followed by a byte of padding, but not every writer knows that.
        if length % 2:
            is_padded = source.read(position, 1) in {b"\0", b" "} or not _is_name(source.read(position, 4))
            position += is_padded
    if not data:
        raise _without_samples(source)
    stated = length
    if kind in {b"RF64", b"BW64"} and len(sizes) == 16:
        long_riff, long_data = struct.unpack("<QQ", sizes)
        riff = long_riff if riff == 0xFFFFFFFF else riff
        stated = long_data if length == 0xFFFFFFFF else length
    _, _, _, byte_rate, align = struct.unpack(f"{order}HHIIH", form[:14]) if len(form) >= 14 else (0, 0, 0, 0, 0)

    def chunk(position: int) -> tuple[bytes, int]:
        name, length = struct.unpack(f"{order}4sI", source.read(position, 8))
        return name, position + 8 + length + length % 2

    outer = 0 if is_unknown_size(riff) else start + 8 + riff
    if (form[:2] if order == "<" else form[1::-1]) not in _PLAIN_CODECS:
        byte_rate = 0  # an average, often a wrong one
    end, following = _extent(source, start, data, stated, outer, starts.WAV, chunk, byte_rate)
    if end - data == stated and is_padded:
        return Link("wav", start, following, sndfile=True), following
    return Link("wav", data, end, head=_wav_head(order, form, end - data, align), sndfile=True), following


def _wav_head(order: str, form: bytes, size: int, align: int) -> bytes:
    size -= size % align if align else 0
    chunks = struct.pack(f"{order}4sI", b"fmt ", len(form)) + form + b"\0" * (len(form) % 2)
    if size + len(chunks) + 12 < 0xFFFFFFFF:
        outer = b"RIFX" if order == ">" else b"RIFF"
        chunks += struct.pack(f"{order}4sI", b"data", size)
        return outer + struct.pack(f"{order}I", 4 + len(chunks) + size) + b"WAVE" + chunks
    chunks = struct.pack("<4sIQQQI", b"ds64", 28, 4 + 36 + len(chunks) + 8 + size, size, 0, 0) + chunks
    return b"RF64\xff\xff\xff\xffWAVE" + chunks + b"data\xff\xff\xff\xff"


def w64(source: Source, start: int) -> tuple[Link, int]:
    """A Sony Wave64 file; as `wav`."""
    riff = _unsigned(source.read(start + 16, 8), "<Q")
    position, data, stated, byte_rate = start + 40, 0, 0, 0

    def chunk(position: int) -> tuple[bytes, int]:
        name, length = struct.unpack("<16sQ", source.read(position, 24).ljust(24, b"\0"))
        return name[:4], position + (length + 7) // 8 * 8

    while position + 24 <= source.size:
        name, following = chunk(position)
        if name == b"data":
            data, stated = position + 24, max(0, _unsigned(source.read(position + 16, 8), "<Q") - 24)
            break
        if name == b"fmt ":
            byte_rate = _unsigned(source.read(position + 32, 4), "<I")
        position = max(following, position + 24)
    if not data:
        raise _without_samples(source)
    outer = 0 if is_unknown_size(riff) else start + riff
    end, following = _extent(source, start, data, stated, outer, starts.W64, chunk, byte_rate)
    if end - data == stated:
        return Link("w64", start, following, sndfile=True), following
    head = bytearray(_header(source, start, data))
    struct.pack_into("<Q", head, 16, len(head) + end - data)
    struct.pack_into("<Q", head, len(head) - 8, 24 + end - data)
    return Link("w64", data, end, head=bytes(head), sndfile=True), following


def aiff(source: Source, start: int) -> tuple[Link, int]:
    """An AIFF or AIFC file; as `wav`."""
    form = _unsigned(source.read(start + 4, 4), ">I")
    position, data, stated, common = start + 12, 0, 0, b""

    def chunk(position: int) -> tuple[bytes, int]:
        name, length = struct.unpack(">4sI", source.read(position, 8))
        return name, position + 8 + length + length % 2

    while position + 8 <= source.size:
        name, following = chunk(position)
        length = _unsigned(source.read(position + 4, 4), ">I")
        if name == b"COMM":
            common = source.read(position + 8, min(length, 1024))
        elif name == b"SSND":
            offset = _unsigned(source.read(position + 8, 4), ">I")
            data, stated = position + 16 + offset, max(0, length - 8 - offset)
            if is_unknown_size(length):
                stated = length
            break
        position = following
    if not data or len(common) < 18:
        raise _without_samples(source)
    channels, frames, bits = struct.unpack(">hIh", common[:8])
    width = max(0, channels * ((bits + 7) // 8))
    uncompressed = len(common) < 22 or common[18:22] in {b"NONE", b"sowt", b"fl32", b"FL32", b"fl64", b"FL64", b"twos"}
    outer = 0 if is_unknown_size(form) else start + 8 + form
    per_second = width * _extended(common[8:18]) if uncompressed else 0
    end, following = _extent(source, start, data, stated, outer, starts.AIFF, chunk, per_second)
    there = min((end - data) // width, 0xFFFFFFFF) if uncompressed and width else frames
    if end - data == stated and there == frames:
        return Link("aiff", start, following, sndfile=True), following
    common = common[:2] + struct.pack(">I", there) + common[6:]
    chunks = b"FVER" + struct.pack(">II", 4, 0xA2805140) if source.read(start + 8, 4) == b"AIFC" else b""
    chunks += struct.pack(">4sI", b"COMM", len(common)) + common + b"\0" * (len(common) % 2)
    chunks += struct.pack(">4sIII", b"SSND", min(8 + end - data, 0xFFFFFFF0), 0, 0)
    size = min(4 + len(chunks) + end - data, 0xFFFFFFF0)
    head = struct.pack(">4sI", b"FORM", size) + source.read(start + 8, 4) + chunks
    return Link("aiff", data, end, head=head, sndfile=True), following


def au(source: Source, start: int) -> tuple[Link, int]:
    """A Sun or NeXT audio file; as `wav`."""
    order = ">" if source.read(start, 1) == b"." else "<"
    header = source.read(start, 24).ljust(24, b"\0")
    offset, stated, encoding, rate, channels = struct.unpack(f"{order}5I", header[4:])
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(encoding, 0) * channels
    data = start + offset
    end, following = _extent(source, start, data, stated, 0, starts.AU, None, width * rate)
    if end - data == stated:
        return Link("au", start, following, sndfile=True), following
    size = end - data if end - data < 0xFFFFFFFF else 0xFFFFFFFF
    head = header[:4] + struct.pack(f"{order}2I", 24, size) + header[12:]
    return Link("au", data, end, head=head, sndfile=True), following


def caf(source: Source, start: int) -> tuple[Link, int]:
    """A Core Audio file; as `wav`."""
    position, data, stated, per_second = start + 8, 0, 0, 0.0

    def chunk(position: int) -> tuple[bytes, int]:
        name, length = struct.unpack(">4sQ", source.read(position, 12).ljust(12, b"\0"))
        return name, position + 12 + length

    while position + 12 <= source.size:
        name, following = chunk(position)
        if name == b"desc":
            rate, packet_bytes, packet_samples = struct.unpack(
                ">d8xII", source.read(position + 12, 24).ljust(24, b"\0")
            )
            per_second = rate * packet_bytes / packet_samples if packet_samples else 0.0
        elif name == b"data":
            data, stated = position + 12, _unsigned(source.read(position + 4, 8), ">Q")
            break
        position = following
    if not data:
        raise _without_samples(source)
    end, following = _extent(source, start, data, stated, 0, starts.CAF, chunk, per_second)
    if end - data == stated:
        return Link("caf", start, following, sndfile=True), following
    head = bytearray(_header(source, start, data))
    struct.pack_into(">Q", head, len(head) - 8, end - data)
    return Link("caf", data, end, head=bytes(head), sndfile=True), following


def sphere(source: Source, start: int) -> tuple[Link, int]:
    """A NIST SPHERE file; as `wav`."""
    try:
        size = int(source.read(start + 8, 8))
        text = source.read(start, min(size, _LARGEST_HEADER)).decode("latin-1")
    except ValueError:
        raise AudioError(source.path, "is damaged: its header does not say how long it is itself") from None
    fields = dict(re.findall(r"^(\w+)\s+-\w+\s+(\S+)", text, re.MULTILINE))
    try:
        count, channels, width, rate = (
            int(float(fields.get(name, default)))
            for name, default in (
                ("sample_count", 0),
                ("channel_count", 1),
                ("sample_n_bytes", 2),
                ("sample_rate", 0),
            )
        )
    except (ValueError, OverflowError):
        raise AudioError(source.path, "is damaged: its header holds no numbers where they belong") from None
    if "embedded" in fields.get("sample_coding", ""):
        return Link("nistsphere", start, source.size, samples=max(0, count)), source.size
    data, stated = start + size, count * channels * width
    end, following = _extent(source, start, data, max(0, stated), 0, starts.SPHERE, None, rate * channels * width)
    if end - data == stated:
        return Link("nistsphere", start, following, sndfile=True), following
    there = (end - data) // (channels * width) if channels * width > 0 else 0
    line = f"sample_count -i {there}\n"
    old = re.search(r"^sample_count .*\n", text, re.MULTILINE)
    text = text[: old.start()] + line + text[old.end() :] if old else text.replace("end_head", f"{line}end_head", 1)
    head = text.rstrip("\0 \n").encode("latin-1") + b"\n"
    return Link("nistsphere", data, end, head=head.ljust(size, b" ")[:size], sndfile=True), following


def _extent(
    source: Source,
    begin: int,
    start: int,
    stated: int,
    outer: int,
    another: re.Pattern[bytes],
    chunk: Chunk | None,
    per_second: float,
) -> tuple[int, int]:
    """Where samples end that begin at `start`, and where another recording may begin.

    Parameters
    ----------
    begin : int
        Where the recording begins, header and all.
    stated : int
        Bytes of samples, by the header.
    outer : int
        Where the surrounding chunk ends, by the header; 0 where that is unknown.
    another : pattern
        How a recording of the same container begins.
    chunk : callable, optional
        Reads chunks, where some may follow the samples.
    per_second : float
        Bytes of a second; 0 where that is unknown.
    """
    size, end = source.size, start + stated
    if start > size:
        raise _without_samples(source)
    if start + _CAF_EDITS >= size and begin:
        return start, start  # libsndfile writes one more header at the end of a pipe
    if is_unknown_size(stated) and (end > size or stated == 0):
        if stated == 0 and chunk and size - start >= 8 and _is_name(source.read(start, 4)):
            following = source.find(another, start)
            if _are_chunks(source, start, following, chunk):
                return start, following
        end = source.find(another, start)
        return end, end
    if end > size:
        # The size of the samples is wrong, that of the whole is right; or the header was counted as samples.
        if start < size and (outer in (size, size - 1) or stated in (size - begin, size - begin - 8)):
            return size, size
        raise source.truncated(size - start, stated, per_second=per_second)
    if size - end < 8 or starts.is_start(source.read(end, starts.LONGEST)) or is_tag(source.read(end, 32)):
        return end, end
    following = source.find(another, end)
    # A byte of padding follows an odd size, but not with every writer.
    if chunk and any(_are_chunks(source, place, following, chunk) for place in (end + stated % 2, end)):
        return end, following
    if source.is_zero(end, following):
        return end, following
    return following, following


def _are_chunks(source: Source, position: int, end: int, chunk: Chunk) -> bool:
    """Whether a range consists of chunks; the size of a last one of a known name may be wrong."""
    while position + 8 <= end:
        name, following = chunk(position)
        if not _is_name(name) or following <= position:
            return False
        if following > end + 1:
            return name in _KNOWN_CHUNKS
        position = following
    return source.is_zero(position, end)


def is_unknown_size(size: int) -> bool:
    """Whether a size in a header is one that programs write to pipes."""
    return size == 0 or size >= _UNKNOWN_64 or any(low <= size <= high for low, high in _UNKNOWN_32)


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= one < 127 for one in name)


def _without_samples(source: Source) -> AudioError:
    return AudioError(source.path, "is truncated: there are no samples after its header")


def _unsigned(data: bytes, kind: str) -> int:
    return int(struct.unpack(kind, data.ljust(struct.calcsize(kind), b"\0"))[0])


def _header(source: Source, start: int, data: int) -> bytes:
    if data - start > _LARGEST_HEADER:
        raise AudioError(source.path, f"is damaged: its header has {data - start:,} bytes")
    return source.read(start, data - start)


def _extended(data: bytes) -> float:
    """An 80-bit floating point number."""
    exponent, mantissa = struct.unpack(">HQ", data)
    return float(mantissa * 2.0 ** max(-1000, min(900, (exponent & 0x7FFF) - 16383 - 63)))
