"""The network of the LSTM language model in Keras, its loss, and its weights by name."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.acoustic.initializers import Drawn
from asr.acoustic.keras_layers import Dropout
from asr.acoustic.rnn import Recurrent
from asr.language.neural_shapes import recurrent_name
from asr.settings.language import LstmConfig
from asr.settings.model import Cell

IGNORED = -1
"""as a target: no loss"""


@keras.saving.register_keras_serializable("asr")
class PieceVectors(keras.layers.Layer):  # type: ignore[misc]
    """The vectors of the pieces, which the network reads, and which the output is compared with.

    They are small for the output. The LSTMs read them times the square root of their width, as they would learn slowly
    at first from small inputs.

    Sources: O. Press, L. Wolf, "Using the Output Embedding to Improve Language Models", EACL 2017; A. Vaswani et al.,
    "Attention Is All You Need", 2017, section 3.4.
    """

    def __init__(self, count: int, *, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count, self.width = count, width

    def build(self, *_: Any) -> None:
        small = keras.initializers.RandomNormal(stddev=self.width**-0.5)
        self.vectors = self.add_weight(name="vectors", shape=(self.count, self.width), initializer=small)
        self.bias = self.add_weight(name="bias", shape=(self.count,), initializer="zeros")

    def call(self, inputs: Any, output: bool = False) -> Any:
        """Pieces (batch, steps) to their vectors (batch, steps, width); with `output`, vectors (batch, steps, width) to
        logits (batch, steps, count)."""
        if output:
            return ops.matmul(inputs, ops.transpose(self.vectors)) + self.bias
        return ops.take(self.vectors, inputs, axis=0) * self.width**0.5

    def compute_output_spec(self, inputs: Any, output: bool = False) -> Any:
        return keras.KerasTensor((*inputs.shape[:2], self.count if output else self.width), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "count": self.count, "width": self.width}


def build_language_model(settings: LstmConfig, *, count: int, dropout: float = 0.0) -> keras.Model:
    """The network with fresh weights.

    Parameters
    ----------
    settings : LstmConfig
    count : int
        Of the pieces and the end of the sentence.
    dropout : float

    Returns
    -------
    keras.Model
        From `[pieces, counts]`, int32 [shape=(batch, steps)] and [shape=(batch,)], to the logits of the piece behind
        each one [shape=(batch, steps, count)].
    """
    pieces = keras.Input((None,), name="pieces", dtype="int32")
    counts = keras.Input((), name="counts", dtype="int32")
    vectors = PieceVectors(count, width=settings.embedding, name="vectors")
    x = Dropout(dropout, name="dropout_0")(vectors(pieces))
    for number in range(1, settings.depth + 1):
        x = Recurrent(Cell.lstm, units=settings.units, directions=1, name=recurrent_name(number))(x, counts)
        x = Dropout(dropout, name=f"dropout_{number}")(x)
    if settings.embedding != settings.units:
        x = keras.layers.Dense(
            settings.embedding, use_bias=False, kernel_initializer=Drawn("glorot_uniform"), name="projection"
        )(x)
    return keras.Model([pieces, counts], vectors(x, output=True), name="language_model")


def language_model_weights(network: keras.Model) -> dict[str, npt.NDArray[np.float32]]:
    """The weights, by the names of `asr.language.neural_shapes.weight_shapes`."""
    layers = {layer.name: layer for layer in network.layers}

    def read(variable: Any) -> npt.NDArray[np.float32]:
        return np.array(ops.convert_to_numpy(variable), np.float32)

    weights = {"vectors": read(layers["vectors"].vectors), "bias": read(layers["vectors"].bias)}
    for name, layer in layers.items():
        if isinstance(layer, Recurrent):
            weights[f"{name}/kernel"] = read(layer.kernel)[0]
            weights[f"{name}/recurrent_kernel"] = read(layer.recurrent_kernel)[0]
            # Two biases that are added up.
            weights[f"{name}/bias"] = read(layer.bias)[0].sum(axis=0)
    if "projection" in layers:
        weights["projection"] = read(layers["projection"].kernel)
    return weights


def piece_loss(y_true: Any, y_pred: Any) -> Any:
    """The mean cross entropy in nats per piece, of the targets that are not `IGNORED`; in float32."""
    targets, logits = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
    kept = targets != IGNORED
    found = ops.take_along_axis(logits, ops.where(kept, targets, 0)[..., None], axis=-1)[..., 0]
    nats = ops.logsumexp(logits, axis=-1) - found
    return ops.sum(ops.where(kept, nats, 0.0)) / ops.maximum(1.0, ops.sum(ops.cast(kept, "float32")))
