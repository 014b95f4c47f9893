"""What identifies the settings of a transcript."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asr.bundle import load_bundle
from asr.cli.transcript_outputs import settings_digest
from asr.settings.commands import TranscribeConfig
from asr.settings.decoding import BeamConfig


@pytest.mark.parametrize("name", ["lm", "lexicon", "pronunciations", "g2p", "second_pass", "hotwords_file"])
def test_a_file_of_the_decoder_that_changed_makes_other_transcripts(
    tiny_bundle: Path, tmp_path: Path, name: str
) -> None:
    bundle, file = load_bundle(tiny_bundle), tmp_path / "file"
    file.write_text("owners OW1 N ER0 Z\n")

    def digest() -> str:
        return settings_digest(TranscribeConfig(decoder=BeamConfig(**{name: str(file)})), bundle)

    before = digest()
    assert digest() == before
    file.write_text("owners OW1 N ER0 Z\nhonours AA1 N ER0 Z\n")
    changed = digest()
    assert changed != before
    os.utime(file, (1, 1))
    assert digest() != changed


def test_the_file_of_the_model_of_punctuation_counts_too(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle, file = load_bundle(tiny_bundle), tmp_path / "punctuation.onnx"
    file.write_bytes(b"one")
    before = settings_digest(TranscribeConfig(punctuation=str(file)), bundle)
    file.write_bytes(b"other")
    assert settings_digest(TranscribeConfig(punctuation=str(file)), bundle) != before
