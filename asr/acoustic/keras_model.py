"""Builds the acoustic network in Keras, and moves its weights in and out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from asr.acoustic import network
from asr.acoustic.initializers import Drawn
from asr.acoustic.keras_layers import (
    AddToCounts,
    AppendFrames,
    ContextConvolution,
    Convolution,
    CountSteps,
    Dropout,
    DropSteps,
    MaskPadding,
    Output,
    StackFrames,
)
from asr.acoustic.outputs import log_softmax, output_slices
from asr.acoustic.own_layers import apply_own_layer, check_layer
from asr.acoustic.rnn import Recurrent
from asr.acoustic.steps import step_counts
from asr.errors import BundleError, ConfigError
from asr.settings.model import ModelConfig


def build_model(
    settings: ModelConfig,
    *,
    mels: int,
    symbols: int,
    phones: int = 0,
    front_end: keras.layers.Layer | None = None,
    layers: Mapping[str, keras.layers.Layer] | None = None,
) -> keras.Model:
    """Build the network with fresh weights, drawn from Keras's global seed.

    Parameters
    ----------
    settings : ModelConfig
    mels : int > 0
        Width of a frame.
    symbols : int > 0
        Width of an output layer over characters, blank included.
    phones : int
        Width of the output layer over phones, blank included, if the settings ask for one.
    front_end : keras.layers.Layer, optional
        In the place of the convolutions or the stacking of frames, from (batch, frames, mels) to (batch, steps,
        features). Its attribute `stride` is `settings.subsampling`, and steps are frames / stride, rounded up. If its
        `call` has an argument `counts`, it gets the frames of each row, int32 (batch,); for an argument `mask`, whether
        a frame lies before the end of its row, bool (batch, frames).
    layers : mapping of str to keras.layers.Layer, optional
        In the place of layers by name, such as `recurrent_1`, with as many steps as its input; else as `front_end`.

    Returns
    -------
    keras.Model
        From `[frames, frame_counts]`, float32 [shape=(batch, frames, mels)] and int32 [shape=(batch,)], to float32
        logits [shape=(batch, steps, total width)], output after output (see `asr.acoustic.outputs`). A row has
        `step_counts(frame_counts, settings)` steps; in steps past its end the blank, number 0, is certain.

    Raises
    ------
    ConfigError
        If a layer from elsewhere does not fit: its stride, the shape of its output, an output that depends on padding,
        or a name in `layers` that the network lacks.

    Examples
    --------
    >>> model = build_model(ModelConfig(depth=1, units=8), mels=80, symbols=29)
    >>> model.output_shape
    (None, None, 29)
    """
    frames = keras.Input((None, mels), name="frames", dtype="float32")
    counts = keras.Input((), name="frame_counts", dtype="int32")
    described = network.describe_network(settings, mels=mels, symbols=symbols, phones=phones)
    own = _own_layers(described, layers or {})
    x, counts_now, logits = frames, counts, []
    if front_end is not None:
        check_layer(front_end, "front_end")
        described = [layer for layer in described if not isinstance(layer, network.FRONT_END)]
        own["front_end"] = front_end
        described.insert(1 + bool(settings.lookahead), network.Layer(name="front_end"))
    for layer in described:
        if layer.name in own:
            stride = settings.subsampling if layer.name == "front_end" else 1
            argument = layer.name if layer.name == "front_end" else f"layers[{layer.name!r}]"
            x, counts_now = apply_own_layer(own[layer.name], x, counts_now, argument=argument, stride=stride)
            continue
        if isinstance(layer, network.AppendFrames):
            counts_now = AddToCounts(layer.frames, name=f"{layer.name}_counts")(counts_now)
        elif isinstance(layer, network.DropSteps):
            counts_now = AddToCounts(-layer.steps, name=f"{layer.name}_counts")(counts_now)
        elif layer.stride > 1:
            counts_now = CountSteps(layer.stride, name=f"{layer.name}_counts")(counts_now)
        if isinstance(layer, network.Output):
            logits.append(_keras_layer(layer)(x, counts_now))
        elif isinstance(layer, network.MaskPadding | network.Convolution | network.Recurrent):
            x = _keras_layer(layer)(x, counts_now)
        else:
            x = _keras_layer(layer)(x)
    outputs = keras.layers.Concatenate(name="logits", dtype="float32")(logits) if len(logits) > 1 else logits[0]
    return keras.Model([frames, counts], outputs, name="acoustic_model")


def _own_layers(
    described: Sequence[network.Layer], layers: Mapping[str, keras.layers.Layer]
) -> dict[str, keras.layers.Layer]:
    """Layers from elsewhere by the names of those that they replace, checked."""
    fixed = (network.MaskPadding, network.Output, *network.FRONT_END)
    names = [layer.name for layer in described if not isinstance(layer, fixed)]
    for name, layer in layers.items():
        if name not in names:
            raise ConfigError(f"layers[{name!r}]: no layer that can be replaced: these are {', '.join(names)}")
        check_layer(layer, f"layers[{name!r}]")
    return dict(layers)


def _keras_layer(layer: network.Layer) -> keras.layers.Layer:
    name = layer.name
    match layer:
        case network.MaskPadding():
            return MaskPadding(name=name)
        case network.AddChannel():
            return keras.layers.Reshape((-1, layer.bands, 1), name=name)
        case network.Convolution():
            return Convolution(
                layer.channels,
                layer.kernel,
                time_padding=layer.time_padding,
                band_padding=layer.band_padding,
                name=name,
            )
        case network.FlattenBands():
            return keras.layers.Reshape((-1, layer.width), name=name)
        case network.StackFrames():
            return StackFrames(layer.factor, name=name)
        case network.AppendFrames():
            return AppendFrames(layer.frames, name=name)
        case network.ContextConvolution():
            return ContextConvolution(layer.context, name=name)
        case network.DropSteps():
            return DropSteps(layer.steps, name=name)
        case network.Recurrent():
            return Recurrent(layer.cell, units=layer.units, directions=layer.directions, name=name)
        case network.LayerNormalization():
            return keras.layers.LayerNormalization(epsilon=network.LAYER_NORM_EPSILON, name=name)
        case network.Dropout():
            return Dropout(layer.rate, name=name)
        case network.Output():  # before Projection, which it is a kind of
            return Output(layer.units, name=name)
        case network.Projection():
            return keras.layers.Dense(layer.units, kernel_initializer=Drawn("glorot_uniform"), name=name)
    raise TypeError(f"no Keras layer for {layer}")


def freeze_layers(model: keras.Model, count: int) -> None:
    """Exclude the lowest layers from training: 1 is the front end, 2 also the first recurrent layer, and so on."""
    for layer in model.layers:
        place = re.fullmatch(r"(convolution|front_end|recurrent)(?:_(\d+))?(_projection|_normalization)?", layer.name)
        if place and (int(place[2]) if place[1] == "recurrent" else 0) < count:
            layer.trainable = False


def predict_log_probs(
    model: keras.Model,
    frames: npt.NDArray[np.float32],
    frame_counts: npt.NDArray[np.int32],
    settings: ModelConfig,
    *,
    phones: int = 0,
) -> list[npt.NDArray[np.float32]]:
    """Run a model on a batch.

    Parameters
    ----------
    model : keras.Model
        As `build_model` makes it, from the same settings.
    frames : float32 [shape=(batch, frames, mels)]
    frame_counts : int32 [shape=(batch,)]
    settings : ModelConfig
    phones : int
        Width of the output layer over phones.

    Returns
    -------
    list of float32 [shape=(steps, total width)]
        Natural log-probabilities of each utterance without the steps past its end; output after output.
    """
    logits = np.asarray(model.predict_on_batch([frames, frame_counts]), np.float32)
    symbols = (logits.shape[-1] - phones) // settings.outputs
    slices = output_slices(settings, symbols=symbols, phones=phones).values()
    log_probs = np.concatenate([log_softmax(logits[..., one]) for one in slices], axis=-1)
    return [one[:steps] for one, steps in zip(log_probs, step_counts(frame_counts, settings), strict=True)]


def read_weights(model: keras.Model) -> dict[str, npt.NDArray[np.float32]]:
    """The weights of a model by name, as a bundle keeps them, in an order that depends on the settings alone."""
    return {weight.path: np.asarray(keras.ops.convert_to_numpy(weight), np.float32) for weight in model.weights}


def write_weights(model: keras.Model, weights: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give a model the weights of a bundle.

    Parameters
    ----------
    model : keras.Model
    weights : mapping of str to arrays
        By the names that `read_weights` gives.

    Raises
    ------
    BundleError
        If a weight is missing, unknown or of another shape; the model is then left as it was.
    """
    wanted = {weight.path: tuple(weight.shape) for weight in model.weights}
    problems = [f"weight {name} is missing" for name in wanted if name not in weights]
    problems += [f"weight {name} has no place in the model" for name in weights if name not in wanted]
    problems += [
        f"weight {name} must have shape {shape}, not {tuple(weights[name].shape)}"
        for name, shape in wanted.items()
        if name in weights and tuple(weights[name].shape) != shape
    ]
    if problems:
        raise BundleError("the weights do not fit the model: " + "; ".join(problems[:5]))
    for weight in model.weights:
        weight.assign(np.asarray(weights[weight.path], np.float32))
