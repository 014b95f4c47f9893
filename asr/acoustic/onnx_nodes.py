"""Collects the nodes and constants of an ONNX graph."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

CONTRIBUTED = "com.microsoft"
"""the domain of ONNX Runtime's own operators"""
_OPSET = 17  # the first with LayerNormalization
_IR_VERSION = 8


class OnnxNodes:
    """The nodes and constants of a graph; they are named by number, unless the caller names them."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node with one output; gives its name."""
        output = output or f"{operator.lower()}_{len(self.nodes)}"
        self.add_many(operator, *inputs, outputs=[output], **attributes)
        return output

    def add_many(self, operator: str, *inputs: str, outputs: Sequence[str], **attributes: Any) -> Sequence[str]:
        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), name=outputs[0], **attributes))
        return outputs

    def constant(self, array: npt.ArrayLike) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, np.int64))

    def model(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        *,
        contributed: bool = False,
    ) -> onnx.ModelProto:
        """The model; `contributed` if it has operators of ONNX Runtime's own."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, list(self.constants.values()))
        sets = [helper.make_opsetid("", _OPSET)] + [helper.make_opsetid(CONTRIBUTED, 1)] * contributed
        return helper.make_model(graph, opset_imports=sets, ir_version=_IR_VERSION, producer_name="asr")


def file_with_header(model: onnx.ModelProto, name: str, header: Mapping[str, Any]) -> bytes:
    """Check a model; gives its file, with a header as metadata of this name."""
    helper.set_model_props(model, {name: json.dumps(header, ensure_ascii=False, separators=(",", ":"))})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
