"""Where transcripts are written, by many workers at once, and what is recorded of them: in folders, or by URL.

Every worker records a transcript before it writes it, so that after a loss at any moment every output has a record. In
a folder each worker has a journal file of its own (`asr.recognition.finished.Journal`). An object store cannot append
to files: there each record is an empty object whose name says it all, so that one listing reads all of them.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from asr import remote
from asr.errors import AudioError, printable
from asr.files import clear_leftovers, digest_of, obstacle, output_error
from asr.recognition.finished import Journal, Source

_RECORDS = ".asr-transcripts"
_OLDER_THAN_THIS_RUN = "was not written by asr, or changed since; overwrite=true replaces it, or name another output"

_OF_ANOTHER = "holds the transcript of another recording; overwrite=true replaces it, or name another output"


def process_name() -> str:
    """A name for the journal of this process: those on several machines cannot append to one file."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40]
    return f"{host}-{os.getpid()}"


class State(Enum):
    """What is to be done about an output."""

    missing = "missing"
    finished = "finished"
    failed = "failed"
    """an earlier run could not transcribe its recording"""
    other_settings = "other settings"
    """it was made by another bundle or with other settings"""
    blocked = "blocked"
    """it cannot be written, or must not be replaced"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state of an output."""

    state: State
    reason: str = ""
    """why it failed, or is blocked"""


class OutputStore(Protocol):
    """Outputs and their records. `output` is a path, or a URL."""

    def verdict(self, output: str, source: Source | None) -> Verdict:
        """What is to be done about an output."""

    def is_finished(self, output: str, source: Source | None) -> bool:
        """Whether another worker has written it meanwhile; what a killed one left half written is removed."""

    def clear(self, outputs: Sequence[str]) -> None:
        """Remove what killed workers of an earlier run left half written of these outputs."""

    def write(self, output: str, text: str, source: Source | None) -> None:
        """Record and write an output.

        Raises
        ------
        OutputError
            If it cannot be written.
        """

    def record_failure(self, output: str, source: Source, reason: str) -> None:
        """Record that a recording cannot be transcribed.

        Raises
        ------
        OutputError
            If that cannot be written.
        """


def open_store(top: str | None, *, settings: str, overwrite: bool = False) -> OutputStore:
    """Outputs below a folder or a URL.

    Parameters
    ----------
    top : str, optional
        A folder or a URL; None for outputs in several folders.
    settings : str
        The fingerprint of the bundle and the settings.
    overwrite : bool
        Also replace what this program did not write.
    """
    if top is not None and remote.is_url(top):
        return RemoteStore(top, settings=settings, overwrite=overwrite)
    return FolderStore(settings=settings, overwrite=overwrite)


class FolderStore:
    """Outputs in folders."""

    def __init__(self, *, settings: str, overwrite: bool) -> None:
        self._settings, self._overwrite = settings, overwrite
        self._journal = self._fresh()
        self._present: dict[Path, set[str]] = {}

    def _fresh(self) -> Journal:
        return Journal(process_name(), overwrite=self._overwrite)

    def verdict(self, output: str, source: Source | None) -> Verdict:
        """See `OutputStore`."""
        path = Path(output)
        exists = self._exists(path)
        if not self._overwrite:
            if exists and self._journal.is_finished(path, source):
                return Verdict(State.finished)
            if exists and self._journal.is_of_other_settings(path, self._settings):
                return Verdict(State.other_settings)
            if (reason := self._journal.failure(path, source)) is not None:
                return Verdict(State.failed, reason)
        problem = self._journal.problem(path, source) if exists else obstacle(path)
        return Verdict(State.blocked, problem) if problem else Verdict(State.missing)

    def _exists(self, path: Path) -> bool:
        """Whether there is anything of that name, by one listing of its folder."""
        folder = path.parent
        if folder not in self._present:
            try:
                self._present[folder] = set(os.listdir(folder))
            except OSError:
                self._present[folder] = set()
        return path.name in self._present[folder]

    def clear(self, outputs: Sequence[str]) -> None:
        """See `OutputStore`."""
        names: dict[Path, set[str]] = defaultdict(set)
        for path in map(Path, outputs):
            names[path.parent].add(path.name)
        for folder, some in names.items():
            clear_leftovers(folder, of=some)

    def is_finished(self, output: str, source: Source | None) -> bool:
        """See `OutputStore`."""
        path = Path(output)
        clear_leftovers(path.parent, of=path.name)
        return self._fresh().is_finished(path, source)

    def write(self, output: str, text: str, source: Source | None) -> None:
        """See `OutputStore`."""
        path = Path(output)
        try:
            self._journal.check_output(path, source)  # it may have been created since the first check
            self._journal.write(path, printable(text).encode("utf-8", "surrogateescape"), source)
        except OSError as error:
            raise output_error(path, error) from error

    def record_failure(self, output: str, source: Source, reason: str) -> None:
        """See `OutputStore`."""
        try:
            self._journal.record_failure(Path(output), source, reason)
        except OSError as error:
            raise output_error(Path(output), error) from error


