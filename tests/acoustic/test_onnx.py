from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from asr.acoustic.graph_arrays import Arithmetic, FloatWeights, graph_arrays
from asr.acoustic.keras_model import read_weights
from asr.acoustic.network import describe_network
from asr.acoustic.onnx_check import check_graph
from asr.acoustic.onnx_export import export_onnx, export_streaming_onnx
from asr.acoustic.runtimes.keras_network import KerasEngine
from asr.acoustic.runtimes.onnx_graph import Graph, OnnxEngine, OnnxStreamingEngine
from asr.bundle import load_bundle, shipped_bundles
from asr.errors import BundleError
from asr.settings.model import Cell, FrontEnd, ModelConfig

from .test_keras_model import MELS, SYMBOLS, VARIANTS, alone, build, small


@pytest.mark.parametrize(
    "settings", VARIANTS, ids=lambda one: f"{one.front_end}-{one.cell}-{one.bidirectional}-{one.subsampling}"
)
def test_the_graph_equals_the_keras_model(rng, settings):
    model = build(settings)
    engine = load(export_onnx(read_weights(model), settings, mels=MELS, symbols=SYMBOLS), settings)
    utterances = [rng.standard_normal((length, MELS)).astype(np.float32) for length in (33, 5, 18, 19, 1, 64)]
    for one in utterances:
        result = engine.run(one)
        np.testing.assert_allclose(result, alone(model, one, settings), atol=1e-4)
        np.testing.assert_allclose(np.exp(result).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    "settings", [ModelConfig(), ModelConfig(bidirectional=False, projection=0)], ids=["", "causal"]
)
def test_a_quantised_graph_has_a_quarter_of_the_size_and_nearly_the_same_results(rng, settings):
    model = build(settings)
    weights = read_weights(model)
    exact = export_onnx(weights, settings, mels=MELS, symbols=SYMBOLS)
    quantized = export_onnx(weights, settings, mels=MELS, symbols=SYMBOLS, quantized=True)
    assert len(quantized) < 0.27 * len(exact)
    for length in (1, 7, 300):
        frames = rng.standard_normal((length, MELS)).astype(np.float32)
        difference = np.exp(load(exact, settings).run(frames)) - np.exp(load(quantized, settings).run(frames))
        assert np.abs(difference).mean() < 0.01


@pytest.mark.parametrize("outputs", [1, 2])
def test_keras_and_onnx_are_one_interface(rng, outputs):
    settings = ModelConfig(depth=1, units=8, channels=2, mmi_output=outputs == 2)
    model = build(settings)
    engine = KerasEngine(model, settings)
    graph = load(export_onnx(read_weights(model), settings, mels=MELS, symbols=SYMBOLS), settings)
    for length in (1, 255, 256, 300):
        frames = rng.standard_normal((length, MELS)).astype(np.float32)
        np.testing.assert_allclose(engine.run(frames), graph.run(frames), atol=1e-4)
        each = np.exp(graph.run(frames)).reshape(-1, outputs, SYMBOLS)
        np.testing.assert_allclose(each.sum(axis=-1), 1, atol=1e-5)
        assert outputs == 1 or not np.allclose(each[:, 0], each[:, 1], atol=1e-3)


CAUSAL = [
    small(bidirectional=False, cell=Cell.lstm),
    small(bidirectional=False, cell=Cell.gru, kernel=5, subsampling=2),
    small(bidirectional=False, cell=Cell.lstm, front_end=FrontEnd.stack, subsampling=3),
    small(bidirectional=False, cell=Cell.gru, front_end=FrontEnd.stack, mmi_output=True),
    small(bidirectional=False, kernel=1, subsampling=8, projection=0),
    small(bidirectional=False, subsampling=1, layer_normalization=False),
    small(bidirectional=False, lookahead=2),
    small(bidirectional=False, lookahead=3, depth=1, kernel=5, subsampling=2, cell=Cell.gru),
    small(bidirectional=False, lookahead=1, front_end=FrontEnd.stack, subsampling=3),
]


