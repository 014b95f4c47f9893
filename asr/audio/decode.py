"""Decodes recordings: libsndfile for plain samples, Vorbis and Opus, FFmpeg's libraries for everything else."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from asr.audio.formats import FileRange, Link, find_frames
from asr.audio.segment import AudioSegment
from asr.errors import AudioError

Block = tuple[int, npt.NDArray[np.float32]]
"""Hz, and float32 [shape=(samples, channels)]"""

# A decoder may drop its own delay at either end (MP3: 1105 samples and a frame of 1152; AAC: two of 1024).
_CODEC_DELAY_SAMPLES = 4 * 1152
# A codec without a delay may lack only the samples that fill up its last block.
_BLOCK_SECONDS = 0.02
# Values of all channels that are read at once: 2 MB.
_BLOCK_VALUES = 1 << 19
# Formats in which libsndfile seeks exactly and quickly.
_LOSSLESS = frozenset(["WAV", "WAVEX", "RF64", "W64", "FLAC", "AIFF", "AU", "CAF"])
# Demuxers whose stream durations are counts in the header, not estimates from the bit rate.
_COUNTED = frozenset(["ape", "tak", "mpc", "mpc8", "mxf", "ast", "smjpeg", "dsf", "xwma"])
# Demuxers whose headers count samples exactly, with lossless codecs.
_EXACT = frozenset(["flac", "tta", "wv", "sox"])
# Demuxers whose durations come from the header, where they may be those of another stream than the audio.
_TIMED = frozenset(["mov", "matroska", "flv", "asf", "avi"])
# Demuxers whose time stamps are those that a player follows. Elsewhere they are counted from the samples.
_STAMPED = frozenset(["matroska", "mov", "flv", "avi", "asf", "mpegts", "mpeg", "nut", "mxf", "wtv", "rm", "ogg"])
# FFmpeg reads from a file object, so that it takes no name for a URL and opens no file that another file names.
_PROTECTED = {"protocol_whitelist": "none"}
# FFmpeg detects the format within this many bytes, and analyses this many microseconds of audio before decoding.
_ARRIVING = {"probesize": "65536", "analyzeduration": "500000"}
# A jump of time stamps is filled with silence from the first length on; beyond the second it counts as an error.
_SHORTEST_GAP, _LONGEST_GAP = 0.1, 1800.0


@dataclass
class Stream:
    """A recording that is being decoded."""

    sample_rate: int
    """Hz"""
    channels: int
    seconds: float | None
    """its length by its header or by a count; None where neither is known"""
    blocks: Iterator[Block]
    """at most a few MB each; raises `AudioError` where it cannot continue"""
    notes: list[str] = field(default_factory=list)
    """messages for the user about it; reading may add more"""
    skipped: int = 0
    """samples of the recording before the first block"""


def open_link(
    path: Path, link: Link, stack: ExitStack, *, track: int | None = None, segment: AudioSegment | None = None
) -> Stream:
    """Open one recording of a file.

    Parameters
    ----------
    path : Path
    link : Link
    stack : ExitStack
        What is opened is closed with it.
    track : int, optional
        The number of an audio track, from 1; the default one of the container by default.
    segment : AudioSegment, optional
        What is wanted of it: what lies before may be skipped.

    Raises
    ------
    AudioError
        If it is not audio, damaged, truncated, or has no such track.
    """
    # libsndfile ends FLAC where its header says, FFmpeg at the end, but it cannot go to a sample.
    skips = segment is not None and link.container == "flac" and link.samples > 0 and segment.duration is not None
    if link.sndfile or not link.container or skips:
        stream = _open_with_sndfile(path, link, stack, segment)
        if stream is not None:
            if track not in (None, 1):
                raise AudioError(path, f"there is no track {track}: the recording has 1 audio track")
            return stream
    return _open_with_ffmpeg(path, link, stack, track)


def open_arriving(path: Path, file: Any, stack: ExitStack, *, track: int | None = None) -> Stream:
    """Open a container that is decoded while it arrives. It is read once, forwards.

    Parameters
    ----------
    path : Path
        How errors name it.
    file : object with a method read(count)
        Gives at most so many bytes, as soon as there are any; none at its end.
    stack : ExitStack
        What is opened is closed with it.
    track : int, optional
        As in `open_link`.

    Raises
    ------
    AudioError
        If it is not audio, cannot be decoded forwards, or has no such track.
    """
    import av

    try:
        container = stack.enter_context(av.open(file, options=_ARRIVING | _PROTECTED))
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(
            path,
            f"not audio in any known format that can be decoded while it arrives ({_reason(error)}); raw samples need "
            "rate=, such as rate=16000",
        ) from error
    stream = _open_track(path, Link("", 0, 0), container, track)
    if _demuxer(container) == "mov":
        stream.blocks = _forwards(path, stream.blocks)
    return stream


def _forwards(path: Path, blocks: Iterator[Block]) -> Iterator[Block]:
    """The blocks of an MP4 file, whose index may follow its samples."""
    try:
        first = next(blocks, None)
    except AudioError as error:
        raise AudioError(
            path,
            "is an MP4 file with its index at the end, which cannot be decoded while it arrives: give its name, or "
            "move the index to the front (ffmpeg -movflags +faststart)",
        ) from error
    if first is not None:
        yield first
        yield from blocks


def _file(path: Path, link: Link, stack: ExitStack) -> BinaryIO:
    return cast(BinaryIO, stack.enter_context(FileRange(path, link.start, link.end, link.head)))


def _is_whole_file(path: Path, link: Link) -> bool:
    return link.start == 0 and not link.head and link.end == path.stat().st_size


def _open_with_sndfile(path: Path, link: Link, stack: ExitStack, segment: AudioSegment | None) -> Stream | None:
    """None if libsndfile cannot decode it."""
    import soundfile

    try:
        source = os.fsencode(path) if _is_whole_file(path, link) else _file(path, link, stack)
        file = stack.enter_context(soundfile.SoundFile(source))
    except (soundfile.SoundFileError, TypeError):  # TypeError: a file named *.raw
        return None
    if file.format == "MP3" or file.subtype.startswith("MPEG") or file.samplerate <= 0:
        return None  # libsndfile would stop at a length that is an estimate
    seconds, skipped = file.frames / file.samplerate, 0
    if segment is not None:
        start, end = round(segment.offset * file.samplerate), segment.offset + (segment.duration or 0)
        if file.format == "FLAC" and end > seconds:
            return None
        if file.format in _LOSSLESS and file.seekable() and start < file.frames:
            skipped = int(file.seek(start))
    blocks = _read_with_sndfile(path, link, file, skipped)
    return Stream(file.samplerate, file.channels, seconds, blocks, skipped=skipped)


def _read_with_sndfile(path: Path, link: Link, file: Any, skipped: int) -> Iterator[Block]:
    import soundfile

    promised, done, size = file.frames, skipped, max(1, _BLOCK_VALUES // file.channels)
    while True:
        try:
            block = file.read(size, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            if link.container == "ogg":
                # The checksums of its pages are right: libsndfile refuses some files because of their sample counts.
                yield from _go_on_with_ffmpeg(path, link, done / file.samplerate, promised / file.samplerate)
                return
            reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
            raise AudioError(path, f"is damaged or truncated ({reason})") from error
        if not len(block):
            break
        done += len(block)
        yield file.samplerate, block
    if done and promised - done > (_CODEC_DELAY_SAMPLES if file.format == "OGG" else 0):
        raise _shorter(path, promised / file.samplerate, done / file.samplerate)


def _go_on_with_ffmpeg(path: Path, link: Link, done: float, promised: float) -> Iterator[Block]:
    """The rest of a recording of which `done` seconds are read."""
    with ExitStack() as stack:
        position = 0.0
        for rate, block in _open_with_ffmpeg(path, link, stack, None).blocks:
            rest = block[max(0, round((done - position) * rate)) :]
            position += len(block) / rate
            if len(rest):
                yield rate, rest
    if promised - position > _CODEC_DELAY_SAMPLES / rate:
        raise _shorter(path, promised, position)


def _shorter(path: Path, promised: float, done: float) -> AudioError:
    return AudioError(path, f"is truncated: its header promises {promised:.2f} s, {done:.2f} s are there")


def _open_container(path: Path, link: Link, stack: ExitStack) -> Any:
    import av

    file = _file(path, link, stack)
    try:
        return stack.enter_context(
            av.open(file, format=link.container or None, options=_PROTECTED | {"scan_all_pmts": "1"})
        )
    except (av.FFmpegError, ValueError) as error:
        raise _not_audio(path, link, error) from error


def _demuxer(container: Any) -> str:
    """The first of its names: FFmpeg's demuxer of MP4 is called "mov,mp4,m4a,3gp,3g2,mj2"."""
    return str(container.format.name).split(",")[0]


