"""A recurrent cell is described in few places; every builder and kernel reads them."""

from __future__ import annotations

import re

import keras
import numpy as np
import pytest

from asr.acoustic import onnx_check
from asr.acoustic.cells import CELLS, CellDescription
from asr.acoustic.keras_model import read_weights
from asr.acoustic.network import weight_shapes
from asr.acoustic.onnx_export import export_onnx, export_streaming_onnx
from asr.acoustic.rnn_kernels import cell_steps
from asr.acoustic.runtimes.onnx_graph import OnnxEngine, OnnxStreamingEngine
from asr.settings.model import Cell

from ..conftest import REPOSITORY
from .test_keras_model import MELS, SYMBOLS, alone, build, small


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_code_names_a_cell_in_at_most_four_files(cell):
    """The setting, the table and both steps; networks without a choice of cells are not counted."""
    # The name as code writes it, not as prose does.
    name = re.compile(rf"Cell\.{cell}\b|[\"']{cell}[\"']|{cell}Step|^\s+{cell} = ", re.IGNORECASE | re.MULTILINE)
    files = {
        path.relative_to(REPOSITORY / "asr").as_posix()
        for path in (REPOSITORY / "asr").rglob("*.py")
        if name.search(path.read_text("utf-8"))
    }
    files -= {"pronunciation/g2p_training.py", "training/tagger_network.py", "training/language_network.py"}
    files -= {"settings/language.py"}  # a kind of language model
    assert files == {
        "acoustic/cells.py",
        "acoustic/rnn_kernels/cell_steps.py",
        "export/tensorflow_network.py",
        "settings/model.py",
    }


ELMAN = CellDescription(
    gates=("candidate",),
    states=("hidden",),
    open_gates=("candidate",),
    onnx_operator="RNN",
    onnx_gates=("candidate",),
    fused_name="rnn_tanh",
    fused_gates=("candidate",),
)


class ElmanStep(cell_steps.Step):
    """J. Elman's network: the hyperbolic tangent of both products."""

    tensors_kept = 1

    def forward(self, projected, state, recurrent_kernel, bias):
        state = keras.ops.tanh(projected + keras.ops.matmul(state, recurrent_kernel) + bias)
        return state, state

    def backward(self, d_state, gates, state, state_before, recurrent_kernel_transposed):
        d_gates = d_state * (1 - gates * gates)
        return keras.ops.matmul(d_gates, recurrent_kernel_transposed), d_gates

    def split_gradient(self, d_gates):
        return d_gates, d_gates


def test_a_row_and_a_step_make_a_cell_of_every_builder(rng, monkeypatch):
    """A third cell in the place of another: in Keras, in ONNX, and in ONNX with carried state."""
    monkeypatch.setitem(CELLS, Cell.gru, ELMAN)
    monkeypatch.setitem(cell_steps.STEPS, Cell.gru, ElmanStep())
    monkeypatch.setattr(onnx_check, "OPERATORS", onnx_check.OPERATORS | {ELMAN.onnx_operator})
    # Units that no other test has: kernels are compiled once for each.
    settings = small(cell=Cell.gru, units=7, bidirectional=False)
    widths = {"mels": MELS, "symbols": SYMBOLS}
    model = build(settings)
    weights = read_weights(model)
    assert {name: array.shape for name, array in weights.items()} == weight_shapes(settings, **widths)
    assert weights["recurrent_1/kernel"].shape == (1, 6, 7)
    np.testing.assert_allclose(weights["recurrent_1/bias"][0], [[1.05] * 7, [0.05] * 7], rtol=1e-6)
    frames = rng.standard_normal((22, MELS)).astype(np.float32)
    expected = alone(model, frames, settings)
    whole = OnnxEngine(export_onnx(weights, settings, **widths), settings, **widths, name="x")
    np.testing.assert_allclose(whole.run(frames), expected, atol=1e-4)
    streaming = OnnxStreamingEngine(export_streaming_onnx(weights, settings, **widths), settings, **widths, name="x")
    first, state = streaming.step(frames[:9])
    second, _ = streaming.step(frames[9:], state, last=True)
    np.testing.assert_allclose(np.concatenate([first, second]), expected, atol=1e-4)
