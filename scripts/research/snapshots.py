"""Reads the files of a copy of a git repository, with or without a work tree."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path


def texts_of(snapshot: Path, *, folder: str = "", suffix: str = "") -> Iterator[str]:
    """The contents of the files below a folder; those that a snapshot lacks, its largest ones, are left out."""
    git = ["git", f"--git-dir={snapshot / '.git' if (snapshot / '.git').is_dir() else snapshot}"]
    tree = [*git, "ls-tree", "-r", "HEAD", *([folder] if folder else [])]
    listed = subprocess.run(tree, capture_output=True, text=True, check=True).stdout
    blobs = [line.split()[2] for line in listed.splitlines() if line.rstrip('"').endswith(suffix)]
    with subprocess.Popen([*git, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin
        assert cat.stdout
        for blob in blobs:
            cat.stdin.write(blob.encode() + b"\n")
            cat.stdin.flush()
            head = cat.stdout.readline().split()
            if head[-1] != b"missing":
                yield cat.stdout.read(int(head[2]) + 1)[:-1].decode("utf-8", "replace").replace("\r\n", "\n")
        cat.stdin.close()
