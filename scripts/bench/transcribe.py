"""Times `asr transcribe` from the command line, beside PocketSphinx and Keras, all in fresh processes taking turns.

    pip install pocketsphinx
    python scripts/bench/transcribe.py [MANIFEST]

Without a manifest the hour is joined from the samples of the repository, over and over: good enough for times. Every
contender transcribes the same FLAC files: ten seconds, for the time from a cold start to the text, and an hour. The
bundle is timed greedily and, where it has one, with the decoder that it recommends. PocketSphinx is given the first
minutes only (--peer-minutes); what it takes is scaled up. `Keras predict` is the same model and windows through
`keras.Model.predict`, in batches. Memory is the most that a process and its children hold at a time, pages they share
counted for each. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from asr.audio.load import load_audio
from asr.bundle import load_bundle
from asr.corpus.manifest import read_manifest

RATE = 16000
REPOSITORY = Path(__file__).resolve().parents[2]

POCKETSPHINX = """
import sys, soundfile
from pocketsphinx import Decoder
samples, rate = soundfile.read(sys.argv[1], dtype="int16")
decoder = Decoder(samprate=rate)
for start in range(0, len(samples), 20 * rate):
    decoder.start_utt()
    decoder.process_raw(samples[start : start + 20 * rate].tobytes(), full_utt=True)
    decoder.end_utt()
    print(decoder.hyp().hypstr if decoder.hyp() else "")
"""

KERAS = """
import sys
import numpy as np
from asr.acoustic.outputs import log_softmax
from asr.acoustic.steps import step_counts
from asr.audio.load import load_audio
from asr.bundle import load_bundle
from asr.bundle import load_bundle
from asr.decoding.greedy import decode_greedy
from asr.recognition.windows import WindowCutter
bundle = load_bundle(sys.argv[2])
settings = bundle.log_mel.settings
cutter = WindowCutter(settings.sample_rate, settings.hop_samples * bundle.model.subsampling)
samples = load_audio(sys.argv[1], sample_rate=settings.sample_rate)
frames = [bundle.log_mel(window.samples) for part in (cutter.push(samples), cutter.finish()) for window in part]
counts = np.array([len(one) for one in frames], np.int32)
batch = np.zeros((len(frames), counts.max(), settings.mels), np.float32)
for row, one in zip(batch, frames):
    row[: len(one)] = one
logits = bundle.keras_model().predict([batch, counts], batch_size=16, verbose=0)[..., : bundle.alphabet.size]
for one, steps in zip(log_softmax(logits), step_counts(counts, bundle.model)):
    print(decode_greedy(one[:steps], bundle.alphabet).text)
