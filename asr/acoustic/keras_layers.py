"""Keras layers of the acoustic network that Keras has not, in `keras.ops` alone.

Padding is invisible: frames past an utterance's end are set to zero before and after every convolution, and the
convolutions pad by constants, because "same" padding would depend on the length of the padded row.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from asr.acoustic.initializers import Drawn
from asr.acoustic.outputs import PADDING_LOGIT
from asr.text.alphabet import BLANK


def inside_rows(inputs: Any, counts: Any) -> Any:
    """Which entries of (batch, time, ...) lie before the end of their row: bool (batch, time, 1, ...)."""
    inside = ops.arange(ops.shape(inputs)[1], dtype="int32")[None, :] < ops.cast(counts, "int32")[:, None]
    return ops.reshape(inside, (-1, ops.shape(inputs)[1]) + (1,) * (len(inputs.shape) - 2))


@keras.saving.register_keras_serializable("asr")
class MaskPadding(keras.layers.Layer):  # type: ignore[misc]
    """Sets all frames past the end of each row to zero."""

    supports_masking = True

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """Stops the mask of a layer from elsewhere: the layers of this package read lengths."""

    def call(self, inputs: Any, counts: Any) -> Any:
        """(batch, time, ...) and (batch,) to (batch, time, ...)."""
        # where, not a product: the padding may hold NaN.
        return ops.where(inside_rows(inputs, counts), inputs, ops.zeros_like(inputs))

    def compute_output_shape(self, inputs_shape: Any, counts_shape: Any) -> Any:
        return inputs_shape


@keras.saving.register_keras_serializable("asr")
class CountSteps(keras.layers.Layer):  # type: ignore[misc]
    """The length of each row after a layer with a stride: (batch,) to (batch,), divided and rounded up."""

    def __init__(self, stride: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "int32"} | kwargs)
        self.stride = stride

    def call(self, counts: Any) -> Any:
        return (counts + self.stride - 1) // self.stride

    def compute_output_shape(self, counts_shape: Any) -> Any:
        return counts_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stride": self.stride}


@keras.saving.register_keras_serializable("asr")
class Convolution(keras.layers.Layer):  # type: ignore[misc]
    """Convolution over time and bands with stride 2 and ReLU, as `asr.acoustic.network.Convolution` describes it.

    Parameters
    ----------
    channels : int > 0
    kernel : int > 0
        Odd.
    time_padding, band_padding : (int, int)
        Zeros before and after each axis.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        *,
        time_padding: tuple[int, int],
        band_padding: tuple[int, int],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.channels, self.kernel_size = channels, kernel
        self.time_padding, self.band_padding = tuple(time_padding), tuple(band_padding)

    def build(self, inputs_shape: tuple[int | None, ...], step_counts_shape: Any) -> None:
        shape = (self.kernel_size, self.kernel_size, inputs_shape[-1], self.channels)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=Drawn("glorot_uniform"))
        self.bias = self.add_weight(name="bias", shape=(self.channels,), initializer="zeros")

    def call(self, inputs: Any, step_counts: Any) -> Any:
        """(batch, time, bands, channels in) and each row's length after the stride to (batch, steps, bands, channels).

        Inputs past the end of a row must be zero; so are the outputs.
        """
        padded = ops.pad(inputs, ((0, 0), self.time_padding, self.band_padding, (0, 0)))
        outputs = ops.conv(padded, self.kernel, strides=2, padding="valid", data_format="channels_last")
        outputs = ops.relu(outputs + self.bias)
        return ops.where(inside_rows(outputs, step_counts), outputs, ops.zeros_like(outputs))

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...], step_counts_shape: Any) -> Any:
        batch, time, bands, _ = inputs_shape
        return batch, *(None if one is None else -(-one // 2) for one in (time, bands)), self.channels

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "kernel": self.kernel_size,
            "time_padding": self.time_padding,
            "band_padding": self.band_padding,
        }


@keras.saving.register_keras_serializable("asr")
class AppendFrames(keras.layers.Layer):  # type: ignore[misc]
    """Appends zeros to the time axis; frames past the end of a row must be zero too."""

    def __init__(self, frames: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.frames = frames

    def call(self, inputs: Any) -> Any:
        """(batch, time, features) to (batch, time + frames, features)."""
        return ops.pad(inputs, ((0, 0), (0, self.frames), (0, 0)))

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, time, features = inputs_shape
        return batch, None if time is None else time + self.frames, features

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "frames": self.frames}


@keras.saving.register_keras_serializable("asr")
class AddToCounts(keras.layers.Layer):  # type: ignore[misc]
    """The length of each row with a number added: (batch,) to (batch,)."""

    def __init__(self, number: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "int32"} | kwargs)
        self.number = number

    def call(self, counts: Any) -> Any:
        return counts + self.number

    def compute_output_shape(self, counts_shape: Any) -> Any:
        return counts_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "number": self.number}


