"""The CTC loss with the true lengths of every row."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.acoustic.ctc_kernels import ctc
from asr.acoustic.denominator import Denominator
from asr.acoustic.steps import step_counts
from asr.config import ModelConfig
from asr.corpus.batching import Batch


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
        In nats; infinite for a label that does not fit its steps.

    Notes
    -----
    Source: A. Graves et al., "Connectionist Temporal Classification", ICML 2006. `keras.losses.CTC` takes the padded
    length of every row for its true one.
    """
    return ctc(ops.cast(logits, "float32"), step_counts, labels, label_counts)


def pack_targets(batch: Batch, settings: ModelConfig, step_symbols: int | None = None) -> npt.NDArray[np.int32]:
    """What a loss needs to know of a batch, as the one array that Keras hands to it.

    Parameters
    ----------
    batch : Batch
    settings : ModelConfig
    step_symbols : int, optional
        Label symbols of all batches that make one step of the optimizer together; this batch's own by default.

    Returns
    -------
    int32 [shape=(batch, 3 + label symbols)]
        Steps (0 in a row that holds no utterance), label symbols, `step_symbols`, and the label.
    """
    steps = step_counts(batch.frame_counts, settings)
    total = np.full_like(steps, max(1, int(batch.label_counts.sum()) if step_symbols is None else step_symbols))
    return np.concatenate([np.stack([steps, batch.label_counts, total], axis=1), batch.labels], axis=1)


def row_nats(y_true: Any, y_pred: Any) -> Any:
    """`pack_targets`' array and logits [shape=(batch, steps, symbols)] to nats [shape=(batch,)], 0 in an empty row."""
    y_true = ops.cast(y_true, "int32")
    steps = y_true[:, 0]
    nats = ctc_nats(y_pred, ops.maximum(steps, 1), y_true[:, 3:], y_true[:, 1])
    return ops.where(steps > 0, nats, ops.zeros_like(nats))


class CtcLoss(keras.losses.Loss):  # type: ignore[misc]
    """Nats a symbol: the loss of a batch over the number of label symbols, on average of the outputs.

    The sum over the batch is divided once, so that a gradient step weighs every symbol the same, whether its
    utterance is long or short; also when several batches, or several devices, make one step together.

    Parameters
    ----------
    parts : int >= 1
        Losses of which the optimizer takes the mean for one step: batches times devices.
    denominator : Denominator, optional
        Of the lattice-free MMI criterion; without it, the loss is CTC's.
    mmi_weight : float
        Share of that criterion, minus the logarithm of the transcript's posterior probability; the rest is CTC's.
    outputs : int
        1 or 2. Of two outputs, the first has CTC's loss alone.
    """

    def __init__(
        self, parts: int = 1, denominator: Denominator | None = None, mmi_weight: float = 0.0, outputs: int = 1
    ) -> None:
        super().__init__(name="ctc", reduction="none")
        self._parts = parts
        self._denominator = denominator
        self._mmi_weight = mmi_weight
        self._outputs = outputs

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """`pack_targets`' array and logits [shape=(batch, steps, outputs * symbols)] to a scalar."""
        step_symbols = ops.cast(y_true[0, 2], "float32")
        *first, last = ops.split(y_pred, self._outputs, axis=-1)
        nats = sum((row_nats(y_true, one) for one in first), self._mmi_nats(y_true, last))
        return ops.sum(nats) * (self._parts / self._outputs / step_symbols)

    def _mmi_nats(self, y_true: Any, y_pred: Any) -> Any:
        nats = row_nats(y_true, y_pred)
        if self._denominator:
            steps = ops.cast(y_true[:, 0], "int32")
            others = self._denominator(y_pred, ops.maximum(steps, 1))
            others = others - self._denominator.label_log_probs(y_true[:, 3:], y_true[:, 1])
            nats = nats + self._mmi_weight * ops.where(steps > 0, others, ops.zeros_like(others))
        return nats
