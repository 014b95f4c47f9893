"""Remembers which transcripts in a folder were written, of what and how: so that a second run skips what is finished.

Each folder with transcripts holds a hidden file of JSON lines. A line is written before its transcript: at whatever
moment a run is killed, the transcript is there and known by its digest, or it is not there and is written again. A file
that no line knows is somebody else's.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asr.files import write_atomically

_PREFIX = ".asr-transcripts"


@dataclass(frozen=True, slots=True)
class Source:
    """A recording as it lay on disk, and what it was transcribed with."""

    size: int
    changed: int
    """nanoseconds"""
    settings: str
    """a digest"""
    segment: str = ""
    """which segment of the recording it is, if it is one"""

    @classmethod
    def of(cls, recording: Path, settings: str, segment: str = "") -> Source | None:
        """None if the recording is not there."""
        try:
            status = recording.stat()
        except OSError:
            return None
        return cls(status.st_size, status.st_mtime_ns, settings, segment)


class Journal:
    """What is known of the transcripts of some folders.

    Parameters
    ----------
    shard : str
        Part of the file's name: processes that share a folder each write a file of their own, and read all.
    """

    def __init__(self, shard: str = "") -> None:
        self._name = f"{_PREFIX}.{shard}.jsonl" if shard else f"{_PREFIX}.jsonl"
        self._known: dict[Path, dict[str, list[dict[str, Any]]]] = {}

    def is_finished(self, output: Path, source: Source | None) -> bool:
        """Whether the transcript is there, made of just this recording with just these settings.

        One that was corrected since is: somebody has worked on it.
        """
        lines = self._lines(output)
        made = {line["digest"] for line in lines if _source(line) == source}
        if source is None or not made:
            return False
        try:
            digest = _digest(output.read_bytes())
        except OSError:
            return False
        return digest in made or digest not in {line["digest"] for line in lines}

    def is_ours(self, output: Path) -> bool:
        """Whether a file may be replaced: it is as it was written here, or there is none."""
        try:
            digest = _digest(output.read_bytes())
        except FileNotFoundError:
            return True
        return any(line["digest"] == digest for line in self._lines(output))

    def write(self, output: Path, content: bytes, source: Source | None) -> None:
        """Write a transcript whole or not at all, and remember it.

        Raises
        ------
        OSError
            If the folder cannot be written to or the disk is full.
        """
        output.parent.mkdir(parents=True, exist_ok=True)
        line: dict[str, Any] = {"output": os.fsencode(output.name).hex(), "digest": _digest(content)}
        if source is not None:
            line |= asdict(source)
        with (output.parent / self._name).open("ab") as file:
            # In a line of its own even if the last one broke off.
            file.write(b"\n" + json.dumps(line).encode() + b"\n")
        write_atomically(output, content)

    def _lines(self, output: Path) -> Sequence[dict[str, Any]]:
        folder = output.parent
        if folder not in self._known:
            known: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for path in sorted(folder.glob(f"{_PREFIX}*.jsonl")):
                for text in path.read_bytes().splitlines():
                    try:
                        line = json.loads(text)
                        known[line["output"]].append({"digest": line["digest"]} | line)
                    except (ValueError, TypeError, KeyError):
                        pass  # the run was killed while it wrote this
            self._known[folder] = known
        return self._known[folder].get(os.fsencode(output.name).hex(), [])


def _source(line: dict[str, Any]) -> Source | None:
    try:
        return Source(line["size"], line["changed"], line["settings"], line.get("segment", ""))
    except KeyError:
        return None


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
