"""`asr prepare`."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from asr.cli.arguments import did_you_mean, split_arguments
from asr.cli.command import settings_or_answer
from asr.corpus.manifest import MANIFEST_SUFFIXES, Utterance, manifest_content
from asr.corpus.prepare import CORPORA
from asr.corpus.prepare.listing import Corpus
from asr.errors import ConfigError
from asr.files import OutputJournal, typed_path
from asr.settings.commands import PrepareConfig
from asr.text.counts import counted

_log = logging.getLogger(__name__)

USAGE = "asr prepare CORPUS FOLDER_OR_TABLE output=MANIFEST [key=value...]"
TEXT = """
Makes a manifest of recordings with texts, which `asr doctor`, `asr train` and `asr evaluate` read. Nothing is copied:
the manifest names the recordings where they are. Texts are normalised as in training. Unusable entries are named with
the reason, and the exit code is then 1. Numbers of utterances are checked where they are known. `asr prepare
CORPUS --help` describes the layout of a corpus.
"""
EXAMPLES = """\
  asr prepare recordings my_recordings/ output=train.jsonl hold_out=0.15 held_out=test.jsonl
  asr prepare recordings list.csv output=all.jsonl audio_column=file text_column=words
  asr prepare librispeech LibriSpeech/dev-clean output=dev-clean.jsonl
  asr prepare librispeech LibriSpeech/dev-clean output=some.jsonl speakers=[1673,2086]
  asr prepare an4 an4 output=test.jsonl part=test
  asr prepare common_voice cv-corpus-17.0/el/train.tsv output=train.jsonl normalizer=none
"""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    split = split_arguments(arguments)
    named = CORPORA.get(split.files[0]) if split.files else None
    settings: PrepareConfig | None = settings_or_answer(
        "prepare",
        split,
        usage=f"asr prepare {split.files[0]} {named.source} output=MANIFEST [key=value...]" if named else USAGE,
        text=named.layout if named else TEXT,
        examples=f"  {named.example}\n" if named else EXAMPLES,
        choices=() if named else [(name, corpus.title) for name, corpus in CORPORA.items()],
        files_required=False,
    )
    if settings is None:
        return 0
    corpus, source = _corpus_and_source(split.files)
    _refuse_settings_of_others(split.files[0], corpus, settings)
    targets = _targets(split.files, settings)
    journal = OutputJournal(overwrite=settings.overwrite)
    journal.check(targets)
    return _prepare(corpus, source, settings, targets, journal)


def _corpus_and_source(files: Sequence[str]) -> tuple[Corpus, Path]:
    if not files or files[0] not in CORPORA:
        what = f"there is no corpus {files[0]!r}" if files else "no corpus is named"
        if files and (near := did_you_mean(files[0], CORPORA)):
            raise ConfigError(f"{what}{near}")
        if files and Path(files[0]).exists():
            typed = shlex.quote(files[0])
            raise ConfigError(f"{what}; did you mean `asr prepare recordings {typed} output=MANIFEST`?")
        raise ConfigError(f"{what}; choose one of {', '.join(CORPORA)}")
    name, *sources = files
    corpus = CORPORA[name]
    if len(sources) != 1:
        what = "too many files are named" if sources else "nothing to read is named"
        raise ConfigError(f"{what}: asr prepare {name} {corpus.source} output=MANIFEST")
    return corpus, Path(sources[0])


def _refuse_settings_of_others(name: str, corpus: Corpus, settings: PrepareConfig) -> None:
    """Refuse settings that this corpus does not use."""
    defaults = PrepareConfig()
    special = {one for other in CORPORA.values() for one in other.settings} - set(corpus.settings)
    for key in (one.name for one in fields(settings) if one.name in special):
        if getattr(settings, key) != getattr(defaults, key):
            takers = " and ".join(other for other, one in CORPORA.items() if key in one.settings)
            raise ConfigError(f"{key} is a setting of {takers}: {name} does not take it")


def _targets(files: Sequence[str], settings: PrepareConfig) -> list[Path]:
    """The manifests to write."""
    if settings.output is None:
        raise ConfigError(f"name the manifest to write: asr prepare {shlex.join(files)} output=MANIFEST.jsonl")
    targets = [typed_path(name) for name in (settings.output, settings.held_out) if name is not None]
    for target in targets:
        if target.suffix.lower() not in MANIFEST_SUFFIXES:
            raise ConfigError(f"{target}: the name of a manifest ends in {' or '.join(sorted(MANIFEST_SUFFIXES))}")
    if len(targets) == 2 and targets[0].resolve() == targets[1].resolve():
        raise ConfigError(f"output and held_out are both {targets[0]}: name two manifests")
    return targets


def _prepare(
    corpus: Corpus, source: Path, settings: PrepareConfig, targets: Sequence[Path], journal: OutputJournal
) -> int:
    from asr.corpus.prepare.utterances import prepare_corpus

    prepared = prepare_corpus(corpus, source, settings)
    for problem in prepared.problems:
        _log.error("%s", problem)
    if not prepared.kept:
        _log.error("no utterance is left: no manifest is written")
        return 1
    for target, utterances in zip(targets, (prepared.kept, prepared.held_out), strict=False):
        journal.write(target, manifest_content(utterances, target.parent))
        print(f"{target}: {_summary(utterances)}")
    left_out = prepared.listed - len(prepared.kept) - len(prepared.held_out)
    if left_out:
        print(f"{left_out} left out")
    return 1 if prepared.problems else 0


def _summary(utterances: Sequence[Utterance]) -> str:
    hours = sum(one.duration or 0.0 for one in utterances) / 3600
    speakers = len({one.speaker for one in utterances if one.speaker})
    spoken_by = counted(speakers, "speaker") if speakers else "unknown speakers"
    return f"{counted(len(utterances), 'utterance')}, {hours:.2f} h, {spoken_by}"
