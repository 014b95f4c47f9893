"""Writes the report on several test sets into a folder, above those of the sets: page, JSON, text and tables."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asr.evaluation.render.paper_tables import paper_table, table_csv, table_latex
from asr.evaluation.render.sets_page import render_sets_page
from asr.evaluation.render.sets_text import format_sets, sets_summary
from asr.evaluation.report_files import (
    DATA_FILES,
    check_output_folder,
    remove_earlier,
    remove_media,
    write_contents,
)
from asr.evaluation.report_json import comparison_object, head_object, rate_object, references_object
from asr.evaluation.sets import SetsReport
from asr.evaluation.shared_names import shareable_sets
from asr.files import OutputJournal

SETS_FILES = ("report.json", "report.txt", "summary.md", "table.tex", "table.csv", "report.html")
"""what `write_sets` writes; the reports of the sets are in folders beside them"""


def check_sets_folder(folder: Path, *, overwrite: bool) -> None:
    """Make the folder, and refuse files there that a report must not replace; errors as in `check_report_folder`."""
    check_output_folder(folder, SETS_FILES, overwrite=overwrite)


def write_sets(folder: Path, report: SetsReport, *, overwrite: bool = False) -> Path:
    """Write the report on all sets; the reports of the sets are written by themselves.

    Tables and recordings of an earlier report on one set are removed from the folder, unless they were changed.

    Returns
    -------
    Path
        The page, report.html.

    Raises
    ------
    OutputError
        Before anything is written, if a file is there that asr did not write, or that was changed since.
    OSError
        If a file cannot be written.
    """
    report = shareable_sets(report)
    table = paper_table(report)
    contents = (
        json.dumps(sets_object(report), indent=1, ensure_ascii=False) + "\n",
        format_sets(report) + "\n",
        sets_summary(report),
        table_latex(table),
        table_csv(table),
        render_sets_page(report),
    )
    write_contents(folder, dict(zip(SETS_FILES, contents, strict=True)), OutputJournal(overwrite=overwrite))
    remove_earlier(folder, set(DATA_FILES) - set(SETS_FILES))
    remove_media(folder)
    return folder / "report.html"


def sets_object(report: SetsReport) -> dict[str, Any]:
    """The report for `json.dumps`: `sets.schema.json` describes it."""
    policy = report.sets[0].report.policy
    return head_object(report) | {
        "policy": f"{policy.version}: {policy.name}",
        "systems": list(report.systems),
        "sets": [
            {
                "name": one.name,
                "report": f"{one.folder}/report.json",
                "references": references_object(one.report.references),
                "systems": [
                    {"name": system.name}
                    | {"words": rate_object(system.words), "characters": rate_object(system.characters)}
                    for system in one.report.systems
                ],
                "comparisons": [comparison_object(each) for each in one.report.comparisons],
            }
            for one in report.sets
        ],
        "mean": {
            "systems": [
                {"name": name, "rate": mean.rate, "interval": mean.interval and asdict(mean.interval)}
                for name, mean in zip(report.systems, report.means, strict=True)
            ],
            "comparisons": [comparison_object(one) for one in report.comparisons],
        },
    }  # fmt: skip
