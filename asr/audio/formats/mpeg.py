"""MP3 (MPEG audio, layers 1 to 3) and AAC in ADTS: frames one after the other, whose headers state their lengths.

A Xing header, a frame of its own, may state the numbers of frames and bytes. Files joined by `cat` have one in the
middle, tags between, or frames of another rate.
"""

from __future__ import annotations

from dataclasses import dataclass

from asr.audio.formats.link import Link
from asr.audio.formats.source import Source
from asr.audio.formats.tags import after_tags
from asr.errors import AudioError

_BIT_RATES = {  # kbit/s by (MPEG-1?, layer)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44100, 48000, 32000)
_ADTS_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
# Frames that must follow each other in a file of frames, and the bytes within which the first one is searched.
_FRAMES_TO_BE_SURE, _LONGEST_LEAD = 3, 1 << 16
# Bytes that may be skipped between frames: the rest of a frame that was cut where files were joined.
_LONGEST_RUBBISH = 2 * 2881
_BLOCK = 1 << 20
_LONGEST_FRAME = 1 << 13


@dataclass(frozen=True, slots=True)
class Frame:
    """The header of a frame."""

    container: str
    size: int
    """bytes"""
    samples: int
    rate: int
    kind: int
    """equal for the frames of one stream"""


def _mp3_frames() -> dict[int, Frame]:
    """By the first three bytes of a header, private bit and copyright aside."""
    frames = {}
    for version, layer, bit_rate, rate, padding in (
        (version, layer, bit_rate, rate, padding)
        for version in (0, 2, 3)
        for layer in (1, 2, 3)
        for bit_rate in range(1, 15)
        for rate in range(3)
        for padding in (0, 1)
    ):
        first = version == 3
        hertz = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
        bits = _BIT_RATES[first, layer][bit_rate] * 1000
        samples = 384 if layer == 1 else 1152 if layer == 2 or first else 576
        size = (12 * bits // hertz + padding) * 4 if layer == 1 else samples // 8 * bits // hertz + padding
        key = version << 19 | (4 - layer) << 17 | bit_rate << 12 | rate << 10 | padding << 9
        frames[key] = Frame("mp3", size, samples, hertz, version << 8 | layer << 4 | rate)
    return frames


_MP3 = _mp3_frames()
_MP3_MASK = 0x001EFE00


def read_frame(header: bytes) -> Frame | None:
    """The frame that begins with these seven bytes, if one does."""
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    found = _MP3.get(int.from_bytes(header[:4], "big") & _MP3_MASK)
    if found is not None:
        return found
    if header[1] & 0xF6 == 0xF0 and len(header) >= 7:
        rate = header[2] >> 2 & 15
        size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        if rate < len(_ADTS_RATES) and size >= 7:
            samples = 1024 * ((header[6] & 3) + 1)
            channels = (header[2] & 1) << 2 | header[3] >> 6
            return Frame("aac", size, samples, _ADTS_RATES[rate], 1 << 16 | rate << 4 | channels)
    return None


def first_frame(source: Source, start: int) -> int:
    """Where frames begin, after tags and a few other bytes; -1 if the file does not consist of frames."""
    start = after_tags(source, start)
    return _next_frames(source, start, min(source.size, start + _LONGEST_LEAD))


def _next_frames(source: Source, start: int, end: int) -> int:
    """The first place in a range at which several frames follow each other; -1 if there is none."""
    while start < end:
        block = source.read(start, min(_BLOCK, end - start))
        if not block:
            break
        place = block.find(b"\xff")
        while place >= 0:
            if follow_each_other(source, start + place):
                return start + place
            place = block.find(b"\xff", place + 1)
        start += len(block)
    return -1


def follow_each_other(source: Source, position: int) -> bool:
    """Whether some frames of one kind begin here."""
    kind = None
    for number in range(_FRAMES_TO_BE_SURE):
        frame = read_frame(source.read(position, 7))
        if frame is None or kind not in (None, frame.kind):
            # A recording may be so short.
            return number > 0 and (position == source.size or after_tags(source, position) > position)
        position, kind = position + frame.size, frame.kind
        if position > source.size:
            return number > 0
    return True


def mpeg(source: Source, start: int) -> tuple[list[Link], int]:
    """All recordings of a file of MP3 or ADTS frames, the first of which is at `start`; and where they end.

    Raises
    ------
    AudioError
        If there are fewer frames than a Xing header promises, or there are other bytes between frames.
    """
    links: list[Link] = []
    run: _Run | None = None
    position, block, base, seconds = start, b"", start, 0.0

    def close() -> None:
        if run is not None and run.frames:
            links.append(run.link(source, position))

    while True:
        if position + _LONGEST_FRAME > base + len(block):
            base, block = position, source.read(position, _BLOCK)
        offset = position - base
        frame = read_frame(block[offset : offset + 7])
        if frame is None or (run and frame.kind != run.frame.kind and not follow_each_other(source, position)):
            close()
            run, following = None, after_tags(source, position)
            if following == position:
                following = _next_frames(source, position, source.size)
                if following < 0:
                    break
                if following - position > _LONGEST_RUBBISH and not source.is_zero(position, following):
                    seconds = sum(link.seconds for link in links)
                    raise AudioError(
                        source.path, f"is damaged: {following - position:,} bytes at {seconds:.2f} s are not audio"
                    )
            position = following
            continue
        if position + frame.size > source.size:
            close()
            break
        promise = _read_promise(block[offset : offset + frame.size], frame)
        if run is None or promise or frame.kind != run.frame.kind:
            close()
            run = _Run(frame, position, promise)
        if not promise:
            run.frames += 1
        position += frame.size
    return links, source.size


@dataclass(slots=True)
class _Promise:
    """The values of a Xing or VBRI header; 0 for those that it lacks."""

    frames: int
    size: int
    """bytes, its own frame included"""
    trimmed: int
    """samples at both ends that are not part of the recording"""
    own_size: int


@dataclass(slots=True)
class _Run:
    """Frames of one kind, one after the other."""

    frame: Frame
    start: int
    promise: _Promise | None
    frames: int = 0

    def link(self, source: Source, end: int) -> Link:
        seconds, start, promise = self.frames * self.frame.samples / self.frame.rate, self.start, self.promise
        if promise:
            kept = [promise.frames <= self.frames] if promise.frames else []
            kept += [self.start + promise.size <= end] if promise.size else []
            if kept and not any(kept):
                if promise.frames:
                    raise source.truncated(self.frames, promise.frames, per_second=self.frame.rate / self.frame.samples)
                raise source.truncated(end - self.start, promise.size)
            if promise.frames == self.frames:
                seconds -= promise.trimmed / self.frame.rate
            else:
                start += promise.own_size  # FFmpeg would trim at the end that the header states
        return Link(self.frame.container, start, end, seconds=seconds)


def _read_promise(data: bytes, frame: Frame) -> _Promise | None:
    if frame.container != "mp3" or frame.kind >> 4 & 15 != 3 or len(data) < 64:
        return None
    first, mono = frame.kind >> 8 == 3, data[3] >> 6 == 3
    place = 4 + ((17 if mono else 32) if first else (9 if mono else 17))
    if data[place : place + 4] in {b"Xing", b"Info"} and not any(data[6:place]):
        flags, frames, size = int.from_bytes(data[place + 4 : place + 8], "big"), 0, 0
        tag = place + 8
        if flags & 1:
            frames, tag = int.from_bytes(data[tag : tag + 4], "big"), tag + 4
        if flags & 2:
            size, tag = int.from_bytes(data[tag : tag + 4], "big"), tag + 4
        tag += (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
        delays = int.from_bytes(data[tag + 21 : tag + 24], "big") if data[tag : tag + 4] in _ENCODERS else 0
        return _Promise(frames, size, (delays >> 12) + (delays & 0xFFF), len(data))
    if data[36:40] == b"VBRI":
        size, frames = int.from_bytes(data[46:50], "big"), int.from_bytes(data[50:54], "big")
        return _Promise(frames, size, 0, len(data))
    return None


_ENCODERS = {b"LAME", b"Lavf", b"Lavc"}
