"""The CTC loss with the true lengths of every row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.acoustic.ctc_kernels import ctc
from asr.acoustic.denominator import Denominator
from asr.acoustic.outputs import CHARACTERS, PHONES
from asr.acoustic.steps import step_counts
from asr.corpus.batching import Batch
from asr.settings.model import ModelConfig


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
        Steps (0 in a row that holds no utterance), label symbols, `step_symbols`, and the label. With phones, the same
        of these stands behind it, as wide.
    """
    steps = step_counts(batch.frame_counts, settings)
    total = np.full_like(steps, max(1, int(batch.label_counts.sum()) if step_symbols is None else step_symbols))
    parts = [np.stack([steps, batch.label_counts, total], axis=1), batch.labels]
    if batch.phones is not None and batch.phone_counts is not None:
        parts += [np.stack([steps, batch.phone_counts, total], axis=1), batch.phones]
    return np.concatenate(parts, axis=1)


def row_nats(y_true: Any, y_pred: Any) -> Any:
    """`pack_targets`' array and logits [shape=(batch, steps, symbols)] to nats [shape=(batch,)], 0 in an empty row."""
    y_true = ops.cast(y_true, "int32")
    steps = y_true[:, 0]
    nats = ctc_nats(y_pred, ops.maximum(steps, 1), y_true[:, 3:], y_true[:, 1])
    return ops.where(steps > 0, nats, ops.zeros_like(nats))


class CtcLoss(keras.losses.Loss):  # type: ignore[misc]
    """Nats a symbol: the loss of a batch over the number of its characters, on average of the outputs.

    The sum over the batch is divided once, so that a gradient step weighs every symbol the same, whether its
    utterance is long or short; also when several batches, or several devices, make one step together.

    Parameters
    ----------
    parts : int >= 1
        Losses of which the optimizer takes the mean for one step: batches times devices.
    denominators : mapping of str to Denominator
        Of the lattice-free MMI criterion, by the output's name; the loss of an output without one is CTC's.
    mmi_weight : float
        Share of that criterion, minus the logarithm of the transcript's posterior probability; the rest is CTC's.
    outputs : mapping of str to slice
        As `acoustic.outputs.output_slices` gives them; one output over characters by default.
    """

    def __init__(
        self,
        parts: int = 1,
        denominators: Mapping[str, Denominator] | None = None,
        mmi_weight: float = 0.0,
        outputs: Mapping[str, slice] | None = None,
    ) -> None:
        super().__init__(name="ctc", reduction="none")
        self._parts = parts
        self._denominators = denominators or {}
        self._mmi_weight = mmi_weight
        self._outputs = outputs or {CHARACTERS: slice(None)}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """`pack_targets`' array and logits [shape=(batch, steps, total width)] to a scalar."""
        step_symbols = ops.cast(y_true[0, 2], "float32")
        characters, *phones = ops.split(y_true, 2, axis=1) if PHONES in self._outputs else [y_true]
        nats = [
            self._nats(name, phones[0] if name == PHONES else characters, y_pred[..., place])
            for name, place in self._outputs.items()
        ]
        return ops.sum(sum(nats[1:], nats[0])) * (self._parts / len(nats) / step_symbols)

    def _nats(self, name: str, y_true: Any, y_pred: Any) -> Any:
        nats = row_nats(y_true, y_pred)
        if name in self._denominators:
            denominator, steps = self._denominators[name], ops.cast(y_true[:, 0], "int32")
            others = denominator(y_pred, ops.maximum(steps, 1))
            others = others - denominator.label_log_probs(y_true[:, 3:], y_true[:, 1])
            nats = nats + self._mmi_weight * ops.where(steps > 0, others, ops.zeros_like(others))
        return nats
