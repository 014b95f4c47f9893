from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile

import asr
from asr.bundle import load_bundle, save_bundle
from asr.corpus.manifest import read_manifest
from asr.decoding import make_decoder
from asr.errors import AudioError
from asr.language.ngram_file import save_ngram
from asr.recognition.acoustic_output import AcousticOutput
from asr.recognition.joining import decode_recordings
from asr.recognition.transcriber import Transcriber
from asr.recognition.windows import Stretch
from asr.settings.decoding import BeamConfig, GreedyConfig
from asr.text.transcript import Transcript

from ..conftest import RATE, SAMPLES, SHARED_SPEECH
from ..decoding.conftest import SENTENCES
from ..decoding.conftest import train as train_model

SAMPLE_PATHS = sorted(SAMPLES.glob("*.opus"))


class Speller:
    """An acoustic model that says "ab" in every window, at steps 2 and 5."""

    def run(self, frames):
        steps = np.full((-(-len(frames) // 4), 29), -20.0, np.float32)
        steps[:, 0] = 0
        for step, number in ((2, 3), (5, 4)):
            steps[step, [0, number]] = steps[step, [number, 0]]
        return steps - np.log(np.exp(steps).sum(axis=1, keepdims=True))


@pytest.fixture
def transcriber(tiny_bundle) -> Transcriber:
    return Transcriber(load_bundle(tiny_bundle))


def test_a_recording_has_one_text_alone_with_others_and_in_any_order(transcriber):
    alone = {path: transcriber.transcribe(path).text for path in SAMPLE_PATHS}
    assert any(alone.values())
    for paths in (SAMPLE_PATHS, SAMPLE_PATHS[::-1], SAMPLE_PATHS * 3):
        for path, result in zip(paths, transcriber.transcribe_files(paths), strict=True):
            assert isinstance(result, Transcript)
            assert (result.path, result.text) == (str(path), alone[path])


def test_of_two_outputs_the_second_is_for_a_language_model_and_the_first_for_all_else(tiny_bundle, tmp_path, rng):
    one = load_bundle(tiny_bundle)
    weights = one.weights()
    for name in ("kernel", "bias"):
        weights[f"symbols_mmi/{name}"] = np.zeros_like(weights[f"symbols/{name}"])
    save_bundle(
        tmp_path / "two", weights=weights, log_mel=one.log_mel, normalizer=one.normalizer, alphabet=one.alphabet,
        model=replace(one.model, mmi_output=True),
    )  # fmt: skip
    two = load_bundle(tmp_path / "two")
    save_ngram(tmp_path / "pets.lm", train_model(SENTENCES))
    samples = 0.1 * rng.standard_normal(RATE).astype(np.float32)
    expected = Transcriber(one, decoder=GreedyConfig()).run_model_on_samples(samples).log_probs()
    for decoder in (GreedyConfig(), BeamConfig()):
        found = Transcriber(two, decoder=decoder).run_model_on_samples(samples).log_probs()
        np.testing.assert_allclose(found, expected, atol=1e-5)
    output = Transcriber(two, decoder=BeamConfig(lm=str(tmp_path / "pets.lm"))).run_model_on_samples(samples)
    np.testing.assert_allclose(output.log_probs(), -np.log(two.alphabet.size), atol=1e-5)


def test_an_unreadable_recording_does_not_keep_the_rest_back(transcriber, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF nonsense")
    results = list(transcriber.transcribe_files([SAMPLE_PATHS[0], broken, SAMPLE_PATHS[1], tmp_path / "none.wav"]))
    assert [type(one) for one in results] == [Transcript, AudioError, Transcript, AudioError]
    with pytest.raises(AudioError, match=r"broken\.wav"):
        transcriber.transcribe(broken)


def test_errors_are_raised_in_their_place_by_choice(transcriber, tmp_path):
    good, bad = SAMPLES / "422-122949-0004.opus", tmp_path / "none.wav"
    results = transcriber.transcribe_files([good, bad, good], errors="raise")
    assert next(results) == transcriber.transcribe(good)
    with pytest.raises(AudioError, match=r"none\.wav"):
        next(results)
    with pytest.raises(ValueError, match="errors='ignore': it must be 'raise' or 'return'"):
        transcriber.transcribe_files([], errors="ignore")


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


def test_a_long_recordings_alternatives_differ_in_one_stretch_or_another(tiny_bundle, rng):
    class Doubtful:
        """Says "ab", or perhaps "ac", two seconds and a half into every window."""

        def run(self, frames):
            probabilities = np.full((-(-len(frames) // 4), 29), 1e-9)
            probabilities[:, 0] = 1
            probabilities[60, [0, 3]] = 1e-9, 1
            probabilities[63, [0, 4, 5]] = 1e-9, 0.6, 0.4
            probabilities[70, [0, 1]] = 1e-9, 1
            return np.log(probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)

    transcriber = Transcriber(load_bundle(tiny_bundle), decoder=BeamConfig(beam_width=8, n_best=3), engine=Doubtful())
    noise = 0.1 * rng.standard_normal(60 * RATE).astype(np.float32)
    noise[38 * RATE : 46 * RATE] = 0  # parts the recording into two stretches
    transcript = transcriber.transcribe_samples(noise)
    count = len(transcript.text.split())
    assert count >= 2
    assert transcript.text == " ".join(["ab"] * count)
    assert len(transcript.alternatives) == 2
    assert all(sum(word != "ab" for word in one.split()) == 1 for one in transcript.alternatives)
    assert [word.text for word in transcript.words] == transcript.text.split()


def test_the_acoustic_output_is_decoded_as_it_is_transcribed(tiny_bundle, rng, tmp_path):
    bundle = load_bundle(tiny_bundle)
    speech = soundfile.read(SAMPLE_PATHS[0], dtype="float32")[0]
    long = np.concatenate([np.tile(speech, 8), np.zeros(20 * RATE, np.float32), speech])
    for decoder in (GreedyConfig(), BeamConfig(beam_width=4)):
        transcriber = Transcriber(bundle, decoder=decoder)
        output = transcriber.run_model_on_samples(long)
        ((best, *_),) = decode_recordings([output], make_decoder(bundle.alphabet, decoder))
        transcript = transcriber.transcribe_samples(long)
        assert " ".join(best.text.split()) == transcript.text
        assert len(best.steps) == len(best.log_probs) == len(best.text)
        assert list(best.steps) == sorted(best.steps)
        assert best.steps[0] * 0.04 == pytest.approx(transcript.words[0].start, abs=1e-3)
        assert best.steps[-1] < len(output.log_probs())


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_SPEECH.exists(), reason="needs the LibriSpeech recordings that only developers have")
@pytest.mark.parametrize(
    "decoder",
    [
        pytest.param(GreedyConfig(), id="greedy", marks=pytest.mark.thorough),
        pytest.param(BeamConfig(beam_width=8), id="beam"),
    ],
)
def test_texts_do_not_depend_on_order_neighbours_or_workers(decoder):
    bundle = asr.load_bundle("en")
    manifest = SHARED_SPEECH / "librispeech" / "dev-clean-heldout.jsonl"
    paths = [one.audio_path for one in read_manifest(manifest).utterances[::2]]
    shuffled = np.random.default_rng(0).permutation(len(paths))

    def texts(order, workers):
        transcriber = Transcriber(bundle, decoder=decoder, workers=workers)
        chosen = [paths[index] for index in order]
        return dict(zip(chosen, transcriber.transcribe_files(chosen), strict=True))

    together = texts(range(len(paths)), 2)
    assert texts(shuffled, 1) == together
    transcriber = Transcriber(bundle, decoder=decoder)
    assert all(transcriber.transcribe(paths[index]) == together[paths[index]] for index in range(0, len(paths), 10))


@pytest.mark.parametrize("method", ["transcribe_samples", "run_model_on_samples"])
@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.array([0.0, np.nan, 0.1], np.float32), "sample 1 is nan"),
        (np.array([0.0, 0.1, -np.inf]), "sample 2 is -inf"),
        (np.array([1e300, 0.0]), r"sample 0 is 1e\+300"),
        (np.zeros((100, 2), np.float32), r"an array of shape \(100, 2\): .* of one channel"),
        (np.float32(0.5), r"an array of shape \(\)"),
        (np.zeros(100, np.int16), r"an array of int16: wanted are floating-point numbers .*\(divide by 32768\)"),
        ([1, 2, 3], r"an array of int64: .*\(divide by 9223372036854775808\)"),
        (np.zeros(100, bool), "an array of bool: wanted are floating-point numbers"),
        (np.zeros(100, complex), "an array of complex128"),
        (np.array(["a"]), "an array of <U1"),
        (np.array([None]), "an array of object"),
    ],
)
def test_what_are_no_samples_is_refused(transcriber, method, samples, message):
    with pytest.raises(AudioError, match=message):
        getattr(transcriber, method)(samples)


def test_samples_may_be_of_any_floating_point_type(transcriber):
    samples = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    text = transcriber.transcribe_samples(samples).text
    assert transcriber.transcribe_samples(samples.astype(np.float64)).text == text
    assert transcriber.transcribe_samples(samples.tolist()).text == text
    assert transcriber.transcribe_samples([]).text == ""


def test_silence_between_stretches_takes_no_memory():
    steps = np.log(np.full((3, 4), 0.25, np.float32))
    output = AcousticOutput("", 4.0, (Stretch(2, steps), Stretch(1_000_000, steps)))
    blocks = output.blocks()
    assert [len(one) for one in blocks] == [2, 3, 999_995, 3]
    assert blocks[2].strides[0] == 0
    short = replace(output, stretches=(Stretch(2, steps), Stretch(7, steps)))
    expected = np.full((10, 4), -np.inf, np.float32)
    expected[:, 0] = 0
    expected[2:5] = expected[7:10] = steps
    np.testing.assert_array_equal(short.log_probs(), expected)
    assert AcousticOutput("", 1.0, ()).log_probs().shape == (0, 1)


class Counting:
    """Another acoustic model, with a count of its calls."""

    def __init__(self, model):
        self.model, self.calls = model, 0

    def run(self, frames):
        self.calls += 1
        return self.model.run(frames)


def test_one_pass_gives_the_texts_of_every_decoder_the_output_and_the_frames(tiny_bundle, tmp_path, write_audio):
    bundle = load_bundle(tiny_bundle)
    engine = Counting(bundle.engine())
    decoders = (BeamConfig(beam_width=4), GreedyConfig())
    first, second = (Transcriber(bundle, decoder=one, engine=engine) for one in decoders)
    long = write_audio("long.wav", seconds=80)
    paths = [SAMPLE_PATHS[0], tmp_path / "none.wav", long, *SAMPLE_PATHS[1:3]]
    expected = [list(one.transcribe_files(paths)) for one in (first, second)]
    output = list(first.run_model_on_files(paths))
    calls = engine.calls // 3
    engine.calls = 0
    results = list(first.recognize_files(paths, others=[second], frame_seconds=60))
    assert engine.calls == calls
    assert isinstance(results[1], AudioError)
    for place in (0, 2, 3, 4):
        assert results[place].transcripts == tuple(one[place] for one in expected)
        np.testing.assert_array_equal(results[place].acoustic_output.log_probs(), output[place].log_probs())
    assert results[2].frames is None  # longer than 60 seconds
    assert first.decoding_core_seconds > second.decoding_core_seconds > 0


@pytest.mark.parametrize("seconds", [0.01, 3.0, 47.3])
def test_the_frames_of_windows_are_those_of_the_whole_recording(tiny_bundle, write_audio, seconds):
    bundle = load_bundle(tiny_bundle)
    samples = 0.1 * np.random.default_rng(3).standard_normal(int(seconds * RATE)).astype(np.float32)
    samples[len(samples) // 3 : len(samples) // 2] = 0
    path = write_audio("a.wav", samples, subtype="FLOAT")
    (result,) = Transcriber(bundle).recognize_files([path], frame_seconds=60)
    np.testing.assert_array_equal(result.frames, bundle.log_mel.log_mel(samples))
    (result,) = Transcriber(bundle).recognize_files([path])
    assert result.frames is None
