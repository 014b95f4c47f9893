"""Sphinx extension: the directive `notebook` shows the text and the code of a notebook, without outputs.

```{notebook} keras.ipynb
```
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def to_markdown(notebook: str) -> str:
    """The cells of a notebook as Markdown; headings, which a page has of its own, become bold text."""
    parts = []
    for cell in json.loads(notebook)["cells"]:
        text = "".join(cell["source"])
        is_code = cell["cell_type"] == "code"
        parts.append(f"```python\n{text}\n```" if is_code else re.sub(r"(?m)^#+ (.*)$", r"**\1**", text))
    return "\n\n".join(parts)


class Notebook(SphinxDirective):  # type: ignore[misc]
    """Shows a notebook that lies beside the page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The nodes of its cells."""
        name, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(name)
        made: list[nodes.Node] = self.parse_text_to_nodes(to_markdown(Path(path).read_text("utf-8")))
        return made


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("notebook", Notebook)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
