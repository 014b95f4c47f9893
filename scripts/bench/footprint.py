"""What models cost on one processor core: size, memory, speed, and the errors that one gets for it.

    python scripts/bench/footprint.py dev-clean-heldout.jsonl --bundles en tiny
    python scripts/bench/footprint.py data/samples/samples.jsonl

Every model is evaluated by `asr evaluate` with `workers=1`, in a process of its own, greedily and, where its bundle
recommends another decoder, with that. Size is that of the files that are read to transcribe: the integer graph, the
settings and, with the decoder that needs it, the language model. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from asr.bundle import load_bundle
from asr.evaluation.render.text_report import interval_text, percent
from asr.evaluation.statistics import Interval
from asr.settings.decoding import BeamConfig


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--bundles", nargs="+", default=["en"])
    arguments = parser.parse_args()
    print(f"{'':<32}{'size':>9}{'memory':>9}{'x real time':>13}{'core-s an hour':>16}{'WER':>10}  95 % interval")
    figures = {}
    for name in arguments.bundles:
        bundle = load_bundle(name)
        for decoder in ("greedy", *(["auto"] if bundle.decoder else [])):
            report = evaluate(arguments.manifest, name, decoder)
            system = report["systems"][0]
            speed, words = system["about"]["speed"], system["words"]
            size = sum(path.stat().st_size for path in read_files(bundle.path, with_model=decoder == "auto"))
            per_hour = 3600 * speed["core_seconds"] / speed["audio_seconds"]
            label = f"{Path(name).name}, {system['about']['decoder'].partition(',')[0]}"
            cost = f"{size / 1e6:>6.1f} MB{speed['peak_memory_mb']:>6.0f} MB{1 / speed['real_time_factor']:>13.0f}"
            errors = f"{percent(words['rate']):>10}  {interval_text(Interval(**words['intervals'][0]))}"
            print(f"{label:<32}{cost}{per_hour:>16.1f}{errors}")
            figures[label] = {"megabytes": size / 1e6, **speed, "wer": words["rate"], "interval": words["intervals"][0]}
    print(json.dumps(figures))
    return 0


def evaluate(manifest: Path, bundle: str, decoder: str) -> dict[str, Any]:
    """The report of one model."""
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"bundle={bundle}", f"decoder={decoder}", "workers=1", "worst=0", "page_audio=false"]
        command = [sys.executable, "-m", "asr", "evaluate", str(manifest), *settings, f"output_dir={folder}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        report: dict[str, Any] = json.loads((Path(folder) / "report.json").read_bytes())
        return report


def read_files(folder: Path, *, with_model: bool) -> list[Path]:
    """What transcribing reads of a bundle: weights for training and other engines are left aside."""
    bundle = load_bundle(folder)
    graph = ("weights.safetensors", "structure.onnx") if bundle.is_compact else ("model.onnx",)
    files = [folder / name for name in ("bundle.json", *graph)]
    if with_model and isinstance(bundle.decoder, BeamConfig):
        files += [Path(path) for path in (bundle.decoder.lm, bundle.decoder.second_pass) if path]
    return files


if __name__ == "__main__":
    sys.exit(main())
