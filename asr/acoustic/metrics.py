"""Greedy decoding and token error rate in `keras.ops`, for `model.compile(metrics=[...])`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.text.alphabet import BLANK

PADDING = -1
"""what follows the tokens of a row in arrays of this module"""


def greedy_tokens(logits: Any) -> Any:
    """The most probable symbol of every step, repeats merged and blanks removed.

    Parameters
    ----------
    logits : tensor [shape=(batch, steps, symbols)]
        Logits or log-probabilities; the blank is number 0. Of equal ones, the symbol with the lower number counts.

    Returns
    -------
    int32 tensor [shape=(batch, steps)]
        The tokens of each row, followed by -1.

    Notes
    -----
    Source: A. Graves et al., "Connectionist Temporal Classification", ICML 2006, section 3.2.
    """
    path = ops.cast(ops.argmax(logits, axis=-1), "int32")
    before = ops.pad(path, ((0, 0), (1, 0)), constant_values=BLANK)[:, :-1]
    kept = (path != BLANK) & (path != before)
    steps = ops.shape(path)[1]
    positions = ops.arange(steps, dtype="int32")[None, :]
    order = ops.argsort(ops.where(kept, positions, positions + steps), axis=1)
    tokens = ops.take_along_axis(path, order, axis=1)
    counts = ops.sum(ops.cast(kept, "int32"), axis=1)
    return ops.where(positions < counts[:, None], tokens, PADDING)


def greedy_labels(logits: npt.ArrayLike) -> list[list[int]]:
    """The labels of a batch by greedy decoding; `Alphabet.decode` turns each into text.

    Parameters
    ----------
    logits : float [shape=(batch, steps, symbols)]
        As `model.predict` gives them.

    Returns
    -------
    list of list of int
        Symbol numbers from 1 on.

    Examples
    --------
    >>> greedy_labels([[[0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]])
    [[1, 1, 2]]
    """
    tokens = ops.convert_to_numpy(greedy_tokens(ops.convert_to_tensor(np.asarray(logits, np.float32))))
    return [row[row > BLANK].tolist() for row in tokens]


def edit_distances(found: Any, expected: Any) -> Any:
    """Insertions, deletions and substitutions between the rows of two arrays.

    Parameters
    ----------
    found : int32 tensor [shape=(batch, found tokens)]
    expected : int32 tensor [shape=(batch, expected tokens)]
        Tokens are above 0; what follows the last of a row is not.

    Returns
    -------
    int32 tensor [shape=(batch,)]

    Notes
    -----
    Source: V. Levenshtein, 1966. The table of distances between prefixes is computed one diagonal at a time, whose
    entries do not depend on each other: `(found tokens + expected tokens)` operations on vectors.
    """
    found_counts, expected_counts = (ops.sum(ops.cast(one > BLANK, "int32"), axis=1) for one in (found, expected))
    batch, width = ops.shape(expected)[0], ops.shape(expected)[1] + 1
    columns = ops.arange(width, dtype="int32")  # expected tokens read so far
    expected = ops.pad(expected, ((0, 0), (1, 0)), constant_values=PADDING)
    # Found tokens read so far are the number of the diagonal minus the column: a window that slides along this row.
    found = ops.pad(found, ((0, 0), (width, width)), constant_values=PADDING)
    far = ops.cast(ops.shape(found)[1] + width, "int32")  # beyond every distance
    is_last = columns[None, :] == expected_counts[:, None]

    def shifted(diagonal: Any) -> Any:
        return ops.pad(diagonal, ((0, 0), (1, 0)))[:, :-1]

    def next_diagonal(number: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        before, two_before, distances = state
        rows = number - columns
        tokens = ops.take(found, ops.clip(rows - 1 + width, 0, ops.shape(found)[1] - 1), axis=1)
        substituted = shifted(two_before) + ops.cast(tokens != expected, "int32")
        inner = ops.minimum(ops.minimum(before, shifted(before)) + 1, substituted)
        now = ops.where(rows[None, :] == 0, columns[None, :], ops.where(columns[None, :] == 0, number, inner))
        # reshape: a loop of TensorFlow must know that the shape stays the same.
        now = ops.reshape(ops.where(rows[None, :] < 0, far, now), (batch, width))
        here = is_last & (rows[None, :] == found_counts[:, None])
        distances = distances + ops.sum(ops.where(here, now, 0), axis=1)
        return now, before, ops.reshape(distances, (batch,))

    start = ops.broadcast_to(ops.where(columns == 0, 0, far)[None, :], (batch, width))
    state = (start, ops.full_like(start, far), ops.zeros_like(found_counts))
    last = ops.max(found_counts + expected_counts)
    return ops.fori_loop(1, last + 1, next_diagonal, state)[2]


@keras.saving.register_keras_serializable("asr")
class TokenErrorRate(keras.metrics.Metric):  # type: ignore[misc]
    """Edit distance between greedily decoded logits and labels, over the number of label symbols.

    Errors and symbols are each added up over all batches, then divided. Where tokens are characters, this is the
    character error rate. Arguments of `update_state` are those of `asr.acoustic.CtcLoss`: labels int
    [shape=(batch, label symbols)] padded with 0 or negative numbers, and logits [shape=(batch, steps, symbols)].

    Parameters
    ----------
    name, dtype
        As for every Keras metric.

    Examples
    --------
    >>> metric = TokenErrorRate()
    >>> metric.update_state(np.array([[1, 2, -1]]), np.array([[[0.0, 1, 0], [0, 0, 0], [0, 1, 0]]], np.float32))
    >>> float(metric.result())
    0.5
    """

    def __init__(self, name: str = "token_error_rate", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.errors = self.add_variable((), "zeros", dtype="int32", name="errors")
        self.tokens = self.add_variable((), "zeros", dtype="int32", name="tokens")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch.

        Raises
        ------
        ValueError
            If there are sample weights: errors are counted, not weighed.
        """
        if sample_weight is not None:
            raise ValueError(f"{self.name} counts errors and takes no sample weights: put it under metrics=")
        expected = ops.cast(y_true, "int32")
        self.errors.assign_add(ops.sum(edit_distances(greedy_tokens(y_pred), expected)))
        self.tokens.assign_add(ops.sum(ops.cast(expected > BLANK, "int32")))

    def result(self) -> Any:
        """Errors over label symbols; NaN before there are any."""
        return ops.divide(ops.cast(self.errors, "float32"), ops.cast(self.tokens, "float32"))