@keras.saving.register_keras_serializable("asr")
class DropSteps(keras.layers.Layer):  # type: ignore[misc]
    """Leaves out the first steps: (batch, steps, features) to (batch, steps - number, features)."""

    def __init__(self, steps: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps = steps

    def call(self, inputs: Any) -> Any:
        return inputs[:, self.steps :]

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, steps, features = inputs_shape
        return batch, None if steps is None else steps - self.steps, features

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "steps": self.steps}


@keras.saving.register_keras_serializable("asr")
class ContextConvolution(keras.layers.Layer):  # type: ignore[misc]
    """Weighted sum over the present and the steps before it, as `asr.acoustic.network.ContextConvolution` describes it.

    At the start each feature reads one step, and neighbouring features read different ones.
    """

    def __init__(self, context: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.context = context

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        width = inputs_shape[-1]
        assert width is not None
        steps = np.arange(self.context + 1)[:, None]
        start = (np.arange(width) % (self.context + 1) == steps).astype(np.float32)
        self.kernel = self.add_weight(
            name="kernel",
            shape=start.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(start, dtype),
        )

    def call(self, inputs: Any) -> Any:
        """(batch, steps, features) to the same shape."""
        steps = ops.shape(inputs)[1]
        padded = ops.pad(inputs, ((0, 0), (self.context, 0), (0, 0)))
        return sum(padded[:, place : place + steps] * self.kernel[place] for place in range(self.context + 1))

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "context": self.context}


@keras.saving.register_keras_serializable("asr")
class StackFrames(keras.layers.Layer):  # type: ignore[misc]
    """(batch, frames, mels) to (batch, ceil(frames / factor), factor * mels); zeros complete the last."""

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

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("asr")
class Dropout(keras.layers.Layer):  # type: ignore[misc]
    """Dropout whose masks follow from a seed that is part of the model's state, on every back end.

    On PyTorch, Keras's own layer draws from PyTorch's global generator: a run that was interrupted could not be
    resumed exactly.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()
        self.rows_of_batch: tuple[int, Any] | None = None
        """the rows of the whole batch, and the numbers of those in the inputs, where several processes share a batch:
        a row has the mask that it has in the whole batch"""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """(batch, steps, features) to the same shape; the identity outside training."""
        if not training or self.rate == 0:
            return inputs
        shape = ops.shape(inputs)
        if self.rows_of_batch is None:
            numbers = keras.random.uniform(shape, seed=self.seed_generator)
        else:
            rows, own = self.rows_of_batch
            numbers = ops.take(keras.random.uniform((rows, *shape[1:]), seed=self.seed_generator), own, axis=0)
        kept = numbers >= self.rate
        return ops.where(kept, inputs / (1 - self.rate), ops.zeros_like(inputs))

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


@keras.saving.register_keras_serializable("asr")
class Output(keras.layers.Dense):  # type: ignore[misc]
    """Linear layer to logits of symbols, in float32 whatever the precision of the other layers.

    In steps past the end of a row, the blank has logit 0 and all other symbols `PADDING_LOGIT`: the blank is certain.
    Losses and greedy decoding therefore need no lengths beside the logits.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, **{"dtype": "float32", "kernel_initializer": Drawn("glorot_uniform")} | kwargs)

    def build(self, inputs_shape: Any, step_counts_shape: Any) -> None:
        super().build(inputs_shape)

    def call(self, inputs: Any, step_counts: Any) -> Any:
        """(batch, steps, features) and (batch,) to (batch, steps, units)."""
        logits = super().call(inputs)
        padding = ops.where(ops.arange(self.units) == BLANK, 0.0, PADDING_LOGIT)
        return ops.where(inside_rows(logits, step_counts), logits, ops.cast(padding, logits.dtype))

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...], step_counts_shape: Any) -> Any:
        return (*inputs_shape[:-1], self.units)