def _open_with_ffmpeg(path: Path, link: Link, stack: ExitStack, track: int | None) -> Stream:
    container = _open_container(path, link, stack)
    if _demuxer(container) in {"mp3", "aac"} and not link.container:
        # The file does not begin with a frame.
        frames = find_frames(path)
        if len(frames) == 1 and frames[0].container:
            return _open_with_ffmpeg(path, frames[0], stack, track)
    return _open_track(path, link, container, track)


def _open_track(path: Path, link: Link, container: Any, track: int | None) -> Stream:
    import av

    stream, notes = _choose_track(path, container, track)
    if stream.codec_context is None:
        raise AudioError(path, "its codec is not supported")
    rate, channels = int(stream.rate or 0), int(stream.channels or 0)
    if rate <= 0 or channels <= 0:
        raise AudioError(path, "is damaged: its header names no sample rate or no channels")
    promised = link.samples / rate
    demuxer = _demuxer(container)
    if demuxer in _COUNTED and stream.duration and stream.time_base and not link.unfinished:
        promised = float(stream.duration * stream.time_base)
    if demuxer == "caf" and stream.codec_context.name == "alac":
        # FFmpeg would trim the last frame, which is shorter than the others, a second time.
        stream.codec_context.flags2 |= av.codec.context.Flags2.skip_manual
    if stream.codec_context.name == "flac":
        stream.codec_context.options = {"err_detect": "crccheck+explode"}  # otherwise damaged frames are decoded
    tolerance = _CODEC_DELAY_SAMPLES / rate
    if demuxer in _EXACT:
        tolerance = 0.5 / rate
    elif stream.codec_context.name.startswith(("pcm_", "adpcm_")):
        tolerance = _BLOCK_SECONDS
    blocks = _read_with_ffmpeg(path, link, container, stream, promised, tolerance, notes)
    return Stream(rate, channels, _stated_seconds(container, stream, link, promised), blocks, notes)


