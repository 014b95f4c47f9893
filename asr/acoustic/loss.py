"""The CTC loss with the true lengths of every row: `CtcLoss` for any Keras model, `BatchLoss` for training here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.acoustic.ctc_kernels import ctc
from asr.acoustic.outputs import CHARACTERS, PADDING_LOGIT, PHONES
from asr.acoustic.steps import step_counts
from asr.corpus.batching import Batch
from asr.settings.model import ModelConfig
from asr.text.alphabet import BLANK

if TYPE_CHECKING:
    from asr.acoustic.denominator import Denominator


# Its product with its logarithm is 0 beside others.
_SMALLEST_PROBABILITY = 1e-12


def ctc_nats(logits: Any, step_counts: Any, labels: Any, label_counts: Any) -> Any:
    """Negative log-probability of each label, summed over its alignments.

    Parameters
    ----------
    logits : tensor [shape=(batch, steps, symbols)]
        Blank is number 0.
    step_counts : int tensor [shape=(batch,)]
        Length of each row, above 0.
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


def pack_targets(
    batch: Batch, settings: ModelConfig, step_symbols: int | None = None
) -> npt.NDArray[np.int32] | npt.NDArray[np.float32]:
    """The lengths and labels of a batch in one array, which is what Keras passes to a loss.

    Parameters
    ----------
    batch : Batch
    settings : ModelConfig
    step_symbols : int, optional
        Label symbols of all batches that form one step of the optimizer; those of this batch by default.

    Returns
    -------
    int32 [shape=(batch, 3 + label symbols)]
        Steps (0 in a row that holds no utterance), label symbols, `step_symbols`, and the label. With phones, the same
        columns follow for these. With a teacher, its probabilities follow, step after step, and all is float32.
    """
    steps = step_counts(batch.frame_counts, settings)
    total = np.full_like(steps, max(1, int(batch.label_counts.sum()) if step_symbols is None else step_symbols))
    parts = [np.stack([steps, batch.label_counts, total], axis=1), batch.labels]
    if batch.phones is not None and batch.phone_counts is not None:
        parts += [np.stack([steps, batch.phone_counts, total], axis=1), batch.phones]
    if batch.teacher is not None:
        # Numbers below 2 ** 24 are exact in float32.
        parts = [*(part.astype(np.float32) for part in parts), batch.teacher.reshape(len(batch.teacher), -1)]
    return np.concatenate(parts, axis=1)


def row_nats(y_true: Any, y_pred: Any) -> Any:
    """CTC loss of each row in nats [shape=(batch,)], 0 in a row that holds no utterance.

    Parameters
    ----------
    y_true : int tensor [shape=(batch, 3 + label symbols)]
        As `pack_targets` makes it.
    y_pred : tensor [shape=(batch, steps, symbols)]
        Logits.
    """
    y_true = ops.cast(y_true, "int32")
    steps = y_true[:, 0]
    nats = ctc_nats(y_pred, ops.maximum(steps, 1), y_true[:, 3:], y_true[:, 1])
    return ops.where(steps > 0, nats, ops.zeros_like(nats))


