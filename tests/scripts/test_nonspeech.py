from __future__ import annotations

import subprocess
import sys

import numpy as np

from asr.audio.load import load_audio
from asr.corpus.manifest import read_manifest

from ..conftest import REPOSITORY, SAMPLES


def test_every_kind_of_sound_is_made_twice_alike_with_an_empty_text(tmp_path):
    contents = []
    for name in ("one", "two"):
        folder = tmp_path / name
        command = [sys.executable, str(REPOSITORY / "scripts/research/make_nonspeech.py"), str(folder), "--count", "16"]
        done = subprocess.run([*command, "--seconds", "0.5", "1"], capture_output=True, text=True, check=True)
        assert "16 recordings" in done.stdout
        reading = read_manifest(folder / "nonspeech.jsonl")
        assert reading.problems == []
        assert {one.text for one in reading.utterances} == {""}
        assert len({one.speaker for one in reading.utterances}) == 8
        assert not (folder / "babble.jsonl").exists()
        contents.append([load_audio(one.audio_path, sample_rate=16000) for one in reading.utterances])
    for one, other in zip(*contents, strict=True):
        np.testing.assert_array_equal(one, other)
        assert 0.04 < np.abs(one).max() <= 1


def test_a_babble_is_made_of_speech(tmp_path):
    command = [sys.executable, str(REPOSITORY / "scripts/research/make_nonspeech.py"), str(tmp_path), "--count", "3"]
    subprocess.run([*command, "--speech", str(SAMPLES / "samples.jsonl")], capture_output=True, check=True)
    babble = read_manifest(tmp_path / "babble.jsonl").utterances
    assert [one.id for one in babble] == ["babble-0000", "babble-0001", "babble-0002"]
    assert all(load_audio(one.audio_path, sample_rate=16000).std() > 0.005 for one in babble)
