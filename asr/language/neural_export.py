"""Builds the LSTM language model as an ONNX graph with integer weights; its pieces are in the same file, as metadata.

The graph makes one step for some hypotheses: what it predicts from their states, and the states behind the pieces that
they read. Both are separate inputs, of which one may be empty. As in `asr.acoustic.quantize`, weights have 7 bits.
Activations are quantised with a scale for each row, so that no hypothesis depends on the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from asr.acoustic.onnx_nodes import OnnxNodes, file_with_header
from asr.acoustic.quantize import quantize_columns
from asr.errors import ConfigError
from asr.language.neural import HEADER, NeuralHeader
from asr.language.neural_shapes import recurrent_name, weight_shapes

_ZERO_POINT = 128

Weights = Mapping[str, npt.NDArray[np.float32]]


def export_language_model(weights: Weights, header: NeuralHeader, *, quantized: bool = True) -> bytes:
    """Build the file of an LSTM language model.

    Parameters
    ----------
    weights : mapping of str to float32 arrays
        By the names and with the shapes of `weight_shapes`.
    header : NeuralHeader
    quantized : bool
        False keeps float32, four times as large, to compare with.

    Returns
    -------
    bytes
        An ONNX file: a graph from `predicting` float32 [shape=(n, units)], the hidden vectors of the last layer, and
        `predicted` int64 [shape=(n,)], pieces, to `log_probs` float32 [shape=(n,)]; and from `states` float32
        [shape=(m, depth, 2, units)] and `pieces` int64 [shape=(m,)], which are read, to `next_states`. The header is
        its metadata.

    Raises
    ------
    ConfigError
        If weights are missing, of another shape, or not finite.
    """
    settings, count = header.settings, header.pieces.count
    for name, shape in weight_shapes(settings, count).items():
        found = weights[name].shape if name in weights else None
        if found != shape or not np.isfinite(weights[name]).all():
            raise ConfigError(
                f"the language model's weights {name!r} have shape {found}, not {shape}, or are not finite"
            )
    graph = _Graph(weights, quantized=quantized)
    graph.predict()
    graph.read(settings.depth)
    state_shape = ["m", settings.depth, 2, settings.units]
    model = graph.model(
        "language_model",
        [
            helper.make_tensor_value_info("predicting", TensorProto.FLOAT, ["n", settings.units]),
            helper.make_tensor_value_info("predicted", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("states", TensorProto.FLOAT, state_shape),
            helper.make_tensor_value_info("pieces", TensorProto.INT64, ["m"]),
        ],
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("next_states", TensorProto.FLOAT, state_shape),
        ],
    )
    return file_with_header(model, HEADER, header.as_dict())


class _Graph(OnnxNodes):
    def __init__(self, weights: Weights, *, quantized: bool) -> None:
        super().__init__()
        self.weights, self._quantized = weights, quantized
        # One table for both uses: pieces are its rows, of which each has a scale.
        if quantized:
            integers, scales = quantize_columns(weights["vectors"].T)
            self._table, self._table_scales = self.constant(integers.T), scales
        else:
            self._table = self.constant(weights["vectors"])

    def predict(self) -> None:
        """Log-probabilities of the predicted pieces."""
        x = "predicting"
        if "projection" in self.weights:
            x = self.product(x, self.weights["projection"])
        columns = self.add("Transpose", self._table, perm=[1, 0])
        logits = (
            self.integer_product(x, columns, self._table_scales) if self._quantized else self.add("MatMul", x, columns)
        )
        log_probs = self.add("LogSoftmax", self.add("Add", logits, self.constant(self.weights["bias"])), axis=-1)
        found = self.add("GatherElements", log_probs, self.unsqueeze("predicted", 1), axis=1)
        self.add("Squeeze", found, self.integers([1]), output="log_probs")

    def read(self, depth: int) -> None:
        """The states behind the pieces."""
        x, root = self.add("Gather", self._table, "pieces"), np.float32(self.weights["vectors"].shape[1] ** 0.5)
        if self._quantized:
            scales = self.add("Gather", self.constant(self._table_scales[:, None] * root), "pieces")
            x = self.add("Mul", self.add("Cast", x, to=TensorProto.FLOAT), scales)
        else:
            x = self.add("Mul", x, self.constant(root))
        states = []
        for number in range(1, depth + 1):
            name = recurrent_name(number)
            hidden, memory = (
                self.add(
                    "Gather", self.add("Gather", "states", self.index(number - 1), axis=1), self.index(part), axis=1
                )
                for part in range(2)
            )
            gates = self.add("Add", self.product(x, f"{name}/kernel"), self.product(hidden, f"{name}/recurrent_kernel"))
            gates = self.add("Add", gates, self.constant(self.weights[f"{name}/bias"]))
            taken, forget, candidate, output = self.split(gates, 4)
            kept = self.add("Mul", self.add("Sigmoid", forget), memory)
            new = self.add("Mul", self.add("Sigmoid", taken), self.add("Tanh", candidate))
            memory = self.add("Add", kept, new)
            x = self.add("Mul", self.add("Sigmoid", output), self.add("Tanh", memory))
            pair = self.add("Concat", self.unsqueeze(x, 1), self.unsqueeze(memory, 1), axis=1)
            states.append(self.unsqueeze(pair, 1))
        self.add("Concat", *states, axis=1, output="next_states")

    def product(self, x: str, name: str | npt.NDArray[np.float32]) -> str:
        """A product with a matrix [shape=(rows, columns)] of the weights."""
        matrix = self.weights[name] if isinstance(name, str) else name
        if not self._quantized:
            return self.add("MatMul", x, self.constant(matrix))
        integers, scales = quantize_columns(matrix)
        return self.integer_product(x, self.constant(integers), scales)

    def integer_product(self, x: str, integers: str, scales: npt.NDArray[np.float32]) -> str:
        """A product with integers, of rows that are rounded to 8 bits by their largest number."""
        largest = self.add("ReduceMax", self.add("Abs", x), axes=[1], keepdims=1)
        largest = self.add("Max", largest, self.constant(np.array(1e-30, np.float32)))
        scale = self.add("Div", largest, self.constant(np.array(127, np.float32)))
        rounded = self.add("Round", self.add("Div", x, scale))
        shifted = self.add("Add", rounded, self.constant(np.array(_ZERO_POINT, np.float32)))
        rows = self.add("Cast", shifted, to=TensorProto.UINT8)
        summed = self.add("MatMulInteger", rows, integers, self.constant(np.array(_ZERO_POINT, np.uint8)))
        summed = self.add("Mul", self.add("Cast", summed, to=TensorProto.FLOAT), self.constant(scales))
        return self.add("Mul", summed, scale)

    def index(self, place: int) -> str:
        return self.constant(np.array(place, np.int64))

    def unsqueeze(self, x: str, axis: int) -> str:
        return self.add("Unsqueeze", x, self.integers([axis]))

    def split(self, x: str, parts: int) -> Sequence[str]:
        names = [f"split_{len(self.nodes)}_{part}" for part in range(parts)]
        return self.add_many("Split", x, outputs=names, axis=-1)
