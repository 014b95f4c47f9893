"""Transcribes damaged recordings of every supported format, and counts the outcomes.

    python scripts/research/fuzz_audio.py --count 100000

Every input must end in a transcript or in one `AudioError` that says why. A decoder that breaks down or hangs costs its
reader process and one recording; ours must never. Inputs on which that happened are kept in --keep, to be looked at.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from tqdm import tqdm

from asr.audio.load import Samples
from asr.audio.readers import Limits, Readers
from asr.bundle import load_bundle
from asr.errors import AudioError
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import GreedyConfig

RATE = 16000
Mutation = Callable[[bytearray, np.random.Generator, bytes], bytes]

_SNDFILE = {
    "wav": ["PCM_16", "PCM_24", "FLOAT", "DOUBLE", "PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"],
    "flac": ["PCM_16", "PCM_24"],
    "ogg": ["VORBIS", "OPUS"],
    "mp3": ["MPEG_LAYER_III"],
    "aiff": ["PCM_16", "FLOAT"],
    "au": ["PCM_16", "ULAW"],
    "caf": ["PCM_16", "ALAC_16"],
    "w64": ["PCM_16"],
    "rf64": ["PCM_16"],
}
_FFMPEG = [("m4a", "aac"), ("mp4", "aac"), ("webm", "libopus"), ("mkv", "pcm_s16le"), ("aac", "aac"), ("wma", "wmav2"),
           ("mka", "pcm_f32le"), ("mov", "pcm_s16le"), ("3gp", "aac")]  # fmt: skip


def write_seeds(folder: Path) -> list[Path]:
    """A good recording of a third of a second in every format that can be written here."""
    time_axis = np.arange(RATE // 3) / RATE
    rng = np.random.default_rng(0)
    samples = (0.3 * np.sin(2 * np.pi * 300 * time_axis) + 0.05 * rng.standard_normal(len(time_axis))).astype(
        np.float32
    )
    seeds = []
    for suffix, subtypes in _SNDFILE.items():
        for subtype in subtypes:
            path = folder / f"{suffix}-{subtype}.{suffix}"
            soundfile.write(path, samples, RATE, subtype=subtype)
            seeds.append(path)
    for suffix, codec in _FFMPEG:
        path = folder / f"{suffix}-{codec}.{suffix}"
        _write_container(path, codec, samples)
        seeds.append(path)
    return seeds


def _write_container(path: Path, codec: str, samples: Samples) -> None:
    rate = 48000 if codec == "libopus" else RATE
    stretched = np.repeat(samples, rate // RATE)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 48_000
        stream.codec_context.open()
        frame = av.AudioFrame.from_ndarray(stretched[None], format="fltp", layout="mono")
        frame.rate = rate
        size = stream.codec_context.frame_size or None
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate, frame_size=size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def _flip_bits(data: bytearray, rng: np.random.Generator, _other: bytes) -> bytes:
    for place in rng.integers(0, len(data), int(rng.integers(1, 30))):
        data[place] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _spoil_header(data: bytearray, rng: np.random.Generator, _other: bytes) -> bytes:
    extremes = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0\0\0", rng.bytes(4)]
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(0, min(len(data), 256)))
        data[place : place + 4] = extremes[int(rng.integers(len(extremes)))]
    return bytes(data)


def _cut_off(data: bytearray, rng: np.random.Generator, _other: bytes) -> bytes:
    return bytes(data[: int(rng.integers(0, len(data)))])


def _cut_out(data: bytearray, rng: np.random.Generator, _other: bytes) -> bytes:
    first, last = sorted(int(one) for one in rng.integers(0, len(data), 2))
    return bytes(data[:first] + data[last:])


def _repeat(data: bytearray, rng: np.random.Generator, _other: bytes) -> bytes:
    first, last = sorted(int(one) for one in rng.integers(0, len(data), 2))
    return bytes(data[:last] + data[first:last] * int(rng.integers(1, 5)) + data[last:])


def _insert(data: bytearray, rng: np.random.Generator, _other: bytes) -> bytes:
    place = int(rng.integers(0, len(data)))
    return bytes(data[:place]) + rng.bytes(int(rng.integers(1, 2000))) + bytes(data[place:])


def _splice(data: bytearray, rng: np.random.Generator, other: bytes) -> bytes:
    return bytes(data[: int(rng.integers(0, len(data)))]) + other[int(rng.integers(0, len(other))) :]


def _garbage(data: bytearray, rng: np.random.Generator, _other: bytes) -> bytes:
    kept = int(rng.integers(0, min(len(data), 64)))
    return bytes(data[:kept]) + rng.bytes(len(data) - kept)


MUTATIONS: list[Mutation] = [
    _flip_bits, _flip_bits, _spoil_header, _spoil_header, _cut_off, _cut_out, _repeat, _insert, _splice, _garbage,
]  # fmt: skip


def mutate(seeds: list[tuple[str, bytes]], rng: np.random.Generator) -> tuple[str, bytes]:
    """A file name and the content of a damaged recording."""
    name, content = seeds[int(rng.integers(len(seeds)))]
    _, other = seeds[int(rng.integers(len(seeds)))]
    for _ in range(1 + int(rng.random() < 0.3)):
        content = MUTATIONS[int(rng.integers(len(MUTATIONS)))](bytearray(content or b"\0"), rng, other)
    # Sometimes under the name of another format.
    suffix = name if rng.random() < 0.9 else seeds[int(rng.integers(len(seeds)))][0]
    return f"{name.split('.')[0]}.{suffix.split('.')[-1]}", content


@dataclass
class Tally:
    """What came of the inputs."""

    inputs: int = 0
    texts: int = 0
    refused: int = 0
    broke_down: int = 0
    """inputs that cost a reader its life"""
    hung: int = 0
    lost: int = 0
    """inputs of which nothing came"""
    reasons: Counter[str] = field(default_factory=Counter)
    formats: Counter[tuple[str, str]] = field(default_factory=Counter)


def fuzz(count: int, *, seed: int, folder: Path, keep: Path | None, timeout: float, workers: int = 0) -> Tally:
    """Transcribe so many damaged recordings, one after the other, as one job."""
    rng = np.random.default_rng(seed)
    (folder / "seeds").mkdir()
    seeds = [(path.name, path.read_bytes()) for path in write_seeds(folder / "seeds")]
    tally = Tally()
    readers = Readers(Limits(hours=1, timeout=timeout))
    transcriber = Transcriber(load_bundle("en"), decoder=GreedyConfig(), readers=readers, workers=workers)

    def inputs() -> Iterator[Path]:
        for number in range(count):
            name, content = mutate(seeds, rng)
            path = folder / f"{number}-{name}"
            path.write_bytes(content)
            written.append(path)
            yield path

    written: list[Path] = []
    results = transcriber.transcribe_files(inputs())
    for number, result in enumerate(tqdm(results, total=count, unit="file", disable=None)):
        tally.inputs += 1
        path = written[number]
        kind = path.name.split("-", 1)[1].split(".")[0]
        if isinstance(result, AudioError):
            outcome = "refused"
            # What is in brackets and numbers differs from file to file.
            reason = "".join("#" if one.isdigit() else one for one in result.reason.split(" (")[0])
            tally.reasons[reason] += 1
            if reason == "cannot be decoded":  # what nobody foresaw is shown whole
                tally.reasons[result.reason] += 1
            if "crashed" in result.reason or "gave nothing" in result.reason:
                outcome = "crashed" if "crashed" in result.reason else "hung"
                if keep is not None:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / path.name).write_bytes(path.read_bytes())
        else:
            outcome = "text"
        tally.formats[kind, outcome] += 1
        path.unlink()
    totals = Counter[str]()
    for (_, outcome), number in tally.formats.items():
        totals[outcome] += number
    tally.texts, tally.refused, tally.broke_down, tally.hung = (
        totals[name] for name in ("text", "refused", "crashed", "hung")
    )
    tally.lost = count - tally.inputs
    readers.close()
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="inputs (default: 100,000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for inputs that broke a reader or hung")
    parser.add_argument("--timeout", type=float, default=20.0, help="seconds before a decoder counts as hanging")
    parser.add_argument("--workers", type=int, default=0, help="processor cores; 0 for all")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="asr-fuzz-") as folder:
        tally = fuzz(
            arguments.count,
            seed=arguments.seed,
            folder=Path(folder),
            keep=arguments.keep,
            timeout=arguments.timeout,
            workers=arguments.workers,
        )
    outcomes = ("text", "refused", "crashed", "hung")
    print(f"{'format':<18}" + "".join(f"{name:>12}" for name in outcomes))
    for kind in sorted({kind for kind, _ in tally.formats}):
        print(f"{kind:<18}" + "".join(f"{tally.formats[kind, name]:>12,}" for name in outcomes))
    print(f"\n{'reason':<90}{'inputs':>8}")
    for reason, number in tally.reasons.most_common(25):
        print(f"{reason[:88]:<90}{number:>8,}")
    print(
        f"\n{tally.inputs:,} inputs in {time.monotonic() - started:.0f} s: {tally.texts:,} texts, "
        f"{tally.refused:,} refused, {tally.broke_down} broke a reader, {tally.hung} hung, {tally.lost} lost"
    )
    figures = {name: getattr(tally, name) for name in ("inputs", "texts", "refused", "broke_down", "hung", "lost")}
    print(json.dumps(figures))
    return 1 if tally.lost else 0


if __name__ == "__main__":
    sys.exit(main())
