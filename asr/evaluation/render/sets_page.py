"""The report on several test sets as one HTML file: a table of systems by sets, with links to the sets' reports."""

from __future__ import annotations

from asr.evaluation.render.page import PAGE_TITLE, page_environment, page_style
from asr.evaluation.render.paper_tables import paper_table
from asr.evaluation.sets import SetsReport


def render_sets_page(report: SetsReport) -> str:
    """Make the page, which needs no script and loads nothing from a network."""
    table = paper_table(report)
    lowest = [
        min((rate for row in table.cells if (rate := row[column].rate) is not None), default=None)
        for column in range(len(table.columns))
    ]
    rows = [
        (
            name,
            [
                {
                    "rate": cell.rate,
                    "interval": cell.interval,
                    "is_significant": cell.is_significant,
                    "is_lowest": len(table.systems) > 1 and cell.rate is not None and cell.rate == low,
                }
                for cell, low in zip(cells, lowest, strict=True)
            ],
        )
        for name, cells in zip(table.systems, table.cells, strict=True)
    ]
    return page_environment().get_template("sets.html.j2").render(
        report=report,
        table=table,
        rows=rows,
        title=report.title or PAGE_TITLE,
        policy=report.sets[0].report.policy,
        baselines=[one.report.baseline for one in report.sets if one.report.baseline],
        style=page_style(),
    )  # fmt: skip
