"""The CTC loss with the true lengths of every row."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.acoustic.steps import step_counts
from asr.config import ModelConfig
from asr.corpus.batching import Batch
from asr.text.alphabet import BLANK


def ctc_nats(logits: Any, step_counts: Any, labels: Any, label_counts: Any) -> Any:
    """Minus the log-probability of each label, summed over its alignments.

    Parameters
    ----------
    logits : tensor [shape=(batch, steps, symbols)]
        Blank is number 0.
    step_counts : int tensor [shape=(batch,)]
        True steps of each row.
    labels : int tensor [shape=(batch, label symbols)]
        Numbers from 1 on.
    label_counts : int tensor [shape=(batch,)]

    Returns
    -------
    float32 tensor [shape=(batch,)]
        In nats. A label that does not fit its steps gives a number without meaning that differs between back ends:
        find it before training.

    Notes
    -----
    Source: A. Graves et al., "Connectionist Temporal Classification", ICML 2006. `keras.losses.CTC` takes the padded
    length of every row for its true one.
    """
    return ops.ctc_loss(labels, ops.cast(logits, "float32"), label_counts, step_counts, mask_index=BLANK)


def pack_targets(batch: Batch, settings: ModelConfig) -> npt.NDArray[np.int32]:
    """A batch's step counts, label counts and labels as the one array that `fit` hands to a loss.

    Returns
    -------
    int32 [shape=(batch, 2 + label symbols)]
    """
    steps = step_counts(batch.frame_counts, settings)
    return np.concatenate([steps[:, None], batch.label_counts[:, None], batch.labels], axis=1)


class CtcLoss(keras.losses.Loss):  # type: ignore[misc]
    """Nats a symbol: the CTC loss of a batch over the number of its label symbols.

    The sum over the batch is divided once, so that a gradient step weighs every symbol the same, whether its
    utterance is long or short.
    """

    def __init__(self) -> None:
        super().__init__(name="ctc", reduction="none")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """`pack_targets`' array and logits [shape=(batch, steps, symbols)] to a scalar."""
        y_true = ops.cast(y_true, "int32")
        label_counts = y_true[:, 1]
        nats = ctc_nats(y_pred, y_true[:, 0], y_true[:, 2:], label_counts)
        symbols = ops.maximum(ops.sum(label_counts), 1)
        return ops.sum(nats) / ops.cast(symbols, "float32")
