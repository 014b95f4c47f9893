"""Makes recordings in which nobody speaks, with empty texts: music, noise, hum, beeps, drums.

A model that was trained on speech alone writes words under music. With these among its training data it learns to write
nothing there. Everything is synthesised from a seed; nothing is downloaded.

    python scripts/research/make_nonspeech.py data/nonspeech
    asr train data.train='[mine.jsonl,data/nonspeech/nonspeech.jsonl]' ...

They serve as noise behind speech too. With --speech, a babble of several voices at once is made of its recordings, in a
manifest of its own, which is for noise alone:

    python scripts/research/make_nonspeech.py data/nonspeech --speech train.jsonl
    asr train augment.noise_manifests='[data/nonspeech/nonspeech.jsonl,data/nonspeech/babble.jsonl]' ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from asr.audio.augment import coloured_noise
from asr.audio.load import Samples, load_audio, save_flac
from asr.audio.segment import AudioSource
from asr.corpus.manifest import Utterance, read_manifest, write_manifest

RATE = 16000
Make = Callable[[int, np.random.Generator], Samples]
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the recordings and nonspeech.jsonl are written")
    parser.add_argument("--count", type=int, default=240, help="recordings (default 240)")
    parser.add_argument("--seconds", type=float, nargs=2, default=(2.0, 12.0), help="shortest and longest (2 12)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--speech", type=Path, nargs="+", default=(), help="manifests to make a babble of")
    arguments = parser.parse_args()
    make("nonspeech", KINDS, arguments)
    if arguments.speech:
        paths = [one.audio for manifest in arguments.speech for one in read_manifest(manifest).utterances]
        make("babble", {"babble": partial(babble, paths)}, arguments)


def make(name: str, kinds: Mapping[str, Make], arguments: argparse.Namespace) -> None:
    """Write recordings of some kinds, one kind after the other, and their manifest."""
    utterances = []
    for number in tqdm(range(arguments.count), name, unit="recording", disable=not sys.stderr.isatty()):
        rng = np.random.default_rng([arguments.seed, number])
        kind = list(kinds)[number % len(kinds)]
        seconds = float(rng.uniform(*arguments.seconds))
        samples = kinds[kind](int(seconds * RATE), rng)
        path = arguments.folder / f"{kind}-{number:04d}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_flac(path, levelled(samples, rng), RATE)
        duration = len(samples) / RATE
        utterances.append(Utterance(path.stem, path, "", duration, f"nonspeech-{kind}", ""))
    manifest = arguments.folder / f"{name}.jsonl"
    write_manifest(manifest, utterances)
    print(f"{manifest}: {len(utterances)} recordings, {sum(one.duration or 0 for one in utterances) / 60:.0f} minutes")


def levelled(samples: Samples, rng: np.random.Generator) -> Samples:
    """At a drawn peak level, over a floor of noise."""
    peak = max(1e-9, float(np.abs(samples).max()))
    floor = 10 ** (rng.uniform(-80, -50) / 20) * rng.standard_normal(len(samples))
    return np.clip(samples / peak * rng.uniform(0.05, 0.9) + floor, -1, 1).astype(np.float32)


def babble(paths: Sequence[AudioSource], count: int, rng: np.random.Generator) -> Samples:
    """Between three and eight voices at once, none much louder than the others."""
    made = np.zeros(count, np.float32)
    for place in rng.choice(len(paths), min(len(paths), int(rng.integers(3, 9))), replace=False):
        voice = np.resize(load_audio(paths[place], sample_rate=RATE), count)
        made += np.roll(voice, int(rng.integers(count))) / (voice.std() + 1e-9) * np.float32(rng.uniform(0.5, 1))
    return made


def noise(count: int, rng: np.random.Generator) -> Samples:
    """White to brown, at times swelling."""
    made = coloured_noise(count, rng.uniform(0, 2), rng)
    swell = 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * rng.uniform(0.1, 3) * np.arange(count) / RATE)
    return (made * swell).astype(np.float32)


def hum(count: int, rng: np.random.Generator) -> Samples:
    """Mains and motors: a low tone and many of its multiples."""
    base = float(rng.choice([50, 60, rng.uniform(30, 200)]))
    levels = rng.uniform(0, 1, 12) / np.arange(1, 13) ** rng.uniform(0.3, 1.5)
    made: Samples = _tone(base, count, levels, rng) + coloured_noise(count, 1, rng) / np.float32(600)
    return made


def beeps(count: int, rng: np.random.Generator) -> Samples:
    """A ringing, a dialling, an alarm."""
    made = np.zeros(count, np.float32)
    length, gap = (int(rng.uniform(*bounds) * RATE) for bounds in ((0.05, 0.8), (0.05, 0.8)))
    pitches = rng.uniform(300, 3000, int(rng.integers(1, 4)))
    for number, start in enumerate(range(0, count, length + gap)):
        piece = made[start : start + length]
        piece += _tone(pitches[number % len(pitches)], len(piece), np.array([1.0, 0.2]), rng)
    return made


def drums(count: int, rng: np.random.Generator) -> Samples:
    """A beat of thumps, snares and hats."""
    made = np.zeros(count, np.float32)
    beat = 60 / rng.uniform(60, 180) / 2
    pattern = rng.integers(0, 4, 16)
    for number in range(int(count / RATE / beat) + 1):
        kind, start = pattern[number % len(pattern)], int(number * beat * RATE)
        length = min(count - start, int(0.3 * RATE))
        if kind == 0 or length <= 0:
            continue
        times = np.arange(length) / RATE
        if kind == 1:
            made[start : start + length] += np.sin(2 * np.pi * 60 * times * np.exp(-times * 8)) * np.exp(-times * 15)
        else:
            hit = coloured_noise(length, 0.0 if kind == 3 else 0.6, rng)
            made[start : start + length] += hit / hit.std() * 0.4 * np.exp(-times * (60 if kind == 3 else 20))
    return made


def melody(count: int, rng: np.random.Generator) -> Samples:
    """One note after the other from a scale."""
    return _music(count, rng, voices=1, seconds=(0.15, 0.8))


def chords(count: int, rng: np.random.Generator) -> Samples:
    """Several notes at a time."""
    return _music(count, rng, voices=int(rng.integers(3, 5)), seconds=(0.4, 2.5))


def song(count: int, rng: np.random.Generator) -> Samples:
    """Chords, a melody and drums together."""
    parts = [chords(count, rng), melody(count, rng), drums(count, rng)]
    return sum((part / (part.std() + 1e-9) * rng.uniform(0.2, 1) for part in parts), np.zeros(count)).astype(np.float32)


def clicks(count: int, rng: np.random.Generator) -> Samples:
    """Keys, steps, crackle."""
    made = np.zeros(count, np.float32)
    for start in rng.integers(0, count, max(1, int(count / RATE * rng.uniform(1, 12)))):
        length = min(count - start, int(rng.uniform(0.002, 0.05) * RATE))
        burst = rng.standard_normal(length) * np.exp(-np.arange(length) / length * 5)
        made[start : start + length] += (burst * rng.uniform(0.1, 1)).astype(np.float32)
    return made


def _music(count: int, rng: np.random.Generator, *, voices: int, seconds: tuple[float, float]) -> Samples:
    made = np.zeros(count + 4 * RATE, np.float32)
    scale, root = (MAJOR, MINOR)[int(rng.integers(2))], rng.uniform(36, 66)
    levels = rng.uniform(0, 1, 10) / np.arange(1, 11) ** rng.uniform(0.5, 2)
    attack, decay = rng.uniform(0.003, 0.15), rng.uniform(0.3, 6)
    start = 0
    while start < count:
        length = int(rng.uniform(*seconds) * RATE)
        degree = int(rng.integers(0, 12))
        for voice in range(voices):
            octave, step = divmod(degree + 2 * voice, len(scale))
            pitch = 440 * 2 ** ((root + scale[step] + 12 * octave - 69) / 12)
            times = np.arange(int(length * 1.3)) / RATE
            envelope = (
                np.minimum(times / attack, 1) * np.exp(-times * decay) * np.clip((times[-1] - times) / 0.03, 0, 1)
            )
            made[start : start + len(times)] += _tone(pitch, len(times), levels, rng) * envelope
        start += length
    return made[:count]


def _tone(pitch: float, count: int, levels: np.ndarray, rng: np.random.Generator) -> Samples:
    """A tone and its multiples below half the sample rate, with some vibrato."""
    times = np.arange(count) / RATE
    vibrato = rng.uniform(0, 0.01) * np.sin(2 * np.pi * rng.uniform(3, 7) * times + rng.uniform(0, 6))
    phase = 2 * np.pi * pitch * np.cumsum(1 + vibrato) / RATE
    parts = [
        level * np.sin(multiple * phase + rng.uniform(0, 6))
        for multiple, level in enumerate(levels, start=1)
        if multiple * pitch * 1.02 < RATE / 2
    ]
    made: Samples = np.sum([np.zeros(count), *parts], axis=0).astype(np.float32)
    return made


KINDS: dict[str, Make] = {one.__name__: one for one in (chords, melody, song, noise, drums, hum, beeps, clicks)}


if __name__ == "__main__":
    main()
