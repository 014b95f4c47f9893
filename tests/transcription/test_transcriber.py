from __future__ import annotations

import numpy as np
import pytest
import soundfile

import asr
from asr.bundle import load_bundle
from asr.config import BeamConfig
from asr.errors import AudioError
from asr.transcription.transcriber import Transcriber, Transcript

from ..conftest import RATE, SAMPLES

SAMPLE_PATHS = sorted(SAMPLES.glob("*.opus"))


class Speller:
    """An acoustic model that says "ab" in every window, at steps 2 and 5."""

    def log_probs(self, frames):
        steps = np.full((-(-len(frames) // 4), 29), -20.0, np.float32)
        steps[:, 0] = 0
        for step, number in ((2, 3), (5, 4)):
            steps[step, [0, number]] = steps[step, [number, 0]]
        return steps - np.log(np.exp(steps).sum(axis=1, keepdims=True))


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
    assert [(word.text, word.start, word.end) for word in transcript.words] == [("ab", 0.08, 0.24)]
    short = transcriber.transcribe_samples(noise[: int(0.23 * RATE)])
    assert short.words[0].end == short.duration


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


def test_the_python_interface_takes_a_path_and_a_bundle(tiny_bundle):
    bundle = asr.load_bundle(tiny_bundle)
    transcript = asr.transcribe(SAMPLE_PATHS[0], bundle=bundle)
    assert transcript.duration == pytest.approx(7.85, abs=0.01)
    assert transcript == asr.transcribe(SAMPLE_PATHS[0], bundle=str(tiny_bundle))
    assert asr.transcribe(SAMPLE_PATHS[0], bundle=bundle, decoder=asr.BeamConfig()).text
