"""Several test sets: their references, and a report of all systems on all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from asr.corpus.manifest import Utterance
from asr.errors import ConfigError
from asr.evaluation.report import EMBED_MEGABYTES, EvaluationReport, ReportHead, SystemComparison
from asr.evaluation.scoring import Score
from asr.evaluation.sources import read_references, split_regions
from asr.evaluation.statistics import MeanRate, compare_means, mean_rate
from asr.files import names_without_folders

# Files and folders beside those of the sets.
_RESERVED = re.compile(r"report(_files|\..*)?|summary\..*|table\..*|\..*|.*\.csv", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReferenceSet:
    """A test set: utterances with their texts."""

    name: str
    files: tuple[str, ...]
    utterances: tuple[Utterance, ...]
    is_named: bool
    """whether the user named it; else it has the name of its files"""

    @property
    def shown(self) -> tuple[str, ...]:
        """The names of its references in reports."""
        return (self.name,) if self.is_named else self.files

    @property
    def folder(self) -> str:
        """The name of a folder for its report."""
        return re.sub(r"[^\w.+-]+", "_", self.name)


def read_sets(paths: Sequence[str], names: Sequence[str] = (), *, pool: bool = False) -> list[ReferenceSet]:
    """Read the references of test sets.

    Parameters
    ----------
    paths : sequence of str
        Files of references; each one is a set. UEM files among them restrict all sets.
    names : sequence of str
        The names of the sets, in order; those of their files by default.
    pool : bool
        Read all files as one set.

    Raises
    ------
    ConfigError
        If there are not as many names as sets, or two sets have one name or one file.
    ManifestError
        If a file cannot be used.
    """
    files, regions = split_regions(paths)
    groups = [files] if pool else [[one] for one in files]
    if names and len(names) != len(groups):
        what = "pool=true makes one set of all files" if pool else f"there are {len(groups)} files of references"
        raise ConfigError(f"names: {len(names)} names, but {what}; give one name for each set")
    first: dict[Path, str] = {}
    for path in files:
        target = Path(path).resolve()
        before = first.get(target)
        first[target] = path
        if before is not None and not pool:
            raise ConfigError(f"{path}: each file is a test set, and this one is the same file as {before}")
    utterances = [tuple(read_references([*group, *regions])) for group in groups]  # refuses what has no name
    stems = names_without_folders([str(PurePath(path).with_suffix("")) for path in files])
    short = _distinct([stems[str(PurePath(path).with_suffix(""))] for path in files])
    sets = [
        ReferenceSet(
            names[place] if names else (short[place] if len(group) == 1 else ", ".join(group)),
            tuple(group),
            utterances[place],
            bool(names),
        )
        for place, group in enumerate(groups)
    ]
    if len(sets) > 1:
        _check_names(sets)
    return sets


def _distinct(stems: Sequence[str]) -> list[str]:
    """The last parts of paths, with as many folders as are needed to make them distinct."""
    parts = [PurePath(stem).parts for stem in stems]
    longest = max((len(one) for one in parts), default=1)
    for count in range(1, longest + 1):
        found = ["/".join(one[-count:]) for one in parts]
        if len(set(found)) == len(found):
            return found
    return list(stems)


def _check_names(sets: Sequence[ReferenceSet]) -> None:
    """Refuse names that cannot be folders, and one folder for two sets."""
    folders: dict[str, str] = {}
    for one in sets:
        if not one.name.strip() or _RESERVED.fullmatch(one.folder):
            raise ConfigError(f"names: {one.name!r} cannot be the folder of a set's report; names=[...] names the sets")
        before = folders.setdefault(one.folder.lower(), one.name)
        if before is not one.name:
            raise ConfigError(f"names: {before!r} and {one.name!r} would have one folder; names=[...] names the sets")


@dataclass(frozen=True, slots=True)
class SetReport:
    """A test set and the report on it."""

    name: str
    folder: str
    """below that of the report on all sets"""
    report: EvaluationReport


@dataclass(frozen=True, slots=True)
class SetsReport(ReportHead):
    """The errors of one or several systems on several test sets.

    `asr.evaluate` and `make_sets_report` make it. The first system is the main one.
    """

    systems: tuple[str, ...]
    sets: tuple[SetReport, ...]
    means: tuple[MeanRate, ...]
    """of the word error rates of each system: every set has the same weight"""
    comparisons: tuple[SystemComparison, ...]
    """of the mean of the first system with that of each of the others"""

    def __getitem__(self, name: str) -> EvaluationReport:
        """The report on the set of a name."""
        return next(one.report for one in self.sets if one.name == name)

    @property
    def wer(self) -> float | None:
        """Mean word error rate of the first system; None if a set has no reference words."""
        return self.means[0].rate

    def write(
        self,
        folder: str | Path,
        *,
        page_audio: bool = True,
        embed_megabytes: float = EMBED_MEGABYTES,
        overwrite: bool = False,
    ) -> Path:
        """Write a page with the table of all sets, its data, and a folder with the report of each set.

        Parameters and errors are those of `EvaluationReport.write`.

        Returns
        -------
        Path
            The page, report.html.
        """
        from asr.evaluation.report_files import check_report_folder
        from asr.evaluation.sets_files import check_sets_folder, write_sets

        folder = Path(folder)
        check_sets_folder(folder, overwrite=overwrite)
        for one in self.sets:
            check_report_folder(folder / one.folder, overwrite=overwrite)
        for one in self.sets:
            one.report.write(
                folder / one.folder, page_audio=page_audio, embed_megabytes=embed_megabytes, overwrite=overwrite
            )
        return write_sets(folder, self, overwrite=overwrite)


def set_title(title: str | None, name: str) -> str:
    """The title of the report on one of several sets."""
    return name if title is None else f"{title}, {name}"


def make_sets_report(
    sets: Sequence[ReferenceSet], reports: Sequence[EvaluationReport], title: str | None = None
) -> SetsReport:
    """Join the reports on several test sets, which are of the same systems in one order."""
    names = [one.name for one in reports[0].systems]
    speakers = [[one.utterance.speaker for one in report.utterances] for report in reports]
    scores = [
        [Score(tuple(one.systems[place].score for one in report.utterances)) for report in reports]
        for place in range(len(names))
    ]
    return SetsReport(
        asr_version=reports[0].asr_version,
        title=title,
        systems=tuple(names),
        sets=tuple(
            SetReport(one.name, one.folder, report) for one, report in zip(sets, reports, strict=True)
        ),
        means=tuple(mean_rate(found, speakers) for found in scores),
        comparisons=tuple(
            SystemComparison(names[0], name, compare_means(scores[0], found, speakers))
            for name, found in zip(names[1:], scores[1:], strict=True)
        ),
    )  # fmt: skip
