"""`to=onnx`: one file for whole utterances, run by ONNX Runtime."""

from __future__ import annotations

from functools import partial

from asr.acoustic.onnx_export import export_onnx
from asr.export.network_source import ExportedNetwork, NetworkSource


def build(source: NetworkSource) -> ExportedNetwork:
    """The graph with weights in float32, and the quantised one that bundles of bidirectional models have."""
    export = partial(
        export_onnx, source.weights, source.settings, mels=source.mels, symbols=source.symbols, phones=source.phones
    )
    graphs = {"model.onnx": export(), "model.int8.onnx": export(quantized=True)}
    return ExportedNetwork(
        files=graphs,
        main_file="model.onnx",
        interface=f"""\
- `model.onnx`: weights and products in float32.
- `model.int8.onnx`: weights of 7 bits, activations of 8, whose scale is taken over the whole call: so one utterance a
  call. It needs ONNX Runtime's own operators.

| input | | |
|---|---|---|
| `frames` | float32 (batch, frames, {source.mels}) | normalised log-mel frames |
| `frame_counts` | int32 (batch,) | frames of each row |

The output is `log_probs`, float32 (batch, steps, symbols), natural log-probabilities.
""",
        packages=["onnxruntime"],
        imports=["import onnxruntime"],
        lines=[
            'session = onnxruntime.InferenceSession("model.onnx")',
            'inputs = {"frames": frames[None], "frame_counts": np.array([len(frames)], np.int32)}',
            'log_probs = session.run(["log_probs"], inputs)[0][0]',
        ],
    )
