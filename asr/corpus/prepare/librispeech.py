"""LibriSpeech and mini LibriSpeech."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asr.corpus.prepare.listing import Corpus, Listing, Row, Unusable, find_recording, read_lines
from asr.errors import ConfigError
from asr.settings.commands import PrepareConfig

_COUNTS = {
    "train-clean-5": 1519,
    "dev-clean-2": 1089,
    "train-clean-100": 28539,
    "train-clean-360": 104014,
    "train-other-500": 148688,
    "dev-clean": 2703,
    "dev-other": 2864,
    "test-clean": 2620,
    "test-other": 2939,
}
"""utterances of the official parts, the first two of mini LibriSpeech"""


def _read(folder: Path, settings: PrepareConfig) -> Listing:
    paths = sorted(folder.rglob("*.trans.txt"))
    if not paths:
        raise ConfigError(f"{folder} holds no *.trans.txt: is this a LibriSpeech folder?")
    return Listing(_rows(paths), _COUNTS.get(folder.resolve().name))


def _rows(paths: list[Path]) -> Iterator[Row | Unusable]:
    """Ids are SPEAKER-CHAPTER-NUMBER."""
    for path in paths:
        for where, line in read_lines(path):
            name, _, text = line.partition(" ")
            audio = find_recording([path.parent], name)
            if audio:
                yield Row(name, audio, text, name.split("-")[0], where)
            else:
                yield Unusable(f"{where}: {path.parent / name}: no such recording")


CORPUS = Corpus(
    title="a part of LibriSpeech or mini LibriSpeech",
    source="FOLDER",
    layout="""
FOLDER is a part such as LibriSpeech/dev-clean: it holds SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt and the recordings
beside them. The number of utterances is checked where the folder has the name of an official part.
""",
    example="asr prepare librispeech LibriSpeech/dev-clean output=dev-clean.jsonl",
    read=_read,
)
