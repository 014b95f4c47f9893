"""A lexicon of a manifest, a text and a language model, and a model from letters to phones for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asr.pronunciation.g2p import G2p

from ..conftest import REPOSITORY


def run_script(name: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "research" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


@pytest.mark.slow
def test_a_model_that_the_script_trains_is_loaded_with_its_error_rates(tmp_path):
    rng = np.random.default_rng(0)
    words = {"".join(rng.choice(list("abd"), 4)) for _ in range(300)}
    phones = {"a": "AH", "b": "B", "d": "D"}
    lines = [f"{word} {' '.join(phones[letter] for letter in word)}\n" for word in sorted(words)]
    (tmp_path / "dictionary").write_text("".join(lines))
    options = ["--dictionary", tmp_path / "dictionary", "--epochs", "2", "--units", "8"]
    done = run_script("train_g2p.py", tmp_path / "g2p.npz", *options)
    assert done.returncode == 0, done.stderr
    assert "held-out words:" in done.stdout
    assert len(G2p.load(tmp_path / "g2p.npz").pronounce(["abba"])) == 1
