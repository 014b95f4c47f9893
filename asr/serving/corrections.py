"""Recordings with corrected transcripts, in a folder: audio, a manifest of all corrections, and what to train on.

| file | what it is |
|---|---|
| `recordings/` | the audio as it was sent, named by its content; a file is never replaced |
| `corrections.jsonl` | a line for every correction, in the order in which they came; lines are only ever added |
| `train.jsonl`, `test.jsonl` | the last text of each recording, made from `corrections.jsonl` |

A recording goes to `test.jsonl` if it is the fifth, the tenth, and so on: one that a model was trained on says little
about it. A long recording becomes several utterances, cut in pauses, since a training needs short ones. The two
manifests are replaced, as their lines are all in `corrections.jsonl`; if somebody else changed one, it is left alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asr.bundle import is_bundle_name
from asr.corpus.manifest import read_rows
from asr.errors import ConfigError, ManifestError
from asr.files import OutputJournal, typed_path
from asr.recognition.aligner import Cut
from asr.text.words import one_line

LONGEST_SECONDS = 20.0
"""of an utterance to train on; longer recordings are cut"""
_TEST_SHARE = 5
"""one recording in so many is for the test"""
_RECORDINGS, _LOG, _LOCK = "recordings", "corrections.jsonl", ".lock"
_TRAIN, _TEST = "train.jsonl", "test.jsonl"
_RUN = "runs/corrected"
_DIGEST_LENGTH, _NAME_LENGTH = 16, 60
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
_ADVICE = "rename it, and save again: it is made anew from corrections.jsonl"


@dataclass(frozen=True, kw_only=True)
class Correction:
    """A recording and its right text."""

    name: str
    """of the recording where it came from: a part of the stored file's name"""
    text: str
    recognised: str
    """the text before it was corrected"""
    model: str
    """that recognised it"""
    duration: float
    """seconds"""
    utterances: Sequence[Cut] = ()
    """of a recording that is too long to train on; empty for one that is trained on whole"""
    speaker: str | None = None
    problem: str | None = None
    """why the text does not fit the recording: a training would refuse it"""

    @property
    def is_usable(self) -> bool:
        """Whether it can be trained on: its text fits it, and it is short, or cut."""
        return self.problem is None and (bool(self.utterances) or self.duration <= LONGEST_SECONDS)


