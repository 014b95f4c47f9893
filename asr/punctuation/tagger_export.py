"""Builds the tagger's network as an ONNX graph with integer weights; the vocabulary is in the same file, as metadata.

As in `asr.acoustic.onnx_export`, weights have 7 bits, and activations are quantised at run time with one scale for a
whole call: the graph runs one window a call, so that no window depends on another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from asr.acoustic.onnx_nodes import CONTRIBUTED, OnnxNodes, file_with_header
from asr.acoustic.quantize import quantize_columns
from asr.errors import ConfigError
from asr.punctuation.tagger import HEADER, TaggerHeader
from asr.punctuation.tagger_shapes import layer_units, recurrent_name, tag_units, weight_shapes
from asr.punctuation.word_numbers import SLOTS
from asr.punctuation.written_tags import WIDTH

GATES = (0, 3, 1, 2)
"""Keras's input, forget, candidate, output in ONNX's order: input, output, forget, candidate"""

Weights = Mapping[str, npt.NDArray[np.float32]]


def export_tagger(weights: Weights, header: TaggerHeader) -> bytes:
    """Build the file of a tagger.

    Parameters
    ----------
    weights : mapping of str to float32 arrays
        By the names and with the shapes of `weight_shapes`.
    header : TaggerHeader

    Returns
    -------
    bytes
        An ONNX file: a graph from `features` int32 [shape=(words, SLOTS)] and `pauses` int32 [shape=(words,)] to
        `logits` float32 [shape=(words, WIDTH)], with the header as metadata.

    Raises
    ------
    ConfigError
        If weights are missing, of another shape, or not finite.
    """
    for name, shape in weight_shapes(header.settings, header.features.size).items():
        found = weights[name].shape if name in weights else None
        if found != shape or not np.isfinite(weights[name]).all():
            raise ConfigError(f"the tagger's weights {name!r} have shape {found}; they must be {shape}, and finite")
    graph = _Graph(weights)
    x = graph.words()
    layers = []
    for number in range(1, len(layer_units(header.settings)) + 1):
        x = graph.recurrent(x, recurrent_name(number))
        layers.append(x)
    graph.outputs(layers[-len(tag_units(header.settings)) :])
    model = graph.model(
        "tagger",
        [
            helper.make_tensor_value_info("features", TensorProto.INT32, ["words", SLOTS]),
            helper.make_tensor_value_info("pauses", TensorProto.INT32, ["words"]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["words", WIDTH])],
        contributed=True,
    )
    return file_with_header(model, HEADER, header.as_dict())


class _Graph(OnnxNodes):
    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.weights = weights

    def words(self) -> str:
        """Inputs of the first recurrent layer [shape=(words, 1, width)]."""
        integers, scales = quantize_columns(self.weights["pieces"].T)
        table, row_scales = self.constant(integers.T), self.constant(scales[:, None])
        vectors = self.add("Cast", self.add("Gather", table, "features"), to=TensorProto.FLOAT)
        vectors = self.add("Mul", vectors, self.add("Gather", row_scales, "features"))
        summed = self.add("ReduceSum", vectors, self.integers([1]), keepdims=0)
        pauses = self.add("Gather", self.constant(self.weights["pauses"]), "pauses")
        return self.add("Unsqueeze", self.add("Concat", summed, pauses, axis=-1), self.integers([1]))

    def recurrent(self, x: str, name: str) -> str:
        """A bidirectional LSTM over (words, 1, width)."""
        kernel, again, bias = (
            np.concatenate([np.split(self.weights[f"{name}/{part}"], 4, axis=-1)[gate] for gate in GATES], axis=-1)
            for part in ("kernel", "recurrent_kernel", "bias")
        )
        (first, first_scales), (second, second_scales) = quantize_columns(kernel), quantize_columns(again)
        zeros = self.constant(np.zeros(first_scales.shape, np.int8))
        arguments = [
            *(x, self.constant(first), self.constant(second), self.constant(bias.reshape(2, -1)), "", "", "", ""),
            *(self.constant(first_scales), zeros, self.constant(second_scales), zeros),
        ]
        hidden = self.add(
            "DynamicQuantizeLSTM",
            *arguments,
            domain=CONTRIBUTED,
            hidden_size=again.shape[1],
            direction="bidirectional",
        )
        # (words, directions, 1, units) to (words, 1, directions * units)
        hidden = self.add("Transpose", hidden, perm=[0, 2, 1, 3])
        return self.add("Reshape", hidden, self.integers([0, 0, -1]))

    def outputs(self, layers: Sequence[str]) -> None:
        """Logits, in float32: they are few."""
        x = layers[0] if len(layers) == 1 else self.add("Concat", *layers, axis=-1)
        x = self.add("Squeeze", x, self.integers([1]))
        x = self.add("MatMul", x, self.constant(self.weights["tags/kernel"]))
        self.add("Add", x, self.constant(self.weights["tags/bias"]), output="logits")
