"""LJSpeech, and corpora in its layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asr.corpus.prepare.listing import Corpus, Listing, Row, Unusable, find_recording, read_lines
from asr.errors import ConfigError
from asr.settings.commands import PrepareConfig

_OFFICIAL, _COUNT = "LJSpeech-1.1", 13100


def _read(folder: Path, settings: PrepareConfig) -> Listing:
    if not (folder / "metadata.csv").is_file():
        raise ConfigError(f"{folder / 'metadata.csv'} is missing: is this the folder {_OFFICIAL}?")
    return Listing(_rows(folder), _COUNT if folder.resolve().name == _OFFICIAL else None)


def _rows(folder: Path) -> Iterator[Row | Unusable]:
    """Lines are id|text|normalised text; quotes have no meaning."""
    for where, line in read_lines(folder / "metadata.csv"):
        name, *texts = line.split("|")
        audio = find_recording([folder / "wavs", folder], name)
        if not texts:
            yield Unusable(f"{where}: id|text|normalised text is wanted, not {line!r}")
        elif not audio:
            yield Unusable(f"{where}: {folder / 'wavs' / name}: no such recording")
        else:
            yield Row(name, audio, texts[-1] or texts[0], None, where)


CORPUS = Corpus(
    title="LJSpeech, or a corpus in its layout",
    source="FOLDER",
    layout="""
FOLDER is LJSpeech-1.1: it holds metadata.csv, lines of id|text|normalised text, and wavs/. The normalised text is taken
where there is one. There is one speaker, so hold_out= holds out recordings. The official number of utterances (13,100)
is checked in a folder of the name LJSpeech-1.1.
""",
    example="asr prepare ljspeech LJSpeech-1.1 output=train.jsonl hold_out=0.02 held_out=valid.jsonl",
    read=_read,
)
