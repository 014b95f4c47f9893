"""Recordings of your own: a folder with a text beside each, or a table."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from asr.audio.folders import describe_passed_over, search_folder
from asr.corpus.prepare.listing import Corpus, Listing, Row, Unusable, find_recording, read_columns, read_text
from asr.errors import ConfigError
from asr.settings.commands import PrepareConfig

_log = logging.getLogger(__name__)

_AUDIO_COLUMNS = ("audio_filepath", "path", "file", "filename", "file_name", "audio", "wav", "id")
_TEXT_COLUMNS = ("text", "sentence", "transcript", "transcription", "normalized_text")
_SPEAKER_COLUMNS = ("speaker", "client_id", "speaker_id")
# Where the recordings of a table may lie, from the table's folder.
_AUDIO_FOLDERS = (".", "wavs", "clips", "audio")


def _read(source: Path, settings: PrepareConfig) -> Listing:
    if not source.is_dir():
        return Listing(_table(source, settings))
    for name in ("audio_column", "text_column", "speaker_column"):
        if getattr(settings, name) is not None:
            raise ConfigError(f"{name} is for tables, and {source} is a folder")
    return Listing(_folder(source, settings))


def _folder(folder: Path, settings: PrepareConfig) -> Iterator[Row | Unusable]:
    """Recordings with a text file of the same name beside each."""
    found = search_folder(folder)
    del found.passed_over[".txt"]
    if found.passed_over:
        _log.info("%s", describe_passed_over(found.passed_over))
    yield from (Unusable(str(problem)) for problem in found.problems)
    for audio in found.recordings:
        text = audio.with_suffix(".txt")
        if not text.exists():
            yield Unusable(f"{audio}: there is no {text.name} beside it")
            continue
        try:
            content = read_text(text)
        except ConfigError as error:
            yield Unusable(str(error))
            continue
        speaker = audio.parent.name if settings.folder_speakers and audio.parent != folder else None
        yield Row(audio.relative_to(folder).with_suffix("").as_posix(), audio, content, speaker, str(audio))


def _table(path: Path, settings: PrepareConfig) -> Iterable[Row | Unusable]:
    """Rows of a CSV or TSV file with a header."""
    first = read_text(path).split("\n", 1)[0]
    delimiter = "\t" if "\t" in first else ";" if first.count(";") > first.count(",") else ","
    names, rows = read_columns(path, delimiter=delimiter, quoted=delimiter != "\t")
    audio_column = _column(path, names, settings.audio_column, _AUDIO_COLUMNS, "audio_column")
    text_column = _column(path, names, settings.text_column, _TEXT_COLUMNS, "text_column")
    if settings.speaker_column is not None:
        speaker_column = _column(path, names, settings.speaker_column, _SPEAKER_COLUMNS, "speaker_column")
    else:
        speaker_column = next((name for name in _SPEAKER_COLUMNS if name in names), "")
    return _table_rows(path.parent, rows, (audio_column, text_column, speaker_column))


def _table_rows(
    folder: Path, rows: Iterable[tuple[str, dict[str, str]]], columns: tuple[str, str, str]
) -> Iterator[Row | Unusable]:
    audio_column, text_column, speaker_column = columns
    used = {*columns, "id", "text", "speaker", "audio_filepath", "duration"}
    for where, row in rows:
        if not row[audio_column] or not row[text_column]:
            yield Unusable(f"{where}: {audio_column} or {text_column} is empty")
            continue
        places = [folder / name for name in _AUDIO_FOLDERS]
        place = next((one for one in places if find_recording([one], row[audio_column])), folder)
        audio = find_recording([place], row[audio_column])
        if not audio:
            folders = ", ".join(f"{name}/" for name in _AUDIO_FOLDERS[1:])
            yield Unusable(f"{where}: there is no recording {row[audio_column]!r} in {folder}, {folders}")
            continue
        other = {key: value for key, value in row.items() if key and key not in used and value}
        given = row.get("id", "").strip() if audio_column != "id" else ""
        # With its folders: speakers with a folder each often have files of the same names.
        name = given or Path(os.path.relpath(audio, place)).with_suffix("").as_posix()
        yield Row(name, audio, row[text_column], row.get(speaker_column) or None, where, other)


def _column(path: Path, names: Sequence[str], chosen: str | None, usual: Sequence[str], setting: str) -> str:
    for name in [chosen] if chosen is not None else usual:
        if name in names:
            return name
    wanted = chosen if chosen is not None else " or ".join(usual)
    raise ConfigError(f"{path}: no column {wanted}; {setting}= names one of: {', '.join(names)}")


CORPUS = Corpus(
    title="your own: a folder of audio with a .txt beside each file, or a table",
    source="FOLDER_OR_TABLE",
    layout="""
In a folder, a text file of the same name lies beside each recording; the name of a folder within it is taken for the
speaker's, unless folder_speakers=false. A table is a CSV or TSV file with a header: audio_column, text_column and
speaker_column name its columns where they have unusual names, and the other columns are kept. The id of a recording is
that in the column id, or else its name in the table without the suffix (anna/0001): ids must differ.
""",
    example="asr prepare recordings list.csv output=all.jsonl audio_column=file text_column=words",
    read=_read,
    settings=("audio_column", "text_column", "speaker_column", "folder_speakers"),
)
