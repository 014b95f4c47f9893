"""The report of an evaluation, as one object: all that is shown, on a page, in a terminal or in a file, is read off it.

`report.schema.json` beside this module and docs/evaluation.md describe it.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asr
from asr.corpus.manifest import Utterance
from asr.errors import ConfigError
from asr.evaluation.alternatives import Alternatives
from asr.evaluation.analysis import (
    by_frequency,
    by_vocabulary,
    confusions,
    counts_object,
    missed_object,
    reliability,
    slice_fields,
    slice_object,
    slices,
    timed_words,
)
from asr.evaluation.nist import Reference
from asr.evaluation.policy import ScoringPolicy
from asr.evaluation.scoring import Edit, Score, Unit, UtteranceScore, score
from asr.evaluation.sources import System
from asr.evaluation.statistics import Comparison, compare, enough_speakers, is_regression, rate_intervals
from asr.evaluation.text import format_alignments, format_report, format_summary
from asr.files import OutputJournal, typed_path
from asr.text.transcript import Word

REPORT_FORMAT = 2
REPORT_FILES = ("report.json", "report.txt", "summary.md", "utterances.csv", "slices.csv", "confusions.csv")
"""what `write_report` writes"""
_MOST_CONFUSIONS = 200

Report = dict[str, Any]


def make_report(
    utterances: Sequence[Utterance],
    systems: Sequence[System],
    policy: ScoringPolicy,
    *,
    references: Sequence[str] = (),
    slice_by: Sequence[str] = (),
    vocabulary: Collection[str] | None = None,
    vocabulary_name: str | None = None,
    baseline: str | None = None,
    max_regression: float = 0.0,
) -> Report:
    """Score systems on the same utterances, and look at their errors from all sides.

    Parameters
    ----------
    utterances : sequence of Utterance
        The references; their texts are brought to the policy's spelling.
    systems : sequence of System
        The first is the one that the report is about; each of the others is compared with it.
    policy : ScoringPolicy
    references : sequence of str
        The names of what the utterances were read from.
    slice_by : sequence of str
        Fields of the manifests to slice by besides those that lend themselves to it.
    vocabulary, vocabulary_name : collection of str and str, optional
        Known words, and where they come from.
    baseline : str, optional
        The report.json of an earlier evaluation, to compare the first system with.
    max_regression : float
        Points of WER that may be lost against it.

    Returns
    -------
    dict
        As report.schema.json describes it.

    Raises
    ------
    ConfigError
        If the baseline cannot be read, or is of other utterances, references or normalisation.
    """
    texts = normalized_references(utterances, lambda text: policy.apply([text], "references")[0])
    scores = [
        score(texts, policy.apply((one.text for one in system.outputs), f"hypotheses of {system.name}"))
        for system in systems
    ]
    speakers = [one.speaker for one in utterances]
    timed = [
        [timed_words(*pair, policy) for pair in zip(system.outputs, result.utterances, strict=True)]
        for system, result in zip(systems, scores, strict=True)
    ]
    fields = slice_fields(utterances, slice_by)
    groups = enough_speakers(speakers)
    known = None if vocabulary is None else (vocabulary_name, vocabulary)
    report: Report = {
        "format": REPORT_FORMAT,
        "asr_version": asr.__version__,
        "references": {
            "names": list(references),
            "utterances": len(utterances),
            "words": scores[0].words.reference_length,
            "speakers": len({one for one in speakers if one is not None}),
            "hours": round(sum(one.duration or 0 for one in utterances) / 3600, 4),
        },
        "policy": policy.describe(),
        "systems": [
            _system_object(system, result, words, utterances, fields, known)
            for system, result, words in zip(systems, scores, timed, strict=True)
        ],
        "comparisons": [
            {"first": systems[0].name, "second": system.name} | _comparison_object(compare(scores[0], result, groups))
            for system, result in zip(systems[1:], scores[1:], strict=True)
        ],
        "baseline": None,
        "utterances": [
            {
                "id": one.id,
                "reference": str(texts[index]),
                "speaker": one.speaker,
                "duration": one.duration,
                "fields": {name: values[index] for name, values in fields.items() if name != "speaker"},
                "systems": [
                    _detail_object(result.utterances[index], words[index])
                    for result, words in zip(scores, timed, strict=True)
                ],
            }
            for index, one in enumerate(utterances)
        ],
    }
    if baseline is not None:
        before = score(texts, read_baseline(baseline, [one.id for one in utterances], list(map(str, texts))))
        comparison = compare(scores[0], before, groups)
        report["baseline"] = {"report": baseline, "max_regression": max_regression} | _comparison_object(comparison)
        report["baseline"]["is_regression"] = is_regression(comparison, max_regression)
    return report


def normalized_references(utterances: Sequence[Utterance], policy: Callable[[str], str]) -> list[str | Alternatives]:
    """The references in the policy's spelling, with the alternatives of those that have some."""
    return [
        one.alternatives.map(policy) if isinstance(one, Reference) else policy(one.text or "") for one in utterances
    ]


