"""A report as the object that report.json holds: `report.schema.json` describes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from asr.evaluation.analysis import Confusions, MissedWords, Slice
from asr.evaluation.baseline import REPORT_FORMAT
from asr.evaluation.policy import PolicySummary
from asr.evaluation.report import (
    ErrorRate,
    EvaluationReport,
    ReferenceSummary,
    ReportHead,
    SystemComparison,
    SystemReport,
    UtteranceReport,
    UtteranceResult,
)
from asr.evaluation.scoring import Edit, ErrorCounts
from asr.evaluation.statistics import Comparison

MOST_CONFUSIONS = 200
"""of each kind, in report.json and confusions.csv"""


def report_object(report: EvaluationReport) -> dict[str, Any]:
    """A report for `json.dumps`: rates are shares of 1, times are seconds, infinite numbers are null."""
    baseline = report.baseline
    return head_object(report) | {
        "references": references_object(report.references),
        "policy": _policy(report.policy),
        "systems": [_system(one) for one in report.systems],
        "comparisons": [comparison_object(one) for one in report.comparisons],
        "baseline": baseline
        and {"report": baseline.report, "max_regression": baseline.max_regression}
        | _comparison(baseline.result)
        | {"is_regression": baseline.is_regression},
        "utterances": [_utterance(one) for one in report.utterances],
    }


def head_object(report: ReportHead) -> dict[str, Any]:
    """The first keys of every report, for JSON."""
    return {"format": REPORT_FORMAT, "asr_version": report.asr_version, "title": report.title}


def references_object(references: ReferenceSummary) -> dict[str, Any]:
    """The references, for JSON."""
    return asdict(references) | {"names": list(references.names)}


def comparison_object(one: SystemComparison) -> dict[str, Any]:
    """A comparison of two systems, for JSON."""
    return {"first": one.first, "second": one.second} | _comparison(one.result)


def _policy(policy: PolicySummary) -> dict[str, Any]:
    rules = [{"name": rule.name} | {side: asdict(count) for side, count in rule.sides.items()} for rule in policy.rules]
    return asdict(policy) | {"rules": rules}


def _system(system: SystemReport) -> dict[str, Any]:
    return {
        "name": system.name,
        "about": dict(system.about) | ({} if system.speed is None else {"speed": asdict(system.speed)}),
        "unreadable": system.unreadable,
        "words": rate_object(system.words),
        "characters": rate_object(system.characters),
        "utterances": {"total": system.utterances, "wrong": system.wrong_utterances},
        "slices": [{"field": table.field, "values": [_slice(one) for one in table.values]} for table in system.slices],
        "confusions": {
            "words": _confusions(system.word_confusions),
            "characters": _confusions(system.character_confusions),
        },
        "frequency": _missed(system.frequency),
        "vocabulary": system.vocabulary and {"name": system.vocabulary.name, "kinds": _missed(system.vocabulary.kinds)},
        "reliability": system.reliability and asdict(system.reliability),
    }


def _counts(counts: ErrorCounts) -> dict[str, Any]:
    return {"rate": counts.rate, "errors": counts.errors, "reference_length": counts.reference_length, **asdict(counts)}


def rate_object(rate: ErrorRate) -> dict[str, Any]:
    """A pooled rate with its counts and intervals, for JSON."""
    return _counts(rate.counts) | {"intervals": [asdict(one) for one in rate.intervals]}


def _slice(one: Slice) -> dict[str, Any]:
    return {
        "value": one.value,
        "utterances": one.utterances,
        "few": one.few,
        "words": _counts(one.words) | {"interval": one.interval and asdict(one.interval)},
    }


def _missed(kinds: Sequence[MissedWords]) -> list[dict[str, Any]]:
    return [asdict(one) | {"rate": one.rate} for one in kinds]


def _confusions(found: Confusions) -> dict[str, Any]:
    return {kind: rows[:MOST_CONFUSIONS] for kind, rows in asdict(found).items()}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return _finite(asdict(comparison))


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinite numbers: they become null."""
    return {
        name: _finite(value)
        if isinstance(value, dict)
        else None
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for name, value in values.items()
    }


def _utterance(one: UtteranceReport) -> dict[str, Any]:
    return {
        "id": one.utterance.id,
        "reference": one.reference,
        "speaker": one.utterance.speaker,
        "duration": one.utterance.duration,
        "fields": dict(one.fields),
        "systems": [_result(result) for result in one.systems],
    }


def _result(result: UtteranceResult) -> dict[str, Any]:
    found = result.score
    return {
        "hypothesis": found.hypothesis,
        "words": _counts(found.words),
        "characters": _counts(found.characters),
        "alignment": [_edit(edit, " ") for edit in found.alignment],
        "character_alignment": [_edit(edit, "") for edit in found.character_alignment],
        "times": result.words and [[word.start, word.end, word.confidence] for word in result.words],
    }


def _edit(edit: Edit, separator: str) -> list[str]:
    return [edit.kind, separator.join(edit.reference), separator.join(edit.hypothesis)]
