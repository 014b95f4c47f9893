"""Makes utterances of what a corpus lists: every recording is measured, and what cannot be used is named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from asr.audio.load import probe_seconds
from asr.corpus.manifest import Utterance
from asr.corpus.prepare.listing import Corpus, Row, Unusable
from asr.corpus.split import hold_out
from asr.errors import AudioError, ConfigError
from asr.settings.commands import PrepareConfig
from asr.settings.text import NormalizerConfig, Numbers
from asr.text.normalize import normalize_text
from asr.text.numbers import check_language, spell_numbers, unspoken_symbols


@dataclass(frozen=True, slots=True)
class Prepared:
    """The utterances of a corpus that can be used, and what is wrong with the others."""

    kept: Sequence[Utterance]
    held_out: Sequence[Utterance]
    """empty where nothing is held out"""
    problems: Sequence[str]
    listed: int
    """how many utterances the corpus lists"""


def prepare_corpus(corpus: Corpus, source: Path, settings: PrepareConfig) -> Prepared:
    """List a corpus, measure its recordings, and split it where `hold_out` says so.

    Parameters
    ----------
    corpus : Corpus
    source : Path
        The folder or table to read.
    settings : PrepareConfig

    Returns
    -------
    Prepared

    Raises
    ------
    ConfigError
        If the source is not one of such a corpus, lists nothing, or has no such speaker.
    ManifestError
        If there is nothing that could be held out.
    """
    if not source.exists():
        raise ConfigError(f"{source}: no such file or folder")
    if settings.numbers is Numbers.words:
        check_language(settings.language)
    listing = corpus.read(source, settings)
    rows, expected = list(listing.rows), listing.expected
    if not rows:
        raise ConfigError(f"{source} lists no recordings: no manifest is written")
    if settings.speakers:
        rows, expected = _of_speakers(rows, settings.speakers, source), None
    with ThreadPoolExecutor() as pool:
        attempts = pool.map(lambda row: _utterance(row, settings), rows)
        made = list(tqdm(attempts, "measuring", len(rows), unit="file", disable=None, leave=False))
    utterances, problems = _distinct(made)
    if expected is not None and len(rows) != expected:
        problems.append(f"{source}: {expected:,} utterances were expected, {len(rows):,} are listed")
    if not settings.hold_out or not utterances:
        return Prepared(utterances, [], problems, len(rows))
    kept, held = hold_out(utterances, settings.hold_out)
    return Prepared(kept, held, problems, len(rows))


def _of_speakers(rows: Iterable[Row | Unusable], speakers: Sequence[str], source: Path) -> list[Row | Unusable]:
    found = [row for row in rows if isinstance(row, Row) and row.speaker in speakers]
    missing = set(speakers) - {row.speaker for row in found}
    if missing:
        raise ConfigError(f"{source} has no speaker {', '.join(sorted(missing))}")
    return list(found)


def _distinct(made: Iterable[Utterance | Unusable]) -> tuple[list[Utterance], list[str]]:
    """Utterances with ids of their own, and the problems of the others."""
    by_id: dict[str, Utterance] = {}
    problems = []
    for one in made:
        if isinstance(one, Unusable):
            problems.append(one.reason)
        elif one.id in by_id:
            problems.append(f"{one.where}: the id {one.id!r} is that of {by_id[one.id].where} already")
        else:
            by_id[one.id] = one
    return list(by_id.values()), problems


def _utterance(row: Row | Unusable, settings: PrepareConfig) -> Utterance | Unusable:
    if isinstance(row, Unusable):
        return row
    if str(row.audio).encode("utf-8", "ignore") != os.fsencode(row.audio):
        return Unusable(f"{row.where}: the name is not UTF-8, which a manifest is written in: rename the file")
    # Of punctuation alone, nothing would be left for a training.
    if not normalize_text(row.text, NormalizerConfig()):
        return Unusable(f"{row.where}: the text is empty")
    written = row.text
    if settings.numbers is Numbers.words:
        if symbols := ", ".join(unspoken_symbols(written)):
            return Unusable(f"{row.where}: {written!r} has {symbols} beside a number: write out what is spoken")
        try:
            written = spell_numbers(written, settings.language)
        except ConfigError as error:
            return Unusable(f"{row.where}: {error}")
    try:
        seconds = probe_seconds(row.audio)
        if seconds <= 0:
            raise AudioError(row.audio, "holds no samples")
    except AudioError as error:
        # In a folder, the place of the utterance is its recording, which the error names too.
        return Unusable(str(error) if row.where == error.path else f"{row.where}: {error}")
    text = normalize_text(written, settings.normalizer)
    return Utterance(row.id, row.audio, text, seconds, row.speaker or None, row.where, row.other)