def _system_object(
    system: System,
    result: Score,
    words: Sequence[Sequence[Word] | None],
    utterances: Sequence[Utterance],
    fields: Mapping[str, Sequence[str]],
    known: tuple[str | None, Collection[str]] | None,
) -> dict[str, Any]:
    """A system's errors, in all and by slices; `known` is the name of a vocabulary, and its words."""
    speakers = [one.speaker for one in utterances]
    wrong = reliability(result, words)
    return {
        "name": system.name,
        "about": dict(system.about),
        "unreadable": system.unreadable,
        "words": counts_object(result.words) | {"intervals": [asdict(one) for one in rate_intervals(result, speakers)]},
        "characters": counts_object(result.characters)
        | {"intervals": [asdict(one) for one in rate_intervals(result, speakers, unit=Unit.character)]},
        "utterances": {"total": len(utterances), "wrong": result.wrong_utterances},
        "slices": [
            {"field": name, "values": [slice_object(one) for one in slices(result, utterances, values)]}
            for name, values in fields.items()
        ],
        "confusions": _confusions_object(result),
        "frequency": [missed_object(one) for one in by_frequency(result)],
        "vocabulary": known
        and {"name": known[0], "kinds": [missed_object(one) for one in by_vocabulary(result, known[1])]},
        "reliability": wrong and asdict(wrong),
    }


def _comparison_object(comparison: Comparison) -> dict[str, Any]:
    """A comparison for JSON, which has no infinite numbers: they are null."""
    return _finite(asdict(comparison))


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _finite(value)
        if isinstance(value, dict)
        else None
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for name, value in values.items()
    }


def _confusions_object(result: Score) -> dict[str, Any]:
    found = {}
    for name, characters in (("words", False), ("characters", True)):
        counts = confusions(result, characters=characters)
        found[name] = {kind: rows[:_MOST_CONFUSIONS] for kind, rows in asdict(counts).items()}
    return found


def _detail_object(one: UtteranceScore, words: Sequence[Word] | None) -> dict[str, Any]:
    return {
        "hypothesis": one.hypothesis,
        "words": counts_object(one.words),
        "characters": counts_object(one.characters),
        "alignment": [[edit.kind, " ".join(edit.reference), " ".join(edit.hypothesis)] for edit in one.alignment],
        "character_alignment": [_character_edit(edit) for edit in one.character_alignment],
        "times": words and [[word.start, word.end, word.confidence] for word in words],
    }


def _character_edit(edit: Edit) -> list[str]:
    return [edit.kind, "".join(edit.reference), "".join(edit.hypothesis)]