@dataclass(frozen=True, slots=True)
class Saved:
    """Where a correction went."""

    id: str
    manifest: str | None
    """the name of the manifest to train or test with; None if the recording is in neither"""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a folder holds."""

    recordings: int
    train: int
    """recordings to train on"""
    test: int
    seconds: float
    train_command: str
    evaluate_command: str


class Corrections:
    """Corrections in a folder, which several processes may share.

    Parameters
    ----------
    folder : Path
    model : str
        What a training starts from: the name of a bundle that ships, or a path.
    """

    def __init__(self, folder: Path, model: str) -> None:
        # The commands hold in any folder.
        self._folder = folder.absolute()
        self._model = model if is_bundle_name(model) else str(typed_path(model).absolute())

    def make_folder(self) -> None:
        """Make the folder.

        Raises
        ------
        ConfigError
            If it cannot be made, or written to.
        """
        try:
            os.makedirs(self._folder / _RECORDINGS, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"data_dir={self._folder}: the folder cannot be made ({error.strerror})") from None
        if not os.access(self._folder / _RECORDINGS, os.W_OK | os.X_OK):
            raise ConfigError(f"data_dir={self._folder}: the folder cannot be written to")

    def add(self, recording: Path, correction: Correction) -> Saved:
        """Store a correction; the recording is copied.

        Parameters
        ----------
        recording : Path
        correction : Correction

        Raises
        ------
        OutputError
            If somebody else changed a manifest that would be replaced. The correction is stored all the same.
        ManifestError
            If `corrections.jsonl` has lines that are none. Nothing is stored.
        OSError
            If the folder cannot be written to, or the disk is full.
        """
        with self._locked():
            rows = self._rows()
            audio = self._store(recording, correction.name)
            relative = f"{_RECORDINGS}/{audio.name}"
            earlier = sum(row.get("audio_filepath") == relative for row in rows)
            name = f"{audio.stem}-{earlier + 1}" if earlier else audio.stem
            row: dict[str, Any] = {
                "audio_filepath": relative,
                "duration": round(correction.duration, 3),
                "text": one_line(correction.text),
                "id": name,
                "recognised": one_line(correction.recognised),
                "model": correction.model,
                "saved": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            if correction.speaker:
                row["speaker"] = one_line(correction.speaker)
            if correction.problem is not None:
                row["problem"] = correction.problem
            if correction.utterances:
                row["utterances"] = [_cut_row(one) for one in correction.utterances]
            self._append(row)
            rows.append(row)
            self._make_manifests(rows)
            return Saved(name, _manifest_of(relative, rows) if correction.is_usable else None)

    def summary(self) -> Summary:
        """How much there is, and the commands that use it.

        Raises
        ------
        ManifestError
            If `corrections.jsonl` has lines that are none.
        OSError
            If it cannot be read.
        """
        latest = _latest(self._rows())
        sides = [_side(place) for place, row in enumerate(latest.values()) if _lines(row)]
        return Summary(
            recordings=len(latest),
            train=sides.count(_TRAIN),
            test=sides.count(_TEST),
            seconds=sum(float(row.get("duration") or 0.0) for row in latest.values()),
            train_command=shlex.join(
                [
                    *("asr", "train", "experiment=finetune", f"init={self._model}"),
                    *(f"data.train={self._folder / _TRAIN}", "data.hold_out=0.15", f"run_dir={_RUN}"),
                ]
            ),
            evaluate_command=shlex.join(
                [
                    *("asr", "evaluate", str(self._folder / _TEST), f"bundle={_RUN}/best", f"against=[{self._model}]"),
                    *("title=Before and after", "output_dir=report"),
                ]
            ),
        )

    def _rows(self) -> list[dict[str, Any]]:
        log = self._folder / _LOG
        if not log.exists() or not log.stat().st_size:
            return []
        rows, problems = read_rows(log)
        if problems:
            raise ManifestError(problems)
        return [row for _, row in rows]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        os.makedirs(self._folder / _RECORDINGS, exist_ok=True)
        handle = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _store(self, recording: Path, name: str) -> Path:
        """The recording in the folder, where it may be already."""
        digest = _digest(recording)
        folder = self._folder / _RECORDINGS
        # The same recording under another name is no other recording: the test must not have what is trained on.
        for path in sorted(folder.glob(f"*-{digest}*")):
            if _digest(path) == digest:
                return path
        suffix = Path(name).suffix.lower()
        suffix = suffix if _SUFFIX.fullmatch(suffix) else ""
        stem = f"{_plain(Path(name).stem)}-{digest}"
        # A file of this name with other content is damaged, and stays as it is.
        names = itertools.chain([stem], (f"{stem}-copy{number}" for number in itertools.count(2)))
        stored = next(path for one in names if not os.path.lexists(path := folder / f"{one}{suffix}"))
        handle = os.open(stored, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with recording.open("rb") as source, open(handle, "wb") as file:
                shutil.copyfileobj(source, file)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            stored.unlink()
            raise
        return stored

    def _append(self, row: Mapping[str, Any]) -> None:
        content = json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        with open(self._folder / _LOG, "a+b") as file:
            if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                content = b"\n" + content  # a line that was written by hand
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _make_manifests(self, rows: Sequence[Mapping[str, Any]]) -> None:
        journal = OutputJournal(advice=_ADVICE)
        contents: dict[str, list[dict[str, Any]]] = {_TRAIN: [], _TEST: []}
        for place, row in enumerate(_latest(rows).values()):
            contents[_side(place)] += _lines(row)
        paths = {self._folder / name: lines for name, lines in contents.items()}
        # One whose last line is gone becomes empty: its old line would be trained on.
        outputs = {path: lines for path, lines in paths.items() if lines or path.exists()}
        journal.check(outputs)
        for path, lines in outputs.items():
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            journal.write(path, text.encode("utf-8", "backslashreplace"))


def _latest(rows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The last correction of each recording, in the order of the first ones."""
    return {str(row.get("audio_filepath")): row for row in rows}


def _side(place: int) -> str:
    """The manifest of the recording at a place."""
    return _TEST if (place + 1) % _TEST_SHARE == 0 else _TRAIN


def _manifest_of(recording: str, rows: Sequence[Mapping[str, Any]]) -> str:
    return _side(list(_latest(rows)).index(recording))


def _lines(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The utterances of a correction; none if its text does not fit it, or if it is long and was not cut."""
    if row.get("problem"):
        return []
    common = {name: row[name] for name in ("audio_filepath", "speaker") if name in row}
    if cuts := row.get("utterances"):
        return [
            common | {"offset": cut["offset"], "duration": cut["duration"], "text": cut["text"]}
            | {"id": f"{row['id']}@{cut['offset']:g}"}
            for cut in cuts
        ]  # fmt: skip
    if float(row.get("duration") or 0.0) > LONGEST_SECONDS:
        return []
    return [common | {name: row[name] for name in ("duration", "text", "id") if name in row}]


def _cut_row(cut: Cut) -> dict[str, Any]:
    return {
        "offset": cut.start,
        "duration": round(cut.end - cut.start, 3),
        "text": cut.text,
        "score": round(cut.score, 3),
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGEST_LENGTH]


def _plain(name: str) -> str:
    """A name of letters, digits and dashes, which every file system and every shell takes as it is."""
    text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:_NAME_LENGTH].strip("-") or "recording"
