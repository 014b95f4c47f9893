"""The tutorials, run as they are written, on miniature data."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from asr.bundle import load_bundle

from ..conftest import QUICK_BACKEND, REPOSITORY, SMOKE, oracle, oracle_module

pytestmark = pytest.mark.slow


def run_tutorial(name: str, folder: Path, replaced: dict[str, str] | None = None) -> str:
    """Run all shell blocks of a page, in a folder that has the repository's scripts; returns what they print."""
    page = (REPOSITORY / "docs" / name).read_text("utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert blocks
    script = "\n".join(blocks)
    for text, smaller in (replaced or {}).items():
        assert text in script
        script = script.replace(text, smaller)
    (folder / "scripts").symlink_to(REPOSITORY / "scripts")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    # XLA compiles as it does for a user, not as conftest.py has it.
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=plain | QUICK_BACKEND | {"PATH": path}, timeout=1500,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def smoke_utterances() -> list[tuple[Path, str]]:
    """Recording and text of the eighty utterances in the repository; the English model was trained on them."""
    rows = [
        json.loads(line) for part in ("train", "valid") for line in (SMOKE / f"{part}.jsonl").read_text().splitlines()
    ]
    return [(SMOKE / row["audio_filepath"], row["text"]) for row in rows]


DIGITS = {"one": "1", "two": "2", "eight": "8", "nine": "9"}


def as_people_write(text: str) -> str:
    """A text with capitals, punctuation and digits."""
    return " ".join(DIGITS.get(word, word) for word in text.split()).capitalize() + ".\n"


def errors_before_and_after(folder: Path) -> list[float]:
    """Character error rates of the shipped model and of the fine-tuned one."""
    return [
        json.loads((folder / name / "report.json").read_text())["systems"][0]["characters"]["rate"]
        for name in ("before", "after")
    ]


def check_what_the_tutorial_leaves(folder: Path, *, recordings: int) -> None:
    rows = [
        json.loads(line) for name in ("train", "test") for line in (folder / f"{name}.jsonl").read_text().splitlines()
    ]
    assert sorted(row["text"] for row in rows) == sorted(text for _, text in smoke_utterances()[:: 80 // recordings])
    assert (folder / "checkup" / "report.html").exists()
    assert len(list((folder / "texts").rglob("*.json"))) == recordings
    mine, english = load_bundle(folder / "runs" / "mine" / "best"), load_bundle("en")
    assert mine.provenance["init"]["bundle"].endswith("en")
    assert mine.priors == english.priors


def test_train_on_your_own_recordings_reduces_errors_on_new_voices(tmp_path):
    espeak = oracle("espeak-ng")
    voices = [f"en-us+{kind}{number}" for kind in "mf" for number in range(1, 5)]
    for number, (_, text) in enumerate(smoke_utterances()[::2]):
        folder = tmp_path / "recordings" / voices[number % len(voices)]
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([espeak, "-v", folder.name, "-w", folder / f"{number}.wav", text], check=True)
        (folder / f"{number}.txt").write_text(as_people_write(text))
    said = run_tutorial(
        "train-on-your-own-recordings.md",
        tmp_path,
        {"experiment=finetune ": "experiment=finetune training.epochs=8 "},
    )
    assert re.search(r"held out for validation: \d+ utterances of \d speakers?\n", said)
    assert "all weights kept" in said
    before, after = errors_before_and_after(tmp_path)
    assert after < 0.5 * before
    check_what_the_tutorial_leaves(tmp_path, recordings=40)
    english = load_bundle("en").weights()
    mine = load_bundle(tmp_path / "runs" / "mine" / "best").weights()
    assert any((array != english[name]).any() for name, array in mine.items())


@pytest.mark.thorough
def test_train_on_your_own_recordings_without_speakers(tmp_path):
    (tmp_path / "recordings").mkdir()
    for source, text in smoke_utterances()[::2]:
        shutil.copy(source, tmp_path / "recordings")
        (tmp_path / "recordings" / source.name).with_suffix(".txt").write_text(as_people_write(text))
    smaller = {"experiment=finetune ": "experiment=finetune training.epochs=4 "}
    said = run_tutorial("train-on-your-own-recordings.md", tmp_path, smaller)
    assert re.search(r"held out for validation: \d+ utterances of the manifests, which name too few speakers", said)
    assert "all weights kept" in said
    before, after = errors_before_and_after(tmp_path)
    # The English model knows these recordings: there is next to nothing to gain, and nothing may be lost.
    assert after <= before + 0.03
    check_what_the_tutorial_leaves(tmp_path, recordings=40)


@pytest.mark.thorough
def test_another_language_in_another_script(tmp_path):
    oracle("espeak-ng")
    said = run_tutorial("another-language.md", tmp_path, {"init=en ": "init=small "})
    assert said.count("output layer remade: 1 symbols kept") == 2  # the space
    for language, characters in (("greek", "έδκ"), ("hindi", "कछ")):
        bundle = load_bundle(tmp_path / "runs" / language / "best")
        assert set(characters) <= set(bundle.alphabet.symbols)
        assert "a" not in bundle.alphabet.symbols
        history = [
            json.loads(line) for line in (tmp_path / "runs" / language / "history.jsonl").read_text().splitlines()
        ]
        assert min(record["valid_cer"] for record in history) < 0.5


def test_an_hour_of_your_own_speech_with_capitals_and_digits(tmp_path):
    """With the small model, for two epochs: what is tested is the way, not the gain."""
    oracle_module("num2words")
    for number, (source, text) in enumerate(smoke_utterances()[:24]):
        folder = tmp_path / "recordings" / f"speaker{number % 4}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder)
        written = text.capitalize().replace(" one ", " 1 ").replace(" two ", " 2 ") + "."
        (folder / source.name).with_suffix(".txt").write_text(written + "\n")
    smaller = {"init=en ": "init=tiny training.epochs=2 ", "'against=[en]'": "against=[tiny]"}
    said = run_tutorial("an-hour-of-your-own-speech.md", tmp_path, smaller)
    assert re.search(r"this much speech shows differences from \d+\.\d+ points on", said)
    assert "model-index" in (tmp_path / "README-of-my-model.md").read_text()
    assert (tmp_path / "mine" / "bundle.json").read_bytes() == (
        tmp_path / "runs" / "mine" / "best" / "bundle.json"
    ).read_bytes()
    assert len(list((tmp_path / "texts").rglob("*.txt"))) == 24


def test_a_papers_table(tmp_path):
    (tmp_path / "data").symlink_to(REPOSITORY / "data")
    said = run_tutorial("a-papers-table.md", tmp_path)
    assert re.search(r"system +first +second +mean", said)
    assert r"\begin{tabular}{lrrr}" in said
    assert len((tmp_path / "paper" / "table.csv").read_text().splitlines()) == 7


@pytest.mark.thorough
def test_correct_and_learn_takes_errors_off_a_voice(tmp_path):
    espeak = oracle("espeak-ng")
    (tmp_path / "recordings").mkdir()
    texts = sorted({text for _, text in smoke_utterances()[::2]})  # the same text is the same sound
    for number, text in enumerate(texts):
        wave = tmp_path / "speech.wav"
        subprocess.run([espeak, "-v", "en-us+m3", "-w", wave, text], check=True)
        samples, rate = soundfile.read(wave)
        soundfile.write(tmp_path / "recordings" / f"{number:02}.flac", samples, rate)
        (tmp_path / "recordings" / f"{number:02}.txt").write_text(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    smaller = {
        "asr serve data_dir": f"asr serve port={port} workers=1 data_dir",
        ":8000": f":{port}",
        "init=en ": "init=small optimizer.learning_rate=1e-3 ",
        "against=[en]": "against=[small]",
    }
    said = run_tutorial("correct-and-learn.md", tmp_path, smaller)
    test = len(texts) // 5
    assert f'"recordings":{len(texts)},"train":{len(texts) - test},"test":{test},' in said
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    after, before = (one["characters"]["rate"] for one in report["systems"])
    assert after < 0.5 * before
