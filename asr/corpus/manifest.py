"""Manifests: one utterance per line, as JSON. Only this module knows their keys.

A line holds `audio_filepath` (relative to the manifest, a literal name), `text`, and optionally `duration` in seconds,
`offset` in seconds, `id` and `speaker`; any other key is kept. The keys are those of NVIDIA NeMo's manifests: a line
with `offset` is a segment of its recording, `duration` long or up to the recording's end; one without is the whole.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from asr.audio.segment import AudioSegment, is_address
from asr.errors import AudioError, ManifestError, is_utf_16
from asr.files import is_url, write_atomically
from asr.remote import joined, read_file

# Text has no zero bytes; recordings have some near the beginning.
_LOOKED_AT = 4096

# Half of a surrogate pair of UTF-16; alone it cannot be written to a file.
_HALF = re.compile("[\ud800-\udfff]")
# More than 30 years is a mistake.
_MOST_SECONDS = 1e9
_DEEPEST = 50

MANIFEST_SUFFIXES = frozenset({".jsonl", ".json"})


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording, or a segment of one, and its transcript."""

    id: str
    """see `utterance_id`"""
    audio_path: Path
    """`Path()` for a text without a recording"""
    text: str | None
    """None where the manifest has no `text`"""
    duration: float | None
    """seconds, as the manifest states them"""
    speaker: str | None
    where: str
    """`file:line`, for messages"""
    other: Mapping[str, Any] = field(default_factory=dict)
    """every further key of the line"""
    offset: float | None = None
    """seconds from the start of the recording to the segment; None for the whole recording"""
    url: str | None = None
    """of the recording, if it is in a remote place: then `audio_path` is a name, and no file"""

    @property
    def audio(self) -> Path | AudioSegment:
        """The recording, or the segment of it, to read."""
        return self.audio_path if self.offset is None else AudioSegment(self.audio_path, self.offset, self.duration)

    @property
    def shown(self) -> str:
        """The recording, or the segment of it, in messages."""
        return str(self.audio) if self.url is None else str(self.audio).replace(str(self.audio_path), self.url, 1)


@dataclass(frozen=True, slots=True)
class ManifestReading:
    """The utterances of a manifest, and a message for every unusable line."""

    utterances: list[Utterance]
    problems: list[str]


def utterance_id(row: Mapping[str, Any]) -> str:
    """The id of a manifest's or a hypotheses file's row: `id`, else `audio_filepath` without its suffix.

    That of a segment which is not at the start of its recording ends in its offset: `talks/first@12.5`.
    """
    if row.get("id") is not None:
        return str(row["id"])
    audio, offset = str(row["audio_filepath"]), row.get("offset")
    path = PurePosixPath(audio.partition("://")[2] if is_url(audio) else audio)
    name = str(path.with_suffix("")) if path.name else str(path)
    return f"{name}@{str(float(offset)).removesuffix('.0')}" if offset and _is_seconds(offset) else name


def read_rows(path: str | Path) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
    """The JSON objects of a file of JSON lines, each with its `file:line`, and a problem for every other line.

    An object that holds what no file name, text or report can is a problem too.

    Raises
    ------
    ManifestError
        If the file cannot be read at all, or has no lines.
    """
    if not str(path):
        raise ManifestError(["the name of a manifest is empty: is a variable of the shell not set?"])
    try:
        content = read_file(str(path)) if is_url(str(path)) else Path(path).read_bytes()
    except AudioError as error:
        raise ManifestError([str(error)]) from error
    except FileNotFoundError:
        raise ManifestError([f"{path}: no such manifest (working directory: {Path.cwd()})"]) from None
    except IsADirectoryError:
        raise ManifestError(
            [f"{path}: a folder, not a manifest; `asr prepare recordings {path} output=all.jsonl` makes one of it"]
        ) from None
    except OSError as error:
        raise ManifestError([f"{path}: cannot be read ({error.strerror or error})"]) from error
    if is_utf_16(content):
        raise ManifestError([f"{path}: UTF-16 text: save it as UTF-8"])
    if b"\0" in content[:_LOOKED_AT]:
        raise ManifestError([f"{path}: not a text file: expected a manifest, JSON lines that name recordings"])
    rows: list[tuple[str, dict[str, Any]]] = []
    problems: list[str] = []
    # Not splitlines(): a text may hold U+2028 and similar characters, which JSON allows unescaped.
    for number, line in enumerate(content.split(b"\n"), start=1):
        where = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            problems.append(f"{where}: not UTF-8 ({error.reason} at byte {error.start})")
            continue
        except (ValueError, RecursionError) as error:
            problems.append(f"{where}: not JSON ({error})")
            continue
        if not isinstance(row, dict):
            problems.append(f"{where}: expected a JSON object, not {type(row).__name__}")
            continue
        if unusable := _unusable_value(row):
            problems.append(f"{where}: {unusable}")
            continue
        rows.append((where, row))
    if not rows and not problems:
        raise ManifestError([f"{path}: the file has no lines"])
    return rows, problems


