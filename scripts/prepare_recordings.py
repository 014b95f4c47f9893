"""Makes manifests of your own recordings, in the shapes that corpora commonly come in.

    python scripts/prepare_recordings.py recordings/ all.jsonl               a folder of audio, a .txt beside each
    python scripts/prepare_recordings.py metadata.csv all.jsonl              LJSpeech: id|text|normalised text
    python scripts/prepare_recordings.py validated.tsv all.jsonl             Common Voice: columns path and sentence
    python scripts/prepare_recordings.py list.csv all.jsonl --audio file --text words --speaker who

    --split 0.1 valid.jsonl   keeps a tenth of the speakers (of the utterances, where no speakers are known) apart

Nothing is copied: the manifests point at the recordings. Texts are normalised as in training. What cannot be used is
named, with the reason, and the exit code is 1. An existing manifest is only replaced with --force.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from asr.audio.load import AUDIO_SUFFIXES, probe_seconds
from asr.config import NormalizerConfig
from asr.corpus.manifest import Utterance, write_manifest
from asr.errors import AudioError
from asr.text.normalize import normalize_text

AUDIO_COLUMNS = ("audio_filepath", "path", "file", "filename", "file_name", "audio", "wav", "id")
TEXT_COLUMNS = ("text", "sentence", "transcript", "transcription", "normalized_text")
SPEAKER_COLUMNS = ("speaker", "client_id", "speaker_id")
# Where the recordings of a table may lie, from the table's folder: itself, LJSpeech's, Common Voice's.
AUDIO_FOLDERS = (".", "wavs", "clips")


@dataclass(frozen=True)
class Row:
    """A recording as its corpus lists it."""

    where: str
    audio: Path
    text: str
    speaker: str | None


class UnusableError(Exception):
    """A row that cannot become an utterance; its text says where and why."""


def read_folder(folder: Path) -> Iterator[Row | UnusableError]:
    """Recordings with a text file of the same name beside each; a folder's name is taken for the speaker's."""
    for audio in sorted(one for one in folder.rglob("*") if one.suffix.lower() in AUDIO_SUFFIXES):
        text = audio.with_suffix(".txt")
        if not text.exists():
            yield UnusableError(f"{audio}: there is no {text.name} beside it")
            continue
        speaker = audio.parent.name if audio.parent != folder else None
        yield Row(str(audio), audio, text.read_text("utf-8"), speaker)


def read_table(path: Path, audio: str | None, text: str | None, speaker: str | None) -> Iterator[Row | UnusableError]:
    """Rows of a CSV or TSV file with a header, or of LJSpeech's `metadata.csv`, which has none."""
    content = path.read_text("utf-8-sig")
    first = content.split("\n", 1)[0]
    if "|" in first and "\t" not in first:
        for number, line in enumerate(content.split("\n"), start=1):
            cells = line.split("|")
            if line.strip():
                yield find_audio(path, f"{path}:{number}", cells[0], cells[-1] or cells[1], None)
        return
    delimiter = "\t" if "\t" in first else ";" if first.count(";") > first.count(",") else ","
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    rows = csv.DictReader(content.splitlines(), delimiter=delimiter, quoting=quoting)
    names = list(rows.fieldnames or [])
    audio_column = pick(path, names, audio, AUDIO_COLUMNS, "--audio")
    text_column = pick(path, names, text, TEXT_COLUMNS, "--text")
    speaker_column = speaker or next((name for name in SPEAKER_COLUMNS if name in names), None)
    for row in rows:
        where = f"{path}:{rows.line_num}"
        if not row[audio_column] or row[text_column] is None:
            yield UnusableError(f"{where}: {audio_column} or {text_column} is empty")
            continue
        yield find_audio(path, where, row[audio_column], row[text_column], row.get(speaker_column or ""))


