"""Sphinx extension: the directive `import-graph` draws which package of `asr` imports which, as SVG.

The imports are read from the source (statements within functions count too). A package stands above all packages that
it imports. Of the arrows, those are drawn that do not follow from others; the table below the drawing has all.
"""

from __future__ import annotations

import ast
import html
import itertools
from collections.abc import Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import asr

PACKAGE = Path(asr.__file__).parent
_WIDTH, _ROW, _BOX, _LETTER = 860, 72, 30, 8.1
_SWEEPS = 8

Item = str | tuple[str, str, int]
"""a package, or a place on the level where an arrow passes"""


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
    arrows = {(name, one) for name, used in reduced(graph).items() for one in used}
    rows = _ordered(levels(graph), arrows)
    place = _places(rows)
    parts = [
        f'<svg class="import-graph" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {len(rows) * _ROW}" '
        'role="img" aria-label="Which package imports which; the table below has the same">',
        '<defs><marker id="import-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>',
    ]
    level = {one: number for number, row in enumerate(rows) for one in row if isinstance(one, str)}
    for upper, lower in sorted(arrows):
        chain: list[Item] = [upper, *_passed(upper, lower, level), lower]
        parts.append(
            f'<path class="edge" marker-end="url(#import-arrow)" d="{_curve([place[one] for one in chain])}"/>'
        )
    for name in graph:
        (x, y), width = place[name], _width(name)
        parts.append(
            f'<g><title>{html.escape(purpose(name))}</title><rect x="{x - width / 2:.0f}" y="{y - _BOX / 2:.0f}" '
            f'width="{width:.0f}" height="{_BOX}" rx="6"/><text x="{x:.0f}" y="{y + 4.5:.0f}">{name}</text></g>'
        )
    return "\n".join([*parts, "</svg>"])


def _ordered(rows: list[list[str]], arrows: set[tuple[str, str]]) -> list[list[Item]]:
    """The packages of each level, and a place for each arrow that passes it, in an order with few crossings."""
    level = {name: number for number, row in enumerate(rows) for name in row}
    ordered: list[list[Item]] = [list(row) for row in rows]
    neighbours: dict[Item, list[Item]] = {}
    for upper, lower in sorted(arrows):
        passed = _passed(upper, lower, level)
        for place_on_level in passed:
            ordered[place_on_level[2]].append(place_on_level)
        chain: list[Item] = [upper, *passed, lower]
        for one, other in itertools.pairwise(chain):
            neighbours.setdefault(one, []).append(other)
            neighbours.setdefault(other, []).append(one)
    for _ in range(_SWEEPS):
        for number in [*range(len(ordered)), *reversed(range(len(ordered)))]:
            place = _places(ordered)
            ordered[number].sort(key=lambda one: (_mean([place[other][0] for other in neighbours[one]]), str(one)))
    return ordered


def _passed(upper: str, lower: str, level: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """The places of an arrow on the levels between its ends."""
    return [(upper, lower, number) for number in range(level[upper] - 1, level[lower], -1)]


def _places(rows: Sequence[Sequence[Item]]) -> dict[Item, tuple[float, float]]:
    """The middle of each item: those of a level share the width of the drawing."""
    place: dict[Item, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        free = (_WIDTH - sum(map(_width, row))) / (len(row) + 1)
        x = free
        for one in row:
            place[one] = (x + _width(one) / 2, (len(rows) - 1 - number) * _ROW + _BOX)
            x += _width(one) + free
    return place


def _width(item: Item) -> float:
    return _LETTER * len(item) + 22 if isinstance(item, str) else 8


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """A smooth line, upright at each of its points, from the lower edge of a box to the upper edge of another."""
    ends = [(x, y) for x, y in points]
    ends[0] = (ends[0][0], ends[0][1] + _BOX / 2)
    ends[-1] = (ends[-1][0], ends[-1][1] - _BOX / 2 - 2)
    line = f"M{ends[0][0]:.0f} {ends[0][1]:.0f}"
    for (x1, y1), (x2, y2) in itertools.pairwise(ends):
        bend = (y2 - y1) / 2
        line += f" C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"
    return line


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else _WIDTH / 2


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
