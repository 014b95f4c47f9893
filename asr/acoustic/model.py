"""The acoustic model, from frames to logits, in `keras.ops` alone.

Padding is invisible: activations past an utterance's end are set to zero before and after every convolution, the
convolutions pad by constants of their own, and the recurrent layers reverse each row by its own length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.acoustic.initializers import Drawn
from asr.acoustic.outputs import output_slices, output_widths
from asr.acoustic.rnn import Recurrent
from asr.acoustic.steps import LAYER_NORM_EPSILON, step_counts
from asr.errors import BundleError
from asr.settings.model import FrontEnd, ModelConfig


def build_model(settings: ModelConfig, *, mels: int, symbols: int, phones: int = 0) -> keras.Model:
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

    Returns
    -------
    keras.Model
        From `[frames, frame_counts]`, float32 [shape=(batch, frames, mels)] and int32 [shape=(batch,)], to logits
        [shape=(batch, steps, total width)], output after output (see `acoustic.outputs`).
        `step_counts(frame_counts, settings)` steps of a row are true; the rest is garbage.
    """
    frames = keras.Input((None, mels), name="frames", dtype="float32")
    counts = keras.Input((), name="frame_counts", dtype="int32")
    x, counts_now = frames, counts
    if settings.front_end is FrontEnd.conv:
        x = Silence(name="silence_input")(x, counts_now)[..., None]
        for number in range(1, settings.convolutions + 1):
            x = TimePadding(settings, name=f"padding_{number}")(x)
            x = keras.layers.Conv2D(
                settings.channels,
                settings.kernel,
                strides=2,
                activation="relu",
                kernel_initializer=Drawn("glorot_uniform"),
                name=f"convolution_{number}",
            )(x)
            counts_now = (counts_now + 1) // 2
            x = Silence(name=f"silence_{number}")(x, counts_now)
        x = FlattenBands(name="flatten_bands")(x)
    else:
        x = Silence(name="silence_input")(x, counts_now)
        x = StackFrames(settings.subsampling, name="stack_frames")(x)
        counts_now = (counts_now + settings.subsampling - 1) // settings.subsampling
    x = _project_and_normalize(x, settings, "front_end")
    for number in range(1, settings.depth + 1):
        x = Recurrent(settings.cell, units=settings.units, directions=settings.directions, name=f"recurrent_{number}")(
            x, counts_now
        )
        x = _project_and_normalize(x, settings, f"recurrent_{number}")
        x = Dropout(settings.dropout, name=f"dropout_{number}")(x)
    # In float32 whatever the precision of the rest: CTC adds up what these logits say over hundreds of steps.
    widths = output_widths(settings, symbols=symbols, phones=phones)
    logits = [_dense(width, name, dtype="float32")(x) for name, width in widths.items()]
    logits = ops.concatenate(logits, axis=-1) if len(logits) > 1 else logits[0]
    return keras.Model([frames, counts], logits, name="acoustic_model")


def freeze_layers(model: keras.Model, count: int) -> None:
    """Keep the weights of the lowest layers as they are: 1 is the front end, 2 the first recurrent layer too."""
    for layer in model.layers:
        place = re.match(r"(?:convolution|front_end|recurrent)_(\d*)", layer.name)
        if place and (int(place[1]) if layer.name.startswith("recurrent") else 0) < count:
            layer.trainable = False


def _project_and_normalize(x: Any, settings: ModelConfig, name: str) -> Any:
    if settings.projection:
        x = _dense(settings.projection, f"{name}_projection")(x)
    if settings.layer_normalization:
        x = keras.layers.LayerNormalization(epsilon=LAYER_NORM_EPSILON, name=f"{name}_normalization")(x)
    return x


def _dense(units: int, name: str, **kwargs: Any) -> keras.layers.Layer:
    return keras.layers.Dense(units, kernel_initializer=Drawn("glorot_uniform"), name=name, **kwargs)


class Silence(keras.layers.Layer):  # type: ignore[misc]
    """Sets everything past each row's end to zero, so that a convolution cannot tell padding from its own zeros."""

    def call(self, inputs: Any, counts: Any) -> Any:
        """(batch, time, ...) and (batch,) to (batch, time, ...)."""
        positions = ops.arange(ops.shape(inputs)[1], dtype="int32")[None, :]
        inside = positions < ops.cast(counts, "int32")[:, None]
        inside = ops.reshape(inside, (-1, ops.shape(inputs)[1]) + (1,) * (len(inputs.shape) - 2))
        # where, not a product: garbage in the padding may be NaN.
        return ops.where(inside, inputs, ops.zeros_like(inputs))

    def compute_output_shape(self, inputs_shape: Any, counts_shape: Any) -> Any:
        return inputs_shape


class TimePadding(keras.layers.Layer):  # type: ignore[misc]
    """Pads (batch, time, bands, channels) with zeros by constants: "same" padding would depend on the padded length.

    A causal model (`bidirectional=false`) is padded before its first frame only, so that no step sees a later frame.
    """

    def __init__(self, settings: ModelConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        half = settings.kernel // 2
        self.time = (half, half) if settings.bidirectional else (settings.kernel - 1, 0)
        self.bands = (half, half)

    def call(self, inputs: Any) -> Any:
        """(batch, time, bands, channels) to (batch, time + kernel - 1, bands + kernel - 1, channels)."""
        return ops.pad(inputs, ((0, 0), self.time, self.bands, (0, 0)))


class Dropout(keras.layers.Layer):  # type: ignore[misc]
    """Dropout whose masks follow from a seed that is part of the model's state, on every back end.

    Keras's own layer draws from PyTorch's global generator there, so that a run that was interrupted could not go on
    as if it had not been.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, inputs: Any, training: bool = False) -> Any:
        """(batch, steps, features) to the same shape; the identity outside training."""
        if not training or self.rate == 0:
            return inputs
        kept = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator) >= self.rate
        return ops.where(kept, inputs / (1 - self.rate), ops.zeros_like(inputs))


class FlattenBands(keras.layers.Layer):  # type: ignore[misc]
    """(batch, time, bands, channels) to (batch, time, bands * channels)."""

    def call(self, inputs: Any) -> Any:
        return ops.reshape(inputs, (ops.shape(inputs)[0], -1, inputs.shape[2] * inputs.shape[3]))


class StackFrames(keras.layers.Layer):  # type: ignore[misc]
    """(batch, frames, mels) to (batch, ceil(frames / factor), factor * mels), zeros at the end."""

    def __init__(self, factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        padded = ops.pad(inputs, ((0, 0), (0, self.factor - 1), (0, 0)))
        steps = ops.shape(padded)[1] // self.factor
        return ops.reshape(
            padded[:, : steps * self.factor], (ops.shape(inputs)[0], steps, self.factor * inputs.shape[2])
        )

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, frames, mels = inputs_shape
        steps = None if frames is None else -(-frames // self.factor)
        return batch, steps, None if mels is None else self.factor * mels


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
        Natural log-probabilities of each utterance, cut to its true steps; output after output.
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

    Raises
    ------
    BundleError
        If a weight is missing, superfluous or of another shape; nothing is changed then.
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


def log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Natural log-probabilities from logits, over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: npt.NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
