"""`to=onnx_stream`: a graph that runs a causal model block by block, run by ONNX Runtime."""

from __future__ import annotations

from functools import partial

from asr.acoustic.onnx_export import export_streaming_onnx
from asr.export.network_source import ExportedNetwork, NetworkSource, refuse_bidirectional
from asr.settings.export import ExportTarget


def build(source: NetworkSource) -> ExportedNetwork:
    """The graph with weights in float32, and with weights of 7 bits, as bundles of causal models have it.

    Raises
    ------
    ConfigError
        If the model is bidirectional.
    """
    refuse_bidirectional(source, ExportTarget.onnx_stream)
    settings = source.settings
    export = partial(
        export_streaming_onnx, source.weights, settings, mels=source.mels, symbols=source.symbols, phones=source.phones
    )
    graphs = {"model.onnx": export(), "model.int8.onnx": export(quantized=True)}
    return ExportedNetwork(
        files=graphs,
        main_file="model.onnx",
        interface=f"""\
- `model.onnx`: weights in float32.
- `model.int8.onnx`: weights of 7 bits, a quarter of the size. Products are computed in float32: however a stream is
  divided into blocks, the results are the same.

The input `frames`, float32 (batch, frames, {source.mels}), takes blocks of normalised log-mel frames, a multiple of
{settings.subsampling} at a time. All other inputs are the state: zeros before the first block, then the outputs
`next_...` of the block before.

The output is `log_probs`, float32 (batch, steps, symbols), natural log-probabilities. The output for a step comes
{settings.delay_steps} steps late (`delay_steps` in the card): the first so many steps mean nothing, and after the last
frame come as many steps of zeros.
""",
        packages=["onnxruntime"],
        imports=["import onnxruntime"],
        lines=[
            'session = onnxruntime.InferenceSession("model.onnx")',
            "state = {one.name: np.zeros([1, *one.shape[1:]], np.float32) for one in session.get_inputs()[1:]}",
            'size, late, results = card["subsampling"], card["delay_steps"], []',
            "frames = np.pad(frames, ((0, -len(frames) % size + late * size), (0, 0)))",
            "for block in np.split(frames, range(8 * size, len(frames), 8 * size)):",
            '    results.append(session.run(None, {"frames": block[None], **state}))',
            "    state = dict(zip(state, results[-1][1:]))",
            "log_probs = np.concatenate([one[0][0] for one in results])[late:]",
        ],
    )
