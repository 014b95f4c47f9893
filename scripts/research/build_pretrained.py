"""Makes a bundle that ships from a finished run: tunes decoder and confidences, measures, and writes the rates into it.

    python scripts/research/build_pretrained.py runs/en asr/models/en dev-clean-heldout.jsonl --lm english.lm
    python scripts/research/build_pretrained.py runs/en asr/models/en dev-clean-heldout.jsonl --lm english.lm \
        --pronunciations lexicon.txt --g2p g2p.npz --epoch last
    python scripts/research/build_pretrained.py runs/tiny asr/models/tiny dev-clean-heldout.jsonl --recipe tiny
    python scripts/research/build_pretrained.py runs/live asr/models/live dev-clean-heldout.jsonl \
        --recipe live_student --lm asr/models/en/language.lm \
        --pronunciations asr/models/en/pronunciations.npz --g2p asr/models/en/g2p.npz --compact --share en
    python scripts/research/build_pretrained.py runs/small asr/models/small dev-clean-heldout.jsonl --recipe small \
        --lm small.lm --pronunciations asr/models/en/pronunciations.npz --known-words --compact --share en

It calls `asr tune` and `asr evaluate`, and leaves the report of the latter where `--report` says.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asr.bundle import copy_bundle, load_bundle
from asr.decoding.assembly import load_language_model
from asr.pronunciation.packed import PackedDictionary, load_dictionary

LICENCES = (
    "CC BY 4.0 (LibriSpeech), CC BY-SA 4.0 (dialogue, podcasts and word frequencies in the language model) and free "
    "for any purpose (the others): see NOTICE"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory")
    parser.add_argument("bundle", type=Path, help="the bundle to write")
    parser.add_argument("manifest", type=Path, help="utterances of other speakers, to tune and measure on")
    parser.add_argument("--lm", type=Path, help="language model to ship with it (default: none, greedy decoding)")
    parser.add_argument("--pronunciations", type=Path, help="lexicon, to decode the output over phones")
    parser.add_argument("--g2p", type=Path, help="model that predicts pronunciations, for words that the lexicon lacks")
    parser.add_argument(
        "--known-words", action="store_true", help="keep only the pronunciations of words that the language model knows"
    )
    parser.add_argument("--second-pass", type=Path, help="neural language model of the second pass")
    parser.add_argument("--punctuation", type=Path, help="model that predicts punctuation and capitals")
    parser.add_argument(
        "--search", nargs="*", default=[], metavar="decoder.KEY=VALUE", help="other settings of the beam search"
    )
    parser.add_argument("--epoch", choices=["best", "last"], default="best", help="which bundle of the run (best)")
    parser.add_argument("--beam-width", type=int, default=256, help="of the beam search with the weights found (256)")
    parser.add_argument("--trials", type=int, default=80, help="combinations of decoder weights to try (80)")
    parser.add_argument("--recipe", default="en", help="name of the experiment (en)")
    parser.add_argument("--compact", action="store_true", help="keep the weights in 7 bits, and no graph")
    parser.add_argument("--share", metavar="NAME", help="a shipped bundle whose language model and lexicon it uses")
    parser.add_argument("--note", help="what should be known of the training besides")
    parser.add_argument("--report", type=Path, help="folder for the evaluation report")
    arguments = parser.parse_args()
    source = load_bundle(arguments.run / arguments.epoch)
    provenance = without_folders(source.provenance) | {
        "command": f"asr train experiment={arguments.recipe}",
        "licences": LICENCES,
    }
    if arguments.note:
        provenance["note"] = arguments.note
    with tempfile.TemporaryDirectory() as folder:
        tuned, report_dir = Path(folder) / "tuned", arguments.report or Path(folder) / "report"
        tagger = arguments.punctuation.read_bytes() if arguments.punctuation else None
        copy_bundle(source, tuned, provenance=provenance, error_rates={}, tagger=tagger, compact=arguments.compact)
        decoders = {"greedy": ["decoder=greedy"]}
        if arguments.lm:
            # The weights are searched at a narrow beam.
            width = ["decoder.beam_width=64", f"beam_widths=[{arguments.beam_width}]"]
            decoders["beam"] = [f"decoder.lm={arguments.lm}", *width, f"trials={arguments.trials}"]
            if arguments.pronunciations:
                pronunciations = arguments.pronunciations
                if arguments.known_words:
                    pronunciations = Path(folder) / "pronunciations.npz"
                    pronunciations.write_bytes(known_pronunciations(arguments.pronunciations, arguments.lm))
                decoders["beam"].append(f"decoder.pronunciations={pronunciations}")
            if arguments.g2p:
                decoders["beam"].append(f"decoder.g2p={arguments.g2p}")
            if arguments.second_pass:
                decoders["beam"].append(f"decoder.second_pass={arguments.second_pass}")
            decoders["beam"] += arguments.search
        for name, settings in decoders.items():
            tuning = report_dir / f"tuning-{name}"
            call("tune", arguments.manifest, f"bundle={tuned}", *settings, f"output={tuned}", f"report_dir={tuning}")
        against = ["against=[greedy]"] if arguments.lm else []
        call("evaluate", arguments.manifest, f"bundle={tuned}", *against, f"output_dir={report_dir}")
        report = json.loads((report_dir / "report.json").read_bytes())
        rates = error_rates(report, arguments.manifest.stem)
        copy_bundle(load_bundle(tuned), arguments.bundle, error_rates=rates, share=arguments.share)
    print(f"{arguments.bundle}: {load_bundle(arguments.bundle).bytes_on_disk / 1e6:.1f} MB")
    return 0


def known_pronunciations(lexicon: Path, language_model: Path) -> bytes:
    """The pronunciations of the words of a language model."""
    words = set(load_language_model(str(language_model)).words)
    found = load_dictionary(lexicon).pronunciations
    return PackedDictionary.pack({word: found[word] for word in found if word in words}).to_bytes()


def call(command: str, *arguments: object) -> None:
    """Run a command of ours."""
    subprocess.run([sys.executable, "-m", "asr", command, *map(str, arguments)], check=True)


def without_folders(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Where the corpora lay on the machine that trained is nobody's business."""
    cleaned = dict(provenance)
    manifests = {part: provenance[part] for part in ("train", "valid") if part in provenance}
    if manifests:
        folder = os.path.commonpath([path for paths in manifests.values() for path in paths])
        cleaned |= {part: [os.path.relpath(path, folder) for path in paths] for part, paths in manifests.items()}
    if provenance.get("init"):
        init = provenance["init"]
        before = without_folders(init["provenance"]) if init.get("provenance") else {}
        cleaned["init"] = init | {"bundle": Path(init["bundle"]).name, "provenance": before}
    return cleaned


def error_rates(report: dict[str, Any], data: str) -> dict[str, Any]:
    """What the card says: of each decoder the rates, with the words' 95 % interval."""
    rates = {}
    for system in report["systems"]:
        low, high = (system["words"]["intervals"][0][name] for name in ("low", "high"))
        decoder = system["about"]["decoder"].partition(",")[0]
        rates[f"{data}, {decoder}"] = {
            "wer": system["words"]["rate"],
            "wer_interval": [low, high],
            "cer": system["characters"]["rate"],
            "utterances": len(report["utterances"]),
            "note": "epoch and decoder were chosen on these speakers, so a little optimistic",
        }
    return rates


if __name__ == "__main__":
    sys.exit(main())
