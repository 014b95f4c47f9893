"""Makes a manifest of a table of Mozilla Common Voice as it is distributed.

    python scripts/prepare_common_voice.py cv-corpus-17.0/el/train.tsv train.jsonl
    python scripts/prepare_common_voice.py cv-corpus-17.0/el/validated.tsv train.jsonl --split 0.05 valid.jsonl

The table has the columns client_id, path and sentence; the recordings lie in clips/ beside it. Age, gender and accents
are kept; of speakers' ids, which are long, the beginning is. Nothing is copied: the manifest points at the recordings.
What cannot be used is named, and the exit code is 1. An existing manifest is only replaced with --force.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from manifests import Row, UnusableError, argument_parser, checked, find_recording, write_manifests

KEPT = ("age", "gender", "accents")


def read_rows(path: Path) -> Iterator[Row | UnusableError]:
    """Utterances of a table, in which quotes are nothing special."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        for row in table:
            where = f"{path}:{table.line_num}"
            if not row["path"] or not row["sentence"]:
                yield UnusableError(f"{where}: path or sentence is empty")
                continue
            audio = find_recording([path.parent / "clips"], row["path"])
            if not audio:
                yield UnusableError(f"{where}: {path.parent / 'clips' / row['path']}: no such recording")
                continue
            # A part of the id tells the speakers of any language apart.
            speaker = row["client_id"][:16] or None
            yield Row(
                audio.stem, audio, row["sentence"], speaker, where, {key: row[key] for key in KEPT if row.get(key)}
            )


def main() -> int:
    parser = argument_parser(__doc__, "a table, such as train.tsv or validated.tsv")
    arguments = checked(parser)
    if arguments.source.is_dir():
        tables = ", ".join(sorted(one.name for one in arguments.source.glob("*.tsv"))) or "none"
        parser.error(f"{arguments.source} is a folder: name one of its tables ({tables})")
    head = arguments.source.read_text("utf-8-sig").split("\n", 1)[0].rstrip("\r").split("\t")
    missing = {"client_id", "path", "sentence"} - set(head)
    if missing:
        parser.error(f"{arguments.source} has no column {', '.join(sorted(missing))}: is this a table of Common Voice?")
    return write_manifests(read_rows(arguments.source), arguments)


if __name__ == "__main__":
    sys.exit(main())
