"""Recordings in every container that can be written here, and what is to become of them: the table of the policy."""

from __future__ import annotations

import functools
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

ERROR, READ, ALL, WHOLE, NEVER = "error", "read to its end", "all", "whole", "not written"
"""what is done with files that are cut off, joined, or from a pipe"""
FREQUENCY = 300.0


@dataclass(frozen=True)
class Kind:
    """A way to write a container."""

    muxer: str
    """of FFmpeg, or a format of libsndfile in capitals"""
    codec: str
    rate: int = 16000
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """The policy for a container, as in docs/audio-formats.md."""

    container: str
    kinds: tuple[Kind, ...]
    cut: str
    joined: str = ALL
    pipe: str = WHOLE


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}
POLICY = [
    Row(
        "WAV",
        (
            Kind("wav", "pcm_s16le"), Kind("wav", "pcm_f32le"), Kind("wav", "adpcm_ms"), Kind("wav", "adpcm_ima_wav"),
            Kind("wav", "libmp3lame"), Kind("wav", "adpcm_yamaha"),
        ),
        ERROR,
    ),
    Row("RF64, BW64", (Kind("wav", "pcm_s16le", options={"rf64": "always"}),), ERROR),
    Row("Wave64", (Kind("w64", "pcm_s16le"),), ERROR),
    Row("AIFF, AIFC", (Kind("aiff", "pcm_s16be"), Kind("aiff", "pcm_mulaw"), Kind("aiff", "pcm_f32be")), ERROR),
    Row("AU", (Kind("au", "pcm_s16be"), Kind("au", "pcm_mulaw")), ERROR),
    Row("CAF", (Kind("caf", "pcm_s16le"),), ERROR),
    Row("CAF, compressed", (Kind("caf", "alac"),), ERROR, pipe=NEVER),
    Row("NIST SPHERE", (Kind("NIST", "PCM_16"), Kind("NIST", "ULAW")), ERROR, pipe=NEVER),
    Row("8SVX", (Kind("SVX", "PCM_16"),), ERROR, pipe=NEVER),
    Row("VOC", (Kind("voc", "pcm_u8"),), ERROR),
    Row("SoX", (Kind("sox", "pcm_s32le"),), ERROR),
    Row("FLAC", (Kind("flac", "flac"),), ERROR),
    Row("WavPack", (Kind("wv", "wavpack"),), ERROR),
    Row("TTA", (Kind("tta", "tta"),), ERROR),
    Row("Ogg (Opus, Vorbis, FLAC, Speex)", (Kind("ogg", "libopus", 48000), Kind("ogg", "flac")), ERROR),
    Row("MP3 with a Xing header", (Kind("mp3", "libmp3lame"),), ERROR),
    Row("MP3 without one, MP2", (Kind("mp3", "libmp3lame", options={"write_xing": "0"}), Kind("mp2", "mp2")), READ),
    Row("AAC (ADTS)", (Kind("adts", "aac"),), READ),
    Row("AAC (LATM), AMR", (Kind("latm", "aac"), Kind("amr", "libopencore_amrnb", 8000)), ERROR),
    Row("AC-3, E-AC-3", (Kind("ac3", "ac3", 48000), Kind("eac3", "eac3", 48000)), READ),
    Row("MP4, M4A, MOV, 3GP", (Kind("mp4", "aac"), Kind("ipod", "alac"), Kind("mov", "pcm_s16le"),
                               Kind("mp4", "aac", options={"movflags": "faststart"}),
                               Kind("3gp", "libopencore_amrnb", 8000)), ERROR, pipe=NEVER),
    Row("MP4 in fragments", (Kind("mp4", "aac", options=FRAGMENTED), Kind("ismv", "aac", 44100)), ERROR),
    Row("Matroska, WebM", (Kind("matroska", "pcm_s16le"), Kind("webm", "libopus", 48000)), ERROR),
    Row("Matroska, WebM, live", (Kind("webm", "libopus", 48000, {"live": "1"}),), READ),
    Row("AVI", (Kind("avi", "pcm_s16le"), Kind("avi", "libmp3lame")), ERROR),
    Row("Flash video", (Kind("flv", "libmp3lame", 22050), Kind("flv", "aac", 44100)), ERROR),
    Row("ASF, WMA, WMV", (Kind("asf", "wmav2"), Kind("asf", "libmp3lame")), ERROR),
    Row("MPEG-TS, MPEG-PS", (Kind("mpegts", "mp2"), Kind("mpegts", "aac"), Kind("mpeg", "mp2")), READ),
    Row("NUT", (Kind("nut", "pcm_s16le"),), READ),
    Row("RealMedia", (Kind("rm", "ac3", 44100),), ERROR),
    Row("Flash film (SWF)", (Kind("swf", "libmp3lame", 22050),), READ),
    Row("MMF", (Kind("mmf", "adpcm_yamaha", 8000),), ERROR),
    Row("ADX", (Kind("adx", "adpcm_adx"),), ERROR),
    Row("AST, SMJPEG", (Kind("ast", "pcm_s16be_planar"), Kind("smjpeg", "pcm_s16le")), ERROR),
]  # fmt: skip