def read_manifest(
    path: str | Path, *, text_required: bool = True, audio_required: bool = True, remote: bool = False
) -> ManifestReading:
    """Read a manifest, collecting all problems instead of stopping at the first.

    Parameters
    ----------
    path : str or Path
    text_required : bool
        Whether a line without `text` is a problem.
    audio_required : bool
        Whether a line with an `id`, but without `audio_filepath`, is a problem.
    remote : bool
        Whether the manifest, and recordings, may be in remote places, named by URL. Recordings of such a manifest are
        named relative to it, or by URL.

    Returns
    -------
    ManifestReading
        Texts are as in the file, not normalised.

    Raises
    ------
    ManifestError
        If the file cannot be read at all, or has no lines.
    """
    if not remote and is_url(str(path)):
        raise ManifestError([f"{path}: this command reads manifests and recordings from folders: copy them first"])
    rows, problems = read_rows(path)
    utterances: list[Utterance] = []
    first_seen: dict[str, str] = {}
    for where, row in rows:
        problem = None
        if audio_required or row.get("audio_filepath") is not None:
            problem = _audio_problem(row, remote=remote, is_remote=is_url(str(path)))
        elif row.get("id") is None:
            problem = "neither id nor audio_filepath: one of them must identify the utterance"
        problem = problem or _problem(row, text_required)
        if problem:
            problems.append(f"{where}: {problem}")
            continue
        name = utterance_id(row)
        if name in first_seen:
            problems.append(f"{where}: the id {name!r} is already used by {first_seen[name]}")
            continue
        first_seen[name] = where
        audio = row.get("audio_filepath")
        url = None if audio is None else _url(str(path), audio)
        known = {"audio_filepath", "text", "duration", "offset", "id", "speaker"}
        utterances.append(
            Utterance(
                id=name,
                audio_path=Path() if audio is None else Path(path).parent / audio if url is None else Path(url),
                text=row.get("text"),
                duration=None if row.get("duration") is None else float(row["duration"]),
                speaker=None if row.get("speaker") is None else str(row["speaker"]),
                where=where,
                other={key: value for key, value in row.items() if key not in known},
                offset=None if row.get("offset") is None else float(row["offset"]),
                url=url,
            )
        )
    return ManifestReading(utterances, problems)


def _url(manifest: str, audio: str) -> str | None:
    """The URL of a recording; None if it is a file."""
    if is_url(audio):
        return audio
    return joined(manifest.rpartition("/")[0], audio) if is_url(manifest) else None


def read_manifests(
    paths: Iterable[str | Path], *, text_required: bool = True, audio_required: bool = True, remote: bool = False
) -> ManifestReading:
    """Read several manifests as `read_manifest` does; an unreadable file is one more problem.

    Ids are kept distinct within each manifest, not across them.
    """
    utterances: list[Utterance] = []
    problems: list[str] = []
    for path in paths:
        try:
            reading = read_manifest(path, text_required=text_required, audio_required=audio_required, remote=remote)
        except ManifestError as error:
            problems += error.problems
        else:
            utterances += reading.utterances
            problems += reading.problems
    return ManifestReading(utterances, problems)


def _audio_problem(row: Mapping[str, Any], *, remote: bool, is_remote: bool) -> str | None:
    audio = row.get("audio_filepath")
    if audio is None:
        return "audio_filepath is missing"
    if not isinstance(audio, str) or not PurePosixPath(audio).name:
        return f"audio_filepath must be the name of a file, not {_shortened(audio)}"
    if is_remote and audio.startswith("/"):
        return f"audio_filepath is a path, {audio!r}: in a remote manifest it is relative to it, or a URL"
    if is_address(audio) and not (remote and is_url(audio)):
        return f"audio_filepath is an address, {audio!r}: download the recording, and name the file"
    return None


