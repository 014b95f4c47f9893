"""The effect of other symbols: short trainings with other spellings of words, and their results, spelled back.

    python scripts/research/compare_spellings.py docs/recipes/spellings doubled initials both

A letter that comes twice can be one symbol, which needs no blank in between (doubled); the first letter of a word can
be a symbol of its own, which needs no space before it (initials); or both. Source: G. Zweig, C. Yu, J. Droppo, A.
Stolcke, "Advances in All-Neural Speech Recognition", ICASSP 2017, section 3.

Every spelling is trained by experiment=short and decoded greedily after its last epoch; texts are spelled back before
they are scored, so that the figures compare with those of scripts/research/compare_settings.py. Results are added to a
JSON file; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import string
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training_runs import read_history, run_training

from asr.bundle import load_bundle
from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import AudioError
from asr.evaluation.scoring import score
from asr.files import write_atomically
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import GreedyConfig

SEED = 1
LETTERS = "'" + string.ascii_lowercase
INITIALS = "\u0416" + string.ascii_uppercase
"""stand for a space and one of LETTERS: the upper case, and for the apostrophe a letter that no text has"""
DOUBLED = "αβγδεζηθικλμνξπρστυφχψωбвгд"
"""stand for two of LETTERS: Greek and Cyrillic lower case"""


@dataclass(frozen=True)
class Spelling:
    """A text in other symbols, and back."""

    symbols: str
    write: Callable[[str], str]
    read: Callable[[str], str]


def write_doubled(text: str) -> str:
    """With one symbol where a letter comes twice."""
    return re.sub(rf"([{LETTERS}])\1", lambda found: DOUBLED[LETTERS.index(found[1])], text)


def read_doubled(text: str) -> str:
    """With two letters for every such symbol."""
    return text.translate({ord(one): 2 * letter for one, letter in zip(DOUBLED, LETTERS, strict=True)})


def write_initials(text: str) -> str:
    """Words without spaces, their first letters told by other symbols: "all good" becomes "AllGood"."""
    return "".join(INITIALS[LETTERS.index(word[0])] + word[1:] for word in text.split())


def read_initials(text: str) -> str:
    """Words with spaces: "AllGood" becomes "all good"."""
    return text.translate({ord(one): f" {letter}" for one, letter in zip(INITIALS, LETTERS, strict=True)}).strip()


SPELLINGS = {
    "as it is": Spelling(f" {LETTERS}", str, str),
    "doubled": Spelling(f" {LETTERS}{DOUBLED}", write_doubled, read_doubled),
    "initials": Spelling(f"{LETTERS}{INITIALS}", write_initials, read_initials),
    "both": Spelling(
        f"{LETTERS}{INITIALS}{DOUBLED}",
        lambda text: write_doubled(write_initials(text)),
        lambda text: read_initials(read_doubled(text)),
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="name of the JSON file to write, without a suffix")
    parser.add_argument("spellings", nargs="+", choices=SPELLINGS, help="what to train")
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech"), help="as ASR_SPEECH in the recipes")
    parser.add_argument("--runs", type=Path, default=Path("runs/spellings"), help="folder of the runs")
    parser.add_argument("--overrides", nargs="*", default=[], help="settings for every run")
    arguments = parser.parse_intermixed_args()
    written = arguments.output.with_suffix(".json")
    report: dict[str, Any] = json.loads(written.read_text()) if written.exists() else {}
    for name in arguments.spellings:
        if name not in report:
            report[name] = measure(name, SPELLINGS[name], arguments)
            write_atomically(written, (json.dumps(report, indent=1) + "\n").encode())
    print(f"{'spelling':<12}{'WER %':>8}{'CER %':>8}{'symbols':>10}")
    for name, entry in sorted(report.items(), key=lambda item: item[1]["cer"]):
        print(f"{name:<12}{100 * entry['wer']:>8.1f}{100 * entry['cer']:>8.1f}{entry['symbols']:>10}")
    print(json.dumps(report))
    return 0


def measure(name: str, spelling: Spelling, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train in a spelling; the errors of its texts, spelled back."""
    run_dir = arguments.runs / name.replace(" ", "-")
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    manifests = {}
    for role, corpus in ("train", "train-clean-5"), ("valid", "dev-clean-heldout"):
        utterances = read_manifest(arguments.speech / "librispeech" / f"{corpus}.jsonl").utterances
        for one in utterances:
            if spelling.read(spelling.write(one.text or "")) != one.text:
                sys.exit(f"{one.where}: {one.text!r} does not survive its spelling")
        manifests[role] = arguments.runs / f"{run_dir.name}-{role}.jsonl"
        write_manifest(manifests[role], [replace(one, text=spelling.write(one.text or "")) for one in utterances])
    run_training(
        run_dir, "experiment=short", f"training.seed={SEED}", f"data.train=[{manifests['train']}]",
        f"data.valid=[{manifests['valid']}]", "normalizer=none", f'alphabet.symbols="{spelling.symbols}"',
        *arguments.overrides,
    )  # fmt: skip
    last = read_history(run_dir)[-1]
    # Its last epoch is the only one that was measured, so the best.
    transcriber = Transcriber(load_bundle(run_dir / "best"), decoder=GreedyConfig())
    references, hypotheses = [], []
    utterances = read_manifest(manifests["valid"]).utterances
    results = transcriber.transcribe_files([one.audio for one in utterances])
    for one, result in zip(utterances, results, strict=True):
        if isinstance(result, AudioError):
            raise result
        references.append(spelling.read(one.text or ""))
        hypotheses.append(" ".join(spelling.read(result.text).split()))
    scored = score(references, hypotheses)
    return {
        "seed": SEED,
        "wer": scored.words.rate,
        "cer": scored.characters.rate,
        "symbols": len(spelling.symbols),
        "train_loss": last["train_loss"],
        "valid_loss": last["valid_loss"],
        "epochs": last["epoch"],
    }


if __name__ == "__main__":
    sys.exit(main())
