"""Names in reports without the folders of the machine that made them: reports are read elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from asr.evaluation.policy import PolicySummary
from asr.evaluation.report import EvaluationReport, SystemReport, hypotheses_side
from asr.evaluation.sets import SetsReport
from asr.files import is_absolute_path, names_without_folders

_SOURCES = ("bundle", "hypotheses")


def shareable(report: EvaluationReport) -> EvaluationReport:
    """A report in which no name is an absolute path: of files, bundles, systems and utterances."""
    names = _short_names([report])
    ids = shared_ids([one.utterance.id for one in report.utterances])
    baseline = report.baseline
    return replace(
        report,
        references=replace(
            report.references, names=tuple(names_without_folders(report.references.names).values())
        ),
        systems=tuple(
            replace(one, name=names[one.name], about=_shared_about(one, names)) for one in report.systems
        ),
        policy=_shared_policy(report.policy, names),
        comparisons=tuple(
            replace(one, first=names[one.first], second=names[one.second]) for one in report.comparisons
        ),
        baseline=baseline
        and replace(baseline, report=names_without_folders([baseline.report])[baseline.report]),
        utterances=tuple(
            replace(one, utterance=replace(one.utterance, id=identity))
            for one, identity in zip(report.utterances, ids, strict=True)
        ),
    )  # fmt: skip


def _shared_policy(policy: PolicySummary, names: Mapping[str, str]) -> PolicySummary:
    """A rule with the short names of the systems on whose texts it was counted."""
    sides = {hypotheses_side(name): hypotheses_side(short) for name, short in names.items()}
    rules = tuple(
        replace(rule, sides={sides.get(side, side): count for side, count in rule.sides.items()})
        for rule in policy.rules
    )
    return replace(policy, rules=rules)


def shareable_sets(report: SetsReport) -> SetsReport:
    """The same for a report on several sets."""
    names = _short_names([one.report for one in report.sets])
    return replace(
        report,
        systems=tuple(names[one] for one in report.systems),
        sets=tuple(replace(one, report=shareable(one.report)) for one in report.sets),
        comparisons=tuple(
            replace(one, first=names[one.first], second=names[one.second]) for one in report.comparisons
        ),
    )  # fmt: skip


def shared_ids(ids: Sequence[str]) -> list[str]:
    """Ids of utterances without the folder that those which are absolute paths have in common."""
    short = names_without_folders(ids)
    return [short[one] for one in ids]


def _short_names(reports: Iterable[EvaluationReport]) -> dict[str, str]:
    """The names of all systems, which begin with the bundle or the file that they come from."""
    sources = {one.name: _source(one) for report in reports for one in report.systems}
    short = names_without_folders(sources.values())
    return {name: short[source] + name[len(source) :] for name, source in sources.items()}


def _source(system: SystemReport) -> str:
    """The beginning of a system's name: a bundle, or a file, whose name may have a placeholder for the set."""
    paths = [value for name in _SOURCES if isinstance(value := system.about.get(name), str)]
    return next((path for path in paths if system.name.startswith(path)), system.name)


def _shared_about(system: SystemReport, names: Mapping[str, str]) -> dict[str, Any]:
    about: dict[str, Any] = _without_folders(system.about)
    for name in _SOURCES:
        source = about.get(name) and system.about[name]
        if source and system.name.startswith(source):  # its name elsewhere
            about[name] = names[system.name][: len(names[system.name]) - len(system.name) + len(source)]
    if others := system.about.get("shares_pass_with"):
        about["shares_pass_with"] = [names.get(one, one) for one in others]
    return about


def _without_folders(value: Any) -> Any:
    """Anything that JSON holds, with the last part of each absolute path."""
    if isinstance(value, Mapping):
        return {key: _without_folders(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(one) for one in value]
    return PurePath(value).name if isinstance(value, str) and is_absolute_path(value) else value
