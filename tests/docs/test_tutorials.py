"""The tutorials, run as they are written, on miniature data."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asr.bundle import load_bundle

from ..conftest import REPOSITORY, SMOKE

pytestmark = pytest.mark.slow


def run_tutorial(name: str, folder: Path) -> str:
    """Run all shell blocks of a page, in a folder that has the repository's scripts; returns what they print."""
    page = (REPOSITORY / "docs" / name).read_text("utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert blocks
    (folder / "scripts").symlink_to(REPOSITORY / "scripts")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("speakers", [True, False], ids=["with speakers", "without speakers"])
def test_train_on_your_own_recordings(tmp_path, speakers):
    for part in ("train", "valid"):
        for line in (SMOKE / f"{part}.jsonl").read_text().splitlines():
            row = json.loads(line)
            source = SMOKE / row["audio_filepath"]
            folder = tmp_path / "recordings" / (row["speaker"] if speakers else ".")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / source.name)
            (folder / source.name).with_suffix(".txt").write_text(row["text"] + "\n")
    said = run_tutorial("train-on-your-own-recordings.md", tmp_path)
    held_out = re.search(r"held out for validation: \d+ utterances of (.*)", said)
    assert held_out
    assert re.fullmatch(r"\d speakers" if speakers else "the manifests, for want of speakers' names", held_out[1])
    assert "all weights kept" in said
    errors = [
        json.loads((tmp_path / name / "report.json").read_text())["systems"][0]["characters"]
        for name in ("before", "after")
    ]
    # The English model was trained on these recordings: there is next to nothing to gain, and nothing may be lost.
    assert errors[1]["rate"] <= errors[0]["rate"] + 0.03
    assert (tmp_path / "checkup" / "report.html").exists()
    assert len(list((tmp_path / "texts").rglob("*.json"))) == 80
    mine, english = load_bundle(tmp_path / "runs" / "mine" / "best"), load_bundle("en")
    assert mine.provenance["init"]["bundle"].endswith("en")
    assert any((array != english.weights()[name]).any() for name, array in mine.weights().items())
    assert mine.priors == english.priors


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_another_language_in_another_script(tmp_path):
    said = run_tutorial("another-language.md", tmp_path)
    assert said.count("output layer remade: 1 symbols kept") == 2  # the space
    for language, characters in (("greek", "έδκ"), ("hindi", "कछ")):
        bundle = load_bundle(tmp_path / "runs" / language / "best")
        assert set(characters) <= set(bundle.alphabet.symbols)
        assert "a" not in bundle.alphabet.symbols
        history = [
            json.loads(line) for line in (tmp_path / "runs" / language / "history.jsonl").read_text().splitlines()
        ]
        assert min(record["valid_cer"] for record in history) < 0.5
