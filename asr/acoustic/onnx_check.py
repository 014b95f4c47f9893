"""Validates a foreign ONNX graph before it runs: only what our own exporter can write is accepted."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from asr.acoustic.onnx_export import OPERATORS
from asr.errors import BundleError

_DOMAINS = {"", "ai.onnx", "com.microsoft"}


LANGUAGE_MODEL_OPERATORS = frozenset(
    [
        *("Abs", "Add", "Cast", "Concat", "Div", "Gather", "GatherElements", "LogSoftmax", "MatMul", "MatMulInteger"),
        *("Max", "Mul", "ReduceMax", "Round", "Sigmoid", "Split", "Squeeze", "Tanh", "Transpose", "Unsqueeze"),
    ]
)
"""all operators that an LSTM language model of ours can hold"""


def check_graph(content: bytes, name: str, *, operators: frozenset[str] = OPERATORS) -> None:
    """Refuse a graph that reads other files or has operators that our exporter does not write.

    Parameters
    ----------
    content : bytes
        An ONNX file.
    name : str
        Name of the graph in messages.
    operators : set of str
        Those that our exporter writes.

    Raises
    ------
    BundleError
        If it is not an ONNX file, reads tensors from other files, defines functions, has other operators, contains
        subgraphs (loops, branches), damaged tensors or infinite numbers.
    """
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf does not document what it raises
        raise BundleError(f"{name}: is damaged ({error})") from error
    problem = _problem(model, operators)
    if problem:
        raise BundleError(f"{name}: {problem}: the graph was not written by asr and is not run")


def _problem(model: Any, operators: frozenset[str]) -> str | None:
    if model.functions or model.training_info:
        return "it defines functions"
    foreign = {one.domain for one in model.opset_import} - _DOMAINS
    for node in model.graph.node:
        if node.op_type not in operators or node.domain not in _DOMAINS:
            return f"it uses the operator {node.domain + '.' if node.domain else ''}{node.op_type}"
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                return f"its operator {node.op_type} contains a subgraph"
            if attribute.HasField("t") or attribute.tensors:
                return f"its operator {node.op_type} contains a tensor"
    if foreign:
        return f"it uses operators of {sorted(foreign)[0]!r}"
    if model.graph.sparse_initializer:
        return "it contains sparse tensors"
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            return f"its tensor {tensor.name!r} lies in another file"
        if not _is_finite(tensor):
            return f"its tensor {tensor.name!r} is damaged or contains infinite numbers"
    return None


def _is_finite(tensor: Any) -> bool:
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError):  # its type, shape and content are inconsistent
        return False
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
