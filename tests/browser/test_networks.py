"""The networks in WebAssembly, in node: whole recordings and live streams, bidirectional and causal, as in Python."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asr.acoustic.network import weight_shapes
from asr.audio.features import LogMel
from asr.audio.load import load_audio
from asr.bundle import Bundle, copy_bundle, load_bundle, save_bundle
from asr.recognition.session import Session
from asr.recognition.transcriber import Transcriber
from asr.settings.features import Normalization
from asr.settings.model import EngineKind, ModelConfig

from ..conftest import RATE, SAMPLES
from .conftest import oracle_web_runtime, packed

pytestmark = pytest.mark.slow
SPEECH = [load_audio(path, sample_rate=RATE) for path in sorted(SAMPLES.glob("*.opus"))[:2]]
LIVE = np.concatenate([SPEECH[0], np.zeros(2 * RATE, np.float32), SPEECH[1], np.zeros(RATE // 2, np.float32)])


@pytest.fixture(scope="module")
def causal(tmp_path_factory) -> Bundle:
    """A causal model with random weights: it writes nonsense, the same every time."""
    rng = np.random.default_rng(5)
    tiny = load_bundle("tiny")
    settings = ModelConfig(bidirectional=False, depth=2, units=24, projection=0, channels=4, lookahead=2)
    shapes = weight_shapes(settings, mels=tiny.log_mel.settings.mels, symbols=tiny.alphabet.size)
    weights = {name: (0.5 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    mels = tiny.log_mel.settings.mels
    log_mel = LogMel(
        replace(tiny.log_mel.settings, normalization=Normalization.running),
        tiny.log_mel.matrix,
        np.full(mels, -9, np.float32),
        np.full(mels, 3, np.float32),
    )
    path = tmp_path_factory.mktemp("bundles") / "causal"
    # Compact, as `live` is: the weights that the page reads are then those of Python's graph with carried state.
    save_bundle(
        path,
        weights=weights,
        log_mel=log_mel,
        normalizer=tiny.normalizer,
        alphabet=tiny.alphabet,
        model=settings,
        compact=True,
    )
    return load_bundle(path)


@pytest.fixture(params=["tiny", "compact", "causal"])
def bundle(request, causal, tmp_path) -> Bundle:
    """`compact` has weights of 7 bits, which the page gets so."""
    if request.param == "causal":
        return causal
    tiny = load_bundle("tiny")
    if request.param == "compact":
        copy_bundle(tiny, tmp_path / "compact", compact=True)
        return load_bundle(tmp_path / "compact")
    return tiny


def transcriber_of(bundle: Bundle) -> Transcriber:
    return Transcriber(bundle, workers=1, engine=bundle.engine(EngineKind.onnx_float32))


def test_recordings_have_the_texts_of_python(run_engine, write_model, bundle):
    (found,) = run_engine(
        ("transcribe", {"model": write_model(bundle), "recordings": [packed(one) for one in SPEECH]}),
        runtime=oracle_web_runtime(),
    )
    with transcriber_of(bundle) as transcriber:
        for one, samples in zip(found, SPEECH, strict=True):
            transcript = transcriber.transcribe_samples(samples)
            assert one["text"] == transcript.text
            assert [(word["word"], word["start"], word["end"]) for word in one["words"]] == [
                (word.text, word.start, word.end) for word in transcript.words
            ]


def test_live_speech_has_the_events_of_python(run_engine, write_model, bundle):
    (found,) = run_engine(
        ("live", {"model": write_model(bundle), "samples": packed(LIVE)}), runtime=oracle_web_runtime()
    )
    with transcriber_of(bundle) as transcriber:
        session = Session(transcriber)
        events = [event for event in [*session.push(LIVE), *session.finish()] if event.type in ("partial", "final")]
    assert [(one["type"], one["text"], one["start"]) for one in found] == [
        (one.type, one.text, one.start) for one in events
    ]
    settled = [one["settled"] for one in found if one["type"] == "partial"]
    assert settled == [one.settled for one in events if one.type == "partial"]
    assert sum(one.type == "final" for one in events) >= 1
