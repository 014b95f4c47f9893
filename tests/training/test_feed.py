from __future__ import annotations

import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from asr.audio.augment import Augmenter
from asr.audio.features import LogMel
from asr.corpus.batching import PlannedBatch, Shape
from asr.corpus.manifest import read_manifest
from asr.errors import AudioError, TrainingError
from asr.settings.augment import AugmentConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.text.alphabet import Alphabet
from asr.training.examples import Examples
from asr.training.feed import Feed

from ..audio.planted import READER, WORKER
from ..conftest import SMOKE
from ..test_processes import is_gone

UTTERANCES = read_manifest(SMOKE / "valid.jsonl").utterances[:8]
JOBS = [(epoch, PlannedBatch((first, first + 1), Shape(3, 600, 70))) for epoch in range(2) for first in range(0, 8, 2)]


def examples(utterances=UTTERANCES) -> Examples:
    alphabet = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")
    extractor = LogMel.from_librosa(FeatureConfig(mels=16))
    return Examples(utterances, alphabet, extractor, ModelConfig(), augmenter=Augmenter(AugmentConfig(), 16000), seed=5)


@pytest.mark.parametrize("workers", [1, 3])
def test_processes_give_what_this_one_gives_in_order(workers):
    with (
        Feed(examples(), workers=0, fixed_shapes=True) as here,
        Feed(examples(), workers=workers, fixed_shapes=True) as there,
    ):
        pairs = list(zip(here.batches(JOBS), there.batches(JOBS), strict=True))
    assert len(pairs) == len(JOBS)
    for one, other in pairs:
        assert one.indices == other.indices
        assert one.batch.frames.shape == (3, 600, 16)
        np.testing.assert_array_equal(one.batch.frames, other.batch.frames)
        np.testing.assert_array_equal(one.batch.labels, other.batch.labels)


def test_a_feed_that_is_left_early_can_be_taken_up_again():
    with Feed(examples(), workers=1, fixed_shapes=False) as feed:
        first = next(feed.batches(JOBS))
        again = next(feed.batches(JOBS))
    np.testing.assert_array_equal(first.batch.frames, again.batch.frames)


def test_an_error_in_a_process_is_raised_here(tmp_path):
    gone = [replace(one, audio_path=tmp_path / "gone.wav") for one in UTTERANCES]
    with (
        Feed(examples(gone), workers=1, fixed_shapes=False) as feed,
        pytest.raises(AudioError, match="no such file") as info,
    ):
        next(feed.batches(JOBS))
    assert info.value.path == str(tmp_path / "gone.wav")


def test_a_process_that_dies_is_an_error_with_advice(monkeypatch):
    monkeypatch.setattr("asr.training.feed._WORKER", "tests.children:killed")
    with (
        Feed(examples(), workers=1, fixed_shapes=False) as feed,
        pytest.raises(
            TrainingError, match=r"has ended \(signal 9, Killed\): if memory ran out, lower training\.workers"
        ),
    ):
        next(feed.batches(JOBS))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("name", ["abort", "leave"])
def test_a_recording_that_crashes_the_decoder_is_left_out_by_name(monkeypatch, tmp_path, workers, name):
    monkeypatch.setattr("asr.audio.readers._READER", READER)
    monkeypatch.setattr("asr.audio.readers._shared", None)
    monkeypatch.setattr("asr.training.feed._WORKER", WORKER)
    shutil.copy(UTTERANCES[1].audio_path, tmp_path / f"{name}.flac")
    utterances = [UTTERANCES[0], replace(UTTERANCES[1], audio_path=tmp_path / f"{name}.flac"), *UTTERANCES[2:]]
    with Feed(examples(utterances), workers=workers, fixed_shapes=False) as feed:
        first, second, *_ = feed.batches(JOBS)
    assert first.indices == (0,)
    assert [line.partition(" (")[0] for line in first.left_out] == [
        f"{tmp_path / name}.flac: the decoder crashed on it"
    ]
    assert second.indices == (2, 3)


def test_waiting_is_measured():
    with Feed(examples(), workers=1, fixed_shapes=False) as feed:
        batches = feed.batches(JOBS)
        next(batches)
        started = feed.waited_seconds
        assert started > 0
        time.sleep(1.5)  # the next are ready by now
        next(batches)
        assert feed.waited_seconds - started < 0.05


def test_closing_ends_the_processes():
    feed = Feed(examples(), workers=2, fixed_shapes=False)
    pids = feed._workers.pids
    feed.close()
    assert len(pids) == 2
    assert all(map(is_gone, pids))
