"""Sphinx extension: copies the sample report beside the pages, so that a link opens it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

FOLDER = "sample-report"


def copy_report(app: Sphinx, error: Exception | None) -> None:
    """Copy the folder into the finished site."""
    if error is None and app.builder.format == "html":
        shutil.copytree(Path(app.srcdir) / FOLDER, Path(app.outdir) / FOLDER, dirs_exist_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("build-finished", copy_report)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
