"""What recognisers cost on one processor core: size, memory, speed, and the errors that one gets for it.

    python scripts/bench/small_machines.py dev-clean-heldout.jsonl --utterances 100 --sphinx sphinx/bin/python
    python scripts/bench/small_machines.py data/samples/samples.jsonl --systems en tiny
    python scripts/bench/small_machines.py data/samples/samples.jsonl --systems en tiny --only-cold-starts

`sphinx/bin/python` is an interpreter with PocketSphinx: `python -m venv sphinx && sphinx/bin/pip install pocketsphinx
soundfile`. Every recogniser is started anew on one recording, without a limit of memory and with each of several, and
then transcribes a part of a manifest.

- size: the files that are read to transcribe: models and their settings, no programs and libraries
- memory: the largest resident set of all processes together, while the recording is transcribed. What processes share
  counts several times, so it is an upper bound.
- limits: whether the text comes with so much memory, which a control group enforces (Linux; where they cannot be made,
  what follows from the memory)
- start: processor seconds from the start of the program to the text of the recording, which is then complete
- speed: seconds of speech in a processor second, from the manifest
- WER: of the manifest, with its interval

A table of cold starts follows: processor and wall seconds of whole processes, from the command to its end. They are
medians of several starts, of one program after the other in turn, beside an import of the libraries that a start needs.

An exported model is run by the lines of its README, with integer weights, and decodes greedily. The last line is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from asr.audio.load import load_audio
from asr.bundle import load_bundle
from asr.corpus.manifest import read_manifest
from asr.evaluation.render.text_report import interval_text, percent
from asr.evaluation.statistics import Interval
from asr.export import export_bundle
from asr.settings.decoding import BeamConfig
from asr.settings.export import ExportShapes, ExportTarget

RATE = 16000
LIMITS = (64, 128, 256)
LONGEST_SECONDS = 40.0
LIBRARIES = "import numpy, onnxruntime"
# Modules are compiled once, as for a user.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

SPHINX = """
import sys, time, soundfile
from pocketsphinx import Decoder
decoder = Decoder(samprate=16000)
for line in sys.stdin:
    started = time.process_time()
    decoder.start_utt()
    decoder.process_raw(soundfile.read(line.strip(), dtype="int16")[0].tobytes(), full_utt=True)
    decoder.end_utt()
    spent = time.process_time() - started
    print(spent, decoder.hyp().hypstr if decoder.hyp() else "", sep="\\t", flush=True)
"""
SPHINX_SIZE = """
import pathlib, pocketsphinx
print(sum(path.stat().st_size for path in pathlib.Path(pocketsphinx.get_model_path()).rglob("*") if path.is_file()))
"""
README_LINES = """
import contextlib, io, re, sys, time
text = open("README.md", encoding="utf-8").read()
code = re.search("```python\\n(.*?)```", text, re.DOTALL).group(1).replace('"recording.wav"', "path")
code = compile(re.sub(r'"model[.](\\w+)"', r'"model.int8.\\1"', code), "README.md", "exec")
sys.path.insert(0, ".")
for line in sys.stdin:
    started, printed = time.process_time(), io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {"path": line.strip()})
    print(time.process_time() - started, printed.getvalue().strip(), sep="\\t", flush=True)
