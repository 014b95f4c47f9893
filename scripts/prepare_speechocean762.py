"""Makes a manifest of a part of speechocean762 as it is distributed, or of any data folder in Kaldi's layout.

    python scripts/prepare_speechocean762.py speechocean762/train train.jsonl
    python scripts/prepare_speechocean762.py speechocean762/test test.jsonl

The folder holds wav.scp, text and utt2spk, and maybe spk2gender and spk2age, which are kept; recordings are sought from
the folder and from the one above it. Nothing is copied: the manifest points at them. The official number of utterances
(2,500 each) is checked in folders named train and test within one named speechocean762. What cannot be used is named,
and the exit code is 1. An existing manifest is only replaced with --force.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from manifests import Row, UnusableError, argument_parser, checked, find_recording, read_table, write_manifests

COUNT = 2500


def read_rows(folder: Path) -> Iterator[Row | UnusableError]:
    """Utterances of a Kaldi data folder."""
    texts = read_table(folder / "text")
    tables = {
        name: read_table(folder / name) if (folder / name).is_file() else {}
        for name in ("utt2spk", "spk2gender", "spk2age")
    }
    recordings = read_table(folder / "wav.scp")
    for name, place in recordings.items():
        where = f"{folder / 'wav.scp'}: {name}"
        if place.endswith("|"):
            yield UnusableError(f"{where}: a command ({place!r}), not a file: run it first")
            continue
        audio = find_recording([folder, folder.parent], place)
        if not audio:
            yield UnusableError(f"{where}: {place}: no such recording")
        elif name not in texts:
            yield UnusableError(f"{where}: has no line in {folder / 'text'}")
        else:
            speaker = tables["utt2spk"].get(name)
            other = {
                key: tables[f"spk2{key}"][speaker]
                for key in ("gender", "age")
                if speaker and speaker in tables[f"spk2{key}"]
            }
            yield Row(name, audio, texts[name], speaker, where, other)
    for name in texts.keys() - recordings.keys():
        yield UnusableError(f"{folder / 'text'}: {name}: has no line in {folder / 'wav.scp'}")


def main() -> int:
    parser = argument_parser(__doc__, "a data folder, such as speechocean762/train")
    arguments = checked(parser)
    for name in ("wav.scp", "text"):
        if not (arguments.source / name).is_file():
            parser.error(f"{arguments.source / name} is missing: is this a Kaldi data folder?")
    official = arguments.source.resolve().parent.name == "speechocean762"
    return write_manifests(read_rows(arguments.source), arguments, expected=COUNT if official else None)


if __name__ == "__main__":
    sys.exit(main())
