"""Mozilla Common Voice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from asr.corpus.prepare.listing import Corpus, Listing, Row, Unusable, find_recording, read_columns
from asr.errors import ConfigError
from asr.settings.commands import PrepareConfig

_KEPT = ("age", "gender", "accents")
# The ids of speakers have 128 characters; their beginnings distinguish the speakers of any language.
_SPEAKER_LENGTH = 16


def _read(path: Path, settings: PrepareConfig) -> Listing:
    if path.is_dir():
        tables = ", ".join(sorted(one.name for one in path.glob("*.tsv"))) or "none"
        raise ConfigError(f"{path} is a folder: name one of its tables ({tables})")
    names, rows = read_columns(path, delimiter="\t", quoted=False)
    missing = {"client_id", "path", "sentence"} - set(names)
    if missing:
        raise ConfigError(f"{path} has no column {', '.join(sorted(missing))}: is this a table of Common Voice?")
    return Listing(_rows(path.parent / "clips", rows))


def _rows(clips: Path, rows: Iterable[tuple[str, dict[str, str]]]) -> Iterator[Row | Unusable]:
    for where, row in rows:
        if not row["path"] or not row["sentence"]:
            yield Unusable(f"{where}: path or sentence is empty")
            continue
        audio = find_recording([clips], row["path"])
        if not audio:
            yield Unusable(f"{where}: {clips / row['path']}: no such recording")
            continue
        kept = {key: row[key] for key in _KEPT if row.get(key)}
        yield Row(audio.stem, audio, row["sentence"], row["client_id"][:_SPEAKER_LENGTH] or None, where, kept)


CORPUS = Corpus(
    title="a table of Mozilla Common Voice",
    source="TABLE",
    layout="""
TABLE is train.tsv, validated.tsv or another table of the corpus, with the columns client_id, path and sentence; the
recordings lie in clips/ beside it. Age, gender and accents are kept, and the beginning of the speaker's id.
""",
    example="asr prepare common_voice cv-corpus-17.0/el/train.tsv output=train.jsonl",
    read=_read,
)