def _stated_seconds(container: Any, stream: Any, link: Link, promised: float) -> float | None:
    """The length of the audio by the header of its container, with the silence before it."""
    import av

    if link.seconds or link.unfinished:
        return link.seconds or None
    demuxer, start = _demuxer(container), (container.start_time or 0) / av.time_base
    lead = 0.0
    if demuxer in _STAMPED and stream.start_time and stream.time_base:
        lead = max(0.0, float(stream.start_time * stream.time_base) - start)
    if promised:
        return promised + lead
    if demuxer not in _TIMED:
        return None
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d\.\d+)", stream.metadata.get("DURATION", ""))
    if tag:  # of a track of Matroska, from the beginning of the file
        hours, minutes, seconds = tag.groups()
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds) - start
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base) + lead
    return container.duration / av.time_base - (start if demuxer == "matroska" else 0) if container.duration else None


def _choose_track(path: Path, container: Any, track: int | None) -> tuple[Any, list[str]]:
    """The stream of an audio track, and messages about the others."""
    import av

    streams = list(container.streams.audio)
    if not streams:
        raise AudioError(path, "holds no audio stream")
    count = "1 audio track" if len(streams) == 1 else f"{len(streams)} audio tracks"
    if track is not None:
        if not 1 <= track <= len(streams):
            raise AudioError(path, f"there is no track {track}: the recording has {count}")
        return streams[track - 1], []
    if len(streams) == 1:
        return streams[0], []
    marked = [one for one in streams if one.disposition & av.stream.Disposition.default]
    chosen = marked[0] if marked else streams[0]
    number = streams.index(chosen) + 1
    which = "marked as default" if len(marked) == 1 else "the first"
    others = ", ".join(f"track={place}{_language(one)}" for place, one in enumerate(streams, 1) if place != number)
    note = f"{count}: track {number}{_language(chosen)} is read, {which}; to read another: {others}"
    return chosen, [note]


def _language(stream: Any) -> str:
    language = stream.metadata.get("language")
    return f" ({language})" if language and language != "und" else ""