def pick(path: Path, names: Sequence[str], chosen: str | None, usual: Sequence[str], flag: str) -> str:
    """The column to read; the program ends where there is none."""
    for name in [chosen] if chosen else usual:
        if name in names:
            return name
    sys.exit(f"{path}: no column {chosen or ' or '.join(usual)}; {flag} names one of: {', '.join(names)}")


def find_audio(table: Path, where: str, name: str, text: str, speaker: str | None) -> Row | UnusableError:
    """The row of a table with its recording, sought where corpora keep them, with and without a suffix."""
    for folder in AUDIO_FOLDERS:
        for suffix in ("", ".wav", ".flac", ".mp3", ".opus", ".ogg"):
            candidate = table.parent / folder / (name + suffix)
            if candidate.is_file():
                return Row(where, candidate, text, speaker or None)
    return UnusableError(f"{where}: there is no recording {name!r} in {table.parent}, wavs/ or clips/")


def split_speakers(utterances: Sequence[Utterance], share: float) -> tuple[list[Utterance], list[Utterance]]:
    """Some speakers apart from the rest, so that no voice is on both sides; always the same ones."""
    keys = [one.speaker or one.id for one in utterances]
    order = np.random.default_rng(0).permutation(sorted(set(keys))).tolist()
    wanted, kept = share * len(utterances), set[str]()
    while order and sum(key in kept for key in keys) < wanted and len(order) > 1:
        kept.add(order.pop())
    train = [one for one, key in zip(utterances, keys, strict=True) if key not in kept]
    valid = [one for one, key in zip(utterances, keys, strict=True) if key in kept]
    return train, valid


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a folder, or a CSV or TSV file")
    parser.add_argument("manifest", type=Path, help="the manifest to write (.jsonl)")
    parser.add_argument("--audio", help="the column with the recordings' names")
    parser.add_argument("--text", help="the column with the texts")
    parser.add_argument("--speaker", help="the column with the speakers")
    parser.add_argument("--split", nargs=2, metavar=("SHARE", "MANIFEST"), help="keep a share apart for validation")
    parser.add_argument("--force", action="store_true", help="replace existing manifests")
    arguments = parser.parse_args()
    targets = [arguments.manifest] + ([Path(arguments.split[1])] if arguments.split else [])
    for target in targets:
        if target.exists() and not arguments.force:
            parser.error(f"{target} exists; --force replaces it")
    try:
        share = float(arguments.split[0]) if arguments.split else 0.0
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        parser.error("--split wants a share between 0 and 1, and a manifest")
    if not arguments.source.exists():
        parser.error(f"{arguments.source}: no such file or folder")
    if arguments.source.is_dir():
        rows = list(read_folder(arguments.source))
    else:
        rows = list(read_table(arguments.source, arguments.audio, arguments.text, arguments.speaker))
    if not rows:
        parser.error(f"{arguments.source} holds no recordings")
    utterances, problems = [], []
    for row in tqdm(rows, unit="file", disable=None):
        if isinstance(row, UnusableError):
            problems.append(str(row))
            continue
        text = normalize_text(row.text, NormalizerConfig())
        if not text:
            problems.append(f"{row.where}: the text is empty")
            continue
        try:
            seconds = probe_seconds(row.audio)
        except AudioError as error:
            problems.append(f"{row.where}: {error}")
            continue
        name = row.audio.relative_to(arguments.source) if arguments.source.is_dir() else Path(row.audio.name)
        utterances.append(Utterance(str(name.with_suffix("")), row.audio, text, seconds, row.speaker, row.where))
    for problem in problems:
        print(problem, file=sys.stderr)
    if not utterances:
        print("no utterance is left: no manifest is written", file=sys.stderr)
        return 1
    parts = split_speakers(utterances, share) if arguments.split else (utterances,)
    for target, part in zip(targets, parts, strict=True):
        write_manifest(target, part)
        hours = sum(one.duration or 0 for one in part) / 3600
        print(f"{target}: {len(part)} utterances, {hours:.2f} h, {len({one.speaker for one in part})} speakers")
    print(f"{len(problems)} left out")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