def read_baseline(path: str | Path, ids: Sequence[str], references: Sequence[str]) -> list[str]:
    """The texts of the first system of an earlier report.json, of the same utterances in their order.

    Parameters
    ----------
    path : str or Path
    ids, references : sequences of str
        Of the utterances that it is to be compared on; the order may be another one there. References are as the policy
        makes them.

    Raises
    ------
    ConfigError
        If it cannot be read, or is of other utterances, or of other references or another policy.
    """
    try:
        report = json.loads(typed_path(path).read_bytes())
        if report["format"] != REPORT_FORMAT:
            raise ConfigError(
                f"baseline={path}: is of format {report['format']}, this asr writes {REPORT_FORMAT}: evaluate again"
            )
        rows = {row["id"]: (row["reference"], row["systems"][0]["hypothesis"]) for row in report["utterances"]}
    except OSError as error:
        raise ConfigError(f"baseline={path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
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
    return [rows[name][1] for name in ids]


def write_report(folder: str | Path, report: Report, *, overwrite: bool = False) -> None:
    """Write a report as JSON, text, Markdown and tables.

    Parameters
    ----------
    folder : str or Path
        Gets report.json, report.txt (what the terminal shows, then every alignment), summary.md (for a pull request),
        utterances.csv, slices.csv and confusions.csv. Made if missing; each file is written beside and renamed.
    report : dict
        From `make_report`.
    overwrite : bool
        Replace files, too, that were not written here or changed since.

    Raises
    ------
    OutputError
        Before anything is written, if such a file is in the way.
    OSError
        If a file cannot be written.
    """
    folder = Path(folder)
    contents = (
        json.dumps(report, indent=1, ensure_ascii=False) + "\n",
        f"{format_report(report)}\n\n{format_alignments(report)}",
        format_summary(report),
        _table(_utterance_rows(report)),
        _table(_slice_rows(report)),
        _table(_confusion_rows(report)),
    )
    journal = OutputJournal(overwrite=overwrite)
    journal.check(folder / name for name in REPORT_FILES)
    for name, content in zip(REPORT_FILES, contents, strict=True):
        journal.write(folder / name, content.encode("utf-8", "backslashreplace"))


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


_COUNTS = ("hits", "substitutions", "deletions", "insertions")


def _utterance_rows(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "system": system["name"],
            "id": one["id"],
            "speaker": one["speaker"],
            "duration": one["duration"],
            "reference": one["reference"],
            "hypothesis": detail["hypothesis"],
        }
        | {f"word_{name}": detail["words"][name] for name in _COUNTS}
        | {f"character_{name}": detail["characters"][name] for name in _COUNTS}
        for one in report["utterances"]
        for system, detail in zip(report["systems"], one["systems"], strict=True)
    ]


def _slice_rows(report: Report) -> list[dict[str, Any]]:
    rows = []
    for system in report["systems"]:
        everything = {"value": "", "utterances": system["utterances"]["total"], "few": False}
        everything["words"] = system["words"] | {"interval": next(iter(system["words"]["intervals"]), None)}
        for field in [{"field": "all", "values": [everything]}, *system["slices"]]:
            for one in field["values"]:
                interval = one["words"]["interval"] or {}
                row = {"system": system["name"], "field": field["field"], "value": one["value"]}
                row |= {"utterances": one["utterances"], "reference_words": one["words"]["reference_length"]}
                row |= {"wer": one["words"]["rate"], "low": interval.get("low"), "high": interval.get("high")}
                rows.append(row | {name: one["words"][name] for name in _COUNTS} | {"few": one["few"]})
    return rows


def _confusion_rows(report: Report) -> list[dict[str, Any]]:
    rows = []
    for system in report["systems"]:
        for unit, kinds in system["confusions"].items():
            for kind, found in kinds.items():
                for first, *second, count in found:
                    reference, hypothesis = ("", first) if kind == "insertions" else (first, *second, "")[:2]
                    rows.append(
                        {"system": system["name"], "unit": unit, "kind": kind}
                        | {"reference": reference, "hypothesis": hypothesis, "count": count}
                    )
    return rows
