"""CMU AN4."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from asr.corpus.prepare.listing import Corpus, Listing, Row, Unusable, find_recording, read_lines
from asr.errors import ConfigError
from asr.settings.commands import PrepareConfig

_COUNTS = {"train": 948, "test": 130}
"""utterances of the official parts"""


def _read(folder: Path, settings: PrepareConfig) -> Listing:
    part = settings.part or "train"
    if part not in _COUNTS:
        raise ConfigError(f"part={part}: AN4 has the parts {' and '.join(_COUNTS)}")
    for kind in ("transcription", "fileids"):
        path = folder / "etc" / f"an4_{part}.{kind}"
        if not path.is_file():
            raise ConfigError(f"{path} is missing: is this the folder an4?")
    return Listing(_rows(folder, part), _COUNTS[part])


def _rows(folder: Path, part: str) -> Iterator[Row | Unusable]:
    """Lines are `<s> TEXT </s> (an251-fash-b)`, where `fash` is the speaker."""
    files = {Path(line).name: line for _, line in read_lines(folder / "etc" / f"an4_{part}.fileids")}
    for where, line in read_lines(folder / "etc" / f"an4_{part}.transcription"):
        found = re.fullmatch(r"(.*)\(([\w-]+)\)", line)
        if not found:
            yield Unusable(f"{where}: a text and an id in brackets are wanted, not {line!r}")
            continue
        text, name = re.sub(r"</?s>", " ", found[1]), found[2]
        if name not in files:
            yield Unusable(f"{where}: {name} is not in an4_{part}.fileids")
            continue
        audio = find_recording([folder / "wav"], files[name])
        if not audio:
            raw = (folder / "wav" / f"{files[name]}.raw").exists()
            hint = ": raw samples have no header; use an4_sphere.tar.gz" if raw else ""
            yield Unusable(f"{where}: {folder / 'wav' / files[name]}: no such recording{hint}")
            continue
        yield Row(name, audio, text, name.split("-")[1] if name.count("-") > 1 else None, where)


CORPUS = Corpus(
    title="CMU AN4 (an4_sphere.tar.gz, unpacked)",
    source="FOLDER",
    layout="""
FOLDER is an4: it holds etc/an4_train.transcription, etc/an4_train.fileids and wav/. part=test makes a manifest of the
test set. The official numbers of utterances (948 and 130) are checked.
""",
    example="asr prepare an4 an4 output=test.jsonl part=test",
    read=_read,
    settings=("part",),
)