@dataclass(frozen=True, slots=True)
class _Record:
    """The name of a record: `OUTPUT.SOURCE.SETTINGS.CONTENT.RECORDING`, each a digest, or `failed` for the content."""

    output: str
    source: str
    settings: str
    content: str
    recording: str = field(default="", compare=False)
    """"" in records of earlier versions"""

    @property
    def name(self) -> str:
        return f"{self.output}.{self.source}.{self.settings}.{self.content}.{self.recording}"

    def is_of_another(self, source: Source) -> bool:
        """Whether it is of another recording, as far as is known."""
        return bool(self.recording and source.recording) and self.recording != _short(source.recording)

    @classmethod
    def parse(cls, name: str) -> _Record | None:
        parts = name.split(".")
        return cls(*parts) if len(parts) in (4, 5) else None


class RemoteStore:
    """Outputs below a URL; the records are read once, at the first question."""

    def __init__(self, top: str, *, settings: str, overwrite: bool) -> None:
        self._top, self._overwrite = top.rstrip("/"), overwrite
        self._settings = _short(settings)
        self._known: dict[str, list[_Record]] | None = None
        self._present: dict[str, int] = {}

    def verdict(self, output: str, source: Source | None) -> Verdict:
        """See `OutputStore`."""
        self._read()
        exists = self._relative(output) in self._present
        if self._overwrite:
            return Verdict(State.missing)
        records = self._records(output)
        made = [one for one in records if one.content != "failed"]
        if exists:
            return self._verdict_of_existing(output, source, made)
        if source is not None and any(one == self._record(output, source, "failed") for one in records):
            return Verdict(State.failed, self._failure_reason(output, source))
        return Verdict(State.missing)

    def _verdict_of_existing(self, output: str, source: Source | None, made: list[_Record]) -> Verdict:
        if not made:
            return Verdict(State.blocked, _OLDER_THAN_THIS_RUN)
        ours = {one.content for one in made if source is not None and one.source == _source_key(source)}
        others = {one.content for one in made} - ours
        if ours and not others:
            return Verdict(State.finished)
        content = _content_key(remote.read_file(output))
        if ours and content not in others:
            return Verdict(State.finished)
        if content not in ours | others:
            return Verdict(State.blocked, _OLDER_THAN_THIS_RUN)
        if source is not None and all(one.is_of_another(source) for one in made if one.content == content):
            return Verdict(State.blocked, _OF_ANOTHER)
        if all(one.settings != self._settings for one in made):
            return Verdict(State.other_settings)
        return Verdict(State.missing)

    def clear(self, outputs: Sequence[str]) -> None:
        """See `OutputStore`: an object appears when all of it is there."""

    def is_finished(self, output: str, source: Source | None) -> bool:
        """See `OutputStore`."""
        self._known = None
        return self.verdict(output, source).state is State.finished

    def write(self, output: str, text: str, source: Source | None) -> None:
        """See `OutputStore`."""
        content = printable(text).encode("utf-8", "surrogateescape")
        if source is not None:
            self._put(self._record(output, source, _content_key(content)))
        remote.write_file(output, content)

    def record_failure(self, output: str, source: Source, reason: str) -> None:
        """See `OutputStore`."""
        record = self._record(output, source, "failed")
        self._put(record, printable(reason).encode("utf-8", "surrogateescape"))

    def _failure_reason(self, output: str, source: Source) -> str:
        record = self._record(output, source, "failed")
        try:
            return remote.read_file(f"{self._top}/{_RECORDS}/{record.name}").decode("utf-8", "replace")
        except AudioError:
            return "for an unknown reason"

    def _put(self, record: _Record, content: bytes = b"") -> None:
        remote.write_file(f"{self._top}/{_RECORDS}/{record.name}", content)

    def _record(self, output: str, source: Source, content: str) -> _Record:
        recording = _short(source.recording) if source.recording else ""
        return _Record(_short(self._relative(output)), _source_key(source), self._settings, content, recording)

    def _records(self, output: str) -> list[_Record]:
        return (self._known or {}).get(_short(self._relative(output)), [])

    def _relative(self, output: str) -> str:
        return output[len(self._top) :].lstrip("/")

    def _read(self) -> None:
        if self._known is not None:
            return
        known: dict[str, list[_Record]] = defaultdict(list)
        self._present = remote.list_names(self._top)
        for name in self._present:
            folder, _, last = name.rpartition("/")
            if folder == _RECORDS and (record := _Record.parse(last)):
                known[record.output].append(record)
        self._known = known


def _source_key(source: Source) -> str:
    return _short(f"{source.size} {source.changed} {source.settings} {source.segment}")


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _content_key(content: bytes) -> str:
    return digest_of(content)[:16]


def source_of(path: Path | remote.RemoteFile, settings: str, segment: str = "") -> Source | None:
    """The state of a recording, in a folder or a remote place; None if it does not exist."""
    if isinstance(path, remote.RemoteFile):
        return Source(path.size, path.version, settings, segment, path.url)
    return Source.of(path, settings, segment)
