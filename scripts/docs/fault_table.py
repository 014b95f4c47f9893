"""Sphinx extension: the directive `doctor-faults` lists every kind of fault that `asr doctor` reports, worst first."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from asr.doctor import faults


class DoctorFaults(SphinxDirective):  # type: ignore[misc]
    """A table of name, severity, meaning and advice."""

    def run(self) -> list[nodes.Node]:
        """The table."""
        self.env.note_dependency(str(faults.__file__))
        rows = ["| name | severity | what | what to do |", "|---|---|---|---|"]
        for name, kind in faults.KINDS.items():
            rows.append(f"| `{name}` | {kind.severity.name} | {kind.title} | {kind.advice} |")
        made: list[nodes.Node] = self.parse_text_to_nodes("\n".join(rows))
        return made


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("doctor-faults", DoctorFaults)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
