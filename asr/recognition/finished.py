"""Records which transcripts in a folder were written, from which recording and settings: a second run skips them.

The journal of all outputs (`asr.files.OutputJournal`), with the recording and the settings in each line.
"""

from __future__ import annotations

import filecmp
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asr.errors import OutputError, printable
from asr.files import OutputJournal, digest_of, is_url, output_error, write_atomically

_log = logging.getLogger(__name__)

_PREFIX = ".asr-transcripts"


@dataclass(frozen=True, slots=True)
class Source:
    """The state of a recording on disk, and the settings that transcribed it."""

    size: int
    changed: int
    """nanoseconds"""
    settings: str
    """a digest"""
    segment: str = ""
    """which segment of the recording it is, if it is one"""
    recording: str = ""
    """its absolute path or its URL"""

    @classmethod
    def of(cls, recording: Path, settings: str, segment: str = "") -> Source | None:
        """None if the recording does not exist."""
        try:
            status = recording.stat()
        except (OSError, ValueError):
            return None
        return cls(status.st_size, status.st_mtime_ns, settings, segment, os.path.abspath(recording))


class Journal(OutputJournal):
    """The records of the transcripts in some folders.

    Parameters
    ----------
    shard : str
        Part of the file's name: processes that share a folder each write a file of their own, and read all.
    overwrite : bool
        Also replace files that asr did not write.
    """

    def __init__(self, shard: str = "", *, overwrite: bool = False) -> None:
        super().__init__(overwrite=overwrite, name=f"{_PREFIX}.{shard}.jsonl" if shard else f"{_PREFIX}.jsonl")

    def is_finished(self, output: Path, source: Source | None) -> bool:
        """Whether the transcript exists and was made from this recording with these settings.

        One that was edited since counts as finished, so that corrections are not lost.
        """
        lines = [line for line in self.lines(output) if "failed" not in line]
        made = {line["digest"] for line in lines if _is_from(line, source)}
        if source is None or not made:
            return False
        others = {line["digest"] for line in lines} - made
        if not others:  # whatever it holds: 100,000 transcripts need not be read
            return os.path.isfile(output)
        try:
            return digest_of(output.read_bytes()) not in others
        except OSError:
            return False

    def other_recording(self, output: Path, source: Source | None) -> str | None:
        """The recording whose transcript is at `output`, if it is not that of `source`; None if it is, or is not known.

        A recording that was moved into another folder under its name is still the same.
        """
        if source is None or self.overwrite or not os.path.isfile(output):
            return None
        others = [line for line in self.lines(output) if "failed" not in line and not _is_same_recording(line, source)]
        if not others:
            return None
        digest = digest_of(output.read_bytes())
        there = [line for line in self.lines(output) if line["digest"] == digest]
        return None if any(line not in others for line in there) or not there else str(there[-1]["recording"])

    def problem(self, output: Path, source: Source | None = None) -> str | None:
        """As that of the base class; also that there is the transcript of another recording than that of `source`."""
        problem = super().problem(output)
        if problem is None and (other := self.other_recording(output, source)) is not None:
            problem = f"holds the transcript of {other}; {self.advice}"
        return problem

    def check_output(self, output: Path, source: Source | None) -> None:
        """Refuse an output.

        Raises
        ------
        OutputError
            If it cannot be written, must not be replaced, or holds the transcript of another recording.
        """
        if problem := self.problem(output, source):
            raise OutputError(output, problem)

    def failure(self, output: Path, source: Source | None) -> str | None:
        """Why the last run failed to transcribe this recording with these settings; None if it did not."""
        lines = [line for line in self.lines(output) if source is not None and _is_from(line, source)]
        reason = lines[-1].get("failed") if lines else None
        return None if reason is None else str(reason)

    def is_of_other_settings(self, output: Path, settings: str) -> bool:
        """Whether the transcript exists, is unchanged, and was only ever made with other settings."""
        made = {line["settings"] for line in self.lines(output) if "settings" in line and "failed" not in line}
        return bool(made) and settings not in made and output.exists() and self.is_ours(output)

    def record_failure(self, output: Path, source: Source, reason: str) -> None:
        """Record that a recording could not be transcribed.

        Raises
        ------
        OSError
            If the folder cannot be written to or the disk is full.
        """
        self.record_digest(output, "", asdict(source) | {"failed": printable(reason)})

    def write(self, output: Path, content: bytes, source: Source | None = None) -> None:
        """Write a transcript atomically, and record it; `check` tests before whether it may be written.

        Raises
        ------
        OSError
            If the folder cannot be written to or the disk is full.
        """
        self.record(output, content, None if source is None else asdict(source))
        write_atomically(output, content)

    def write_text(self, output: Path, text: str, source: Source | None = None) -> bool:
        """Check and write a transcript; where it cannot be written, log the error and return False."""
        try:
            self.check_output(output, source)  # it may have been created since the first check
            self.write(output, printable(text).encode("utf-8", "surrogateescape"), source)
        except (OutputError, OSError) as error:
            _log.error("%s", output_error(output, error))
            return False
        return True


def _is_from(line: dict[str, Any], source: Source | None) -> bool:
    """Whether a record is of this state of a recording, and these settings."""
    return (
        source is not None
        and line.get("size") == source.size
        and line.get("changed") == source.changed
        and line.get("settings") == source.settings
        and line.get("segment", "") == source.segment
        and _is_same_recording(line, source)
    )


def _is_same_recording(line: dict[str, Any], source: Source) -> bool:
    """Whether a record is of the same recording, which may have been changed, moved or copied since."""
    there, here = str(line.get("recording", "")), source.recording
    if not there or not here or there == here:
        return True
    if is_url(there) or is_url(here):
        return False
    try:
        if os.path.samefile(there, here):
            return True
        is_alike = os.path.getsize(there) == os.path.getsize(here)
        return is_alike and filecmp.cmp(there, here, shallow=False)
    except (OSError, ValueError):  # the earlier one is gone
        return os.path.basename(there) == os.path.basename(here)
