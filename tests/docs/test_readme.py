"""The README is short, its examples run, and the links between the Markdown files lead somewhere."""

from __future__ import annotations

import doctest
import re
from functools import cache
from pathlib import Path

import pytest

from ..conftest import REPOSITORY

README = REPOSITORY / "README.md"
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
# Made when the site is built.
GENERATED = re.compile(r"(settings-|choices$)")
# Pages that the build of the site adds; tests/docs/test_site.py follows links to them.
BUILT = {"try/index.html"}


def test_the_readme_has_at_most_130_lines():
    assert len(README.read_text("utf-8").splitlines()) <= 130


@pytest.mark.parametrize("number", range(2))
def test_the_python_examples_of_the_readme_run(number, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    monkeypatch.chdir(REPOSITORY)
    if ">>>" in blocks[number]:
        example = doctest.DocTestParser().get_doctest(blocks[number], {}, "README", None, None)
        assert doctest.DocTestRunner().run(example).failed == 0
    else:
        exec(compile(blocks[number], "README", "exec"), {})


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub and Sphinx make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_between_the_pages_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:href|src)="([^"]+)"', text):
        if re.match(r"https?:", link) or link in BUILT:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        known = GENERATED.match(anchor) or not anchor or target.suffix != ".md"
        if not target.exists() or not (known or anchor in anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_files_of_the_repository_that_a_page_names_exist(page):
    text = page.read_text("utf-8")
    names = re.findall(r"(?<![\w./-])((?:asr|conf|docs|scripts|tests|data)/[\w./-]*\w)", text)
    # Results of a script are named without their suffix.
    missing = {name for name in names if not list(REPOSITORY.glob(f"{name}*"))}
    assert {name for name in missing if not re.search(r"NAME|build/", name)} == set()