def _problem(row: Mapping[str, Any], text_required: bool) -> str | None:
    text = row.get("text")
    if text is None and text_required:
        return "text is missing"
    if text is not None and not isinstance(text, str):
        return f"text must be a text, not {_shortened(text)}"
    for key in ("id", "speaker"):
        value = row.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int | float)):
            return f"{key} must be a text or a number, not {_shortened(value)}"
    if row.get("id") == "":
        return "id is empty"
    for key in ("duration", "offset"):
        value = row.get(key)
        if value is not None and not _is_seconds(value):
            return f"{key} must be a number of seconds, from 0 to {_MOST_SECONDS:g}, not {_shortened(value)}"
    if row.get("offset") is not None and row.get("duration") == 0:
        return "duration must be above 0 where there is an offset: it is the length of the segment"
    return None


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST_SECONDS


def _unusable_value(row: Mapping[str, Any]) -> str | None:
    """Values that JSON allows, but no file name, text or report: zero bytes, half characters, huge numbers."""
    waiting: list[tuple[str, Any, int]] = [(key, [key, value], -1) for key, value in row.items()]
    while waiting:
        key, value, depth = waiting.pop()
        if isinstance(value, str):
            if "\0" in value:
                return f"{key!r} holds a zero byte, which is not allowed in names and texts"
            if half := _HALF.search(value):
                return f"{key!r} holds half a character (\\u{ord(half[0]):04x}, one of the two that UTF-16 writes)"
        elif isinstance(value, float) and not math.isfinite(value):
            return f"{key!r} holds {value}, which is not a number in JSON"
        elif isinstance(value, int) and abs(value) > sys.float_info.max:
            return f"{key!r} holds a whole number of more than 308 digits"
        elif isinstance(value, dict | list):
            if depth >= _DEEPEST:
                return f"{key!r} is nested more than {_DEEPEST} levels deep"
            parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            waiting += [(key, part, depth + 1) for part in parts]
    return None


def _shortened(value: object) -> str:
    """A value for a message, shortened if it is long."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 1e15 else "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."


def with_distinct_ids(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Utterances of several manifests, as one manifest can hold them.

    Where several have the same id, it gets the name of its manifest before it, and a number behind it where that is
    the same, too. The others keep their ids.
    """
    counts = Counter(one.id for one in utterances)
    manifests = [os.path.abspath(one.where.rpartition(":")[0]) for one in utterances]
    root = os.path.commonpath(list(map(os.path.dirname, manifests))) if manifests else ""
    taken, found = {name for name, count in counts.items() if count == 1}, []
    for one, manifest in zip(utterances, manifests, strict=True):
        name = one.id
        if counts[name] > 1:
            long = name = f"{os.path.splitext(os.path.relpath(manifest, root))[0]}/{name}"
            number = 1
            while name in taken:
                number += 1
                name = f"{long}#{number}"
            taken.add(name)
        found.append(replace(one, id=name))
    return found


def write_manifest(path: str | Path, utterances: Iterable[Utterance]) -> int:
    """Write utterances as a manifest, paths relative to it where they can be; returns their number.

    Raises
    ------
    OSError
        If the file cannot be written; an older file of that name then stays as it was.
    """
    utterances = list(utterances)
    write_atomically(path, manifest_content(utterances, Path(path).parent))
    return len(utterances)


def manifest_content(utterances: Iterable[Utterance], folder: Path) -> bytes:
    """Utterances as the content of a manifest in a folder."""
    folder = folder.resolve()
    lines = []
    for utterance in utterances:
        audio = utterance.url or os.path.relpath(utterance.audio_path.resolve(), folder)
        row: dict[str, Any] = {"audio_filepath": audio}
        if utterance.duration is not None:
            row["duration"] = round(utterance.duration, 3)
        if utterance.offset is not None:
            row["offset"] = utterance.offset
        row["text"] = utterance.text
        if utterance_id(row) != utterance.id:
            row["id"] = utterance.id
        if utterance.speaker is not None:
            row["speaker"] = utterance.speaker
        row.update(utterance.other)
        lines.append(json.dumps(row, ensure_ascii=False))
    # Invalid text, such as an undecodable file name, becomes an escape of JSON.
    return "".join(line + "\n" for line in lines).encode("utf-8", "backslashreplace")
