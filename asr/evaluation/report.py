"""Shows scores: a table for the terminal, files for programs and for reading."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asr.errors import ConfigError
from asr.evaluation.scoring import Edit, ErrorCounts, Score, UtteranceScore, score
from asr.evaluation.statistics import Comparison, Interval
from asr.files import write_atomically

REPORT_FORMAT = 1


def format_table(score: Score) -> str:
    """The totals as a table of text."""
    head = f"{'':<12}{'error rate':>20}{'errors':>9}{'sub':>8}{'del':>8}{'ins':>8}{'reference':>11}"
    rows = [head]
    for name, counts in (("words", score.words), ("characters", score.characters)):
        rows.append(
            f"{name:<12}{counts!s:>20}{counts.errors:>9,}{counts.substitutions:>8,}{counts.deletions:>8,}"
            f"{counts.insertions:>8,}{counts.reference_length:>11,}"
        )
    total = len(score.utterances)
    share = f"{100 * score.wrong_utterances / total:.2f} %" if total else "n/a"
    rows.append(f"{'utterances':<12}{share:>20}{score.wrong_utterances:>9,}{'':>24}{total:>11,}")
    return "\n".join(rows)


def format_intervals(intervals: Sequence[Interval]) -> str:
    """What a word error rate might have been, a line for each."""
    return "\n".join(
        f"{100 * one.low:.2f} to {100 * one.high:.2f} % in 95 of 100 test sets of {one.units:,} other {one.unit}"
        for one in intervals
    )


def format_alignment(utterance: UtteranceScore) -> str:
    """Reference and hypothesis one above the other, errors in capitals and marked S, D or I below."""
    rows: tuple[list[str], list[str], list[str]] = ([], [], [])
    for edit in utterance.alignment:
        for left, right in _pairs(edit):
            wrong = edit.kind != "equal"
            width = max(len(left), len(right), 1)
            rows[0].append((left.upper() if wrong else left or "*").ljust(width))
            rows[1].append((right.upper() if wrong else right or "*").ljust(width))
            rows[2].append(({"substitute": "S", "delete": "D", "insert": "I"}.get(edit.kind, "")).ljust(width))
    return "\n".join(
        f"{name} {' '.join(cells)}".rstrip() for name, cells in zip(("REF:", "HYP:", "    "), rows, strict=True)
    )


def _pairs(edit: Edit) -> list[tuple[str, str]]:
    """Words one above the other; stars where one side has none."""
    longest = max(len(edit.reference), len(edit.hypothesis))

    def fill(words: tuple[str, ...], other: tuple[str, ...]) -> list[str]:
        return [words[place] if place < len(words) else "*" * len(other[place]) for place in range(longest)]

    return list(zip(fill(edit.reference, edit.hypothesis), fill(edit.hypothesis, edit.reference), strict=True))


def worst_utterances(score: Score, ids: Sequence[str], most: int) -> list[tuple[str, UtteranceScore]]:
    """The utterances with the most word errors, worst first; those without an error are never among them."""
    wrong = [pair for pair in zip(ids, score.utterances, strict=True) if pair[1].words.errors]
    return sorted(wrong, key=lambda pair: -pair[1].words.errors)[:most]


def report_object(
    ids: Sequence[str], score: Score, about: Mapping[str, Any], intervals: Sequence[Interval] = ()
) -> dict[str, Any]:
    """The whole report as an object for JSON: totals, then every utterance."""
    return {
        "format": REPORT_FORMAT,
        "about": dict(about),
        "words": _counts_object(score.words) | {"intervals": [asdict(one) for one in intervals]},
        "characters": _counts_object(score.characters),
        "utterances": {"total": len(score.utterances), "wrong": score.wrong_utterances},
        "details": [
            {
                "id": name,
                "reference": one.reference,
                "hypothesis": one.hypothesis,
                "words": _counts_object(one.words),
                "characters": _counts_object(one.characters),
                "alignment": [
                    [edit.kind, " ".join(edit.reference), " ".join(edit.hypothesis)] for edit in one.alignment
                ],
            }
            for name, one in zip(ids, score.utterances, strict=True)
        ],
    }


def _counts_object(counts: ErrorCounts) -> dict[str, Any]:
    return {"rate": counts.rate, "errors": counts.errors, "reference_length": counts.reference_length, **asdict(counts)}


def read_baseline(path: str | Path, ids: Sequence[str], references: Sequence[str]) -> Score:
    """The score that an earlier report.json holds, of the same utterances.

    Parameters
    ----------
    path : str or Path
    ids, references : sequences of str
        Of the utterances that it is to be compared on; the order may be another one there.

    Raises
    ------
    ConfigError
        If it cannot be read, or is of other utterances, or of other references or another normalizer.
    """
    try:
        report = json.loads(Path(path).expanduser().read_bytes())
        rows = {row["id"]: (row["reference"], row["hypothesis"]) for row in report["details"]}
    except OSError as error:
        raise ConfigError(f"baseline={path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"baseline={path}: is no report.json of `asr evaluate`") from error
    missing = [name for name in ids if name not in rows]
    if missing or len(rows) != len(ids):
        what = f"it lacks {missing[0]!r}" if missing else f"it has {len(rows)}, these are {len(ids)}"
        raise ConfigError(f"baseline={path}: is of other utterances ({what})")
    for name, reference in zip(ids, references, strict=True):
        if rows[name][0] != reference:
            raise ConfigError(
                f"baseline={path}: the reference of {name!r} was another one, or normalised in another way"
            )
    return score(references, [rows[name][1] for name in ids])


def format_comparison(comparison: Comparison, baseline: str) -> str:
    """How much better or worse than a baseline, and how sure that is."""
    points = 100 * comparison.difference
    lines = [f"Against {baseline}: {points:+.2f} points of WER"]
    if comparison.interval is not None and comparison.p is not None:
        one = comparison.interval
        lines.append(
            f"  {100 * one.low:+.2f} to {100 * one.high:+.2f} in 95 of 100 test sets of {one.units:,} other {one.unit} "
            f"(paired bootstrap, {_chance(comparison.p)})"
        )
    if comparison.matched_pairs is not None:
        pairs = comparison.matched_pairs
        lines.append(f"  matched pairs (MAPSSWE): {pairs.segments:,} segments, z = {pairs.z:+.2f}, {_chance(pairs.p)}")
    return "\n".join(lines)


def _chance(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}"


def write_report(
    folder: str | Path, ids: Sequence[str], score: Score, about: Mapping[str, Any], intervals: Sequence[Interval] = ()
) -> None:
    """Write report.json, utterances.csv and alignments.txt.

    Parameters
    ----------
    folder : str or Path
        Made if missing; each file is written beside and renamed.
    ids : sequence of str
        Of the score's utterances, in their order.
    score : Score
    about : mapping
        What was scored: goes into report.json.
    intervals : sequence of Interval, optional
        Of the word error rate.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    folder = Path(folder)
    report = json.dumps(report_object(ids, score, about, intervals), indent=1, ensure_ascii=False)
    write_atomically(folder / "report.json", (report + "\n").encode("utf-8"))
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    columns = ["hits", "substitutions", "deletions", "insertions"]
    header = [f"{unit}_{column}" for unit in ("word", "character") for column in columns]
    writer.writerow(["id", "reference", "hypothesis", *header])
    for name, one in zip(ids, score.utterances, strict=True):
        counts = [getattr(part, column) for part in (one.words, one.characters) for column in columns]
        writer.writerow([name, one.reference, one.hypothesis, *counts])
    write_atomically(folder / "utterances.csv", table.getvalue().encode("utf-8"))
    alignments = [
        f"{name}  (word errors: {one.words.errors} of {one.words.reference_length})\n{format_alignment(one)}\n"
        for name, one in zip(ids, score.utterances, strict=True)
    ]
    text = format_table(score) + "\n\n" + "\n".join(alignments)
    write_atomically(folder / "alignments.txt", text.encode("utf-8"))
