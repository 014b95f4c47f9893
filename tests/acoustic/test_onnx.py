from __future__ import annotations

import numpy as np
import pytest

from asr.acoustic.model import read_weights
from asr.acoustic.onnx_engine import OnnxEngine
from asr.acoustic.onnx_export import export_onnx
from asr.config import ModelConfig
from asr.errors import BundleError

from .test_model import MELS, SYMBOLS, VARIANTS, alone, build


@pytest.mark.parametrize(
    "settings", VARIANTS, ids=lambda one: f"{one.front_end}-{one.cell}-{one.bidirectional}-{one.subsampling}"
)
def test_the_graph_equals_the_keras_model(tmp_path, rng, settings):
    model = build(settings)
    path = tmp_path / "model.onnx"
    path.write_bytes(export_onnx(read_weights(model), settings, mels=MELS, symbols=SYMBOLS))
    engine = OnnxEngine(path, settings)
    utterances = [rng.standard_normal((length, MELS)).astype(np.float32) for length in (33, 5, 18, 19, 1, 64)]
    together = engine.log_probs(utterances)
    for one, result in zip(utterances, together, strict=True):
        np.testing.assert_allclose(result, alone(model, one, settings), atol=1e-4)
        np.testing.assert_allclose(np.exp(result).sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(engine.log_probs([one])[0], result, atol=1e-5)


def test_no_utterances_give_no_results(tmp_path):
    settings = ModelConfig(depth=1, units=4, channels=2)
    path = tmp_path / "model.onnx"
    path.write_bytes(export_onnx(read_weights(build(settings)), settings, mels=MELS, symbols=SYMBOLS))
    assert OnnxEngine(path, settings).log_probs([]) == []


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(BundleError, match="ONNX Runtime cannot load"):
        OnnxEngine(path, ModelConfig())
