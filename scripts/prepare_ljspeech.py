"""Makes a manifest of LJSpeech as it is distributed, or of any corpus in its layout.

    python scripts/prepare_ljspeech.py LJSpeech-1.1 all.jsonl
    python scripts/prepare_ljspeech.py LJSpeech-1.1 train.jsonl --split 0.02 valid.jsonl

The folder holds metadata.csv, lines of id|text|normalised text, and wavs/. The normalised text is taken where there is
one. There is one speaker, so that --split holds out recordings. Nothing is copied: the manifest points at the
recordings. The official number of utterances (13,100) is checked in a folder named LJSpeech-1.1. What cannot be used is
named, and the exit code is 1. An existing manifest is only replaced with --force.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from manifests import Row, UnusableError, argument_parser, checked, find_recording, write_manifests

COUNT = 13100


def read_rows(folder: Path) -> Iterator[Row | UnusableError]:
    """Utterances of metadata.csv, in which quotes are nothing special."""
    path = folder / "metadata.csv"
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        name, *texts = line.split("|")
        where = f"{path}:{number}"
        audio = find_recording([folder / "wavs", folder], name)
        if not texts:
            yield UnusableError(f"{where}: id|text|normalised text is wanted, not {line!r}")
        elif not audio:
            yield UnusableError(f"{where}: {folder / 'wavs' / name}: no such recording")
        else:
            yield Row(name, audio, texts[-1] or texts[0], None, where)


def main() -> int:
    parser = argument_parser(__doc__, "the folder LJSpeech-1.1")
    arguments = checked(parser)
    if not (arguments.source / "metadata.csv").is_file():
        parser.error(f"{arguments.source / 'metadata.csv'} is missing: is this the folder LJSpeech-1.1?")
    official = arguments.source.resolve().name == "LJSpeech-1.1"
    return write_manifests(read_rows(arguments.source), arguments, expected=COUNT if official else None)


if __name__ == "__main__":
    sys.exit(main())
