"""Makes manifests of your own recordings.

    python scripts/prepare_recordings.py recordings/ all.jsonl               a folder of audio, a .txt beside each
    python scripts/prepare_recordings.py list.csv all.jsonl                  a table: CSV or TSV, with a header
    python scripts/prepare_recordings.py list.csv all.jsonl --audio file --text words --speaker who

    --split 0.1 valid.jsonl   holds out a tenth of the speakers (of the recordings, where no speakers are known)

Of a folder within the folder, the name is taken for the speaker's; where that is wrong, --no-speakers says so. In a
table, other columns are kept. Nothing is copied: the manifests point at the recordings. Texts are normalised as in
training. What cannot be used is named, with the reason, and the exit code is 1. An existing manifest is only replaced
with --force.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from manifests import Row, UnusableError, argument_parser, checked, find_recording, write_manifests

from asr.audio.folders import describe_passed_over, search_folder

AUDIO_COLUMNS = ("audio_filepath", "path", "file", "filename", "file_name", "audio", "wav", "id")
TEXT_COLUMNS = ("text", "sentence", "transcript", "transcription", "normalized_text")
SPEAKER_COLUMNS = ("speaker", "client_id", "speaker_id")
# Where the recordings of a table may lie, from the table's folder.
AUDIO_FOLDERS = (".", "wavs", "clips", "audio")


def read_folder(folder: Path) -> Iterator[Row | UnusableError]:
    """Recordings with a text file of the same name beside each."""
    found = search_folder(folder)
    del found.passed_over[".txt"]
    if found.passed_over:
        print(describe_passed_over(found.passed_over), file=sys.stderr)
    yield from (UnusableError(str(problem)) for problem in found.problems)
    for audio in found.recordings:
        text = audio.with_suffix(".txt")
        if not text.exists():
            yield UnusableError(f"{audio}: there is no {text.name} beside it")
            continue
        try:
            content = text.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            yield UnusableError(f"{text}: not UTF-8 ({error.reason} at byte {error.start})")
            continue
        speaker = audio.parent.name if audio.parent != folder else None
        yield Row(audio.relative_to(folder).with_suffix("").as_posix(), audio, content, speaker, str(audio))


def read_table(path: Path, arguments: argparse.Namespace) -> Iterator[Row | UnusableError]:
    """Rows of a CSV or TSV file with a header."""
    content = path.read_text("utf-8-sig")
    first = content.split("\n", 1)[0]
    delimiter = "\t" if "\t" in first else ";" if first.count(";") > first.count(",") else ","
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    rows = csv.DictReader(content.splitlines(), delimiter=delimiter, quoting=quoting)
    names = list(rows.fieldnames or [])
    audio_column = pick(path, names, arguments.audio, AUDIO_COLUMNS, "--audio")
    text_column = pick(path, names, arguments.text, TEXT_COLUMNS, "--text")
    speaker_column = arguments.speaker or next((name for name in SPEAKER_COLUMNS if name in names), "")
    if arguments.speaker and arguments.speaker not in names:
        pick(path, names, arguments.speaker, SPEAKER_COLUMNS, "--speaker")
    for row in rows:
        where = f"{path}:{rows.line_num}"
        if not row[audio_column] or row[text_column] is None:
            yield UnusableError(f"{where}: {audio_column} or {text_column} is empty")
            continue
        audio = find_recording([path.parent / folder for folder in AUDIO_FOLDERS], row[audio_column])
        if not audio:
            folders = ", ".join(f"{folder}/" for folder in AUDIO_FOLDERS[1:])
            yield UnusableError(f"{where}: there is no recording {row[audio_column]!r} in {path.parent}, {folders}")
            continue
        used = {audio_column, text_column, speaker_column, "id", "text", "speaker", "audio_filepath", "duration"}
        other = {key: value for key, value in row.items() if key and key not in used and value}
        yield Row(audio.stem, audio, row[text_column], row.get(speaker_column), where, other)


def pick(path: Path, names: Sequence[str], chosen: str | None, usual: Sequence[str], flag: str) -> str:
    """The column to read; the program ends where there is none."""
    for name in [chosen] if chosen else usual:
        if name in names:
            return name
    sys.exit(f"{path}: no column {chosen or ' or '.join(usual)}; {flag} names one of: {', '.join(names)}")


def main() -> int:
    parser = argument_parser(__doc__, "a folder, or a CSV or TSV file")
    parser.add_argument("--audio", help="the column with the recordings' names")
    parser.add_argument("--text", help="the column with the texts")
    parser.add_argument("--speaker", help="the column with the speakers")
    parser.add_argument("--no-speakers", action="store_true", help="folders' names are not those of speakers")
    arguments = checked(parser)
    rows = read_folder(arguments.source) if arguments.source.is_dir() else read_table(arguments.source, arguments)
    if arguments.no_speakers:
        rows = (without_speaker(row) for row in rows)
    return write_manifests(rows, arguments)


def without_speaker(row: Row | UnusableError) -> Row | UnusableError:
    """The row of nobody in particular."""
    if isinstance(row, UnusableError):
        return row
    return Row(row.id, row.audio, row.text, None, row.where, row.other)


if __name__ == "__main__":
    sys.exit(main())
