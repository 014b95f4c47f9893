"""The examples in docstrings run."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

from .conftest import REPOSITORY

PACKAGE = REPOSITORY / "asr"
MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>>" in path.read_text("utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    results = doctest.testmod(import_module(name))
    assert results.failed == 0
