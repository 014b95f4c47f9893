"""A report on several test sets as text: for the terminal, and as Markdown for a pull request."""

from __future__ import annotations

from asr.evaluation.render.paper_tables import (
    PaperTable,
    markdown_table,
    paper_table,
    significance_note,
)
from asr.evaluation.render.text_report import format_comparison, plain, verdict
from asr.evaluation.sets import SetsReport


def format_sets(report: SetsReport) -> str:
    """The table of systems by sets, with intervals below the rates, and the comparisons of the means."""
    table = paper_table(report)
    heading = report.title or "Word error rate"
    policy = report.sets[0].report.policy
    lines = [f"{heading}\n{len(report.sets)} test sets, scoring policy {policy.version}: {policy.name}\n"]
    lines += _rows(table)
    if any(cell.is_significant for row in table.cells for cell in row):
        lines.append(f"\n{significance_note(table.systems)}")
    for one in report.comparisons:
        lines.append(f"\nmean over the sets, {format_comparison(one.result, one.first, one.second)}")
    return "\n".join(lines)


def _rows(table: PaperTable) -> list[str]:
    left = max(len("system"), *map(len, table.systems)) + 2
    widths = [max(18, len(name) + 2) for name in table.columns]
    heads = zip(table.columns, widths, strict=True)
    lines = ["system".ljust(left) + "".join(name.rjust(width) for name, width in heads)]
    for system, cells in zip(table.systems, table.cells, strict=True):
        rates, ranges = system.ljust(left), " " * left
        for cell, width in zip(cells, widths, strict=True):
            rate = "n/a" if cell.rate is None else f"{100 * cell.rate:.2f} %"
            rates += (rate + (" †" if cell.is_significant else "")).rjust(width)
            one = cell.interval
            ranges += (f"{100 * one.low:.2f} to {100 * one.high:.2f}" if one else "").rjust(width)
        lines += [rates, *([ranges.rstrip()] if ranges.strip() else [])]
    return lines


def sets_summary(report: SetsReport) -> str:
    """Markdown for a pull request: the table, and the comparisons of each set and of the means in words."""
    table = paper_table(report)
    policy = report.sets[0].report.policy
    lines = [f"## {plain(report.title or 'Word error rate')}", ""]
    lines += [f"{len(report.sets)} test sets; scoring policy {policy.version} ({plain(policy.name)})", ""]
    lines += markdown_table(table)
    if any(cell.is_significant for row in table.cells for cell in row):
        lines += ["", plain(significance_note(table.systems))]
    for one in report.sets:
        for compared in one.report.comparisons:
            lines += ["", f"{plain(one.name)}: {verdict(compared.result, compared.first, compared.second)}"]
        if (baseline := one.report.baseline) is not None:
            lines += ["", f"{plain(one.name)}: {verdict(baseline.result, report.systems[0], baseline.report)}"]
            if baseline.is_regression:
                lines += ["", f"**A regression of more than {baseline.max_regression:g} points.**"]
    for compared in report.comparisons:
        lines += ["", f"mean over the sets: {verdict(compared.result, compared.first, compared.second)}"]
    return "\n".join(lines) + "\n"