def load_streaming(settings: ModelConfig, **changes) -> OnnxStreamingEngine:
    graph = export_streaming_onnx(read_weights(build(settings)), settings, mels=MELS, symbols=SYMBOLS)
    widths = {"mels": MELS, "symbols": settings.outputs * SYMBOLS} | changes
    return OnnxStreamingEngine(graph, settings, name="causal.onnx", **widths)


@pytest.mark.parametrize(
    "settings", CAUSAL, ids=lambda one: f"{one.front_end}-{one.cell}-{one.kernel}-{one.subsampling}-{one.lookahead}"
)
def test_blocks_of_any_sizes_give_the_log_probabilities_of_the_whole(rng, settings):
    """Frame by frame, in random blocks (empty ones too), and in one; against the graph for whole utterances."""
    whole = load(export_onnx(read_weights(build(settings)), settings, mels=MELS, symbols=SYMBOLS), settings)
    streaming = load_streaming(settings)
    for length in (1, 2, 16, 17, 30, 31):
        frames = rng.standard_normal((length, MELS)).astype(np.float32)
        expected = whole.run(frames)
        np.testing.assert_allclose(streaming.run(frames), expected, atol=1e-5)
        for cuts in (np.arange(1, length), np.sort(rng.integers(0, length + 1, 5)), [length]):
            blocks, state, results = np.split(frames, cuts), None, []
            for number, block in enumerate(blocks, start=1):
                log_probs, state = streaming.step(block, state, last=number == len(blocks))
                results.append(log_probs)
            np.testing.assert_allclose(np.concatenate(results), expected, atol=1e-5)


@pytest.mark.parametrize("cell", Cell)
def test_a_quantised_graph_with_carried_state_computes_in_float32_whatever_the_blocks(rng, cell):
    """It equals the graph in float32 of what these stand for, and blocks are invisible."""
    settings = small(bidirectional=False, lookahead=2, cell=cell, units=64, projection=48)
    weights = read_weights(build(settings))
    export = partial(export_streaming_onnx, settings=settings, mels=MELS, symbols=SYMBOLS)
    content, exact = export(weights, quantized=True), export(weights)
    check_graph(content, "causal.onnx")
    assert len(content) < 0.4 * len(exact)  # of a network this small, much is no weight of a large product
    rounded = dict(weights)
    for name, array in weights.items():
        if (name.endswith("kernel") and "recurrent" in name and "context" not in name) or "projection/kernel" in name:
            scale = np.abs(array).max(axis=-2, keepdims=True) / 64
            rounded[name] = (np.rint(array / scale) * scale).astype(np.float32)
    assert any(np.abs(rounded[name] - weights[name]).max() > 1e-4 for name in weights)
    quantized = OnnxStreamingEngine(content, settings, mels=MELS, symbols=SYMBOLS, name="causal.onnx")
    expected = OnnxStreamingEngine(export(rounded), settings, mels=MELS, symbols=SYMBOLS, name="causal.onnx")
    frames = rng.standard_normal((61, MELS)).astype(np.float32)
    np.testing.assert_allclose(quantized.run(frames), expected.run(frames), atol=1e-5)
    state, results = None, []
    for number, block in enumerate(np.split(frames, [1, 9, 30]), start=1):
        log_probs, state = quantized.step(block, state, last=number == 4)
        results.append(log_probs)
    np.testing.assert_allclose(np.concatenate(results), quantized.run(frames), atol=1e-5)


def test_a_step_comes_as_soon_as_its_frames_are_there(rng):
    streaming, state, counts = load_streaming(CAUSAL[0]), None, []
    for frame in rng.standard_normal((9, 1, MELS)).astype(np.float32):
        log_probs, state = streaming.step(frame, state)
        counts.append(len(log_probs))
    assert counts == [0, 0, 0, 1, 0, 0, 0, 1, 0]


