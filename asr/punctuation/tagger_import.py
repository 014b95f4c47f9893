"""Reads the weights of a tagger's file, to train on from them: the inverse of `asr.punctuation.tagger_export`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from asr.acoustic.onnx_check import check_graph
from asr.errors import LanguageModelError
from asr.punctuation.tagger import Tagger, TaggerHeader
from asr.punctuation.tagger_export import GATES
from asr.punctuation.tagger_shapes import recurrent_name, weight_shapes

Array = npt.NDArray[np.float32]


def read_tagger(content: bytes, name: str) -> tuple[dict[str, Array], TaggerHeader]:
    """The weights and the header of a file that `export_tagger` made.

    Parameters
    ----------
    content : bytes
    name : str
        Name of the file in messages.

    Returns
    -------
    dict of str to float32 arrays
        By the names and with the shapes of `weight_shapes`: products of the file's integers and scales, which
        `export_tagger` makes the same file of.
    TaggerHeader

    Raises
    ------
    LanguageModelError
        If it is no such file, or a damaged one.
    """
    header = Tagger(content, name).header
    check_graph(content, name)
    graph = onnx.load_model_from_string(content).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    nodes = [[constants.get(one) for one in node.input] for node in graph.node]
    operators = [node.op_type for node in graph.node]

    def inputs(operator: str) -> Iterator[list[npt.NDArray[np.generic] | None]]:
        return (values for values, found in zip(nodes, operators, strict=True) if found == operator)

    try:
        integers, scales, pauses = (values[0] for values in inputs("Gather"))
        weights = {"pieces": _product(integers, scales), "pauses": np.asarray(pauses, np.float32)}
        for number, values in enumerate(inputs("DynamicQuantizeLSTM"), start=1):
            layer = recurrent_name(number)
            (_, kernel, again, bias), (kernel_scales, _, again_scales, _) = values[:4], values[8:]
            weights[f"{layer}/kernel"] = _in_order(_product(kernel, _rows(kernel_scales)))
            weights[f"{layer}/recurrent_kernel"] = _in_order(_product(again, _rows(again_scales)))
            weights[f"{layer}/bias"] = _in_order(np.asarray(bias, np.float32).reshape(2, 2, -1))
        weights["tags/kernel"] = np.asarray(next(inputs("MatMul"))[1], np.float32)
        weights["tags/bias"] = np.asarray(next(inputs("Add"))[1], np.float32)
    except (ValueError, StopIteration, TypeError) as error:
        raise LanguageModelError(name, f"has another graph than this version writes ({error})") from error
    expected = weight_shapes(header.settings, header.features.size)
    if {key: value.shape for key, value in weights.items()} != expected:
        raise LanguageModelError(name, "has a graph with other shapes than its header says")
    return weights, header


def _rows(scales: npt.NDArray[np.generic] | None) -> Array:
    return np.asarray(scales, np.float32)[:, None, :]


def _product(integers: npt.NDArray[np.generic] | None, scales: npt.NDArray[np.generic] | None) -> Array:
    return np.asarray(integers, np.float32) * np.asarray(scales, np.float32)


def _in_order(gates: Array) -> Array:
    """Keras's order of gates along the last axis."""
    parts = np.split(gates, len(GATES), axis=-1)
    return np.concatenate([parts[place] for place in np.argsort(GATES)], axis=-1)
