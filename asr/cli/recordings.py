"""The recordings that a command line stands for: files, folders, patterns, manifests, lists, standard input."""

from __future__ import annotations

import glob
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr.audio.load import AUDIO_SUFFIXES
from asr.corpus.manifest import MANIFEST_SUFFIXES, read_manifest
from asr.errors import AsrError, AudioError, ConfigError, ManifestError


@dataclass(frozen=True)
class Recording:
    """A recording that was asked for."""

    path: Path
    shown: str
    """how messages and outputs call it"""
    name: Path
    """its path below the folder that was searched, for the outputs"""
    id: str | None = None
    """from a manifest"""

    @property
    def bytes_on_disk(self) -> int:
        """0 where there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0


@dataclass(frozen=True)
class Found:
    """What was found."""

    recordings: list[Recording]
    problems: list[AsrError]
    """one for each argument that stands for nothing"""
    alone: bool
    """whether one recording was asked for, by its own name"""


def find_recordings(names: Sequence[str], files_from: str | None, scratch: Path) -> Found:
    """The recordings that some arguments stand for.

    Parameters
    ----------
    names : sequence of str
        Recordings, folders (searched all levels deep, by suffix), patterns such as `calls/**/*.mp3`, manifests, or `-`
        for a recording on standard input.
    files_from : str, optional
        A file that lists more of them, one a line (or parted by NUL); `-` for standard input.
    scratch : Path
        A folder to keep standard input in.

    Raises
    ------
    ConfigError
        If the list cannot be read, or standard input is wanted for two things.
    """
    names = list(names)
    if files_from is not None:
        if files_from == "-" and "-" in names:
            raise ConfigError("standard input is either a recording (-) or a list (files_from=-)")
        names += _read_list(files_from)
    found = Found([], [], alone=len(names) == 1 and files_from is None and not Path(names[0]).is_dir())
    for name in names:
        try:
            found.recordings.extend(_find(name, scratch))
        except (AudioError, ManifestError) as error:
            found.problems.append(error)
    return found if len(found.recordings) == 1 else Found(found.recordings, found.problems, alone=False)


def _read_list(name: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(f"files_from={name}: cannot be read ({error.strerror})") from error
    lines = content.split(b"\0") if b"\0" in content else content.splitlines()
    return [os.fsdecode(line) for line in lines if line.strip()]


def _find(name: str, scratch: Path) -> list[Recording]:
    path = Path(name)
    if name == "-":
        spool = scratch / "stdin"
        with spool.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        return [Recording(spool, "standard input", Path("stdin"))]
    if path.is_dir():
        found = sorted(one for one in path.rglob("*") if one.suffix.lower() in AUDIO_SUFFIXES and not one.is_dir())
        if not found:
            raise AudioError(path, f"the folder holds no recordings ({', '.join(sorted(AUDIO_SUFFIXES))})")
        return [Recording(one, str(one), one.relative_to(path)) for one in found]
    if glob.has_magic(name) and not os.path.lexists(name):
        found = sorted(Path(one) for one in glob.glob(name, recursive=True) if not Path(one).is_dir())
        if not found:
            raise AudioError(name, "no file matches the pattern")
        # Below what all of them share, so that outputs keep their folders apart.
        top = os.path.commonpath([one.parent for one in found])
        return [Recording(one, str(one), Path(os.path.relpath(one, top or "."))) for one in found]
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        reading = read_manifest(path, text_required=False)
        if reading.problems:
            raise ManifestError(reading.problems)
        return [
            Recording(one.audio_path, str(one.audio_path), inside(one.id + one.audio_path.suffix), one.id)
            for one in reading.utterances
        ]
    return [Recording(path, name, Path(path.name))]


def inside(name: str) -> Path:
    """A manifest's id as a path that cannot lead out of the output folder."""
    return Path(*[part for part in Path(name).parts if part not in {"..", "/"}])