"""


@dataclass(frozen=True)
class Peer:
    """A recogniser that reads paths of WAV files, one a line, and answers with core seconds and text."""

    command: Sequence[str]
    folder: Path
    size: int


@dataclass
class Row:
    """The figures of one recogniser."""

    label: str
    megabytes: float
    memory_mb: float
    start_core_seconds: float
    fits: dict[int, bool]
    speed: float
    wer: float
    interval: dict[str, Any]

    def __str__(self) -> str:
        fits = "".join(f"{'yes' if fits else 'no':>5}" for fits in self.fits.values())
        cost = f"{self.megabytes:>7.1f} MB{self.memory_mb:>7.0f} MB{fits}{self.start_core_seconds:>8.2f} s"
        errors = f"{percent(self.wer):>9}  {interval_text(Interval(**self.interval))}"
        return f"{self.label:<28}{cost}{self.speed:>9.0f} x{errors}"


@dataclass
class ColdStart:
    """The seconds of a whole process that transcribes one recording."""

    label: str
    core_seconds: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.label:<28}{self.core_seconds:>8.2f} s{self.seconds:>8.2f} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--systems", nargs="*", default=["tiny", "tiny/onnx", "tiny/litert", "en"])
    parser.add_argument("--sphinx", help="an interpreter that has pocketsphinx and soundfile")
    parser.add_argument("--utterances", type=int, default=100, help="of the manifest, spread over it")
    parser.add_argument("--clip", type=Path, help="recording of the start; default: the one nearest to 10 seconds")
    parser.add_argument("--cold-starts", type=int, default=9, help="of each, whose median is shown")
    parser.add_argument("--only-cold-starts", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        manifest, files = wav_files(arguments.manifest, arguments.utterances, folder)
        clip = arguments.clip or min(files, key=lambda path: abs(soundfile.info(path).duration - 10))
        print(f"{len(files)} utterances; the start is that of {soundfile.info(clip).duration:.1f} s of speech")
        names = [*(["pocketsphinx"] if arguments.sphinx else []), *arguments.systems]
        rows = []
        if not arguments.only_cold_starts:
            limits = "".join(f"{limit:>5}" for limit in LIMITS)
            print(f"{'':<28}{'size':>10}{'memory':>10}{limits}{'start':>10}{'speed':>11}{'WER':>9}  95 % interval")
            for name in names:
                for measured in measure(name, arguments.sphinx, manifest, files, clip, folder):
                    print(measured, flush=True)
                    rows.append(asdict(measured))
        print(f"{'cold start':<28}{'processor':>10}{'wall':>10}")
        starts = cold_starts(names, arguments.sphinx, clip.resolve(), folder, times=arguments.cold_starts)
        print(*starts, sep="\n")
    print(json.dumps({"systems": rows, "cold_starts": [asdict(one) for one in starts]}))
    return 0


def measure(
    name: str, sphinx: str | None, manifest: Path, files: Sequence[Path], clip: Path, folder: Path
) -> Iterator[Row]:
    """The rows of a recogniser: of a bundle greedily, and with the decoder that it recommends."""
    if name == "pocketsphinx" or "/" in name:
        peer = peer_of(name, sphinx, folder)
        report, speed = peer_report(peer, manifest, files, folder)
        yield Row(name, peer.size / 1e6, *start_of_peer(peer, clip), speed, *error_rate(report))
        return
    bundle = load_bundle(name)
    for decoder in ("greedy", *(["auto"] if bundle.decoder else [])):
        report = evaluate(manifest, [f"bundle={name}", f"decoder={decoder}"])
        speed = report["systems"][0]["about"]["speed"]
        size = sum(path.stat().st_size for path in read_files(bundle.path, with_model=decoder == "auto"))
        settings = [f"bundle={name}", f"decoder={decoder}", "workers=1"]
        started = start_of([sys.executable, "-m", "asr", "transcribe", str(clip), *settings], Path.cwd(), None)
        label = f"{name}, {report['systems'][0]['about']['decoder'].partition(',')[0]}"
        yield Row(label, size / 1e6, *started, speed["audio_seconds"] / speed["core_seconds"], *error_rate(report))


def error_rate(report: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """The word error rate of the first system of a report, and its interval."""
    words = report["systems"][0]["words"]
    return words["rate"], words["intervals"][0]


def evaluate(manifest: Path, settings: Sequence[str]) -> dict[str, Any]:
    """A report of `asr evaluate`."""
    with tempfile.TemporaryDirectory() as folder:
        more = ["workers=1", "worst=0", "page_audio=false", f"output_dir={folder}"]
        command = [sys.executable, "-m", "asr", "evaluate", str(manifest), *settings, *more]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        report: dict[str, Any] = json.loads((Path(folder) / "report.json").read_bytes())
        return report


def read_files(folder: Path, *, with_model: bool) -> list[Path]:
    """What transcribing reads of a bundle: weights for training and other engines are left aside."""
    bundle = load_bundle(folder)
    decoder = bundle.decoder
    graph = ("weights.safetensors", "structure.onnx") if bundle.is_compact else ("model.onnx",)
    files = [folder / name for name in ("bundle.json", *graph)]
    if with_model and isinstance(decoder, BeamConfig):
        files += [Path(one) for one in (decoder.lm, decoder.second_pass, decoder.pronunciations) if one]
    return files


# Recognisers that are not run by `asr`.


def peer_of(name: str, sphinx: str | None, folder: Path) -> Peer:
    """PocketSphinx, or an exported bundle."""
    return sphinx_peer(str(sphinx), folder) if name == "pocketsphinx" else exported_peer(name, folder)


def sphinx_peer(python: str, folder: Path) -> Peer:
    """PocketSphinx with its own model."""
    size = subprocess.run([python, "-c", SPHINX_SIZE], check=True, capture_output=True, text=True).stdout
    return Peer([python, "-c", SPHINX], folder, int(size))


@cache
def exported_peer(name: str, folder: Path) -> Peer:
    """A bundle as `asr export` writes it: NAME/TARGET."""
    bundle, _, target = name.partition("/")
    place = folder / name.replace("/", "-")
    export_bundle(
        load_bundle(bundle), place, to=ExportTarget(target), shapes=ExportShapes(window_seconds=LONGEST_SECONDS)
    )
    files = [path for path in place.iterdir() if path.suffix in (".json", ".npz") or ".int8." in path.name]
    return Peer([sys.executable, "-c", README_LINES], place, sum(path.stat().st_size for path in files))


def peer_report(peer: Peer, manifest: Path, files: Sequence[Path], folder: Path) -> tuple[dict[str, Any], float]:
    """The report on its texts, and the seconds of speech that it transcribes in a processor second."""
    spent, seconds, rows = 0.0, 0.0, []
    with subprocess.Popen(
        peer.command,
        cwd=peer.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for path in tqdm(files, disable=None):
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            core_seconds, text = process.stdout.readline().rstrip("\n").split("\t", 1)
            spent, seconds = spent + float(core_seconds), seconds + soundfile.info(path).duration
            rows.append(json.dumps({"id": path.stem, "text": text}))
    hypotheses = folder / "hypotheses.jsonl"
    hypotheses.write_text("\n".join(rows) + "\n", "utf-8")
    return evaluate(manifest, [f"hypotheses={hypotheses}"]), seconds / spent


def start_of_peer(peer: Peer, clip: Path) -> tuple[float, float, dict[int, bool]]:
    """As `start_of`."""
    return start_of(peer.command, peer.folder, f"{clip}\n")


# Starts.


def cold_starts(names: Sequence[str], sphinx: str | None, clip: Path, folder: Path, *, times: int) -> list[ColdStart]:
    """The median seconds of starts, of one program after the other in turn."""
    programs: dict[str, tuple[Sequence[str], Path, str]] = {LIBRARIES: ([sys.executable, "-c", LIBRARIES], folder, "")}
    for name in names:
        if name == "pocketsphinx" or "/" in name:
            peer = peer_of(name, sphinx, folder)
            programs[name] = peer.command, peer.folder, f"{clip}\n"
        else:
            command = [sys.executable, "-m", "asr", "transcribe", str(clip), f"bundle={name}"]
            programs[f"asr transcribe, {name}"] = command, Path.cwd(), ""
    spent: dict[str, list[tuple[float, float]]] = {label: [] for label in programs}
    for _ in tqdm(range(times + 1), disable=None):
        for label, program in programs.items():
            spent[label].append(seconds_of(*program))
    # The first starts read files and compile modules that the others find in memory.
    return [ColdStart(label, *map(statistics.median, zip(*pairs[1:], strict=True))) for label, pairs in spent.items()]


def seconds_of(command: Sequence[str], folder: Path, stdin: str) -> tuple[float, float]:
    """Processor and wall seconds of a program with all its processes."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command, cwd=folder, input=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
        env=ENVIRONMENT, check=True,
    )  # fmt: skip
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, seconds


