"""Puts other files into a shipped bundle: a language model, pronunciations, a G2P model, a model of punctuation.

    python scripts/research/exchange_files.py en today.lm=language.lm lexicon.txt=pronunciations.npz

Their digests go into the card of the bundle, and into the cards of all shipped bundles that share them. A lexicon is
packed. What a card says besides, such as error rates, is not changed: measure again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from asr.bundle import load_bundle
from asr.bundle.store import file_digest
from asr.files import write_atomically
from asr.pronunciation.packed import PackedDictionary, load_dictionary

CARD = "bundle.json"
PRONUNCIATIONS = "pronunciations.npz"
MODELS = Path(__file__).parents[2] / "asr" / "models"


def exchange(models: Path, bundle: str, files: dict[str, Path]) -> list[str]:
    """Put files, by their names in the bundle, into it; the names of the bundles whose cards were changed."""
    if missing := [name for name in files if not (models / bundle / name).is_file()]:
        raise SystemExit(f"{bundle} has no {', '.join(missing)}")
    contents = {name: path.read_bytes() for name, path in files.items()}
    if PRONUNCIATIONS in files:
        packed = PackedDictionary.pack(load_dictionary(files[PRONUNCIATIONS]).pronunciations)
        contents[PRONUNCIATIONS] = packed.to_bytes()
    digests = {name: file_digest(name, content) for name, content in contents.items()}
    for name, content in contents.items():
        write_atomically(models / bundle / name, content)
    changed = []
    for card in sorted(models.glob(f"*/{CARD}")):
        fields = json.loads(card.read_bytes())
        its = [one for one in digests if card.parent.name == bundle or fields.get("shared", {}).get(one) == bundle]
        if its:
            fields["digests"] |= {one: digests[one] for one in its}
            write_atomically(card, json.dumps(fields, indent=2, ensure_ascii=False).encode() + b"\n")
            changed.append(card.parent.name)
    return changed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="name of a shipped bundle")
    parser.add_argument("files", nargs="+", metavar="FILE=NAME", help="file, and its name in the bundle")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the bundles")
    arguments = parser.parse_args()
    pairs = [one.rpartition("=") for one in arguments.files]
    changed = exchange(arguments.models, arguments.bundle, {name: Path(path) for path, _, name in pairs})
    for name in changed:
        load_bundle(arguments.models / name).verify()
        print(f"{name}: digests changed, and verified")
    return 0


if __name__ == "__main__":
    sys.exit(main())
