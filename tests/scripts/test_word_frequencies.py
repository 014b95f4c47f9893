"""A language model of single words by their frequencies, made without the package that has them."""

from __future__ import annotations

import math

import pytest

from asr.language.arpa import read_arpa

from .test_lexicon import run_script


def test_the_most_frequent_words_become_a_model_of_their_shares(tmp_path):
    frequencies = {"the": 0.05, "video": 0.01, "3d": 0.01, "x": 0.01, "don't": 0.02, "café": 0.01, "rare": 1e-6}
    (tmp_path / "wordfreq.py").write_text(f"def get_frequency_dict(lang, wordlist):\n    return {frequencies}\n")
    outcome = run_script("word_frequencies.py", tmp_path / "w.arpa", "--most", "3", PYTHONPATH=str(tmp_path))
    assert outcome.returncode == 0, outcome.stderr
    model = read_arpa(tmp_path / "w.arpa")
    shares = {word: math.exp(model.log_probs[0][number]) for word, number in model.numbers.items()}
    assert {word for word, share in shares.items() if share > 1e-6} == {"the", "video", "don't"}
    assert shares["the"] == pytest.approx(5 / 8, rel=1e-3)