def start_of(command: Sequence[str], folder: Path, stdin: str | None) -> tuple[float, float, dict[int, bool]]:
    """Memory in MB, processor seconds, and with which limits a start gives the same text."""
    text, memory, core_seconds = run_once(command, folder, stdin)
    fits = {}
    for limit in LIMITS:
        with limited(limit) as enter:
            fits[limit] = run_once(command, folder, stdin, enter)[0] == text if enter else memory <= limit
    return memory, core_seconds, fits


def run_once(
    command: Sequence[str], folder: Path, stdin: str | None, enter: Callable[[], None] | None = None
) -> tuple[str | None, float, float]:
    """The text, None if the program fails; MB of all its processes; processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=ENVIRONMENT, preexec_fn=enter,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(stdin or "")
    process.stdin.close()
    largest = 0.0
    while process.poll() is None:
        largest = max(largest, sum(map(resident_mb, tree(process.pid))))
        time.sleep(0.005)
    text = process.stdout.read().rpartition("\t")[2].strip()
    process.stdout.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return text if process.returncode == 0 else None, largest, spent


def tree(pid: int) -> list[int]:
    """A process and those that it started."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += tree(int(child))
    return found


def resident_mb(pid: int) -> float:
    """The resident set of a process."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return 0.0


@contextlib.contextmanager
def limited(megabytes: int) -> Iterator[Callable[[], None] | None]:
    """What a process calls to enter a control group with so much memory; None where none can be made."""
    first = Path("/sys/fs/cgroup/memory")
    root, file = (first, "memory.limit_in_bytes") if first.is_dir() else (Path("/sys/fs/cgroup"), "memory.max")
    group = root / f"asr-small-machines-{os.getpid()}"
    try:
        group.mkdir()
        (group / file).write_text(str(megabytes * 1_000_000))
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        yield None
        return

    def enter() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    try:
        yield enter
    finally:
        for _ in range(100):  # until its last process is gone
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.05)


def wav_files(manifest: Path, count: int, folder: Path) -> tuple[Path, list[Path]]:
    """A part of a manifest, and its recordings as WAV files, numbered."""
    everything = read_manifest(manifest).utterances
    chosen = everything[:: max(1, len(everything) // count)][:count]
    rows, paths = [], []
    for number, utterance in enumerate(chosen):
        samples = load_audio(utterance.audio, sample_rate=RATE)
        path = folder / f"{number}.wav"
        soundfile.write(path, np.clip(samples, -1, 1), RATE, subtype="PCM_16")
        row = {"audio_filepath": str(path), "duration": len(samples) / RATE, "text": utterance.text, "id": path.stem}
        rows.append(json.dumps(row))
        paths.append(path)
    part = folder / "part.jsonl"
    part.write_text("\n".join(rows) + "\n", "utf-8")
    return part, paths


if __name__ == "__main__":
    sys.exit(main())
