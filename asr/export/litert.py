"""`to=litert`: a graph of fixed shape for LiteRT (TensorFlow Lite), on phones and small boards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from asr.export.network_source import ExportedNetwork, NetworkSource
from asr.export.tensorflow_module import Inputs, import_tensorflow, save_module
from asr.export.tensorflow_network import TensorflowNetwork, block_states

_IMPORTS = ["from ai_edge_litert.interpreter import Interpreter"]
_PACKAGES = ["ai-edge-litert"]
_FILES = """\
- `model.tflite`: weights in float32.
- `model.int8.tflite`: weights of 8 bits; products with activations of 8 bits, each row of which has a scale of its own.

Both have LiteRT's own operators alone (no TensorFlow operators), and one signature.
"""


def build(source: NetworkSource) -> ExportedNetwork:
    """Blocks with carried state of a causal model; a window of fixed length of a bidirectional one.

    Raises
    ------
    MissingPackageError
        If TensorFlow, which converts the graph, is not installed.
    """
    import_tensorflow("to=litert")
    return _windows(source) if source.settings.bidirectional else _blocks(source)


def _windows(source: NetworkSource) -> ExportedNetwork:
    stride = source.settings.subsampling
    frames = -(-round(source.shapes.window_seconds / source.hop_seconds) // stride) * stride
    network = TensorflowNetwork(source.layers, source.weights)

    def log_probs(frames: Any, frame_counts: Any) -> dict[str, Any]:
        return {"log_probs": network.whole(frames, frame_counts)}

    inputs: Inputs = {"frames": ([1, frames, source.mels], "float32"), "frame_counts": ([1], "int32")}
    return ExportedNetwork(
        files=_convert(log_probs, inputs),
        main_file="model.tflite",
        interface=f"""\
{_FILES}
| input | | |
|---|---|---|
| `frames` | float32 (1, {frames}, {source.mels}) | normalised log-mel frames, completed with zeros |
| `frame_counts` | int32 (1,) | frames that are none of these zeros |

The output is `log_probs`, float32 (1, {frames // stride}, symbols), natural log-probabilities; the steps after the last
frame mean nothing. A longer recording is divided into windows, best where nobody speaks.
""",
        packages=_PACKAGES,
        imports=_IMPORTS,
        lines=[
            'run, results = Interpreter("model.tflite", num_threads=1).get_signature_runner(), []',
            'size, stride = run.get_input_details()["frames"]["shape"][1], card["subsampling"]',
            "for block in np.split(frames, range(size, len(frames), size)):",
            "    padded = np.pad(block, ((0, size - len(block)), (0, 0)))[None]",
            '    outputs = run(frames=padded, frame_counts=np.array([len(block)], np.int32))["log_probs"][0]',
            "    results.append(outputs[: -(-len(block) // stride)])",
            "log_probs = np.concatenate(results)",
        ],
    )


def _blocks(source: NetworkSource) -> ExportedNetwork:
    stride, steps = source.settings.subsampling, source.shapes.block_steps
    frames = steps * stride
    network = TensorflowNetwork(source.layers, source.weights)
    shapes = block_states(source.layers)
    names = {_argument(name): name for name in shapes}

    def next_block(frames: Any, **before: Any) -> dict[str, Any]:
        log_probs, after = network.block(frames, {names[argument]: one for argument, one in before.items()})
        return {"log_probs": log_probs, **{f"next_{_argument(name)}": one for name, one in after.items()}}

    inputs: Inputs = {
        "frames": ([1, frames, source.mels], "float32"),
        **{argument: (list(shapes[name]), "float32") for argument, name in names.items()},
    }
    return ExportedNetwork(
        files=_convert(next_block, inputs),
        main_file="model.tflite",
        interface=f"""\
{_FILES}
The input `frames`, float32 (1, {frames}, {source.mels}), takes a block of normalised log-mel frames. All other inputs
are the state: zeros before the first block, then the outputs `next_...` of the block before.

The output is `log_probs`, float32 (1, {steps}, symbols), natural log-probabilities. The output for a step comes
{source.settings.delay_steps} steps late (`delay_steps` in the card): the first so many steps mean nothing, and after
the last frame come as many steps of zeros.
""",
        packages=_PACKAGES,
        imports=_IMPORTS,
        lines=[
            'run, results = Interpreter("model.tflite", num_threads=1).get_signature_runner(), []',
            'state = {name: np.zeros(one["shape"], np.float32) for name, one in run.get_input_details().items()}',
            'size, stride, late = state.pop("frames").shape[1], card["subsampling"], card["delay_steps"]',
            "steps = -(-len(frames) // stride) + late",
            "frames = np.pad(frames, ((0, -(-steps * stride // size) * size - len(frames)), (0, 0)))",
            "for block in np.split(frames, range(size, len(frames), size)):",
            "    outputs = run(frames=block[None], **state)",
            '    state = {name: outputs["next_" + name] for name in state}',
            '    results.append(outputs["log_probs"][0])',
            "log_probs = np.concatenate(results)[late:steps]",
        ],
    )


def _argument(name: str) -> str:
    """The name of a state as an argument of a function."""
    return name.replace("/", "_")


def _convert(function: Callable[..., Any], inputs: Inputs) -> dict[str, bytes]:
    """The graph with weights in float32 and in 8 bits, by file name."""
    import tensorflow

    files = {}
    with tempfile.TemporaryDirectory() as folder:
        save_module(function, inputs, [], folder)
        for name, optimizations in (("model.tflite", []), ("model.int8.tflite", [tensorflow.lite.Optimize.DEFAULT])):
            converter = tensorflow.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
            converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS]
            converter.optimizations = optimizations
            content: bytes = converter.convert()
            files[name] = content
    return files
