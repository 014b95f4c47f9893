"""`to=saved_model`: whole utterances as a SavedModel, run and served by TensorFlow."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asr.export.network_source import ExportedNetwork, NetworkSource
from asr.export.tensorflow_network import TensorflowNetwork
from asr.packages import require_packages

FOLDER = "saved_model"

Inputs = Mapping[str, tuple[list[int | None], str]]
"""shape and type of each input by name"""


def build(source: NetworkSource) -> ExportedNetwork:
    """The files of the SavedModel.

    Raises
    ------
    MissingPackageError
        If TensorFlow is not installed.
    """
    tensorflow = import_tensorflow("to=saved_model")
    variables = {name: tensorflow.Variable(array, trainable=False) for name, array in source.weights.items()}
    network = TensorflowNetwork(source.layers, variables)

    def log_probs(frames: Any, frame_counts: Any) -> dict[str, Any]:
        return {"log_probs": network.whole(frames, frame_counts)}

    shapes: Inputs = {"frames": ([None, None, source.mels], "float32"), "frame_counts": ([None], "int32")}
    files = saved_model_files(log_probs, shapes, list(variables.values()))
    return ExportedNetwork(
        files={f"{FOLDER}/{path}": content for path, content in files.items()},
        main_file=FOLDER,
        interface=f"""\
`{FOLDER}/` is a SavedModel with weights in float32. TensorFlow loads it, and TensorFlow Serving serves it: mount it as
`/models/asr/1`. Its signature is `serving_default`:

| input | | |
|---|---|---|
| `frames` | float32 (batch, frames, {source.mels}) | normalised log-mel frames |
| `frame_counts` | int32 (batch,) | frames of each row |

The output is `log_probs`, float32 (batch, steps, symbols), natural log-probabilities.
""",
        packages=["tensorflow"],
        imports=["import tensorflow as tf"],
        lines=[
            f'model = tf.saved_model.load("{FOLDER}").signatures["serving_default"]',
            "counts = tf.constant([len(frames)], tf.int32)",
            'log_probs = model(frames=tf.constant(frames[None]), frame_counts=counts)["log_probs"][0].numpy()',
        ],
    )


def import_tensorflow(purpose: str) -> Any:
    """TensorFlow, without the messages that it prints when it is imported.

    Raises
    ------
    MissingPackageError
        If it is not installed; `purpose` is what needs it.
    """
    require_packages("tensorflow", extra="train", purpose=purpose)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow

    tensorflow.get_logger().setLevel("ERROR")
    return tensorflow


def saved_model_files(function: Callable[..., Any], inputs: Inputs, variables: list[Any]) -> dict[str, bytes]:
    """The files of a SavedModel, by path.

    Parameters
    ----------
    function : callable
        From named tensors to a dict of tensors.
    inputs : mapping of str to a shape and a type
    variables : list
        Those of TensorFlow that the function reads.
    """
    with tempfile.TemporaryDirectory() as folder:
        save_module(function, inputs, variables, folder)
        paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
        # The fingerprint is random, and nothing reads it.
        kept = [path for path in paths if path.name != "fingerprint.pb"]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept}


def save_module(function: Callable[..., Any], inputs: Inputs, variables: list[Any], folder: str) -> None:
    """Write a SavedModel with one signature; arguments as for `saved_model_files`."""
    import tensorflow

    module = tensorflow.Module()
    module.kept = variables
    specifications = {name: tensorflow.TensorSpec(shape, kind, name) for name, (shape, kind) in inputs.items()}
    module.serve = tensorflow.function(function, autograph=False)
    signature = module.serve.get_concrete_function(**specifications)
    tensorflow.saved_model.save(module, folder, signatures={"serving_default": signature})
