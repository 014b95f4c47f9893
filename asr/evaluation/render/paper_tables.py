"""The rates of systems on test sets as tables for a paper: LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asr.evaluation.render.text_report import interval_text, plain
from asr.evaluation.report import ErrorRate, EvaluationReport
from asr.evaluation.sets import SetsReport
from asr.evaluation.statistics import SIGNIFICANT, Comparison, Interval, MeanRate

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"\\text{name}{{}}" for character, name in {"<": "less", ">": "greater", "|": "bar"}.items()},
}
MEAN = "mean"
"""the set of the rows of the mean over all sets"""


@dataclass(frozen=True, slots=True)
class Cell:
    """A system on a test set."""

    rate: float | None
    interval: Interval | None
    characters: ErrorRate | None
    """None for the mean of several sets"""
    utterances: int | None
    words: int | None
    comparison: Comparison | None
    """of the first system with this one; None for the first"""

    @property
    def is_significant(self) -> bool:
        """Whether the system differs from the first one."""
        found = self.comparison
        return found is not None and found.p is not None and found.p < SIGNIFICANT


@dataclass(frozen=True, slots=True)
class PaperTable:
    """Systems by test sets."""

    asr_version: str
    title: str | None
    systems: tuple[str, ...]
    sets: tuple[str, ...]
    policy: str
    cells: tuple[tuple[Cell, ...], ...]
    """for each system those of all sets, and of the mean if there are several"""

    @property
    def columns(self) -> tuple[str, ...]:
        """The sets, and the mean if there are several."""
        return (*self.sets, MEAN) if len(self.sets) > 1 else self.sets


def paper_table(report: EvaluationReport | SetsReport) -> PaperTable:
    """The table of a report."""
    if isinstance(report, SetsReport):
        reports, sets = [one.report for one in report.sets], tuple(one.name for one in report.sets)
        means = [
            _mean_cell(mean, comparison)
            for mean, comparison in zip(report.means, [None, *(one.result for one in report.comparisons)], strict=True)
        ]
    else:
        reports, sets, means = [report], (", ".join(report.references.names),), []
    rows = []
    for place in range(len(reports[0].systems)):
        cells = [_cell(one, place) for one in reports]
        rows.append((*cells, means[place]) if means else tuple(cells))
    names = tuple(one.name for one in reports[0].systems)
    policy = f"{reports[0].policy.version} ({reports[0].policy.name})"
    return PaperTable(report.asr_version, report.title, names, sets, policy, tuple(rows))


def _cell(report: EvaluationReport, place: int) -> Cell:
    system = report.systems[place]
    return Cell(
        rate=system.words.rate,
        interval=next(iter(system.words.intervals), None),
        characters=system.characters,
        utterances=system.utterances,
        words=system.words.counts.reference_length,
        comparison=report.comparisons[place - 1].result if place else None,
    )


def _mean_cell(mean: MeanRate, comparison: Comparison | None) -> Cell:
    return Cell(mean.rate, mean.interval, None, None, None, comparison)


def table_csv(table: PaperTable) -> str:
    """One row for each system and set: rates in percent, differences in points of WER."""
    rows = []
    for system, cells in zip(table.systems, table.cells, strict=True):
        for name, cell in zip(table.columns, cells, strict=True):
            row: dict[str, Any] = {"system": system, "set": name, "utterances": cell.utterances, "words": cell.words}
            row |= {"wer": _points(cell.rate), **_ends("wer", cell.interval)}
            row["interval_over"] = cell.interval and cell.interval.unit
            characters = cell.characters
            row["cer"] = characters and _points(characters.rate)
            row |= _ends("cer", next(iter(characters.intervals), None) if characters else None)
            row |= _difference(cell)
            rows.append(row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _difference(cell: Cell) -> dict[str, Any]:
    """This system minus the first one, with the tests of significance."""
    found = cell.comparison
    if found is None or math.isnan(found.difference):
        values: list[Any] = [None] * 6
    else:
        interval, pairs = found.interval, found.matched_pairs
        values = [
            _points(-found.difference),
            interval and _points(-interval.high),
            interval and _points(-interval.low),
            found.p,
            pairs and pairs.p,
            cell.is_significant,
        ]
    names = ("difference", "difference_low", "difference_high", "p_bootstrap", "p_mapsswe", "significant")
    return dict(zip(names, values, strict=True))


def _points(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 4)


def _ends(name: str, interval: Interval | None) -> Mapping[str, float | None]:
    low, high = (interval.low, interval.high) if interval else (None, None)
    return {f"{name}_low": _points(low), f"{name}_high": _points(high)}


def table_latex(table: PaperTable) -> str:
    """A table for LaTeX with the package booktabs: rates with intervals, the lowest bold, significant ones marked.

    A single test set has the columns WER, CER and, with several systems, the difference to the first one and its p;
    several sets have a column each, and their mean.
    """
    has_others = len(table.systems) > 1
    if len(table.sets) == 1:
        heads = ["WER", "CER", *(["difference", "$p$"] if has_others else [])]
        rows = [_cells_of_one_set(table, place) for place in range(len(table.systems))]
    else:
        heads = [latex(name) for name in table.columns]
        rows = [
            [_rate(table, place, column) for column in range(len(table.columns))]
            for place in range(len(table.systems))
        ]  # fmt: skip
    lines = [
        f"% Written by asr {table.asr_version}. Needs \\usepackage{{booktabs}}; LuaLaTeX for non-Latin scripts.",
        r"\begin{table}",
        r"\centering",
        f"\\caption{{{_caption(table)}}}",
        f"\\begin{{tabular}}{{l{'r' * len(heads)}}}",
        r"\toprule",
        " & ".join(["system", *heads]) + r" \\",
        r"\midrule",
        *(" & ".join([latex(name), *row]) + r" \\" for name, row in zip(table.systems, rows, strict=True)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _cells_of_one_set(table: PaperTable, place: int) -> list[str]:
    cell = table.cells[place][0]
    characters = cell.characters
    cells = [_rate(table, place, 0)]
    interval = next(iter(characters.intervals), None) if characters else None
    cells.append(_with_interval(_number(characters.rate if characters else None), interval))
    if len(table.systems) == 1:
        return cells
    found = cell.comparison
    if found is None or math.isnan(found.difference):
        return [*cells, "", ""]
    one = found.interval
    shown = f"${-100 * found.difference:+.2f}$"
    shown += f" {{\\footnotesize [${-100 * one.high:+.2f}$, ${-100 * one.low:+.2f}$]}}" if one else ""
    return [*cells, shown, "" if found.p is None else "$<0.0001$" if found.p < 1e-4 else f"{found.p:.4f}"]


def _rate(table: PaperTable, place: int, column: int) -> str:
    cell = table.cells[place][column]
    rates = [row[column].rate for row in table.cells]
    known = [round(100 * rate, 2) for rate in rates if rate is not None]
    text = _number(cell.rate)
    if len(rates) > 1 and cell.rate is not None and round(100 * cell.rate, 2) == min(known):
        text = f"\\textbf{{{text}}}"
    return _with_interval(text + (r"$^\dagger$" if cell.is_significant else ""), cell.interval)


def _number(rate: float | None) -> str:
    return "n/a" if rate is None else f"{100 * rate:.2f}"


def _with_interval(text: str, interval: Interval | None) -> str:
    if interval is None:
        return text
    return f"{text} {{\\footnotesize [{100 * interval.low:.2f}, {100 * interval.high:.2f}]}}"


def _caption(table: PaperTable) -> str:
    about = [f"{latex(table.title)}." if table.title else ""]
    what = "Word error rate" if len(table.sets) > 1 else "Word error rate (WER) and character error rate (CER)"
    where = "" if len(table.sets) > 1 else f" on {latex(table.sets[0])}"
    units = list(dict.fromkeys(cell.interval.unit for row in table.cells for cell in row if cell.interval))
    over = f", with 95\\,\\% bootstrap intervals over {' or '.join(units)}" if units else ""
    about.append(f"{what} in percent{where}{over}.")
    if len(table.systems) > 1:
        about.append(r"Bold: the lowest rate.")
    if any(cell.is_significant for row in table.cells for cell in row):
        about.append(
            f"$^\\dagger$: significantly different from {latex(table.systems[0])} "
            f"($p < {SIGNIFICANT}$, paired bootstrap, not corrected for several comparisons)."
        )
    about.append(f"Scoring policy {latex(table.policy)}.")
    return " ".join(part for part in about if part)


def latex(text: str) -> str:
    """Text that LaTeX prints unchanged."""
    return " ".join("".join(_LATEX.get(character, character) for character in text).split())


def markdown_table(table: PaperTable) -> list[str]:
    """Systems by sets as lines of Markdown."""
    lines = [f"| system | {' | '.join(map(plain, table.columns))} |", "|---" * (len(table.columns) + 1) + "|"]
    for system, cells in zip(table.systems, table.cells, strict=True):
        shown = []
        for cell in cells:
            text = "n/a" if cell.rate is None else f"{100 * cell.rate:.2f} %"
            text += " †" if cell.is_significant else ""
            shown.append(text + (f" ({interval_text(cell.interval)})" if cell.interval else ""))
        lines.append(f"| {plain(system)} | {' | '.join(shown)} |")
    return lines


def significance_note(systems: Sequence[str]) -> str:
    """The explanation of the mark of significance."""
    return f"† significantly different from {systems[0]} (p < {SIGNIFICANT}, paired bootstrap)"
