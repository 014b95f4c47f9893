"""What tests compare with may be missing on a developer's machine, and may not in continuous integration."""

from __future__ import annotations

import pytest

from . import conftest
from .conftest import REPOSITORY, oracle, oracle_module

MISSING = pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda: oracle("sclite"), r"needs sclite \(Debian package sctk\)"),
        (lambda: oracle_module("no_such_module"), "needs the Python module no_such_module"),
        (lambda: oracle_module("json.no_such_module"), r"needs the Python module json\.no_such_module"),
    ],
)


@MISSING
def test_a_test_without_its_oracle_is_skipped_with_the_reason(monkeypatch, ask, reason):
    monkeypatch.setattr(conftest, "_PROGRAM_PATH", "")
    monkeypatch.setattr(conftest, "REQUIRE_ORACLES", False)
    with pytest.raises(pytest.skip.Exception, match=reason):
        ask()


@MISSING
def test_where_oracles_are_required_it_fails(monkeypatch, ask, reason):
    monkeypatch.setattr(conftest, "_PROGRAM_PATH", "")
    monkeypatch.setattr(conftest, "REQUIRE_ORACLES", True)
    with pytest.raises(pytest.fail.Exception, match=f"{reason}.*REQUIRE_ORACLES is set"):
        ask()


def test_an_oracle_that_is_there_is_given():
    assert oracle("bash").name == "bash"
    assert oracle_module("json.decoder").JSONDecoder


def test_every_oracle_is_installed_in_continuous_integration():
    commands = (REPOSITORY / ".ci" / "run").read_text()
    (line,) = (line for line in commands.splitlines() if "apt-get install" in line)
    assert {package for _, package in conftest._PROGRAMS.values()} - {"bash"} <= set(line.split())
    assert "export REQUIRE_ORACLES=1" in commands
