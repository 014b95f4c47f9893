"""Makes a manifest of a LibriSpeech folder as it is distributed.

    python scripts/prepare_librispeech.py LibriSpeech/dev-clean dev-clean.jsonl
    python scripts/prepare_librispeech.py LibriSpeech/dev-clean some.jsonl --speakers 1673 2086

The folder holds SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt and the recordings beside it. Nothing is copied: the manifest
points at the recordings. The number of utterances is checked where the folder's name is that of an official part. What
cannot be used is named, and the exit code is 1. An existing manifest is only replaced with --force.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from manifests import Row, UnusableError, argument_parser, checked, find_recording, write_manifests

COUNTS = {
    "train-clean-5": 1519,
    "dev-clean-2": 1089,
    "train-clean-100": 28539,
    "train-clean-360": 104014,
    "train-other-500": 148688,
    "dev-clean": 2703,
    "dev-other": 2864,
    "test-clean": 2620,
    "test-other": 2939,
}
"""Utterances of the official parts, those of mini LibriSpeech among them."""


def read_rows(folder: Path) -> Iterator[Row | UnusableError]:
    """Every utterance that the transcript files list; ids are SPEAKER-CHAPTER-NUMBER."""
    for path in sorted(folder.rglob("*.trans.txt")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            name, _, text = line.strip().partition(" ")
            if not name:
                continue
            where = f"{path}:{number}"
            audio = find_recording([path.parent], name)
            if audio:
                yield Row(name, audio, text, name.split("-")[0], where)
            else:
                yield UnusableError(f"{where}: {path.parent / name}: no such recording")


def main() -> int:
    parser = argument_parser(__doc__, "a part of LibriSpeech, such as LibriSpeech/dev-clean")
    parser.add_argument("--speakers", nargs="+", metavar="ID", help="only these speakers")
    arguments = checked(parser)
    if not next(arguments.source.rglob("*.trans.txt"), None):
        parser.error(f"{arguments.source} holds no *.trans.txt: is this a LibriSpeech folder?")
    rows = list(read_rows(arguments.source))
    expected = COUNTS.get(arguments.source.resolve().name)
    if arguments.speakers:
        missing = set(arguments.speakers) - {row.speaker for row in rows if isinstance(row, Row)}
        if missing:
            parser.error(f"{arguments.source} has no speaker {', '.join(sorted(missing))}")
        rows = [row for row in rows if isinstance(row, Row) and row.speaker in arguments.speakers]
        expected = None
    return write_manifests(rows, arguments, expected=expected)


if __name__ == "__main__":
    sys.exit(main())
