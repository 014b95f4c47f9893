"""Makes a manifest of a part of CMU AN4 as it is distributed (`an4_sphere.tar.gz`, unpacked).

    python scripts/prepare_an4.py an4 train.jsonl
    python scripts/prepare_an4.py an4 test.jsonl --part test

The folder holds etc/an4_train.transcription, etc/an4_train.fileids and wav/. Nothing is copied: the manifest points at
the recordings. The official numbers of utterances (948 and 130) are checked. What cannot be used is named, and the exit
code is 1. An existing manifest is only replaced with --force.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from manifests import Row, UnusableError, argument_parser, checked, find_recording, write_manifests

COUNTS = {"train": 948, "test": 130}


def read_rows(folder: Path, part: str) -> Iterator[Row | UnusableError]:
    """Utterances of a part; lines are `<s> TEXT </s> (an251-fash-b)`, and `fash` is the speaker."""
    files = {
        Path(line).name: line for line in (folder / "etc" / f"an4_{part}.fileids").read_text("utf-8").split() if line
    }
    path = folder / "etc" / f"an4_{part}.transcription"
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        found = re.fullmatch(r"(.*)\(([\w-]+)\)", line.strip())
        if not found:
            yield UnusableError(f"{where}: a text and an id in brackets are wanted, not {line!r}")
            continue
        text, name = re.sub(r"</?s>", " ", found[1]), found[2]
        if name not in files:
            yield UnusableError(f"{where}: {name} is not in an4_{part}.fileids")
            continue
        audio = find_recording([folder / "wav"], files[name])
        if not audio:
            raw = (folder / "wav" / f"{files[name]}.raw").exists()
            hint = ": raw samples do not say what they are; take an4_sphere.tar.gz" if raw else ""
            yield UnusableError(f"{where}: {folder / 'wav' / files[name]}: no such recording{hint}")
            continue
        yield Row(name, audio, text, name.split("-")[1] if name.count("-") > 1 else None, where)


def main() -> int:
    parser = argument_parser(__doc__, "the folder an4")
    parser.add_argument("--part", choices=list(COUNTS), default="train", help="which part (default: train)")
    arguments = checked(parser)
    for kind in ("transcription", "fileids"):
        path = arguments.source / "etc" / f"an4_{arguments.part}.{kind}"
        if not path.is_file():
            parser.error(f"{path} is missing: is this the folder an4?")
    rows = read_rows(arguments.source, arguments.part)
    return write_manifests(rows, arguments, expected=COUNTS[arguments.part])


if __name__ == "__main__":
    sys.exit(main())