@keras.saving.register_keras_serializable("asr")
class CtcLoss(keras.losses.Loss):  # type: ignore[misc]
    """CTC loss for `model.compile`: nats of each row, reduced as in every Keras loss (by default to their mean).

    `y_true` is int [shape=(batch, label symbols)]: symbols are numbered from 1, and rows are padded at their end with 0
    or negative numbers. `y_pred` is float [shape=(batch, steps, symbols)]: logits, the blank being number 0.

    The length of a row needs no argument. The logits of `asr.acoustic.build_model` mark the steps past a row's end: the
    blank has logit 0, every other symbol `PADDING_LOGIT`. Steps of any other model count in full unless it marks them
    in the same way.

    A label that does not fit its steps has an infinite loss. A label needs a step for each symbol, and one more between
    equal neighbours.

    Parameters
    ----------
    reduction, name, dtype
        As for every Keras loss.

    Examples
    --------
    >>> logits = np.log([[[0.5, 0.4, 0.1], [0.2, 0.7, 0.1]]]).astype("float32")
    >>> round(float(CtcLoss()(np.array([[1, -1]]), logits)), 4)  # of the paths "-a", "aa" and "a-"
    0.3425
    """

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "ctc", dtype: Any = None) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Nats of each row [shape=(batch,)]."""
        labels = ops.cast(y_true, "int32")
        label_counts = ops.sum(ops.cast(labels > BLANK, "int32"), axis=1)
        steps = unpadded_steps(y_pred)
        nats = ctc_nats(y_pred, ops.maximum(steps, 1), ops.maximum(labels, BLANK), label_counts)
        return ops.where(steps > 0, nats, ops.zeros_like(nats))


def teacher_nats(probabilities: Any, logits: Any) -> Any:
    """Divergence of a model's output from a teacher's, summed over the steps of each row.

    Parameters
    ----------
    probabilities : tensor [shape=(batch, steps, symbols)]
        By the teacher; past the end of a row, where the model has the logits of padding, of certain blanks.
    logits : tensor [shape=(batch, steps, symbols)]

    Returns
    -------
    float32 tensor [shape=(batch,)]
        `sum(p * log(p / q))` in nats, 0 or more.

    Notes
    -----
    Source: G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", 2015. For CTC, step by step,
    it needs a model that sees what the teacher's peaks depend on (`model.lookahead`), or one whose peaks come later (R.
    Takashima, S. Li, H. Kawai, "An investigation of a knowledge distillation method for CTC acoustic models", ICASSP
    2018).
    """
    probabilities = ops.cast(probabilities, "float32")
    log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    logs = ops.log(ops.maximum(probabilities, _SMALLEST_PROBABILITY))
    return ops.sum(probabilities * (logs - log_probs), axis=(1, 2))


def copy_nats(logits: Any) -> Any:
    """Divergence of the output for each row from that for the other copy of its utterance.

    Parameters
    ----------
    logits : tensor [shape=(batch, steps, symbols)]
        Rows 0 and 1 are copies of an utterance with different masks, as are 2 and 3, and so on.

    Returns
    -------
    float32 tensor [shape=(batch,)]
        In nats, 0 or more. Each row learns from the other, which is taken as fixed.

    Notes
    -----
    Source: Z. Yao et al., "CR-CTC: consistency regularization on CTC for improved speech recognition", ICLR 2025.
    """
    batch, steps, symbols = ops.shape(logits)
    probabilities = ops.softmax(ops.stop_gradient(ops.cast(logits, "float32")), axis=-1)
    pairs = ops.reshape(probabilities, (batch // 2, 2, steps, symbols))
    return teacher_nats(ops.reshape(ops.flip(pairs, axis=1), (batch, steps, symbols)), logits)


def unpadded_steps(logits: Any) -> Any:
    """The steps of each row that do not have the logits of padding: (batch, steps, symbols) to int32 (batch,)."""
    inside = ops.any(logits[..., BLANK + 1 :] > PADDING_LOGIT / 2, axis=-1)
    return ops.sum(ops.cast(inside, "int32"), axis=1)


class BatchLoss(keras.losses.Loss):  # type: ignore[misc]
    """CTC, and optionally MMI, in nats a symbol: the sum over a batch divided by the number of its characters.

    With several outputs, the mean of their losses. The sum over the batch is divided once, so that a gradient step
    weighs every symbol the same, whether its utterance is long or short; also when several batches, or several devices,
    form one step together.

    Parameters
    ----------
    parts : int >= 1
        Losses of which the optimizer takes the mean for one step: batches times devices.
    denominators : mapping of str to Denominator
        Of the lattice-free MMI criterion, by the name of the output; an output without one is trained by CTC alone.
    mmi_weight : float
        Share of that criterion, the negative logarithm of the transcript's posterior probability; the rest is CTC.
    outputs : mapping of str to slice
        As `asr.acoustic.outputs.output_slices` gives them; one output over characters by default.
    teacher_weight : float, optional
        Share of the divergence from a teacher's output, in nats a symbol too; CTC and MMI have the rest. None if the
        targets hold no such output.
    consistency_weight : float
        Weight of the divergence from the output of the other copy: rows are in pairs, the copies of an utterance.
    """

    def __init__(
        self,
        parts: int = 1,
        denominators: Mapping[str, Denominator] | None = None,
        mmi_weight: float = 0.0,
        outputs: Mapping[str, slice] | None = None,
        teacher_weight: float | None = None,
        consistency_weight: float = 0.0,
    ) -> None:
        super().__init__(name="ctc", reduction="none")
        self._parts = parts
        self._denominators = denominators or {}
        self._mmi_weight = mmi_weight
        self._outputs = outputs or {CHARACTERS: slice(None)}
        self._teacher_weight = teacher_weight
        self._consistency_weight = consistency_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of an array of `pack_targets` and logits [shape=(batch, steps, total width)]: a scalar."""
        step_symbols = ops.cast(y_true[0, 2], "float32")
        taught = None
        weight = self._teacher_weight
        if weight is not None:
            steps, width = ops.shape(y_pred)[1], y_pred.shape[-1]
            columns = ops.shape(y_true)[1] - steps * width
            taught = ops.reshape(y_true[:, columns:], (-1, steps, width))
            y_true = y_true[:, :columns]
        characters, *phones = ops.split(y_true, 2, axis=1) if PHONES in self._outputs else [y_true]
        nats = [
            self._nats(name, phones[0] if name == PHONES else characters, y_pred[..., place])
            for name, place in self._outputs.items()
        ]
        if weight is not None and taught is not None:
            lessons = [teacher_nats(taught[..., place], y_pred[..., place]) for place in self._outputs.values()]
            nats = [(1 - weight) * one + weight * lesson for one, lesson in zip(nats, lessons, strict=True)]
        if self._consistency_weight:
            others = [copy_nats(y_pred[..., place]) for place in self._outputs.values()]
            nats = [one + self._consistency_weight * other for one, other in zip(nats, others, strict=True)]
        return ops.sum(sum(nats[1:], nats[0])) * (self._parts / len(nats) / step_symbols)

    def _nats(self, name: str, y_true: Any, y_pred: Any) -> Any:
        nats = row_nats(y_true, y_pred)
        if name in self._denominators:
            denominator, steps = self._denominators[name], ops.cast(y_true[:, 0], "int32")
            others = denominator(y_pred, ops.maximum(steps, 1))
            others = others - denominator.label_log_probs(y_true[:, 3:], y_true[:, 1])
            nats = nats + self._mmi_weight * ops.where(steps > 0, others, ops.zeros_like(others))
        return nats
