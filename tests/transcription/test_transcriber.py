from __future__ import annotations

import itertools

import numpy as np
import pytest
import soundfile

import asr
from asr.bundle import load_bundle
from asr.config import BeamConfig
from asr.errors import AudioError
from asr.transcription.transcriber import Transcriber, Transcript
from asr.transcription.windows import LONGEST_SECONDS, cut_windows, is_silent

from ..conftest import RATE, SAMPLES

SAMPLE_PATHS = sorted(SAMPLES.glob("*.opus"))


class Speller:
    """An acoustic model that says "ab" in every window, at steps 2 and 5."""

    def log_probs(self, utterances):
        results = []
        for frames in utterances:
            steps = np.full((-(-len(frames) // 4), 29), -20.0, np.float32)
            steps[:, 0] = 0
            for step, number in ((2, 3), (5, 4)):
                steps[step, [0, number]] = steps[step, [number, 0]]
            results.append(steps - np.log(np.exp(steps).sum(axis=1, keepdims=True)))
        return results


@pytest.fixture
def transcriber(tiny_bundle) -> Transcriber:
    return Transcriber(load_bundle(tiny_bundle))


def test_a_recording_has_one_text_alone_in_company_and_in_any_order(transcriber):
    alone = {path: transcriber.transcribe(path).text for path in SAMPLE_PATHS}
    assert any(alone.values())
    for paths in (SAMPLE_PATHS, SAMPLE_PATHS[::-1], SAMPLE_PATHS * 3):
        for path, result in zip(paths, transcriber.transcribe_files(paths), strict=True):
            assert isinstance(result, Transcript)
            assert (result.path, result.text) == (str(path), alone[path])


def test_an_unreadable_recording_does_not_keep_the_rest_back(transcriber, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF nonsense")
    results = list(transcriber.transcribe_files([SAMPLE_PATHS[0], broken, SAMPLE_PATHS[1], tmp_path / "none.wav"]))
    assert [type(one) for one in results] == [Transcript, AudioError, Transcript, AudioError]
    with pytest.raises(AudioError, match=r"broken\.wav"):
        transcriber.transcribe(broken)


def test_samples_from_memory_give_the_text_of_their_file(transcriber):
    path = SAMPLE_PATHS[0]
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    assert transcriber.transcribe_samples(samples).text == transcriber.transcribe(path).text


def test_words_have_times_within_the_recording(tiny_bundle):
    transcriber = Transcriber(load_bundle(tiny_bundle), engine=Speller())
    noise = 0.1 * np.random.default_rng(0).standard_normal(int(30 * RATE)).astype(np.float32)
    transcript = transcriber.transcribe_samples(noise)
    assert transcript.text == "ab ab"
    first, second = transcript.words
    assert (first.text, first.start, first.end) == ("ab", 0.08, 0.24)
    assert LONGEST_SECONDS / 3 < second.start < LONGEST_SECONDS + 0.1
    assert second.end - second.start == pytest.approx(0.16)


def test_silence_is_an_empty_text(transcriber):
    for samples in (np.zeros(3 * RATE, np.float32), np.zeros(0, np.float32), np.full(RATE, 1e-5, np.float32)):
        transcript = transcriber.transcribe_samples(samples)
        assert (transcript.text, transcript.words) == ("", ())


def test_very_short_recordings_are_transcribed(transcriber):
    for count in (1, 100, 161):
        assert isinstance(transcriber.transcribe_samples(np.full(count, 0.5, np.float32)).text, str)


def test_alternatives_are_distinct_and_follow_the_best(tiny_bundle):
    transcriber = Transcriber(load_bundle(tiny_bundle), decoder=BeamConfig(beam_width=8, n_best=4))
    transcript = transcriber.transcribe(SAMPLE_PATHS[0])
    assert 0 < len(transcript.alternatives) <= 3
    assert len({transcript.text, *transcript.alternatives}) == 1 + len(transcript.alternatives)


def test_windows_cover_everything_and_are_cut_where_it_is_quiet(rng):
    samples = rng.standard_normal(60 * RATE).astype(np.float32)
    pauses = [13.0, 27.5, 41.0, 52.0]
    for pause in pauses:
        samples[int(pause * RATE) : int((pause + 0.3) * RATE)] *= 0.01
    windows = cut_windows(samples, RATE)
    assert windows[0][0] == 0
    assert windows[-1][1] == len(samples)
    for (_, end), (start, _) in itertools.pairwise(windows):
        assert end == start
        assert any(pause <= end / RATE <= pause + 0.3 for pause in pauses)
    assert all(end - start <= LONGEST_SECONDS * RATE for start, end in windows)


def test_a_short_recording_is_one_window(rng):
    assert cut_windows(rng.standard_normal(RATE).astype(np.float32), RATE) == [(0, RATE)]
    assert cut_windows(np.zeros(0, np.float32), RATE) == [(0, 0)]
    assert is_silent(np.zeros(0, np.float32))


def test_the_python_interface_takes_a_path_and_a_bundle(tiny_bundle):
    bundle = asr.load_bundle(tiny_bundle)
    transcript = asr.transcribe(SAMPLE_PATHS[0], bundle=bundle)
    assert transcript.duration == pytest.approx(7.85, abs=0.01)
    assert transcript == asr.transcribe(SAMPLE_PATHS[0], bundle=str(tiny_bundle))
    assert asr.transcribe(SAMPLE_PATHS[0], bundle=bundle, decoder=asr.BeamConfig()).text
