"""Sphinx extension: the directive `import-graph` draws which package of `asr` imports which, as SVG.

The imports are read from the source (statements within functions count too). A package stands above all packages that
it imports. Of the arrows, those are drawn that do not follow from others; the table below the drawing has all.
"""

from __future__ import annotations

import ast
import html
from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import asr

PACKAGE = Path(asr.__file__).parent
_WIDTH, _ROW, _BOX, _GAP, _LETTER = 860, 78, 30, 18, 8.1


def packages() -> dict[str, Path]:
    """The packages and modules of the top level by name, with the file that describes each."""
    found = {}
    for path in sorted(PACKAGE.iterdir()):
        if path.is_dir() and (path / "__init__.py").is_file():
            found[path.name] = path / "__init__.py"
        elif path.suffix == ".py" and not path.stem.startswith("__"):
            found[path.stem] = path
    return found


def imports() -> dict[str, set[str]]:
    """The packages that each package imports."""
    names = packages()
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        files = path.parent.rglob("*.py") if path.name == "__init__.py" else [path]
        used = {part for file in files for part in _imported(ast.parse(file.read_text("utf-8")))}
        graph[name] = (used & names.keys()) - {name}
    return graph


def _imported(tree: ast.AST) -> Iterable[str]:
    """The first part, below `asr`, of every module that is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("asr."))
        elif isinstance(node, ast.ImportFrom) and node.module == "asr":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("asr."):
            yield node.module.split(".")[1]


def levels(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The packages by level: 0 imports nothing, and each level imports only from those before it."""
    level: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():  # which refuses a circle
        level[name] = 1 + max((level[one] for one in graph[name]), default=-1)
    return [sorted(name for name in level if level[name] == one) for one in range(max(level.values()) + 1)]


def reduced(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that do not follow from others (transitive reduction)."""
    reachable: dict[str, set[str]] = {}
    for name in TopologicalSorter(graph).static_order():
        reachable[name] = graph[name].union(*(reachable[one] for one in graph[name]))
    return {name: used - set().union(*(reachable[one] for one in used)) for name, used in graph.items()}


def draw(graph: Mapping[str, set[str]]) -> str:
    """The graph as SVG, the highest level on top; colours come from the style sheet of the page."""
    rows = levels(graph)
    arrows = reduced(graph)
    middle: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        # Each package stands near the middle of what it imports, which keeps arrows short.
        row = sorted(row, key=lambda name: (_mean(middle[one][0] for one in arrows[name]), name))
        widths = [_LETTER * len(name) + 22 for name in row]
        free = (_WIDTH - sum(widths)) / (len(row) + 1)
        x = free
        for name, width in zip(row, widths, strict=True):
            middle[name] = (x + width / 2, (len(rows) - 1 - number) * _ROW + _BOX)
            x += width + free
    parts = [
        f'<svg class="import-graph" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {len(rows) * _ROW}" '
        'role="img" aria-label="Which package imports which; the table below has the same">',
        '<defs><marker id="import-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>',
    ]
    for name, used in arrows.items():
        for one in sorted(used):
            (x1, y1), (x2, y2) = middle[name], middle[one]
            y1, y2 = y1 + _BOX / 2, y2 - _BOX / 2 - 2
            bend = (y2 - y1) / 2
            parts.append(
                f'<path class="edge" marker-end="url(#import-arrow)" '
                f'd="M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"/>'
            )
    for name, (x, y) in middle.items():
        width = _LETTER * len(name) + 22
        parts.append(
            f'<g><title>{html.escape(purpose(name))}</title><rect x="{x - width / 2:.0f}" y="{y - _BOX / 2:.0f}" '
            f'width="{width:.0f}" height="{_BOX}" rx="6"/><text x="{x:.0f}" y="{y + 4.5:.0f}">{name}</text></g>'
        )
    return "\n".join([*parts, "</svg>"])


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else _WIDTH / 2


def purpose(name: str) -> str:
    """The first sentence of the docstring of a package."""
    text = ast.get_docstring(ast.parse(packages()[name].read_text("utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


class ImportGraph(SphinxDirective):  # type: ignore[misc]
    """The drawing, and a table with all imports."""

    def run(self) -> list[nodes.Node]:
        """The nodes of both."""
        for file in PACKAGE.rglob("*.py"):
            self.env.note_dependency(str(file))
        graph = imports()
        drawing = nodes.raw("", f'<div class="import-graph-frame">{draw(graph)}</div>', format="html")
        rows = ["| package | what it is for | imports |", "|---|---|---|"]
        for row in levels(graph):
            for name in row:
                used = ", ".join(f"`{one}`" for one in sorted(graph[name])) or "nothing"
                rows.append(f"| `{name}` | {purpose(name).replace('|', chr(92) + '|')} | {used} |")
        return [drawing, *self.parse_text_to_nodes("\n".join(rows))]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("import-graph", ImportGraph)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
