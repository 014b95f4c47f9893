"""The documentation site builds without a warning, its links lead somewhere, and its reference is complete."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import asr
import asr.acoustic
from asr.cli.composition import Composer
from asr.cli.roots import ROOTS

from ..conftest import REPOSITORY, oracle_module

pytestmark = pytest.mark.slow


@dataclass
class Page(HTMLParser):
    """The links and the anchors of a page."""

    links: list[str] = field(default_factory=list)
    anchors: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links += [value for name in ("href", "src") if (value := values.get(name))]
        if values.get("id"):
            self.anchors[str(values["id"])] += 1


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site."""
    for name in ("sphinx", "myst_parser", "furo"):
        oracle_module(name)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", folder / "doctrees"]
    done = subprocess.run(
        [*command, "docs", folder / "html"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    parsed = {}
    for path in site.rglob("*.html"):
        page = parsed[path] = Page()
        page.feed(path.read_text("utf-8"))
    return parsed


def test_every_link_and_anchor_of_the_site_leads_somewhere(site, pages):
    dead = []
    for path, page in pages.items():
        if path.is_relative_to(site / "sample-report"):
            continue  # its script makes anchors
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].anchors if target in pages else Counter({unquote(parts.fragment): 1})
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in known):
                dead.append((path.name, link))
    assert len(pages) > 20
    assert dead == []


def test_no_anchor_is_on_a_page_twice(pages):
    twice = {(path.name, name) for path, page in pages.items() for name, count in page.anchors.items() if count > 1}
    assert {one for one in twice if not one[1].startswith("svg-")} == set()


def test_every_public_name_is_in_the_reference(site, pages):
    anchors = pages[site / "reference" / "python.html"].anchors
    assert {f"asr.{name}" for name in asr.__all__} - {"asr.__version__"} <= anchors.keys()
    assert {f"asr.acoustic.{name}" for name in asr.acoustic.__all__} <= anchors.keys()


def test_every_setting_of_every_command_is_in_the_reference(site, pages):
    anchors = pages[site / "reference" / "settings.html"].anchors
    missing = set()
    for command in ROOTS:
        with Composer(command) as composer:
            for name in composer.keys():  # noqa: SIM118
                # Settings that commands share stand there once, those of a command under its name.
                if f"{command}.{name}" not in anchors and not ("." in name and name in anchors):
                    missing.add(f"{command}.{name}")
    assert missing == set()


def test_the_drawn_arrows_reach_what_all_imports_reach(monkeypatch):
    oracle_module("sphinx")
    monkeypatch.syspath_prepend(REPOSITORY / "scripts" / "docs")
    graph = oracle_module("import_graph")

    def reach(arrows: dict[str, set[str]], name: str) -> set[str]:
        return arrows[name].union(*(reach(arrows, one) for one in arrows[name]))

    imports = graph.imports()
    arrows = graph.reduced(imports)
    assert {name: reach(arrows, name) for name in imports} == {name: reach(imports, name) for name in imports}
    assert sum(map(len, arrows.values())) < sum(map(len, imports.values()))
