"""What the prepare_* scripts share: rows of a corpus in, checked manifests out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from asr.audio.load import probe_seconds
from asr.corpus.manifest import Utterance, write_manifest
from asr.corpus.split import hold_out
from asr.errors import AudioError, ManifestError
from asr.settings.text import NormalizerConfig
from asr.text.normalize import normalize_text

SUFFIXES = (".flac", ".wav", ".opus", ".ogg", ".mp3", ".sph")
"""Of recordings whose corpus names them without one."""


@dataclass(frozen=True)
class Row:
    """A recording as its corpus lists it."""

    id: str
    audio: Path
    text: str
    speaker: str | None
    where: str
    """for messages"""
    other: Mapping[str, object] = field(default_factory=dict)


class UnusableError(Exception):
    """A row that cannot become an utterance; its text says where and why."""


def argument_parser(description: str | None, source: str) -> argparse.ArgumentParser:
    """A parser with what every script takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help=source)
    parser.add_argument("manifest", type=Path, help="the manifest to write (.jsonl)")
    parser.add_argument("--split", nargs=2, metavar=("SHARE", "MANIFEST"), help="hold a share out, for validation")
    parser.add_argument("--raw-text", action="store_true", help="keep case and punctuation; training normalises anyway")
    parser.add_argument("--force", action="store_true", help="replace existing manifests")
    return parser


def checked(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments; the program ends where they cannot be used."""
    arguments = parser.parse_args()
    try:
        arguments.share = float(arguments.split[0]) if arguments.split else 0.0
    except ValueError:
        arguments.share = -1.0
    if not 0 <= arguments.share < 1:
        parser.error("--split wants a share between 0 and 1, and a manifest")
    arguments.targets = [arguments.manifest] + ([Path(arguments.split[1])] if arguments.split else [])
    for target in arguments.targets:
        if target.exists() and not arguments.force:
            parser.error(f"{target} exists; --force replaces it")
    if not arguments.source.exists():
        parser.error(f"{arguments.source}: no such file or folder")
    return arguments


def find_recording(folders: Sequence[Path], name: str) -> Path | None:
    """A recording in the first of some folders that has it, with or without a suffix in its name."""
    for folder in folders:
        for suffix in ("", *SUFFIXES):
            candidate = folder / (name + suffix)
            if candidate.is_file():
                return candidate
    return None


def read_table(path: Path, separator: str | None = None) -> dict[str, str]:
    """A text file of a key and a value a line, as Kaldi's are."""
    pairs = (line.strip().split(separator, 1) for line in path.read_text("utf-8-sig").splitlines() if line.strip())
    return {pair[0]: pair[1].strip() if len(pair) > 1 else "" for pair in pairs}


def write_manifests(
    rows: Iterable[Row | UnusableError], arguments: argparse.Namespace, *, expected: int | None = None
) -> int:
    """Probe every recording, name what cannot be used, and write the manifests; returns the exit code.

    Parameters
    ----------
    rows : iterable of Row or UnusableError
    arguments : argparse.Namespace
        From `checked`.
    expected : int, optional
        Utterances that the corpus is known to have.
    """
    listed = list(rows)
    if not listed:
        print(f"{arguments.source} lists no recordings: no manifest is written", file=sys.stderr)
        return 1
    with ThreadPoolExecutor() as pool:
        attempts = pool.map(lambda row: _utterance(row, raw=arguments.raw_text), listed)
        made = list(tqdm(attempts, total=len(listed), unit="file", disable=None))
    by_id: dict[str, Utterance] = {}
    problems = []
    for one in made:
        if isinstance(one, UnusableError):
            problems.append(str(one))
        elif one.id in by_id:
            problems.append(f"{one.where}: the id {one.id!r} is that of {by_id[one.id].where} already")
        else:
            by_id[one.id] = one
    utterances = list(by_id.values())
    if expected is not None and len(listed) != expected:
        problems.append(f"{arguments.source}: {expected:,} utterances were expected, {len(listed):,} are listed")
    for problem in problems:
        print(problem, file=sys.stderr)
    if not utterances:
        print("no utterance is left: no manifest is written", file=sys.stderr)
        return 1
    try:
        parts = hold_out(utterances, arguments.share) if arguments.split else (utterances,)
    except ManifestError as error:
        sys.exit(str(error))
    for target, part in zip(arguments.targets, parts, strict=True):
        write_manifest(target, part)
        hours = sum(one.duration or 0 for one in part) / 3600
        speakers = len({one.speaker for one in part if one.speaker}) or "unknown"
        print(f"{target}: {len(part)} utterances, {hours:.2f} h, {speakers} speakers")
    print(f"{len(listed) - len(utterances)} left out")
    return 1 if problems else 0


def _utterance(row: Row | UnusableError, *, raw: bool) -> Utterance | UnusableError:
    if isinstance(row, UnusableError):
        return row
    if str(row.audio).encode("utf-8", "ignore") != os.fsencode(row.audio):
        return UnusableError(f"{row.where}: the name is not UTF-8, which a manifest is written in: rename the file")
    text = normalize_text(row.text, NormalizerConfig())
    if not text:
        return UnusableError(f"{row.where}: the text is empty")
    try:
        seconds = probe_seconds(row.audio)
    except AudioError as error:
        return UnusableError(f"{row.where}: {error}")
    kept = " ".join(row.text.split()) if raw else text
    return Utterance(row.id, row.audio, kept, seconds, row.speaker or None, row.where, row.other)
