"""The examples in docstrings run."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import asr

from .conftest import REPOSITORY

PACKAGE = REPOSITORY / "asr"
# A training takes longer than a test of an example may.
PUBLIC = {"asr", *asr._HOMES.values()} - {"asr.training.run"}
MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>>" in path.read_text("utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name, monkeypatch):
    monkeypatch.chdir(REPOSITORY)  # so that the samples are found
    results = doctest.testmod(import_module(name))
    assert results.failed == 0


@pytest.mark.parametrize("name", sorted(PUBLIC & set(MODULES)))
def test_no_example_of_the_public_names_is_skipped(name):
    assert "+SKIP" not in Path(import_module(name).__file__).read_text("utf-8")