"""


@dataclass(frozen=True)
class Run:
    """What a process took."""

    wall: float
    cores: float
    """seconds of processor time, of its children too"""
    megabytes: float
    output: str


def run(command: list[str]) -> Run:
    """Run a command to its end, and refuse one that fails."""
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", PYTHONPATH=str(REPOSITORY))
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    most = [0.0]
    watcher = threading.Thread(target=_watch, args=(process, most))
    watcher.start()
    before = os.times()
    output, errors = process.communicate()
    wall = time.perf_counter() - started
    after = os.times()
    watcher.join()
    if process.returncode:
        sys.exit(f"{' '.join(command[:4])} ...: {errors.decode(errors='replace')[-500:]}")
    cores = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(wall, cores, most[0] / 1e6, output.decode("utf-8", "replace"))


def _watch(process: subprocess.Popen[bytes], most: list[float]) -> None:
    """Keep the highest sum of resident memory of a process and its children."""
    while process.poll() is None:
        most[0] = max(most[0], _resident(process.pid))
        time.sleep(0.02)


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(_resident(int(child)) for child in children)


def join(manifest: Path, seconds: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Utterances of a manifest one behind the other, from the start again if need be."""
    utterances = read_manifest(manifest).utterances
    parts, missing = [], int(seconds * RATE)
    while missing > 0:
        for one in utterances:
            samples = load_audio(one.audio, sample_rate=RATE)[:missing]
            parts.append(samples)
            missing -= len(samples)
    return np.concatenate(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", nargs="?", type=Path, default=REPOSITORY / "data" / "samples" / "samples.jsonl")
    parser.add_argument("--bundle", default="en")
    parser.add_argument("--lm", help="a language model for the beam search, in place of what the bundle recommends")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-minutes", type=float, default=2.0, help="of the hour, for PocketSphinx")
    parser.add_argument("--pocketsphinx", default=sys.executable, help="an interpreter that has pocketsphinx")
    arguments = parser.parse_args()
    has_peer = not subprocess.run([arguments.pocketsphinx, "-c", "import pocketsphinx"], capture_output=True).returncode
    asr = [sys.executable, "-m", "asr", "transcribe", f"bundle={arguments.bundle}"]
    greedy = [*asr, "decoder=greedy"]
    beam = [*asr, f"decoder.lm={arguments.lm}"] if arguments.lm else asr
    has_beam = arguments.lm or load_bundle(arguments.bundle).decoder
    keras = [sys.executable, "-c", KERAS]
    with tempfile.TemporaryDirectory(prefix="asr-bench-") as folder:
        hour, clip, part = (str(Path(folder) / f"{name}.flac") for name in ("hour", "clip", "part"))
        samples = join(arguments.manifest, 3600)
        for path, count in ((hour, len(samples)), (clip, 10 * RATE), (part, int(60 * arguments.peer_minutes * RATE))):
            soundfile.write(path, samples[:count], RATE)
        contenders: dict[str, tuple[list[str], float]] = {
            "asr --help": ([sys.executable, "-m", "asr", "--help"], 1),
            "asr, 10 s": ([*greedy, clip], 1),
            "Keras predict, 10 s": ([*keras, clip, arguments.bundle], 1),
            "asr, an hour": ([*greedy, hour], 1),
            "asr, an hour, one core": ([*greedy, "workers=1", hour], 1),
            "Keras predict, an hour": ([*keras, hour, arguments.bundle], 1),
        }
        if has_beam:
            contenders["asr, 10 s, beam and language model"] = ([*beam, clip], 1)
            contenders["asr, an hour, beam and language model"] = ([*beam, hour], 1)
        if has_peer:
            code = [arguments.pocketsphinx, "-c", POCKETSPHINX]
            contenders["PocketSphinx, 10 s"] = ([*code, clip], 1)
            contenders["PocketSphinx, an hour"] = ([*code, part], 60 / arguments.peer_minutes)
        runs: dict[str, list[Run]] = {name: [] for name in contenders}
        for number in range(arguments.rounds):
            for name, (command, _) in contenders.items():
                print(f"round {number + 1}: {name}", file=sys.stderr)
                runs[name].append(run(command))
    middle = {
        name: Run(
            statistics.median(one.wall for one in some) * contenders[name][1],
            statistics.median(one.cores for one in some) * contenders[name][1],
            max(one.megabytes for one in some),
            "",
        )
        for name, some in runs.items()
    }
    print(f"{'medians of ' + str(arguments.rounds) + ' rounds':<42}{'seconds':>9}{'core-seconds':>14}{'MB':>8}")
    for name, one in middle.items():
        scaled = "" if contenders[name][1] == 1 else f"   (scaled from {arguments.peer_minutes:g} minutes)"
        print(f"{name:<42}{one.wall:>9.2f}{one.cores:>14.2f}{one.megabytes:>8.0f}{scaled}")
    ours = middle["asr, an hour"]
    figures: dict[str, float | int | None] = {
        "rounds": arguments.rounds,
        "cores": len(os.sched_getaffinity(0)),
        "help_seconds": middle["asr --help"].wall,
        "cold_start_seconds": middle["asr, 10 s"].wall,
        "hour_greedy_seconds": ours.wall,
        "hour_greedy_one_core_seconds": middle["asr, an hour, one core"].wall,
        "hour_greedy_core_seconds": ours.cores,
        "hour_beam_lm_seconds": None,
        "hour_beam_lm_core_seconds": None,
        "cold_start_beam_lm_seconds": None,
        "peak_mb": ours.megabytes,
        "vs_keras_predict": middle["Keras predict, an hour"].wall / ours.wall,
        "vs_keras_predict_cold_start": middle["Keras predict, 10 s"].wall / middle["asr, 10 s"].wall,
        "vs_pocketsphinx": None,
        "vs_pocketsphinx_core_seconds": None,
        "vs_pocketsphinx_cold_start": None,
    }
    if has_beam:
        with_lm = middle["asr, an hour, beam and language model"]
        figures["hour_beam_lm_seconds"] = with_lm.wall
        figures["hour_beam_lm_core_seconds"] = with_lm.cores
        figures["cold_start_beam_lm_seconds"] = middle["asr, 10 s, beam and language model"].wall
        figures["peak_mb"] = max(ours.megabytes, with_lm.megabytes)
    if has_peer:
        figures["vs_pocketsphinx"] = middle["PocketSphinx, an hour"].wall / ours.wall
        figures["vs_pocketsphinx_core_seconds"] = middle["PocketSphinx, an hour"].cores / ours.cores
        if has_beam:
            peer = middle["PocketSphinx, an hour"].cores
            figures["beam_lm_vs_pocketsphinx_core_seconds"] = (
                peer / middle["asr, an hour, beam and language model"].cores
            )
        figures["vs_pocketsphinx_cold_start"] = middle["PocketSphinx, 10 s"].wall / middle["asr, 10 s"].wall
    else:
        print(
            "PocketSphinx is not there: pip install pocketsphinx, or name an interpreter that has it", file=sys.stderr
        )
    print(json.dumps({name: round(one, 3) if isinstance(one, float) else one for name, one in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
