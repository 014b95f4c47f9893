from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from scripts.research.mutants import Mutant, MutantError, main, mutate, read_mutants

from ..conftest import REPOSITORY


@pytest.mark.parametrize("mutant", read_mutants(), ids=lambda one: one.name)
def test_every_mutant_changes_one_place_of_the_tree_as_it_is(mutant):
    content = (REPOSITORY / mutant.file).read_text("utf-8")
    compile(mutate(content, mutant), mutant.file, "exec")
    assert mutant.tests
    for test in mutant.tests:
        path, _, name = test.partition("::")
        assert not name or f"def {name}(" in (REPOSITORY / path).read_text("utf-8"), test


def test_no_two_mutants_have_one_name():
    names = [one.name for one in read_mutants()]
    assert len(set(names)) == len(names)


TABLE = """
[[mutant]]
name = "sum"
file = "adding.py"
old = "a + b"
new = "a - b"
tests = ["test_adding.py"]

[[mutant]]
name = "order"
file = "adding.py"
old = "[a, b]"
new = "[b, a]"
tests = ["test_adding.py"]
equivalent = "REASON"
"""


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # which take most of the time of these runs
    (tmp_path / "adding.py").write_text("def add(a, b):\n    return a + b\n\ndef most(a, b):\n    return max([a, b])\n")
    (tmp_path / "test_adding.py").write_text(
        "from adding import add, most\n\ndef test():\n    assert add(1, 2) == most(3, 1)\n"
    )
    (tmp_path / "table.toml").write_text(TABLE)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def run(tree: Path, capsys: pytest.CaptureFixture[str], *names: str) -> tuple[int, dict, str]:
    code = main([*names, "--tree", str(tree), "--table", str(tree / "table.toml")])
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    return code, json.loads(lines[-1]) if lines else {}, captured.err


def test_a_mutant_that_no_test_notices_survives_unless_it_is_argued_to_be_equivalent(tree, capsys):
    before = (tree / "adding.py").read_text()
    code, result, _ = run(tree, capsys)
    assert code == 0
    assert (result["killed"], result["equivalent"], result["survived"]) == (1, 1, 0)
    assert (tree / "adding.py").read_text() == before
    table = tree / "table.toml"
    table.write_text(table.read_text().replace('equivalent = "REASON"\n', ""))
    code, result, _ = run(tree, capsys, "order")
    assert code == 1
    assert [one["name"] for one in result["wrong"]] == ["order"]


def test_a_table_that_does_not_fit_the_tree_and_tests_that_fail_anyway_are_errors(tree, capsys):
    source = tree / "adding.py"
    source.write_text(source.read_text().replace("a + b", "b + a"))
    code, _, said = run(tree, capsys)
    assert code == 2
    assert "sum: adding.py has 0 places with 'a + b', not one" in said
    source.write_text(source.read_text().replace("b + a", "a + b + 1"))
    code, _, said = run(tree, capsys)
    assert code == 2
    assert "do not pass on the unchanged tree (exit code 1)" in said


def test_a_text_that_is_there_twice_is_no_mutant():
    twice = Mutant(name="twice", file="a.py", old="x", new="y", tests=["t.py"])
    with pytest.raises(MutantError, match="has 2 places"):
        mutate("x = x", twice)
