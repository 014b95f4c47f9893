"""A causal model over a stream, against the same model over the whole of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from asr import AutoConfig, ConfigError, GreedyConfig, LiveConfig, Session, Transcriber, load_bundle
from asr.acoustic.network import weight_shapes
from asr.acoustic.onnx_export import export_onnx
from asr.audio.features import LogMel
from asr.audio.load import load_audio
from asr.bundle import Bundle, save_bundle
from asr.recognition.carried_state import CarriedState
from asr.recognition.sliding_window import SampleBuffer
from asr.settings.features import FeatureConfig, Normalization
from asr.settings.model import EngineKind, ModelConfig
from asr.settings.text import NormalizerConfig
from asr.text.alphabet import Alphabet

from ..conftest import RATE, SAMPLES

ALPHABET = Alphabet(" 'abcdefghijklmnopqrstuvwxyz")
MODEL = ModelConfig(depth=2, units=8, projection=8, channels=2, bidirectional=False, lookahead=3)
STEP = RATE // 25
DELAY = 6


def make_bundle(folder, normalization: Normalization = Normalization.running, **changes) -> Bundle:
    """Random weights whose output varies, and is blank often enough for segments to end."""
    features, rng = FeatureConfig(mels=16, normalization=normalization), np.random.default_rng(5)
    model = replace(MODEL, **changes)
    shapes = weight_shapes(model, mels=16, symbols=ALPHABET.size)
    weights = {name: rng.normal(0, 0.6, shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {name: np.ones_like(array) for name, array in weights.items() if name.endswith("gamma")}
    weights["symbols/kernel"] *= 4
    log_mel = replace(
        LogMel.from_librosa(features), mean=np.full(16, -9, np.float32), deviation=np.full(16, 4, np.float32)
    )

    def save() -> Bundle:
        settings = {"log_mel": log_mel, "normalizer": NormalizerConfig(), "alphabet": ALPHABET, "model": model}
        save_bundle(folder, weights=weights, **settings)
        return load_bundle(folder)

    samples = load_audio(sorted(SAMPLES.glob("*.opus"))[0], sample_rate=RATE)
    log_probs = save().causal_engine().run(log_mel(samples))
    weights["symbols/bias"] -= log_probs.mean(axis=0)
    weights["symbols/bias"][:2] += np.array([2, 1], np.float32) * log_probs.std(axis=0).max()
    return save()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("causal") / "bundle")


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return np.concatenate([load_audio(path, sample_rate=RATE) for path in sorted(SAMPLES.glob("*.opus"))[:2]])


def outputs(bundle: Bundle, samples: np.ndarray, interval: int = 3):
    """What comes when so many steps are run at a time."""
    stream = CarriedState(bundle.causal_engine(), bundle.log_mel, 4, slice(0, ALPHABET.size))
    buffer, found = SampleBuffer(), []
    for start in range(0, len(samples), interval * STEP):
        buffer.push(samples[start : start + interval * STEP])
        found.append(stream.run(buffer))
        buffer.drop_before(stream.first_sample)
    return [*found, stream.run(buffer, last=True)]


def finals(found) -> np.ndarray:
    position = 0
    for one in found:
        assert one.first_step == position
        position += one.final
    return np.concatenate([one.log_probs[: one.final] for one in found])


@pytest.mark.parametrize("interval", [1, 3, 25])
def test_the_final_output_of_a_stream_is_that_of_the_whole(bundle, speech, interval):
    found = outputs(bundle, speech, interval)
    expected = bundle.causal_engine().run(bundle.log_mel(speech))
    np.testing.assert_allclose(finals(found), expected, atol=2e-4)


def test_provisional_output_is_that_of_a_stream_that_ends_there(bundle, speech):
    """As far as frames have come: the analysis window of the last ones needs later samples."""
    found = outputs(bundle, speech)
    for number in (0, 5, 30):
        one = found[number]
        frames = bundle.log_mel(speech)[: (one.first_step + len(one.log_probs)) * 4]
        expected = bundle.causal_engine().run(frames)[one.first_step :]
        np.testing.assert_allclose(one.log_probs, expected, atol=2e-4)


def test_the_output_is_final_when_the_look_ahead_has_come(bundle, speech):
    known = 0
    for number, one in enumerate(outputs(bundle, speech[: 300 * STEP])[:-1], start=1):
        steps = 3 * number - 1  # of the last step, the analysis window needs the samples of the next
        known += one.final
        assert known in (max(0, steps - DELAY), max(0, steps + 1 - DELAY))
        assert one.first_step + len(one.log_probs) in (steps, steps + 1)
    assert known > 100


def test_after_digital_silence_the_model_begins_again(tmp_path, speech):
    """The model does not run on silence, and what follows has the output of a stream of its own."""
    plain = make_bundle(tmp_path / "plain", Normalization.corpus)
    part, silence = speech[: 75 * STEP], np.zeros(90 * STEP, np.float32)
    together = finals(outputs(plain, np.concatenate([part, silence, part])))
    np.testing.assert_allclose(together[:68], finals(outputs(plain, part))[:68], atol=1e-5)
    assert (together[75 + 30 : 75 + 89, 0] == 0).all()
    # The step before the sound comes with it: frames are computed when all of their samples are there.
    alone = finals(outputs(plain, np.concatenate([silence[:STEP], part])))
    np.testing.assert_allclose(together[75 + 89 :], alone, atol=1e-3)


def test_a_silent_stream_has_no_output_but_blanks(bundle):
    found = finals(outputs(bundle, np.zeros(3 * RATE, np.float32)))
    assert len(found) == 76
    assert (found[30:, 0] == 0).all()


def events_of(session, samples, cuts=()):
    events = [event for block in np.split(samples, list(cuts)) for event in session.push(block)]
    return events + session.finish()


@pytest.fixture(scope="module")
def transcriber(bundle):
    with Transcriber(bundle, decoder=GreedyConfig()) as transcriber:
        yield transcriber


def test_the_division_into_blocks_changes_no_event_of_a_causal_model(transcriber, speech, rng):
    whole = events_of(Session(transcriber), speech)
    assert {event.type for event in whole} == {"speech_started", "partial", "speech_ended", "final"}
    for cuts in (range(160, len(speech), 160), np.sort(rng.integers(0, len(speech), 100))):
        assert events_of(Session(transcriber), speech, cuts) == whole


def test_the_text_of_a_causal_model_is_final_without_a_second_pass(transcriber, speech, monkeypatch):
    """Its settled beginning never changes, and no segment is transcribed again."""
    monkeypatch.setattr("asr.recognition.session.StreamedRecording", lambda *_: pytest.fail("a second pass"))
    events = events_of(Session(transcriber), speech)
    settled, most = "", 0
    for event in events:
        if event.type in ("partial", "final"):
            assert event.text.startswith(settled)
            settled = event.text[: event.settled] if event.type == "partial" else ""
            most = max(most, len(settled))
    assert most > 0


def test_files_and_streams_run_one_graph(bundle, transcriber, speech):
    """That of the bundle: integers of 7 bits and their scales, so that live and whole give the same numbers."""
    assert transcriber.causal_engine is transcriber.engine
    frames = bundle.log_mel(speech)
    np.testing.assert_array_equal(bundle.engine().run(frames), bundle.causal_engine().run(frames))
    exact = bundle.engine(EngineKind.onnx_float32).run(frames)
    assert 0 < np.abs(np.exp(bundle.engine().run(frames)) - np.exp(exact)).mean() < 0.02


def test_a_causal_bundle_of_an_earlier_version_streams_too(bundle, speech, tmp_path):
    """Its graph runs whole utterances only, so one with carried state is made of its weights."""
    old = shutil.copytree(bundle.path, tmp_path / "old")
    graph = export_onnx(bundle.weights(), bundle.model, mels=16, symbols=ALPHABET.size)
    (old / "model.onnx").write_bytes(graph)
    card = json.loads((old / "bundle.json").read_bytes())
    card["digests"]["model.onnx"] = sha256(graph).hexdigest()
    (old / "bundle.json").write_text(json.dumps(card), "utf-8")
    read = load_bundle(old)
    frames = read.log_mel(speech)
    np.testing.assert_allclose(read.causal_engine().run(frames), read.engine().run(frames), atol=2e-4)
    with Transcriber(read) as transcriber:
        assert transcriber.causal_engine is not transcriber.engine


def test_another_bundle_decodes_complete_segments_again(transcriber, speech):
    live = LiveConfig(second_bundle="tiny")
    found = [event for event in events_of(Session(transcriber, live=live), speech) if event.type == "final"]
    assert found
    with Transcriber(load_bundle("tiny")) as second:
        for final in found:
            samples = speech[round(final.start * RATE) : round(final.end * RATE)]
            assert final.text == second.transcribe_samples(samples).text


def test_a_second_bundle_for_another_sample_rate_is_refused(transcriber, tmp_path):
    bundle = make_bundle(tmp_path / "other")
    features = replace(bundle.log_mel.settings, sample_rate=8000, fmax=4000)
    save_bundle(
        tmp_path / "narrow",
        weights=bundle.weights(),
        log_mel=replace(LogMel.from_librosa(features), mean=bundle.log_mel.mean, deviation=bundle.log_mel.deviation),
        normalizer=bundle.normalizer,
        alphabet=bundle.alphabet,
        model=bundle.model,
    )
    with pytest.raises(ConfigError, match=r"live\.second_bundle=.*narrow is for 8000 Hz, and .* for 16000 Hz"):
        Session(transcriber, live=LiveConfig(second_bundle=str(tmp_path / "narrow")))


def test_a_causal_model_that_is_normalised_by_the_utterance_runs_over_a_window(tmp_path, speech):
    bundle = make_bundle(tmp_path / "utterance", Normalization.utterance)
    with Transcriber(bundle, decoder=AutoConfig()) as transcriber:
        assert transcriber.causal_engine is None
        assert events_of(Session(transcriber), speech[: 2 * RATE]) is not None


def test_a_bidirectional_bundle_has_no_engine_with_carried_state():
    with pytest.raises(ValueError, match=r"model\.bidirectional=false"):
        load_bundle("tiny").causal_engine()
