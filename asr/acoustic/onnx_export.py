"""Writes the acoustic model as an ONNX graph, from its weights alone: neither Keras nor a back end is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from asr.acoustic.steps import LAYER_NORM_EPSILON
from asr.config import Cell, FrontEnd, ModelConfig

_OPSET = 17  # the first with LayerNormalization
_IR_VERSION = 8


Weights = Mapping[str, npt.NDArray[np.float32]]


def export_onnx(weights: Weights, settings: ModelConfig, *, mels: int, symbols: int) -> bytes:
    """The graph of a model, as the bytes of an ONNX file.

    Parameters
    ----------
    weights : mapping of str to float32 arrays
        By the names that `acoustic.model.read_weights` gives.
    settings : ModelConfig
    mels, symbols : int > 0
        Width of a frame and of the output.

    Returns
    -------
    bytes
        A graph from `frames` float32 [shape=(batch, frames, mels)] and `frame_counts` int32 [shape=(batch,)] to
        `log_probs` float32 [shape=(batch, steps, symbols)], natural log-probabilities.
    """
    graph = _Graph(weights)
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
    x = graph.dense(x, "symbols")
    graph.add("LogSoftmax", x, axis=-1, output="log_probs")
    return graph.serialize(mels, symbols)


class _Graph:
    """Collects nodes and constants, naming them by number."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

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

    def dense(self, x: str, name: str) -> str:
        product = self.add("MatMul", x, self.constant(self.weights[f"{name}/kernel"]))
        return self.add("Add", product, self.constant(self.weights[f"{name}/bias"]))

    def project_and_normalize(self, x: str, name: str, settings: ModelConfig) -> str:
        if settings.projection:
            x = self.dense(x, f"{name}_projection")
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
        attributes: dict[str, Any] = {"linear_before_reset": 1} if settings.cell is Cell.gru else {}
        outputs = self.add(
            "LSTM" if settings.cell is Cell.lstm else "GRU",
            self.add("Transpose", x, perm=[1, 0, 2]),
            self.constant(kernel.transpose(0, 2, 1)),
            self.constant(recurrent_kernel.transpose(0, 2, 1)),
            self.constant(bias.reshape(len(bias), -1)),
            counts,
            hidden_size=settings.units,
            direction="bidirectional" if settings.bidirectional else "forward",
            **attributes,
        )
        # (steps, directions, batch, units) to (batch, steps, directions * units)
        return self.add("Reshape", self.add("Transpose", outputs, perm=[2, 0, 1, 3]), self.integers([0, 0, -1]))

    def serialize(self, mels: int, symbols: int) -> bytes:
        inputs = [
            helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["batch", "frames", mels]),
            helper.make_tensor_value_info("frame_counts", TensorProto.INT32, ["batch"]),
        ]
        outputs = [helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["batch", "steps", symbols])]
        graph = helper.make_graph(self.nodes, "acoustic_model", inputs, outputs, list(self.constants.values()))
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION, producer_name="asr"
        )
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString()
        return content
