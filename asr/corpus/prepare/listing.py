"""What a corpus lists: rows of recordings and texts, and the reasons why others cannot be used."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asr.errors import ConfigError, encoding_problem
from asr.settings.commands import PrepareConfig

SUFFIXES = (".flac", ".wav", ".opus", ".ogg", ".mp3", ".sph")
"""Of recordings that their corpus names without a suffix."""


@dataclass(frozen=True, slots=True)
class Row:
    """A recording and its text, as the corpus lists them."""

    id: str
    audio: Path
    text: str
    speaker: str | None
    where: str
    """file and line, for messages"""
    other: Mapping[str, object] = field(default_factory=dict)
    """more keys of the manifest"""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row that cannot become an utterance."""

    reason: str
    """opening with where it is listed"""


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything that a corpus, or a part of it, lists."""

    rows: Iterable[Row | Unusable]
    expected: int | None = None
    """how many utterances the corpus is known to have"""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A kind of corpus that manifests can be made of."""

    title: str
    """its name and publisher, in a line"""
    source: str
    """what the user names, as in the usage: FOLDER, TABLE"""
    layout: str
    """what lies there, and what becomes of it, for the help"""
    example: str
    """a command line"""
    read: Callable[[Path, PrepareConfig], Listing]
    """lists the utterances; raises ConfigError where the source is something else"""
    settings: tuple[str, ...] = ()
    """the settings of `PrepareConfig` that this kind of corpus takes, and others do not"""


def find_recording(folders: Sequence[Path], name: str) -> Path | None:
    """A recording in the first of some folders that has it; its name may lack the suffix."""
    for folder in folders:
        for suffix in ("", *SUFFIXES):
            candidate = folder / (name + suffix)
            if candidate.is_file():
                return candidate
    return None


def read_text(path: Path) -> str:
    """The content of a text file.

    Raises
    ------
    ConfigError
        If there is none, or it is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: {encoding_problem(error)}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error


def read_lines(path: Path) -> list[tuple[str, str]]:
    """The lines of a text file that hold anything, each with its `file:line`."""
    # Not splitlines(): a text may hold U+2028 and other separators that end no line of a corpus.
    lines = enumerate(read_text(path).split("\n"), start=1)
    return [(f"{path}:{number}", line.strip()) for number, line in lines if line.strip()]


def read_pairs(path: Path) -> dict[str, str]:
    """A file of a key and a value in each line, as Kaldi writes them."""
    pairs = (line.split(None, 1) for _, line in read_lines(path))
    return {pair[0]: pair[1] if len(pair) > 1 else "" for pair in pairs}


def read_columns(path: Path, *, delimiter: str, quoted: bool) -> tuple[list[str], Iterator[tuple[str, dict[str, str]]]]:
    """The header of a table, and its rows with their `file:line`.

    Parameters
    ----------
    path : Path
    delimiter : str
    quoted : bool
        Whether values may stand in double quotes, as in CSV files.

    Returns
    -------
    names : list of str
    rows : iterator of (where, row)
        A value that is missing at the end of a line is empty.
    """
    table = csv.DictReader(
        io.StringIO(read_text(path), newline=""), delimiter=delimiter, restval="",
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )  # fmt: skip

    def rows() -> Iterator[tuple[str, dict[str, str]]]:
        try:
            for row in table:
                row.pop(None, None)  # values beyond the header's
                yield f"{path}:{table.line_num}", row
        except csv.Error as error:
            raise ConfigError(f"{path}:{table.reader.line_num}: not a line of a table ({error})") from None

    try:
        return list(table.fieldnames or []), rows()
    except csv.Error as error:
        raise ConfigError(f"{path}:1: not the header of a table ({error})") from None
