"""A Git remote that holds a bundle, through the program git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from asr.errors import ConfigError


@contextmanager
def cloned(url: str, revision: str | None, *, new_branch: bool = False) -> Iterator[Path]:
    """A clone of the last commit in a temporary folder; links in it are plain files.

    Parameters
    ----------
    url : str
    revision : str, optional
        A branch or tag; the remote's own branch by default.
    new_branch : bool
        Whether the branch may be missing.

    Raises
    ------
    ConfigError
        If git is not installed, or cannot clone.
    """
    with TemporaryDirectory(prefix="asr-") as scratch:
        folder = Path(scratch) / "clone"
        command = ["clone", "--quiet", "--depth", "1", "-c", "core.symlinks=false", "-c", "core.autocrlf=false"]
        branch = ["--branch", revision] if revision else []
        if new_branch and revision and not _git(["ls-remote", "--heads", "--", url, revision], url).strip():
            branch = []
        _git([*command, *branch, "--", url, str(folder)], url)
        yield folder


def commit_and_push(folder: Path, names: Sequence[str], message: str, *, branch: str | None) -> None:
    """Commit files of a clone and push them; nothing happens if they did not change.

    Raises
    ------
    ConfigError
        If git refuses.
    """
    where = ["-C", str(folder)]
    _git([*where, "add", "--all", "--", *(name for name in names if _is_known(folder, name))], "git add")
    if not _git([*where, "status", "--porcelain", "--untracked-files=no"], "git status").strip():
        return
    identity = []
    if not _git([*where, "config", "--default", "", "--get", "user.email"], "git config").strip():
        identity = ["-c", "user.name=asr", "-c", "user.email=asr@localhost"]
    _git([*where, *identity, "commit", "--quiet", "--no-verify", "-m", message], "git commit")
    target = branch or _git([*where, "symbolic-ref", "--short", "HEAD"], "git symbolic-ref").strip()
    _git([*where, "push", "--quiet", "origin", f"HEAD:refs/heads/{target}"], "git push")


def _is_known(folder: Path, name: str) -> bool:
    """Whether git can add a file: it exists, or existed in the last commit."""
    return (folder / name).exists() or bool(_git(["-C", str(folder), "ls-files", "--", name], "git ls-files"))


def _git(arguments: Sequence[str], what: str) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    # Variables of a surrounding git command would select another repository.
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        environment.pop(name, None)
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise ConfigError("the address git+... needs git, which is not installed") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        reason = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
        raise ConfigError(f"{what}: {reason}")
    return done.stdout
