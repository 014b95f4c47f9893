"""Writes the acoustic model as an ONNX graph, from its weights alone: neither Keras nor a back end is needed.

A quantised graph keeps the weights of the large products as integers of 7 bits, one scale a column, and takes those of
the activations as it runs (dynamic quantisation). Seven bits, not eight: processors without instructions for integer
dot products (AVX2 without VNNI) add pairs of products up in 16 bits, which 8 bits overflow, and a text would depend on
the machine. The scale of activations is taken over all that one call sees, so a quantised graph runs one utterance a
call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from asr.acoustic.outputs import output_widths
from asr.acoustic.steps import LAYER_NORM_EPSILON
from asr.settings.model import Cell, FrontEnd, ModelConfig

_OPSET = 17  # the first with LayerNormalization
_IR_VERSION = 8
_CONTRIBUTED = "com.microsoft"  # ONNX Runtime's own operators
_LARGEST_WEIGHT = 64  # 2 x 255 x 64 still fits 16 bits
_DENSE, _QUANTIZED = ("MatMul",), ("DynamicQuantizeLinear", "MatMulInteger", "Cast", "Mul")
OPERATORS = frozenset(
    [
        *_DENSE,
        *_QUANTIZED,
        *("Add", "Concat", "Conv", "Div", "DynamicQuantizeLSTM", "GRU", "Gather", "LSTM", "LayerNormalization", "Less"),
        *("LogSoftmax", "Pad", "Range", "Relu", "Reshape", "Shape", "Slice", "Squeeze", "Transpose", "Unsqueeze"),
        "Where",
    ]
)
"""all that a graph of ours is made of"""


Weights = Mapping[str, npt.NDArray[np.float32]]


def export_onnx(
    weights: Weights, settings: ModelConfig, *, mels: int, symbols: int, phones: int = 0, quantized: bool = False
) -> bytes:
    """The graph of a model, as the bytes of an ONNX file.

    Parameters
    ----------
    weights : mapping of str to float32 arrays
        By the names that `acoustic.model.read_weights` gives.
    settings : ModelConfig
    mels, symbols : int > 0
        Width of a frame and of an output layer over characters.
    phones : int
        Width of the output layer over phones, if the settings ask for one.
    quantized : bool
        Products of LSTMs and projections in integers: a quarter of the size, two to three times the speed. (There is no
        such operator for GRUs, which stay as they are.)

    Returns
    -------
    bytes
        A graph from `frames` float32 [shape=(batch, frames, mels)] and `frame_counts` int32 [shape=(batch,)] to
        `log_probs` float32 [shape=(batch, steps, total width)], natural log-probabilities, output after output.
    """
    graph = _Graph(weights, quantized)
    x, counts = "frames", "frame_counts"
    if settings.front_end is FrontEnd.conv:
        x = graph.silence(x, counts, rank=3)
        x = graph.add("Unsqueeze", x, graph.integers([1]))  # (batch, channels, time, bands)
        half = settings.kernel // 2
        before, after = (half, half) if settings.bidirectional else (settings.kernel - 1, 0)
        for number in range(1, settings.convolutions + 1):
            kernel = weights[f"convolution_{number}/kernel"].transpose(3, 2, 0, 1)
            bias = weights[f"convolution_{number}/bias"]
            x = graph.add(
                "Conv",
                x,
                graph.constant(kernel),
                graph.constant(bias),
                strides=[2, 2],
                pads=[before, half, after, half],
            )
            x = graph.add("Relu", x)
            counts = graph.add("Div", graph.add("Add", counts, graph.int32([1])), graph.int32([2]))
            x = graph.silence(x, counts, rank=4)
        x = graph.add("Transpose", x, perm=[0, 2, 3, 1])
        x = graph.add("Reshape", x, graph.integers([0, 0, -1]))
    else:
        factor = settings.subsampling
        x = graph.silence(x, counts, rank=3)
        x = graph.add("Pad", x, graph.integers([0, 0, 0, 0, factor - 1, 0]))
        length = graph.add("Gather", graph.add("Shape", x), graph.integers([1]))
        whole = graph.add("Mul", graph.add("Div", length, graph.integers([factor])), graph.integers([factor]))
        x = graph.add("Slice", x, graph.integers([0]), whole, graph.integers([1]))
        x = graph.add("Reshape", x, graph.integers([0, -1, factor * mels]))
        counts = graph.add("Div", graph.add("Add", counts, graph.int32([factor - 1])), graph.int32([factor]))
    x = graph.project_and_normalize(x, "front_end", settings)
    for number in range(1, settings.depth + 1):
        x = graph.recurrent(x, counts, f"recurrent_{number}", settings)
        x = graph.project_and_normalize(x, f"recurrent_{number}", settings)
    widths = output_widths(settings, symbols=symbols, phones=phones)
    outputs = [graph.add("LogSoftmax", graph.dense(x, layer, quantized=False), axis=-1) for layer in widths]
    graph.add("Concat", *outputs, axis=-1, output="log_probs")
    return graph.serialize(mels, sum(widths.values()))


class _Graph:
    """Collects nodes and constants, naming them by number."""

    def __init__(self, weights: Weights, quantized: bool) -> None:
        self.weights, self.quantized = weights, quantized
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        (output,) = self.add_many(
            operator, *inputs, outputs=[output or f"{operator.lower()}_{len(self.nodes)}"], **attributes
        )
        return output

    def add_many(self, operator: str, *inputs: str, outputs: Sequence[str], **attributes: Any) -> Sequence[str]:
        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), name=outputs[0], **attributes))
        return outputs

    def constant(self, array: npt.NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, np.int64))

    def int32(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, np.int32))

    def silence(self, x: str, counts: str, *, rank: int) -> str:
        """Zeros past each row's end; time is the axis before the last."""
        length = self.add("Squeeze", self.add("Slice", self.add("Shape", x), *map(self.integers, ([-2], [-1]))))
        zero, one = self.constant(np.array(0, np.int64)), self.constant(np.array(1, np.int64))
        positions = self.add("Cast", self.add("Range", zero, length, one), to=TensorProto.INT32)
        column = self.add("Unsqueeze", counts, self.integers([1]))
        inside = self.add("Less", positions, column)  # (batch, time)
        axes = [2] if rank == 3 else [1, 3]
        inside = self.add("Unsqueeze", inside, self.integers(axes))
        return self.add("Where", inside, x, self.constant(np.array(0, np.float32)))

    def dense(self, x: str, name: str, *, quantized: bool) -> str:
        kernel, bias = self.weights[f"{name}/kernel"], self.weights[f"{name}/bias"]
        if not quantized:
            return self.add("Add", self.add("MatMul", x, self.constant(kernel)), self.constant(bias))
        # ONNX Runtime makes one operator of these.
        integers, scales = _quantize(kernel)
        number = len(self.nodes)
        activations, scale, zero = self.add_many(
            "DynamicQuantizeLinear", x, outputs=[f"{part}_{number}" for part in ("activations", "scale", "zero")]
        )
        zeros = self.constant(np.zeros(len(scales), np.int8))
        product = self.add("MatMulInteger", activations, self.constant(integers), zero, zeros)
        product = self.add("Cast", product, to=TensorProto.FLOAT)
        product = self.add("Mul", product, self.add("Mul", scale, self.constant(scales)))
        return self.add("Add", product, self.constant(bias))

    def project_and_normalize(self, x: str, name: str, settings: ModelConfig) -> str:
        if settings.projection:
            x = self.dense(x, f"{name}_projection", quantized=self.quantized)
        if settings.layer_normalization:
            gamma, beta = (self.weights[f"{name}_normalization/{part}"] for part in ("gamma", "beta"))
            x = self.add(
                "LayerNormalization",
                x,
                self.constant(gamma),
                self.constant(beta),
                axis=-1,
                epsilon=LAYER_NORM_EPSILON,
            )
        return x

    def recurrent(self, x: str, counts: str, name: str, settings: ModelConfig) -> str:
        # ONNX wants the LSTM's gates as input, output, forget, candidate; the GRU's are in Keras's order.
        order = [0, 3, 1, 2] if settings.cell is Cell.lstm else [0, 1, 2]

        def reorder(array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            gates = np.split(array, len(order), axis=-1)
            return np.concatenate([gates[gate] for gate in order], axis=-1)

        kernel, recurrent_kernel, bias = (
            reorder(self.weights[f"{name}/{part}"]) for part in ("kernel", "recurrent_kernel", "bias")
        )
        x = self.add("Transpose", x, perm=[1, 0, 2])
        both = self.constant(bias.reshape(len(bias), -1))
        attributes: dict[str, Any] = {
            "hidden_size": settings.units,
            "direction": "bidirectional" if settings.bidirectional else "forward",
        }
        if self.quantized and settings.cell is Cell.lstm:
            (first, first_scales), (again, again_scales) = _quantize(kernel), _quantize(recurrent_kernel)
            zeros = self.constant(np.zeros(first_scales.shape, np.int8))
            weights = [self.constant(first), self.constant(again), both, counts, "", "", ""]
            scales = [self.constant(first_scales), zeros, self.constant(again_scales), zeros]
            outputs = self.add("DynamicQuantizeLSTM", x, *weights, *scales, domain=_CONTRIBUTED, **attributes)
        else:
            weights = [self.constant(part.transpose(0, 2, 1)) for part in (kernel, recurrent_kernel)]
            if settings.cell is Cell.gru:
                attributes["linear_before_reset"] = 1
            outputs = self.add(settings.cell.value.upper(), x, *weights, both, counts, **attributes)
        # (steps, directions, batch, units) to (batch, steps, directions * units)
        return self.add("Reshape", self.add("Transpose", outputs, perm=[2, 0, 1, 3]), self.integers([0, 0, -1]))

    def serialize(self, mels: int, symbols: int) -> bytes:
        inputs = [
            helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["batch", "frames", mels]),
            helper.make_tensor_value_info("frame_counts", TensorProto.INT32, ["batch"]),
        ]
        outputs = [helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["batch", "steps", symbols])]
        graph = helper.make_graph(self.nodes, "acoustic_model", inputs, outputs, list(self.constants.values()))
        sets = [helper.make_opsetid("", _OPSET)] + [helper.make_opsetid(_CONTRIBUTED, 1)] * self.quantized
        model = helper.make_model(graph, opset_imports=sets, ir_version=_IR_VERSION, producer_name="asr")
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString()
        return content


def _quantize(kernel: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Integers and scales [shape=(..., columns)] of a matrix [shape=(..., rows, columns)]."""
    scales = np.maximum(np.abs(kernel).max(axis=-2), np.finfo(np.float32).tiny) / _LARGEST_WEIGHT
    return np.rint(kernel / scales[..., None, :]).astype(np.int8), scales.astype(np.float32)
