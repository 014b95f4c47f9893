"""NIST's sclite as an oracle: many utterances in one run."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..conftest import oracle

# Thousands of utterances are read from one file; none of its lines may be longer than sclite's buffers.
_SCORES = re.compile(r"^Scores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)
_IDS = re.compile(r"^id: \((.*)\)$", re.MULTILINE)

Counts = tuple[int, int, int, int]


def run_sclite(folder: Path, *arguments: str) -> str:
    """What sclite prints; the test is skipped where there is none."""
    done = subprocess.run(
        [oracle("sclite"), *arguments, "-f", "0", "-o", "pralign", "stdout"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    return done.stdout


def count_by_id(output: str) -> dict[str, Counts]:
    """Hits, substitutions, deletions and insertions of each utterance of an alignment report."""
    scores = [tuple(map(int, found)) for found in _SCORES.findall(output)]
    ids = _IDS.findall(output)
    assert len(ids) == len(scores) == len(set(ids))
    return dict(zip(ids, scores, strict=True))  # type: ignore[arg-type]


def score_by_sclite(folder: Path, references: Sequence[str], hypotheses: Sequence[str], *options: str) -> list[Counts]:
    for name, texts in (("ref", references), ("hyp", hypotheses)):
        lines = [f"{text} (s-{number:06d})\n" for number, text in enumerate(texts)]
        (folder / f"{name}.trn").write_text("".join(lines), "utf-8")
    output = run_sclite(folder, "-r", "ref.trn", "trn", "-h", "hyp.trn", "trn", "-i", "spu_id", *options)
    counts = count_by_id(output)
    return [counts[f"s-{number:06d}"] for number in range(len(references))]