def test_a_step_with_a_look_ahead_comes_as_many_steps_later(rng):
    streaming, state, counts = load_streaming(small(bidirectional=False, lookahead=1)), None, []
    for block in rng.standard_normal((5, 4, MELS)).astype(np.float32):
        log_probs, state = streaming.step(block, state, last=len(counts) == 4)
        counts.append(len(log_probs))
    assert counts == [0, 0, 1, 1, 3]


def test_a_state_can_be_used_again_and_belongs_to_one_utterance(rng):
    streaming = load_streaming(CAUSAL[0])
    first, one, other = rng.standard_normal((3, 10, MELS)).astype(np.float32)
    _, state = streaming.step(first)
    expected = streaming.step(one, state, last=True)[0]
    streaming.step(other, state)
    np.testing.assert_array_equal(streaming.step(one, state, last=True)[0], expected)
    assert np.abs(streaming.step(one, last=True)[0] - expected[: len(one) // 4 + 1]).max() > 1e-3


def test_a_bidirectional_model_carries_no_state():
    with pytest.raises(ValueError, match=r"train one with model\.bidirectional=false"):
        export_streaming_onnx(read_weights(build(small())), small(), mels=MELS, symbols=SYMBOLS)


def test_a_streaming_engine_refuses_graphs_without_a_state_and_of_other_widths():
    settings = CAUSAL[0]
    graph = export_onnx(read_weights(build(settings)), settings, mels=MELS, symbols=SYMBOLS)
    with pytest.raises(BundleError, match=r"causal\.onnx: not a causal model's graph with carried state"):
        OnnxStreamingEngine(graph, settings, mels=MELS, symbols=SYMBOLS, name="causal.onnx")
    with pytest.raises(BundleError, match=f"frames of {MELS + 1} bands"):
        load_streaming(settings, mels=MELS + 1)
    with pytest.raises(BundleError, match="not a graph for whole utterances"):
        load(export_streaming_onnx(read_weights(build(settings)), settings, mels=MELS, symbols=SYMBOLS), settings)


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize(
    "settings", VARIANTS, ids=lambda one: f"{one.front_end}-{one.cell}-{one.bidirectional}-{one.subsampling}"
)
def test_a_structure_with_its_arrays_is_the_graph(rng, settings, quantized):
    """Bit by bit, of both kinds of graphs; all of them are valid by the checker of ONNX."""
    weights = read_weights(build(settings))
    frames = rng.standard_normal((1, 8 * settings.subsampling, MELS)).astype(np.float32)
    kinds = [(export_onnx, Arithmetic.integers if quantized else Arithmetic.floats)]
    if not settings.bidirectional:
        kinds.append((export_streaming_onnx, Arithmetic.stored_integers if quantized else Arithmetic.floats))
    for export, arithmetic in kinds:
        whole = export(weights, settings, mels=MELS, symbols=SYMBOLS, quantized=quantized)
        structure = export(weights, settings, mels=MELS, symbols=SYMBOLS, quantized=quantized, structure=True)
        assert len(structure) < 30_000
        onnx.checker.check_model(whole, full_check=False)
        layers = describe_network(settings, mels=MELS, symbols=SYMBOLS)
        arrays = graph_arrays(layers, FloatWeights(weights), arithmetic)
        expected, found = Graph(whole, "whole"), Graph(structure, "structure", arrays)
        inputs = {
            name: np.zeros([1, *shape[1:]], np.float32)
            for name, shape in expected.inputs.items()
            if name not in ("frames", "frame_counts")
        }
        inputs["frames"] = frames
        if "frame_counts" in expected.inputs:
            inputs["frame_counts"] = np.array([frames.shape[1] - 1], np.int32)
        wanted = expected.run(inputs)
        for name, result in found.run(inputs).items():
            np.testing.assert_array_equal(result, wanted[name])


def test_the_structures_of_shipped_bundles_are_what_the_exporter_writes():
    compact = [bundle for name in shipped_bundles() if (bundle := load_bundle(name)).is_compact]
    assert compact
    for bundle in compact:
        export = export_onnx if bundle.model.bidirectional else export_streaming_onnx
        widths = {"mels": bundle.log_mel.settings.mels, "symbols": bundle.alphabet.size}
        phones = bundle.phones.size if bundle.phones else 0
        made = export(bundle.weights(), bundle.model, **widths, phones=phones, quantized=True, structure=True)
        assert (bundle.path / "structure.onnx").read_bytes() == made


@pytest.mark.parametrize("name", ["en", "tiny"])
def test_the_graph_of_a_shipped_bundle_is_what_its_weights_give(name, rng):
    """Bit by bit; the shipped graphs were written by earlier versions of the exporter."""
    bundle = load_bundle(name)
    widths = {"mels": bundle.log_mel.settings.mels, "symbols": bundle.alphabet.size}
    phones = bundle.phones.size if bundle.phones else 0
    made = export_onnx(bundle.weights(), bundle.model, **widths, phones=phones, quantized=True)
    widths["symbols"] = widths["symbols"] * bundle.model.outputs + phones
    frames = rng.standard_normal((50, widths["mels"])).astype(np.float32)
    expected = bundle.engine().run(frames)
    np.testing.assert_array_equal(OnnxEngine(made, bundle.model, **widths, name="made").run(frames), expected)


def test_a_file_that_is_no_graph_is_refused():
    with pytest.raises(BundleError, match="ONNX Runtime cannot load"):
        load(b"nothing of the kind", ModelConfig())


def test_a_graph_for_other_frames_or_symbols_is_refused():
    settings = ModelConfig(depth=1, units=4, channels=2)
    graph = export_onnx(read_weights(build(settings)), settings, mels=MELS, symbols=SYMBOLS)
    for mels, symbols in ((MELS + 1, SYMBOLS), (MELS, SYMBOLS + 1)):
        with pytest.raises(BundleError, match=f"frames of {mels} bands to {symbols} symbols"):
            OnnxEngine(graph, settings, mels=mels, symbols=symbols, name="x")


def test_a_graph_of_another_subsampling_is_refused(rng):
    settings = ModelConfig(depth=1, units=4, channels=2)
    graph = export_onnx(read_weights(build(settings)), settings, mels=MELS, symbols=SYMBOLS)
    with pytest.raises(BundleError, match="a step for every 2 frames"):
        load(graph, replace(settings, subsampling=2)).run(rng.standard_normal((40, MELS)).astype(np.float32))


def load(graph: bytes, settings: ModelConfig) -> OnnxEngine:
    return OnnxEngine(graph, settings, mels=MELS, symbols=settings.outputs * SYMBOLS, name="model.onnx")


CONSTANT = numpy_helper.from_array(np.zeros((1, 1), np.float32), "constant")


def changed(**kwargs) -> bytes:
    """A graph of ours with something else in it."""
    settings = ModelConfig(depth=1, units=4, channels=2)
    model = onnx.load_from_string(export_onnx(read_weights(build(settings)), settings, mels=MELS, symbols=SYMBOLS))
    if "node" in kwargs:
        model.graph.node.append(kwargs["node"])
    if "domain" in kwargs:
        model.opset_import.append(helper.make_opsetid(kwargs["domain"], 1))
    if "external" in kwargs:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=kwargs["external"])
    if "function" in kwargs:
        model.functions.append(kwargs["function"])
    if "weight" in kwargs:
        tensor = next(
            one for one in model.graph.initializer if one.data_type == TensorProto.FLOAT and len(one.dims) > 1
        )
        array = numpy_helper.to_array(tensor).copy()
        array.flat[-1] = kwargs["weight"]
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    if "cut" in kwargs:
        tensor = model.graph.initializer[0]
        tensor.raw_data = tensor.raw_data[: kwargs["cut"]]
    if "sparse" in kwargs:
        model.graph.sparse_initializer.add()
    return model.SerializeToString()


BODY = helper.make_graph([], "body", [], [])


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ({"external": "/etc/passwd"}, "lies in another file"),
        ({"external": "../../secret"}, "lies in another file"),
        ({"node": helper.make_node("Evil", [], ["x"], domain="evil")}, "operator evil.Evil"),
        ({"node": helper.make_node("PyOp", [], ["x"], domain="ai.onnx.contrib")}, "operator ai.onnx.contrib.PyOp"),
        ({"node": helper.make_node("Loop", ["", ""], ["x"], body=BODY)}, "operator Loop"),
        ({"node": helper.make_node("If", ["c"], ["x"], then_branch=BODY, else_branch=BODY)}, "operator If"),
        ({"node": helper.make_node("Add", [], ["x"], body=BODY)}, "contains a subgraph"),
        ({"node": helper.make_node("Add", [], ["x"], value=CONSTANT)}, "contains a tensor"),
        ({"node": helper.make_node("Add", [], ["x"], domain="evil")}, "operator evil.Add"),
        ({"domain": "evil"}, "operators of 'evil'"),
        ({"function": helper.make_function("evil", "Add", [], [], [], [])}, "defines functions"),
        ({"sparse": True}, "sparse tensors"),
        ({"weight": np.nan}, "is damaged or contains infinite numbers"),
        ({"weight": -np.inf}, "is damaged or contains infinite numbers"),
        ({"cut": -1}, "is damaged or contains infinite numbers"),
        ({"cut": 0}, "is damaged or contains infinite numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_graph_that_reaches_outside_itself_is_not_run(attack, message):
    with pytest.raises(BundleError, match=message):
        check_graph(changed(**attack), "model.onnx")


def test_a_graph_whose_numbers_overflow_is_an_error_and_not_a_text(rng):
    settings = small()
    weights = read_weights(build(settings))
    signs = rng.choice(np.array([-1, 1], np.float32), weights["symbols/kernel"].shape)
    weights["symbols/kernel"] = np.float32(3e38) * signs
    engine = load(export_onnx(weights, settings, mels=MELS, symbols=SYMBOLS), settings)
    with pytest.raises(BundleError, match="gives NaN for log-probabilities"):
        engine.run(rng.standard_normal((20, MELS)).astype(np.float32))


def test_graphs_of_ours_pass_the_check():
    for settings in VARIANTS:
        for quantized in (False, True):
            check_graph(
                export_onnx(read_weights(build(settings)), settings, mels=MELS, symbols=SYMBOLS, quantized=quantized),
                "x",
            )
    for settings in CAUSAL:
        check_graph(export_streaming_onnx(read_weights(build(settings)), settings, mels=MELS, symbols=SYMBOLS), "x")


def test_exporting_and_running_a_graph_needs_no_keras_and_no_numba():
    code = """
import sys
for name in ("keras", "tensorflow", "torch", "jax", "librosa", "numba"):
    sys.modules[name] = None
import numpy as np
import asr.acoustic
from asr.acoustic.network import weight_shapes
from asr.acoustic.onnx_export import export_streaming_onnx
from asr.acoustic.runtimes.onnx_graph import OnnxStreamingEngine
from asr.bundle import load_bundle
from asr.settings.model import EngineKind, ModelConfig
bundle = load_bundle("tiny")
frames = np.zeros((9, bundle.log_mel.settings.mels), np.float32)
assert len(bundle.engine(EngineKind.onnx_float32).run(frames)) == 3
settings, widths = ModelConfig(bidirectional=False, depth=1, units=8), {"mels": frames.shape[1], "symbols": 5}
weights = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(settings, **widths).items()}
graph = export_streaming_onnx(weights, settings, **widths)
assert len(OnnxStreamingEngine(graph, settings, **widths, name="x").run(frames)) == 3
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