def make_tone(seconds: float, rate: int) -> np.ndarray:
    """A tone in noise, the louder the later it is."""
    times = np.arange(round(seconds * rate)) / rate
    noise = 0.03 * np.random.default_rng(0).standard_normal(len(times))
    return (np.linspace(0.1, 0.4, len(times)) * np.sin(2 * np.pi * FREQUENCY * times) + noise).astype(np.float32)


class _Pipe:
    """Takes what is written, and cannot go back."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, data: bytes) -> int:
        self.content += data
        return len(data)


def missing(kind: Kind) -> str | None:
    """Why a container cannot be written here."""
    if kind.muxer.isupper():
        return None
    if kind.codec not in av.codecs_available:
        return f"this FFmpeg has no {kind.codec}"
    return None if kind.muxer in av.formats_available else f"this FFmpeg has no {kind.muxer}"


@functools.cache
def _write(muxer: str, codec: str, rate: int, options: tuple[tuple[str, str], ...], seconds: float) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/written"  # a file object would be a pipe for some containers
        with av.open(path, "w", format=muxer, options=dict(options)) as container:
            _encode(container, codec, make_tone(seconds, rate), rate)
        return Path(path).read_bytes()


def write(kind: Kind, seconds: float) -> bytes:
    """A recording as a file."""
    if kind.muxer.isupper():
        buffer = io.BytesIO()
        soundfile.write(buffer, make_tone(seconds, kind.rate), kind.rate, format=kind.muxer, subtype=kind.codec)
        return buffer.getvalue()
    return _write(kind.muxer, kind.codec, kind.rate, tuple(kind.options.items()), seconds)


def write_to_pipe(kind: Kind, seconds: float) -> bytes:
    """A recording as it comes out of a pipe."""
    pipe = _Pipe()
    with av.open(pipe, "w", format=kind.muxer, options=kind.options) as container:
        _encode(container, kind.codec, make_tone(seconds, kind.rate), kind.rate)
    return bytes(pipe.content)


def _encode(container: Any, codec: str, samples: np.ndarray, rate: int) -> None:
    _, packets = add_audio(container, codec, samples, rate)
    for packet in packets():
        container.mux(packet)


def add_audio(container: Any, codec: str, samples: np.ndarray, rate: int) -> tuple[Any, Callable[[], list[Any]]]:
    """A stream of a container, and what makes its packets once all streams are there."""
    stream = container.add_stream(codec, rate=rate, layout="mono")
    stream.bit_rate = 12_200 if "amr" in codec else 64_000
    stream.codec_context.open()

    def packets() -> list[Any]:
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.rate = rate
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate, frame_size=size)
        made, position = [], 0
        for one in [*resampler.resample(frame), *resampler.resample(None), None]:
            if one is not None:
                one.pts, position = position, position + one.samples
            made += stream.encode(one)
        return made

    return stream, packets


def write_tracks(
    path: Path, tracks: Sequence[np.ndarray], rate: int, *, default: int | None, languages: Sequence[str] = ()
) -> None:
    """Write several audio tracks into one file, one of which is marked as default."""
    with av.open(str(path), "w") as container:
        made = []
        for number, samples in enumerate(tracks):
            stream, packets = add_audio(container, "pcm_s16le", samples, rate)
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
            if languages:
                stream.metadata["language"] = languages[number]
            made.append(packets)
        for packet in sorted((one for packets in made for one in packets()), key=lambda one: one.dts):
            container.mux(packet)
