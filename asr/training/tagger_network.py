"""The network of the tagger in Keras, its loss, and its weights by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.acoustic.initializers import Drawn
from asr.acoustic.keras_layers import Dropout
from asr.acoustic.rnn import Recurrent
from asr.punctuation.tagger_shapes import PAUSE_WIDTH, layer_units, recurrent_name, tag_units
from asr.punctuation.word_numbers import PAUSE_CLASSES, SLOTS
from asr.punctuation.written_tags import BREAKS, CASES, MARKS, WIDTH
from asr.settings.model import Cell
from asr.settings.tagger import TaggerConfig
from asr.training.tagger_data import IGNORED

_PARTS = (len(MARKS), CASES, BREAKS)


@keras.saving.register_keras_serializable("asr")
class SumOfPieces(keras.layers.Layer):  # type: ignore[misc]
    """Adds up the vectors of a word and of its pieces: (batch, words, slots, width) to (batch, words, width)."""

    def call(self, inputs: Any) -> Any:
        return ops.sum(inputs, axis=2)

    def compute_output_shape(self, inputs_shape: Any) -> Any:
        return (*inputs_shape[:2], inputs_shape[3])


def build_tagger(settings: TaggerConfig, *, size: int, dropout: float = 0.0) -> keras.Model:
    """The network with fresh weights.

    Parameters
    ----------
    settings : TaggerConfig
    size : int > 0
        How many words and pieces have a vector.
    dropout : float

    Returns
    -------
    keras.Model
        From `[features, pauses, counts]`, int32 [shape=(batch, words, SLOTS)], [shape=(batch, words)] and
        [shape=(batch,)], to logits [shape=(batch, words, WIDTH)].
    """
    features = keras.Input((None, SLOTS), name="features", dtype="int32")
    pauses = keras.Input((None,), name="pauses", dtype="int32")
    counts = keras.Input((), name="counts", dtype="int32")
    vectors = keras.layers.Embedding(size, settings.embedding, name="pieces")(features)
    x = SumOfPieces(name="words")(vectors)
    x = keras.layers.Concatenate(name="inputs")(
        [x, keras.layers.Embedding(PAUSE_CLASSES, PAUSE_WIDTH, name="pauses_embedding")(pauses)]
    )
    x = Dropout(dropout, name="dropout_0")(x)
    layers = []
    for number, units in enumerate(layer_units(settings), start=1):
        x = Recurrent(Cell.lstm, units=units, directions=2, name=recurrent_name(number))(x, counts)
        x = Dropout(dropout, name=f"dropout_{number}")(x)
        layers.append(x)
    if len(tag_units(settings)) > 1:
        x = keras.layers.Concatenate(name="last_layers")(layers[-len(tag_units(settings)) :])
    # In float32 whatever the precision of the rest, as the loss is.
    x = keras.layers.Dense(WIDTH, kernel_initializer=Drawn("glorot_uniform"), dtype="float32", name="tags")(x)
    return keras.Model([features, pauses, counts], x, name="tagger")


def tagger_weights(network: keras.Model) -> dict[str, npt.NDArray[np.float32]]:
    """The weights, by the names of `asr.punctuation.tagger_shapes.weight_shapes`."""
    return {name: np.array(ops.convert_to_numpy(one), np.float32) for name, one in _variables(network).items()}


def set_tagger_weights(network: keras.Model, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Give the network these weights, named as `tagger_weights` names them."""
    for name, variable in _variables(network).items():
        variable.assign(weights[name])


def _variables(network: keras.Model) -> dict[str, Any]:
    layers = {layer.name: layer for layer in network.layers}
    variables = {
        "pieces": layers["pieces"].embeddings,
        "pauses": layers["pauses_embedding"].embeddings,
        "tags/kernel": layers["tags"].kernel,
        "tags/bias": layers["tags"].bias,
    }
    for name, layer in layers.items():
        if isinstance(layer, Recurrent):
            variables |= {f"{name}/{part}": getattr(layer, part) for part in ("kernel", "recurrent_kernel", "bias")}
    return variables


def tag_loss(y_true: Any, y_pred: Any) -> Any:
    """The sum of the cross entropies of mark, case and break, in nats per word with a mark."""
    y_true, y_pred = ops.cast(y_true, "int32"), ops.cast(y_pred, "float32")
    total: Any = 0.0
    first = 0
    for column, width in enumerate(_PARTS):
        target = y_true[..., column]
        kept = target != IGNORED
        log_probs = ops.log_softmax(y_pred[..., first : first + width], axis=-1)
        one_hot = ops.one_hot(ops.where(kept, target, 0), width, dtype="float32")
        nats = -ops.sum(log_probs * one_hot, axis=-1)
        total = total + ops.sum(ops.where(kept, nats, 0.0))
        first += width
    return total / ops.maximum(1.0, ops.cast(ops.sum(ops.cast(y_true[..., 0] != IGNORED, "int32")), "float32"))
