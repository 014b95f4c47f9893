"""Breaks the code on purpose, one small change at a time, and runs the tests that must notice.

    python scripts/research/mutants.py                 # all of mutants.toml
    python scripts/research/mutants.py beam.py ngram   # those whose file or name holds one of these

Each mutant is applied to a copy of the tree; the tree itself is never touched. First the tests must pass on an
unchanged copy. Exit code 1 if a mutant survives that is not argued to be equivalent, or one dies that is. The last line
printed is the result as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("mutants.toml")
_PASSED, _FAILED = 0, 1
"""exit codes of pytest; all others are errors of the run itself"""


class MutantError(Exception):
    """A table that does not fit the tree, or tests that cannot run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change that tests must notice."""

    name: str
    file: str
    old: str
    """is in the file exactly once"""
    new: str
    tests: list[str]
    """what pytest is given"""
    equivalent: str | None = None
    """why no test can notice, if none can"""


@dataclass(frozen=True, slots=True)
class Result:
    """What the tests said of a mutant."""

    name: str
    file: str
    outcome: str
    """killed, survived, timed out or equivalent"""
    seconds: float


def read_mutants(path: Path = TABLE) -> list[Mutant]:
    """The table of mutants."""
    return [Mutant(**row) for row in tomllib.loads(path.read_text("utf-8"))["mutant"]]


def mutate(content: str, mutant: Mutant) -> str:
    """The content of the mutant's file, changed.

    Raises
    ------
    MutantError
        If the old text is not there exactly once.
    """
    count = content.count(mutant.old)
    if count != 1:
        raise MutantError(f"{mutant.name}: {mutant.file} has {count} places with {mutant.old!r}, not one")
    return content.replace(mutant.old, mutant.new)


def copy_tree(source: Path, target: Path) -> None:
    """Copy what git knows of a tree, and what is new in it."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source, capture_output=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, os.fsdecode(listing).split("\0")):
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


def run_tests(tree: Path, tests: Sequence[str], seconds: float) -> tuple[int | None, str]:
    """pytest's exit code in a tree (None if it took too long), and what it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=tree, env=os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return None, ""
    return process.returncode, output


def check(tree: Path, mutant: Mutant, seconds: float) -> Result:
    """Run a mutant's tests on it, in a tree that is as it was afterwards.

    Raises
    ------
    MutantError
        If the old text is not found, or pytest itself fails.
    """
    path = tree / mutant.file
    original = path.read_text("utf-8")
    path.write_text(mutate(original, mutant), "utf-8")
    started = time.monotonic()
    try:
        code, output = run_tests(tree, mutant.tests, seconds)
    finally:
        path.write_text(original, "utf-8")
    if code not in (None, _PASSED, _FAILED):
        raise MutantError(f"{mutant.name}: pytest ended with exit code {code}\n{output[-2000:]}")
    outcome = {None: "timed out", _FAILED: "killed", _PASSED: "equivalent" if mutant.equivalent else "survived"}[code]
    return Result(mutant.name, mutant.file, outcome, round(time.monotonic() - started, 1))


def run(mutants: Sequence[Mutant], source: Path, *, seconds: float) -> list[Result]:
    """Check mutants one by one in a copy of a tree, and print what becomes of each.

    Raises
    ------
    MutantError
        If an old text is not found, or tests fail without any mutant.
    """
    for mutant in mutants:
        mutate((source / mutant.file).read_text("utf-8"), mutant)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        copy_tree(source, tree)
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        code, output = run_tests(tree, tests, seconds * len(tests))
        if code != _PASSED:
            raise MutantError(f"the tests do not pass on the unchanged tree (exit code {code})\n{output[-2000:]}")
        results = []
        for mutant in mutants:
            result = check(tree, mutant, seconds)
            print(f"{result.outcome:10}  {result.seconds:6.1f} s  {mutant.file}: {mutant.name}", flush=True)
            results.append(result)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", help="parts of files or names; none for all")
    parser.add_argument("--seconds", type=float, default=300.0, help="limit for the tests of one mutant")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--tree", type=Path, default=REPOSITORY)
    settings = parser.parse_args(arguments)
    mutants = [
        one
        for one in read_mutants(settings.table)
        if not settings.patterns or any(part in f"{one.file} {one.name}" for part in settings.patterns)
    ]
    if not mutants:
        parser.error("no mutant of that name")
    try:
        results = run(mutants, settings.tree, seconds=settings.seconds)
    except MutantError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    argued = {one.name for one in mutants if one.equivalent}
    wrong = [one for one in results if one.outcome == "survived" or (one.outcome == "killed" and one.name in argued)]
    for one in wrong:
        print(f"{one.file}: {one.name}: {'argued to be equivalent, but killed' if one.name in argued else 'survived'}")
    outcomes = ("killed", "timed out", "survived", "equivalent")
    counts = {outcome: sum(one.outcome == outcome for one in results) for outcome in outcomes}
    print(json.dumps({"mutants": len(results), **counts, "wrong": [asdict(one) for one in wrong]}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
