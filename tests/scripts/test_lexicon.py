"""A lexicon of a manifest, a text and a language model, and a model from letters to phones for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asr.language.ngram_file import save_ngram
from asr.language.ngram_training import tokenize, train_ngram
from asr.pronunciation.dictionary import read_dictionary
from asr.pronunciation.g2p import G2p, G2pSettings
from asr.settings.commands import LmConfig

from ..conftest import REPOSITORY


def run_script(name: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "research" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def test_a_lexicon_holds_the_words_of_all_its_inputs(tmp_path):
    (tmp_path / "dictionary").write_text("dog D AO G\nthe DH AH\nthe DH IY\n")
    (tmp_path / "m.jsonl").write_text(json.dumps({"audio_filepath": "a.wav", "text": "the dog's dog"}))
    (tmp_path / "text.txt").write_text("The dogs, b b b!\nzat\nrare\n")
    settings = LmConfig(order=2, min_count=1)
    save_ngram(tmp_path / "x.lm", train_ngram(tokenize(["the doglike dog"] * 9, settings), settings))
    weights = {name: np.ones(shape, np.float32) for name, shape in G2pSettings(units=4).shapes().items()}
    # Every step prefers phone 6, AY, to the blank: any word is one AY.
    weights["symbols/bias"] = np.tile(np.eye(1, 40, 6, dtype=np.float32)[0] * 9, 2)
    G2p(G2pSettings(units=4), weights).save(tmp_path / "g2p.npz")
    inputs = [tmp_path / name for name in ("m.jsonl", "text.txt", "x.lm")]
    options = ["--dictionary", tmp_path / "dictionary", "--g2p", tmp_path / "g2p.npz", "--most", "4"]
    done = run_script("make_lexicon.py", *inputs, *options, "--output", tmp_path / "lexicon.txt")
    assert done.returncode == 0, done.stderr
    # Of the text's words four are taken: "b", and the first three of those that occur once.
    assert dict(read_dictionary(tmp_path / "lexicon.txt")) == {
        "b": (("B", "IY"),),
        "dog": (("D", "AO", "G"),),
        "dog's": (("D", "AO", "G", "Z"),),
        "doglike": (("D", "AO", "G", "L", "AY", "K"),),
        "dogs": (("D", "AO", "G", "Z"),),
        "the": (("DH", "AH"), ("DH", "IY")),
        "zat": (("AY",),),
    }
    report = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "rule for an inflected word 3 words 2 running words (22.22%) dog's dogs doglike" in report
    assert "letters (G2P) 1 words 1 running words (11.11%) zat" in report


def test_what_is_wrong_with_a_lexicons_inputs_is_one_line(tmp_path):
    (tmp_path / "dictionary").write_text("dog\n")
    done = run_script(
        "make_lexicon.py", tmp_path / "dictionary", "--dictionary", tmp_path / "dictionary", "--output", "x"
    )
    assert done.returncode == 1
    assert done.stderr.strip().startswith(f"{tmp_path / 'dictionary'}:1: ")
    assert "Traceback" not in done.stderr


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
