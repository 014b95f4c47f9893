"""Finds the recordings that a command line names: files, folders, patterns, manifests, lists, streams."""

from __future__ import annotations

import codecs
import glob
import os
import shutil
import stat
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from asr.audio.folders import AUDIO_SUFFIXES, describe_passed_over, match_pattern, search_folder
from asr.audio.segment import AudioSegment, AudioSource, is_address
from asr.corpus.manifest import MANIFEST_SUFFIXES, Utterance, read_manifest
from asr.errors import AsrError, AudioError, ConfigError, ManifestError, is_utf_16
from asr.files import typed_path
from asr.remote import RemoteFile, is_url, list_files


@dataclass(frozen=True)
class Recording:
    """A recording, or a segment of one, to process."""

    path: Path
    shown: str
    """its name in messages and outputs"""
    name: Path
    """its path below the folder that was searched, for the outputs"""
    id: str | None = None
    """from a manifest"""
    segment: AudioSegment | None = None
    """from a manifest with offsets"""
    is_stream: bool = False
    """whether it was a stream: `path` is a copy that is removed when the command ends"""
    remote: RemoteFile | None = None
    """the recording, if it is named by URL: there is no file at `path`"""

    @classmethod
    def of(cls, utterance: Utterance) -> Recording:
        """The recording of a manifest's line."""
        path, audio = utterance.audio_path, utterance.audio
        segment = audio if isinstance(audio, AudioSegment) else None
        if utterance.url is not None:
            remote = RemoteFile(utterance.url, 0, 0)  # asking for the size of each would take longer than its use saves
            name = inside(utterance.id + path.suffix)
            return cls(Path(path.name), utterance.shown, name, utterance.id, segment, remote=remote)
        return cls(path, str(audio), inside(utterance.id + path.suffix), utterance.id, segment)

    @property
    def audio(self) -> AudioSource:
        """The recording, or the segment of it, to read."""
        return self.segment or self.path

    @property
    def place(self) -> Path:
        """The path of an output beside the recording, before its suffix is replaced; it differs for each segment."""
        if self.segment is None or not self.segment.offset:
            return self.path
        return self.path.with_name(f"{self.path.stem}@{self.segment.offset:.10g}{self.path.suffix}")

    @property
    def bytes_on_disk(self) -> int:
        """0 where there is none."""
        if self.remote is not None:
            return self.remote.size
        try:
            return self.path.stat().st_size
        except (OSError, ValueError):
            return 0


@dataclass
class Found:
    """The recordings that were found."""

    recordings: list[Recording] = field(default_factory=list)
    problems: list[AsrError] = field(default_factory=list)
    """one for each argument, folder and line of a manifest without a recording"""
    alone: bool = False
    """whether a single recording was named"""
    passed_over: Counter[str] = field(default_factory=Counter)
    """files in folders that are not recordings, by suffix"""

    def describe_passed_over(self) -> str:
        """As `FolderSearch.describe_passed_over`."""
        return describe_passed_over(self.passed_over)


def find_recordings(names: Sequence[str], files_from: str | None, scratch: Path) -> Found:
    """Find the recordings that arguments name.

    Parameters
    ----------
    names : sequence of str
        Recordings, folders (searched all levels deep, by suffix), patterns such as `calls/**/*.mp3`, manifests, pipes
        (`<(command)`), or `-` for a recording on standard input.
    files_from : str, optional
        A file that lists more of them, one per line (or separated by NUL); `-` for standard input.
    scratch : Path
        A folder to keep streams in.

    Raises
    ------
    ConfigError
        If the list cannot be read, or standard input is used twice.
    """
    names = list(names)
    if files_from is not None:
        if files_from == "-" and "-" in names:
            raise ConfigError("standard input is either a recording (-) or a list (files_from=-)")
        names += _read_list(files_from)
    if names.count("-") > 1:
        raise ConfigError("standard input (-) is one recording: it can be named once")
    found = Found(alone=len(names) == 1 and files_from is None and not os.path.isdir(names[0]))
    for name in names:
        try:
            _find(name, scratch, found)
        except (AudioError, ManifestError) as error:
            found.problems.append(error)
    found.alone = found.alone and len(found.recordings) == 1 and not found.problems
    return found


