"""The targets of `asr export`. To add one: a member of `ExportTarget`, a module with `build`, and its line here.

The target `web` is a page and not a network alone: `browser_page` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from asr.export import graph_with_state, litert, tensorflow_module, whole_graph
from asr.export.network_source import ExportedNetwork, NetworkSource
from asr.settings.export import ExportTarget

TARGETS: Mapping[ExportTarget, Callable[[NetworkSource], ExportedNetwork]] = {
    ExportTarget.onnx: whole_graph.build,
    ExportTarget.onnx_stream: graph_with_state.build,
    ExportTarget.litert: litert.build,
    ExportTarget.saved_model: tensorflow_module.build,
}
