"""Measures a model's errors on recordings made worse: noise, babble, rooms, telephones, low bit rates, several voices.

    python scripts/bench/robustness.py dev-clean-heldout.jsonl
    python scripts/bench/robustness.py dev-clean-heldout.jsonl --bundle runs/mine/best --limit 100

Every condition is applied to the same utterances, from a seed. Noise is pink; babble is six other speakers of the
manifest at once; a room has half a second of reverberation (Polack's statistical model, which also trains
`augment=robust`); a telephone is 300 to 3400 Hz at 8 kHz in mu-law; Opus is FFmpeg's encoder. Errors come with their
95 % interval, over speakers where there are enough. The last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from asr.audio.augment import add_noise, coloured_noise, reverberate, simulate_response, telephone
from asr.audio.load import Samples, load_audio, save_flac
from asr.bundle import load_bundle
from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import AudioError
from asr.evaluation.policy import ScoringPolicy
from asr.evaluation.render.text_report import chance, interval_text
from asr.evaluation.scoring import Score, score
from asr.evaluation.statistics import compare, enough_speakers, rate_intervals
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import AutoConfig, GreedyConfig

RATE = 16000
VOICES, REVERB_SECONDS, OPUS_BITS = 6, 0.5, 12_000

Change = Callable[[Samples, np.random.Generator], Samples]


def noisy(snr_db: float) -> Change:
    """With pink noise."""
    return lambda samples, rng: add_noise(samples, coloured_noise(len(samples), 1.0, rng), snr_db, rng)


def babble(snr_db: float, voices: Sequence[Samples]) -> Change:
    """With other speakers behind."""

    def change(samples: Samples, rng: np.random.Generator) -> Samples:
        chosen = rng.choice(len(voices), VOICES, replace=False)
        crowd = sum((np.resize(voices[one], len(samples)) for one in chosen), np.zeros(len(samples), np.float32))
        return add_noise(samples, crowd.astype(np.float32), snr_db, rng)

    return change


def in_a_room(samples: Samples, rng: np.random.Generator) -> Samples:
    """With reverberation."""
    return reverberate(samples, simulate_response(REVERB_SECONDS, RATE, rng))


def as_opus(samples: Samples, _: np.random.Generator) -> Samples:
    """Encoded at a low bit rate, and decoded again."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        stream.bit_rate = OPUS_BITS
        frame = av.AudioFrame.from_ndarray(np.clip(samples, -1, 1)[None].astype(np.float32), "flt", "mono")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    with tempfile.NamedTemporaryFile(suffix=".opus") as file:
        file.write(buffer.getbuffer())
        file.flush()
        return load_audio(file.name, sample_rate=RATE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--bundle", default="en")
    parser.add_argument("--greedy", action="store_true", help="decode greedily, whatever the bundle recommends")
    parser.add_argument("--limit", type=int, help="only so many utterances, spread over the manifest")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    utterances = read_manifest(arguments.manifest).utterances
    if arguments.limit:
        utterances = utterances[:: max(1, len(utterances) // arguments.limit)][: arguments.limit]
    recordings = [load_audio(one.audio, sample_rate=RATE) for one in tqdm(utterances, "reading", disable=None)]
    conditions: dict[str, Change] = {
        "as recorded": lambda samples, _: samples,
        **{f"noise, {snr} dB": noisy(snr) for snr in (20, 10, 5)},
        "babble, 10 dB": babble(10, recordings[:: max(1, len(recordings) // 60)]),
        f"room, {REVERB_SECONDS} s": in_a_room,
        "telephone, 8 kHz": lambda samples, _: telephone(samples, RATE),
        f"Opus, {OPUS_BITS // 1000} kbit/s": as_opus,
    }
    bundle = load_bundle(arguments.bundle)
    transcriber = Transcriber(bundle, decoder=GreedyConfig() if arguments.greedy else AutoConfig())
    policy = ScoringPolicy(bundle.normalizer)
    references = [policy(one.text or "") for one in utterances]
    speakers = [one.speaker for one in utterances]
    results = {
        name: score(references, transcribed(transcriber, policy, utterances, recordings, change, name, arguments.seed))
        for name, change in tqdm(conditions.items(), "conditions", disable=None)
    }
    print(f"{'':<18}{'WER':>9}  {'95 % interval':<18}{'CER':>8}{'worse by':>10}")
    clean = results["as recorded"]
    figures = {name: describe(name, one, clean, speakers) for name, one in results.items()}
    print(json.dumps({"bundle": arguments.bundle, "utterances": len(utterances), "conditions": figures}))
    return 0


def transcribed(
    transcriber: Transcriber,
    policy: ScoringPolicy,
    utterances: Sequence[Utterance],
    recordings: Sequence[Samples],
    change: Change,
    name: str,
    seed: int,
) -> list[str]:
    """What a model writes of changed recordings."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number:05d}.flac" for number in range(len(utterances))]
        for number, (path, samples) in enumerate(zip(paths, recordings, strict=True)):
            rng = np.random.default_rng([seed, number, *name.encode()])
            save_flac(path, change(samples, rng), RATE)
        texts = []
        for result in transcriber.transcribe_files(paths):
            if isinstance(result, AudioError):
                raise result
            texts.append(policy(result.text))
    return texts


def describe(name: str, result: Score, clean: Score, speakers: Sequence[str | None]) -> dict[str, object]:
    """Print the line of a condition; returns its figures."""
    (interval, *_) = rate_intervals(result, speakers)
    comparison = compare(result, clean, enough_speakers(speakers))
    worse = "" if result is clean else f"{100 * comparison.difference:+.2f}"
    sure = "" if result is clean or comparison.p is None else f"  ({chance(comparison.p)})"
    cer = 100 * (result.characters.rate or 0)
    print(f"{name:<18}{result.words!s:>9}  {interval_text(interval):<18}{cer:>6.2f} %{worse:>10}{sure}")
    return {
        "wer": result.words.rate,
        "cer": result.characters.rate,
        "interval": asdict(interval),
        "difference": comparison.difference,
        "p": comparison.p,
    }


if __name__ == "__main__":
    sys.exit(main())
