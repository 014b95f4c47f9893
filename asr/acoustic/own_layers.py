"""Keras layers from elsewhere in the place of layers of the acoustic network, checked before they are trained."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
from keras import ops

from asr.acoustic.keras_layers import CountSteps, MaskPadding
from asr.errors import ConfigError

# Relative to the largest output. Kernels order sums differently for different shapes.
_TOLERANCE = {"float32": 1e-3, "float64": 1e-3}
_LOW_PRECISION_TOLERANCE = 0.05


@keras.saving.register_keras_serializable("asr")
class RowMask(keras.layers.Layer):  # type: ignore[misc]
    """Which steps lie before the end of their row: (batch, steps, features) and (batch,) to bool (batch, steps)."""

    def call(self, inputs: Any, counts: Any) -> Any:
        return ops.arange(ops.shape(inputs)[1], dtype="int32")[None, :] < ops.cast(counts, "int32")[:, None]

    def compute_output_spec(self, inputs: Any, counts: Any) -> Any:
        return keras.KerasTensor(inputs.shape[:2], dtype="bool")


def check_layer(layer: object, argument: str) -> None:
    """Refuse what is no Keras layer.

    Raises
    ------
    ConfigError
        Naming the argument of `build_model`.
    """
    if isinstance(layer, keras.layers.Layer):
        return
    wanted = "a Keras layer, such as keras.layers.Conv1D(...)"
    came = f"the class {layer.__name__}: call it" if isinstance(layer, type) else repr(layer)
    raise ConfigError(f"{argument} must be {wanted}, not {came}")


def apply_own_layer(layer: keras.layers.Layer, x: Any, counts: Any, *, argument: str, stride: int) -> tuple[Any, Any]:
    """Add a layer from elsewhere to a network.

    Parameters
    ----------
    layer : keras.layers.Layer
        From (batch, time, features) to (batch, ceil(time / stride), features of any width). If its `call` has an
        argument `counts`, it gets the length of each row, int32 (batch,); for an argument `mask`, whether a step lies
        before the end of its row, bool (batch, time).
    x, counts : KerasTensor
        The input of the layer, zero past the end of each row, and the lengths of the rows.
    argument : str
        Of `build_model`, for errors.
    stride : int > 0
        Input steps for each output step that the layer must have.

    Returns
    -------
    outputs, counts : KerasTensor
        Zero past the end of each row; the lengths of the rows after the stride.

    Raises
    ------
    ConfigError
        If the layer declares another stride, or its output has another shape or depends on the padding of a row.
    """
    _check_stride(layer, argument, stride)
    features = x.shape[-1]
    outputs = layer(x, **_lengths(layer, x, counts))
    shape = getattr(outputs, "shape", None)
    if shape is None or len(shape) != 3 or shape[-1] is None:
        what = f"shape {tuple(shape)}" if shape is not None else f"{type(outputs).__name__}"
        raise ConfigError(
            f"{argument}: the output of {_name(layer)} must have shape (batch, time, features) with a known number of "
            f"features, not {what}"
        )
    _check_padding(layer, features, argument, stride)
    if stride > 1:
        counts = CountSteps(stride, name=f"{layer.name}_counts")(counts)
    return MaskPadding(name=f"{layer.name}_masked")(outputs, counts), counts


def _name(layer: keras.layers.Layer) -> str:
    return f"{type(layer).__name__} {layer.name!r}"


def _check_stride(layer: keras.layers.Layer, argument: str, stride: int) -> None:
    declared = getattr(layer, "stride", 1)
    if declared == stride:
        return
    if argument == "front_end":
        raise ConfigError(
            f"front_end: {_name(layer)} has the stride {declared}{'' if hasattr(layer, 'stride') else ' (none is set)'}"
            f", and model.subsampling is {stride}: set the attribute `stride` of the layer to the number of frames for "
            f"each step of its output, and ModelConfig(subsampling=...) to the same"
        )
    raise ConfigError(f"{argument}: {_name(layer)} must have the stride 1, not {declared}: only front_end subsamples")


def _lengths(layer: keras.layers.Layer, x: Any, counts: Any) -> dict[str, Any]:
    """What the layer's `call` asks for of the lengths of the rows. A model passes masks on to its layers itself."""
    asked = inspect.signature(layer.call).parameters
    lengths = {"counts": counts} if "counts" in asked else {}
    if "mask" in asked and not isinstance(layer, keras.Model):
        lengths["mask"] = RowMask(name=f"{layer.name}_mask")(x, counts)
    return lengths


def _check_padding(layer: keras.layers.Layer, features: int, argument: str, stride: int) -> None:
    """Refuse a layer whose output for a row has another length, or changes with the padding behind the row."""
    rng = np.random.default_rng(1)
    for length in (4 * stride + 1, 3 * stride, 1):
        row = rng.standard_normal((1, length, features)).astype(np.float32)
        counts = np.array([length], np.int32)
        alone = _run(layer, row, counts)
        steps = -(-length // stride)
        if alone.shape[:2] != (1, steps):
            raise ConfigError(
                f"{argument}: {_name(layer)} must make {steps} steps of {length} frames (frames / {stride}, rounded "
                f"up), not an output of shape {alone.shape}: pad the time axis in the layer"
            )
        tolerance = _TOLERANCE.get(layer.compute_dtype, _LOW_PRECISION_TOLERANCE) * max(1.0, float(np.abs(alone).max()))
        for padding in (1, 2 * stride + 1):
            padded = _run(layer, np.pad(row, ((0, 0), (0, padding), (0, 0))), counts)[:, :steps]
            if float(np.abs(padded - alone).max()) > tolerance:
                raise ConfigError(
                    f"{argument}: the output of {_name(layer)} for {length} frames changes when {padding} frames of "
                    'zeros follow. Use the argument `mask` or `counts` of its `call`, and constant padding: "same" '
                    "with a stride depends on the length of the padded row"
                )


def _run(layer: keras.layers.Layer, inputs: Any, counts: Any) -> Any:
    tensor, lengths = ops.convert_to_tensor(inputs), ops.convert_to_tensor(counts)
    return np.asarray(ops.convert_to_numpy(layer(tensor, **_lengths(layer, tensor, lengths))), np.float32)
