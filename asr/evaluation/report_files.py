"""Writes a report into a folder: page, JSON, text, Markdown and tables."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asr.errors import ConfigError
from asr.evaluation.render.media import Medium, media_bytes, write_media
from asr.evaluation.render.page import render_page
from asr.evaluation.render.paper_tables import paper_table, table_csv, table_latex
from asr.evaluation.render.text_report import format_alignments, format_report, format_summary
from asr.evaluation.report import EMBED_MEGABYTES, EvaluationReport
from asr.evaluation.report_json import MOST_CONFUSIONS, report_object
from asr.evaluation.scoring import ErrorCounts
from asr.evaluation.shared_names import shareable
from asr.files import OutputJournal, check_folder, foreign_entry, replace_folder, temporary_folder

DATA_FILES = (
    *("report.json", "report.txt", "summary.md", "table.tex", "table.csv"),
    *("utterances.csv", "slices.csv", "confusions.csv"),
)
"""what `write_report` writes besides the page"""
PAGE, MEDIA_FOLDER = "report.html", "report_files"
# The names of recordings, pictures and the journal in the folder beside the page.
_MEDIUM = re.compile(r"\d{5,}\.[0-9a-z]{3,4}|\.asr-outputs\.jsonl")

_log = logging.getLogger(__name__)


def check_report_folder(folder: Path, *, overwrite: bool) -> None:
    """Make the folder, and refuse files there that a report must not replace.

    Raises
    ------
    ConfigError
        If the folder cannot be made.
    OutputError
        If a file is there that asr did not write, or that was changed since.
    """
    check_output_folder(folder, (*DATA_FILES, PAGE), overwrite=overwrite)
    check_folder(folder / MEDIA_FOLDER, foreign=lambda old: _foreign_media(old, overwrite=overwrite))


def check_output_folder(folder: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Make a folder, and refuse files of these names there that must not be replaced; errors as above."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output_dir={folder}: no folder can be made there ({error.strerror})") from error
    OutputJournal(overwrite=overwrite).check(folder / name for name in names)


def write_contents(folder: Path, contents: Mapping[str, str], journal: OutputJournal) -> None:
    """Write files by name; before anything is written, refuse those that must not be replaced."""
    journal.check(folder / name for name in contents)
    for name, content in contents.items():
        journal.write(folder / name, content.encode("utf-8", "backslashreplace"))


def remove_earlier(folder: Path, names: Iterable[str]) -> None:
    """Remove files of an earlier report that the present one does not have; what was changed, and links, stay."""
    journal = OutputJournal()
    for path in (folder / name for name in names):
        if path.is_file() and not path.is_symlink() and journal.is_ours(path):
            path.unlink()


def remove_media(folder: Path, *, overwrite: bool = False) -> None:
    """Remove the recordings and pictures of an earlier page, unless something else is with them."""
    beside = folder / MEDIA_FOLDER
    if beside.is_dir() and not beside.is_symlink() and not _foreign_media(beside, overwrite=overwrite):
        shutil.rmtree(beside)


def write_report(
    folder: str | Path,
    report: EvaluationReport,
    media: Sequence[Medium | None] = (),
    *,
    embed_megabytes: float = EMBED_MEGABYTES,
    overwrite: bool = False,
) -> Path:
    """Write a report as a page, JSON, text, Markdown and tables.

    Parameters
    ----------
    folder : str or Path
        Gets report.html, report.json, report.txt (what the terminal shows, then every alignment), summary.md (for a
        pull request), table.tex and table.csv (for a paper), utterances.csv, slices.csv and confusions.csv. Made if
        missing; each file is written beside and renamed. No name in them is an absolute path.
    report : EvaluationReport
    media : sequence of Medium or None
        Of every utterance, all in one temporary folder in this one; none for a page without recordings.
    embed_megabytes : float >= 0
        Media up to this size are put into the page; larger ones become the folder report_files beside it.
    overwrite : bool
        Also replace files that asr did not write, or that were changed since.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        Before anything is written, if such a file exists.
    OSError
        If a file cannot be written.
    """
    folder, report = Path(folder), shareable(report)
    contents = (
        json.dumps(report_object(report), indent=1, ensure_ascii=False) + "\n",
        f"{format_report(report)}\n\n{format_alignments(report)}",
        format_summary(report),
        table_latex(paper_table(report)),
        table_csv(paper_table(report)),
        _table(_utterance_rows(report)),
        _table(_slice_rows(report)),
        _table(_confusion_rows(report)),
    )
    journal = OutputJournal(overwrite=overwrite)
    journal.check([folder / PAGE])
    write_contents(folder, dict(zip(DATA_FILES, contents, strict=True)), journal)
    return _write_page(folder, report, media, journal, embed_megabytes=embed_megabytes, overwrite=overwrite)


def write_report_with_recordings(
    folder: str | Path, report: EvaluationReport, *, page_audio: bool, embed_megabytes: float, overwrite: bool
) -> Path:
    """Write a report after reading its recordings; see `EvaluationReport.write`."""
    folder = Path(folder)
    check_report_folder(folder, overwrite=overwrite)
    utterances = [one.utterance for one in report.utterances]
    with temporary_folder(folder / MEDIA_FOLDER) as files:
        media: list[Medium | None] = []
        if page_audio and report.log_mel is not None:
            media = list(write_media(utterances, files, report.log_mel))
        return write_report(folder, report, media, embed_megabytes=embed_megabytes, overwrite=overwrite)


def _write_page(
    folder: Path,
    report: EvaluationReport,
    media: Sequence[Medium | None],
    journal: OutputJournal,
    *,
    embed_megabytes: float,
    overwrite: bool,
) -> Path:
    page, beside = folder / PAGE, folder / MEDIA_FOLDER
    size = media_bytes(media)
    embedded = size <= embed_megabytes * 1e6
    text = render_page(report, media, folder=None if embedded else MEDIA_FOLDER)
    if not embedded:
        files = next(one.audio.parent for one in media if one is not None)
        journal.record_folder(files)
        replace_folder(files, beside, foreign=lambda old: _foreign_media(old, overwrite=overwrite))
        _log.info("%d MB of recordings and pictures are in %s: keep them beside the page", size / 1e6, beside)
    journal.write(page, text.encode("utf-8", "xmlcharrefreplace"))
    if embedded:
        remove_media(folder, overwrite=overwrite)
    return page


def _foreign_media(folder: Path, *, overwrite: bool) -> str | None:
    """A description of other files in a folder of recordings and pictures; for `check_folder`."""
    if overwrite:
        return foreign_entry(folder, lambda path: path.is_file() and bool(_MEDIUM.fullmatch(path.name)))
    return OutputJournal().foreign(folder)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _counts(counts: ErrorCounts, prefix: str = "") -> dict[str, int]:
    return {f"{prefix}{name}": getattr(counts, name) for name in ("hits", "substitutions", "deletions", "insertions")}


def _utterance_rows(report: EvaluationReport) -> list[dict[str, Any]]:
    return [
        {
            "system": system.name,
            "id": one.utterance.id,
            "speaker": one.utterance.speaker,
            "duration": one.utterance.duration,
            "reference": one.reference,
            "hypothesis": result.score.hypothesis,
        }
        | _counts(result.score.words, "word_")
        | _counts(result.score.characters, "character_")
        for one in report.utterances
        for system, result in zip(report.systems, one.systems, strict=True)
    ]


def _slice_rows(report: EvaluationReport) -> list[dict[str, Any]]:
    rows = []
    for system in report.systems:
        total = system.words
        interval = total.intervals[0] if total.intervals else None
        entries = [("all", "", system.utterances, total.counts, interval, False)]
        entries += [
            (table.field, one.value, one.utterances, one.words, one.interval, one.few)
            for table in system.slices
            for one in table.values
        ]
        for field, value, utterances, words, interval, few in entries:
            row: dict[str, Any] = {"system": system.name, "field": field, "value": value}
            row |= {"utterances": utterances, "reference_words": words.reference_length, "wer": words.rate}
            row |= {"low": interval and interval.low, "high": interval and interval.high}
            rows.append(row | _counts(words) | {"few": few})
    return rows


def _confusion_rows(report: EvaluationReport) -> list[dict[str, Any]]:
    rows = []
    for system in report.systems:
        for unit, found in (("words", system.word_confusions), ("characters", system.character_confusions)):
            entries = [("substitutions", *pair) for pair in found.substitutions[:MOST_CONFUSIONS]]
            entries += [("deletions", text, "", count) for text, count in found.deletions[:MOST_CONFUSIONS]]
            entries += [("insertions", "", text, count) for text, count in found.insertions[:MOST_CONFUSIONS]]
            rows += [
                {"system": system.name, "unit": unit, "kind": kind}
                | {"reference": reference, "hypothesis": hypothesis, "count": count}
                for kind, reference, hypothesis, count in entries
            ]
    return rows
