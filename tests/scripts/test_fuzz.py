"""A small share of what `python scripts/research/fuzz_audio.py` does."""

from __future__ import annotations

import sys

from ..conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "scripts" / "research"))

from fuzz_audio import fuzz, write_seeds


def test_hundreds_of_damaged_recordings_each_end_in_a_text_or_an_error(tmp_path):
    tally = fuzz(600, seed=11, folder=tmp_path, keep=tmp_path / "kept", timeout=20)
    assert (tally.inputs, tally.lost) == (600, 0)
    assert tally.texts + tally.refused == 600, tally.reasons
    assert tally.texts > 100
    assert not any("cannot be decoded" in reason for reason in tally.reasons), tally.reasons


def test_undamaged_seeds_of_every_format_are_texts(tmp_path):
    from asr.audio.load import load_audio

    for path in write_seeds(tmp_path):
        assert len(load_audio(path, sample_rate=16000)) > 3000, path