def _read_with_ffmpeg(
    path: Path, link: Link, container: Any, stream: Any, promised: float, tolerance: float, notes: list[str]
) -> Iterator[Block]:
    import av

    stamps = None
    if _demuxer(container) in _STAMPED:
        stamps = _TimeStamps((container.start_time or 0) / av.time_base, notes)
    resampler: Any = None
    kind: Any = None
    rate, done, decoded, lead = 0, 0.0, 0, 0.0
    try:
        for frame in container.decode(stream):
            now = (frame.sample_rate, len(frame.layout.channels), frame.layout.name, frame.format.name)
            if now != kind:
                if decoded:
                    yield from _packed(path, resampler, None, kind)
                # Channels side by side in one plane: PyAV reads no more than eight planes.
                resampler = av.AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
                kind, rate = now, frame.sample_rate
            if stamps and frame.pts is not None and frame.time_base:
                silence = stamps.gap(float(frame.pts * frame.time_base), done)
                yield from _silence(silence, rate, kind[1])
                lead += 0.0 if decoded else silence
                done += silence
            for block in _packed(path, resampler, frame, kind):
                decoded += len(block[1])
                done += len(block[1]) / rate
                yield block
        if decoded:
            yield from _packed(path, resampler, None, kind)
    except (av.FFmpegError, ValueError) as error:
        if not decoded:
            raise _not_audio(path, link, error) from error
        of = f" of {promised:.2f} s" if promised else ""
        raise AudioError(
            path, f"is damaged or truncated: nothing can be decoded beyond {done:.2f} s{of} ({_reason(error)})"
        ) from error
    if decoded and promised - (done - lead) > tolerance:
        raise _shorter(path, promised, done - lead)


def _packed(path: Path, resampler: Any, frame: Any, kind: tuple[int, int, str, str]) -> Iterator[Block]:
    rate, channels = kind[:2]
    for block in resampler.resample(frame):
        if len(block.layout.channels) != channels:
            raise AudioError(path, f"is damaged: {channels} channels become {len(block.layout.channels)}")
        yield rate, block.to_ndarray().reshape(-1, channels).astype(np.float32, copy=False)


def _silence(seconds: float, rate: int, channels: int) -> Iterator[Block]:
    missing = round(seconds * rate)
    while missing > 0:
        count = min(missing, max(1, _BLOCK_VALUES // channels))
        yield rate, np.zeros((count, channels), np.float32)
        missing -= count


class _TimeStamps:
    """Where time stamps leave gaps between frames: before a late start, in pauses, where packets were dropped.

    Parameters
    ----------
    origin : float
        Seconds of the time stamp at which a player begins.
    notes : list of str
        Messages for the user are appended to it.
    """

    def __init__(self, origin: float, notes: list[str]) -> None:
        self._origin, self._notes = origin, notes
        self._previous = origin

    def gap(self, seconds: float, done: float) -> float:
        """Seconds of silence to insert before a frame with this time stamp, after `done` seconds were read."""
        lag = seconds - self._origin - done
        if _SHORTEST_GAP <= lag <= _LONGEST_GAP:
            self._previous = seconds
            return lag
        if lag > _LONGEST_GAP:
            self._notes.append(
                f"its time stamps jump by {lag:,.0f} s at {done:.2f} s: taken for an error, no silence is inserted"
            )
            self._origin += lag
        elif seconds < self._previous - _SHORTEST_GAP:
            self._origin += lag  # time stamps that start again
        self._previous = seconds
        return 0.0


def count_seconds(path: Path, link: Link, *, track: int | None = None) -> float:
    """The length of a recording by its packets, which are decoded only where they do not state it.

    Raises
    ------
    AudioError
        As `open_link` does.
    """
    import av

    with ExitStack() as stack:
        container = _open_container(path, link, stack)
        stream, _ = _choose_track(path, container, track)
        stamps = _TimeStamps((container.start_time or 0) / av.time_base, [])
        done = 0.0
        try:
            for packet in container.demux(stream):
                if packet.time_base and packet.pts is not None and _demuxer(container) in _STAMPED:
                    done += stamps.gap(float(packet.pts * packet.time_base), done)
                done += float((packet.duration or 0) * (packet.time_base or 0))
        except av.FFmpegError as error:
            raise _not_audio(path, link, error) from error
    if done:
        return done
    with ExitStack() as stack:
        return sum(len(block) / rate for rate, block in open_link(path, link, stack, track=track).blocks)


def _not_audio(path: Path, link: Link, error: Exception) -> AudioError:
    if link.container:
        return AudioError(path, f"is damaged or truncated ({_reason(error)})")
    return AudioError(path, f"not audio in any known format, or damaged ({_reason(error)})")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
