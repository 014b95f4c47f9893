"""What corrections give: transcribe, correct, fine-tune and compare, on prompts of a telephone exchange.

    apt-get download asterisk-core-sounds-en asterisk-core-sounds-en-wav
    for package in asterisk-*.deb; do dpkg -x "$package" sounds; done
    python scripts/research/measure_corrections.py sounds runs/corrections --bundle en

The prompts (English, one speaker, 8 kHz; CC BY-SA 3.0) are in no training set of the models. They are divided in two
by their texts, so that no text is in both. A server transcribes one half and is sent the published texts as
corrections: they stand for a person who corrects. The command that the page shows fine-tunes the bundle on them, and
`asr evaluate` compares both models on the other half. Prints what each step prints, and a line of JSON at the end.

Left out: what is no speech or whose text does not say what is spoken (with brackets or symbols, single letters), and
prompts of music and noises.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from asr.audio.load import probe_seconds
from asr.corpus.manifest import Utterance, write_manifest
from asr.settings.text import NormalizerConfig
from asr.text.normalize import normalize_text
from asr.text.numbers import spell_numbers

LEFT_OUT = re.compile(r"letters/|silence/|tt-|.*beep|.*tone")
NOT_SPOKEN = re.compile(r"[\[\]()/$%&@#]|\b[Bb]eep")
SPEAKER = "asterisk"


def read_prompts(folder: Path) -> list[Utterance]:
    """The prompts that can be used, with their texts in words."""
    (listed,) = folder.rglob("core-sounds-en.txt.gz")
    (root,) = {path.parent for path in folder.rglob("hello-world.wav")}
    prompts = []
    for number, line in enumerate(gzip.decompress(listed.read_bytes()).decode().splitlines(), start=1):
        name, _, written = line.partition(": ")
        path = root / f"{name}.wav"
        if LEFT_OUT.match(name) or NOT_SPOKEN.search(written) or not path.is_file():
            continue
        text = normalize_text(spell_numbers(written), NormalizerConfig())
        if text:
            prompts.append(Utterance(name, path, text, probe_seconds(path), SPEAKER, f"{listed}:{number}"))
    return prompts


def halves(prompts: Sequence[Utterance]) -> tuple[list[Utterance], list[Utterance]]:
    """Those that are corrected, and those that are evaluated: by a digest of the text."""
    parts: tuple[list[Utterance], list[Utterance]] = ([], [])
    for one in prompts:
        parts[hashlib.sha256((one.text or "").encode()).digest()[0] % 2].append(one)
    return parts


@contextmanager
def serving(bundle: str, folder: Path) -> Iterator[str]:
    """The address of a server that saves corrections in a folder, until the block ends."""
    command = [sys.executable, "-m", "asr", "serve", f"bundle={bundle}", "port=0", f"data_dir={folder}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        found = next(filter(None, (re.search(r" at (http://\S+);", line) for line in process.stderr)), None)
        if found is None:
            sys.exit("the server has not started")
        yield found[1]
    finally:
        process.terminate()
        process.communicate(timeout=120)  # its log is read, or the pipe would be full


def ask(address: str, path: str, *form: str) -> Any:
    """The answer to a request with a form, by curl."""
    fields = [word for one in form for word in ("-F" if one.startswith("file=") else "--form-string", one)]
    done = subprocess.run(["curl", "-sSf", f"{address}{path}", *fields], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def correct(address: str, prompts: Sequence[Utterance]) -> dict[str, Any]:
    """Transcribe recordings and save their right texts; returns the server's summary."""
    for one in tqdm(prompts, "correcting", unit="file", disable=None):
        file = f"file=@{one.audio_path}"
        recognised = ask(address, "/v1/audio/transcriptions", file, "model=whisper-1")["text"]
        name = one.id.replace("/", "-") + ".wav"
        ask(
            address, "/v1/corrections", file, f"name={name}", f"text={one.text}", f"recognised={recognised}",
            f"speaker={SPEAKER}",
        )  # fmt: skip
    return dict(ask(address, "/v1/corrections"))


def run(command: Sequence[str], log: Path) -> str:
    """Run a command of asr; returns what it prints. What it says goes to a log."""
    print(shlex.join(["asr", *command]), flush=True)
    with log.open("a") as file:
        done = subprocess.run([sys.executable, "-m", "asr", *command], stdout=subprocess.PIPE, stderr=file, text=True)
    if done.returncode not in (0, 3):
        sys.exit(f"it failed: {log} says why")
    print(done.stdout, flush=True)
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", type=Path, help="where the two packages were unpacked")
    parser.add_argument("work", type=Path, help="a folder for corrections, runs and reports")
    parser.add_argument("--bundle", default="en")
    parser.add_argument("--also", type=Path, help="manifest of other speech, to measure what is forgotten")
    parser.add_argument(
        "--prompts", action="store_true", help="only write all prompts as the manifest WORK/prompts.jsonl"
    )
    parser.add_argument("settings", nargs="*", help="further settings of the training, such as frozen_layers=2")
    arguments = parser.parse_intermixed_args()
    work, bundle = arguments.work.absolute(), arguments.bundle
    work.mkdir(parents=True, exist_ok=True)
    prompts = read_prompts(arguments.sounds)
    if arguments.prompts:
        write_manifest(work / "prompts.jsonl", prompts)
        print(f"{len(prompts)} prompts, {sum(one.duration or 0.0 for one in prompts) / 60:.1f} minutes")
        return 0
    corrected, evaluated = halves(prompts)
    test = work / "evaluated.jsonl"
    write_manifest(test, evaluated)
    for name, part in (("corrected", corrected), ("evaluated", evaluated)):
        print(f"{name}: {len(part)} prompts, {sum(one.duration or 0.0 for one in part) / 60:.1f} minutes", flush=True)

    data, commands = work / "data", work / "summary.json"
    if not commands.exists():
        with serving(bundle, data) as address:
            commands.write_text(json.dumps(correct(address, corrected)))
    summary = json.loads(commands.read_text())
    words = [word for word in shlex.split(summary["train_command"])[1:] if not word.startswith("run_dir=")]
    run_dir = work / ("run" + "".join(f"-{one.replace('=', '-')}" for one in arguments.settings))
    began = time.monotonic()
    run([*words, *arguments.settings, f"run_dir={run_dir}"], work / "log")
    seconds = time.monotonic() - began
    found: dict[str, Any] = {"bundle": bundle, "training_seconds": round(seconds)}
    for name, manifest in (("evaluated", test), *([("also", arguments.also)] if arguments.also else [])):
        report = run_dir / f"report-{name}"
        run(
            ["evaluate", str(manifest), f"bundle={run_dir / 'best'}", f"against=[{bundle}]", "title=Before and after",
             f"output_dir={report}", "overwrite=true", "worst=0"], work / "log",
        )  # fmt: skip
        content = json.loads((report / "report.json").read_text())
        after, before = (one["words"]["rate"] for one in content["systems"])
        found[name] = {"before": round(before, 4), "after": round(after, 4), **content["comparisons"][0]["interval"]}
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
