"""speechocean762, and data folders in Kaldi's layout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asr.corpus.prepare.listing import Corpus, Listing, Row, Unusable, find_recording, read_pairs
from asr.errors import ConfigError
from asr.settings.commands import PrepareConfig

_OFFICIAL, _COUNT = "speechocean762", 2500


def _read(folder: Path, settings: PrepareConfig) -> Listing:
    for name in ("wav.scp", "text"):
        if not (folder / name).is_file():
            raise ConfigError(f"{folder / name} is missing: is this a Kaldi data folder?")
    return Listing(_rows(folder), _COUNT if folder.resolve().parent.name == _OFFICIAL else None)


def _rows(folder: Path) -> Iterator[Row | Unusable]:
    texts = read_pairs(folder / "text")
    tables = {
        name: read_pairs(folder / name) if (folder / name).is_file() else {}
        for name in ("utt2spk", "spk2gender", "spk2age")
    }
    recordings = read_pairs(folder / "wav.scp")
    for name, place in recordings.items():
        where = f"{folder / 'wav.scp'}: {name}"
        if place.endswith("|"):
            yield Unusable(f"{where}: a command ({place!r}), not a file: run it first")
            continue
        audio = find_recording([folder, folder.parent], place)
        if not audio:
            yield Unusable(f"{where}: {place}: no such recording")
        elif name not in texts:
            yield Unusable(f"{where}: has no line in {folder / 'text'}")
        else:
            speaker = tables["utt2spk"].get(name)
            other = {
                key: tables[f"spk2{key}"][speaker]
                for key in ("gender", "age")
                if speaker and speaker in tables[f"spk2{key}"]
            }
            yield Row(name, audio, texts[name], speaker, where, other)
    for name in sorted(texts.keys() - recordings.keys()):
        yield Unusable(f"{folder / 'text'}: {name}: has no line in {folder / 'wav.scp'}")


CORPUS = Corpus(
    title="a part of speechocean762, or any data folder in Kaldi's layout",
    source="FOLDER",
    layout="""
FOLDER is a data folder such as speechocean762/train: it holds wav.scp, text and utt2spk, and possibly spk2gender and
spk2age, which are kept. Recordings are looked for from the folder and from the one above it. The official number of
utterances (2,500 each) is checked in the folders of a folder of the name speechocean762.
""",
    example="asr prepare speechocean762 speechocean762/train output=train.jsonl",
    read=_read,
)