def _read_list(name: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if name == "-" else typed_path(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"files_from={name}: cannot be read ({error.strerror})") from error
    if is_utf_16(content) or b"\n\0" in content:  # the latter without a byte order mark
        raise ConfigError(f"files_from={name}: UTF-16 text: save it as UTF-8")
    content = content.removeprefix(codecs.BOM_UTF8)
    lines = content.split(b"\0") if b"\0" in content else content.splitlines()
    return [os.fsdecode(line) for line in lines if line.strip()]


def _find(name: str, scratch: Path, found: Found) -> None:
    """Add the recordings that an argument names."""
    path = Path(name)
    if name == "-" or is_pipe(path):
        found.recordings.append(keep_stream(name, scratch))
    elif is_url(name) and not os.path.lexists(name):
        _find_remote(name, found)
    elif os.path.isdir(path):  # unlike Path.is_dir, it accepts a name of any length
        search = search_folder(path)
        found.problems += search.problems
        found.passed_over += search.passed_over
        if not search.recordings and not search.problems:
            raise AudioError(path, "the folder holds no recordings")
        found.recordings += [Recording(one, str(one), one.relative_to(path)) for one in search.recordings]
    elif glob.has_magic(name) and not os.path.lexists(name) and not is_address(name):
        problems: list[AudioError] = []
        paths = match_pattern(name, problems)
        found.problems += problems
        if not paths:
            raise AudioError(name, "no file matches the pattern")
        # Relative to their common folder, so that outputs of different folders stay separate.
        top = os.path.commonpath([one.parent for one in paths])
        found.recordings += [Recording(one, str(one), Path(os.path.relpath(one, top or "."))) for one in paths]
    elif path.suffix.lower() in MANIFEST_SUFFIXES:
        reading = read_manifest(path, text_required=False)
        found.problems += [ManifestError([problem]) for problem in reading.problems]
        found.recordings += [Recording.of(one) for one in reading.utterances]
    else:
        found.recordings.append(Recording(path, name, Path(path.name)))


def _find_remote(url: str, found: Found) -> None:
    """Add the recordings of a URL: of a file, a folder or a pattern."""
    if PurePosixPath(url).suffix.lower() in MANIFEST_SUFFIXES:
        raise ManifestError([f"{url}: a manifest is read from a folder only: download it, or name the recordings' URL"])
    files = list_files(url)
    if not files:
        raise AudioError(url, "there are no files")
    top = url.rstrip("/")
    if len(files) == 1 and files[0].url == top:
        found.recordings.append(Recording(Path(files[0].name), url, Path(files[0].name), remote=files[0]))
        return
    found.alone = False
    if glob.has_magic(url):
        chosen, top = files, _common_folder([one.url for one in files])
    else:
        chosen = [one for one in files if PurePosixPath(one.url).suffix.lower() in AUDIO_SUFFIXES]
        left = [one for one in files if one not in set(chosen) and not one.name.startswith(".")]
        found.passed_over += Counter(PurePosixPath(one.url).suffix.lower() for one in left)
        if not chosen:
            raise AudioError(url, "the folder holds no recordings")
    for one in chosen:
        name = inside(one.url[len(top) :].lstrip("/"))
        found.recordings.append(Recording(Path(one.name), one.url, name, remote=one))


def _common_folder(urls: Sequence[str]) -> str:
    """The folder that all files are in, at any level."""
    folders = [url.split("/")[:-1] for url in urls]
    shared: list[str] = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


def is_pipe(path: Path) -> bool:
    """Whether a path is a stream that can be read once: a named pipe, or `<(command)` of a shell."""
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def keep_stream(name: str, scratch: Path) -> Recording:
    """A recording from standard input (`-`) or a pipe, copied into a folder, because readers seek in it.

    Raises
    ------
    AudioError
        If it cannot be read.
    """
    shown, outputs = ("standard input", Path("stdin")) if name == "-" else (name, Path(Path(name).name))
    copy = scratch / f"stream-{len(list(scratch.iterdir()))}"
    with copy.open("wb") as file:
        try:
            if name == "-":
                shutil.copyfileobj(sys.stdin.buffer, file)
            else:
                with open(name, "rb") as stream:
                    shutil.copyfileobj(stream, file)
        except OSError as error:
            raise AudioError(shown, f"cannot be read ({error.strerror or error})") from error
    return Recording(copy, shown, outputs, is_stream=True)


def inside(name: str) -> Path:
    """A manifest's id as a path that cannot lead out of the output folder."""
    parts = [part for part in Path(name).parts if part not in {"..", "/"}]
    return Path(*parts) if parts else Path("unnamed")
