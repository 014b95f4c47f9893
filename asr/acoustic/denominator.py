"""The denominator of the lattice-free MMI criterion: the total probability of all labels.

CTC maximises the probability of the transcript. Maximum mutual information maximises it *relative to every other
label*, each weighted by an n-gram model of its symbols, which is what a decoder with a language model does. Sources:
D. Povey et al., "Purely sequence-trained neural networks for ASR based on lattice-free MMI", Interspeech 2016; with the
topology of CTC, H. Xiang and Z. Ou, "CRF-based single-stage acoustic modeling with CTC topology", ICASSP 2019.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from asr.acoustic.denominator_kernels import totals_and_occupancies


def symbol_ngrams(labels: Iterable[Sequence[int]], *, symbols: int, start: int, order: int) -> npt.NDArray[np.float32]:
    """Estimate an n-gram model of the symbols of labels.

    Parameters
    ----------
    labels : iterable of sequences of int
        Symbol numbers from 1 on; the blank is 0.
    symbols : int
        Number of symbols, blank included.
    start : int
        The symbol that is assumed before the first of a label, usually the space.
    order : int >= 1
        Length of the n-grams: a symbol and the `order - 1` before it.

    Returns
    -------
    float32 [shape=(symbols - 1,) * order]
        Conditional probabilities by `[oldest, ..., newest, next]`, with symbol numbers from 0 on; none is 0.

    Notes
    -----
    Interpolated Witten-Bell: I. Witten and T. Bell, "The zero-frequency problem", IEEE Trans. Information Theory 37(4),
    1991.
    """
    width = symbols - 1
    counts = np.zeros((width,) * order, np.float64)
    for label in filter(len, labels):
        padded = np.concatenate([np.full(order - 1, start, np.int64), np.asarray(label, np.int64)]) - 1
        windows = np.lib.stride_tricks.sliding_window_view(padded, order)
        np.add.at(counts, tuple(windows.T), 1)
    probabilities = np.full(width, 1 / width)
    for length in range(1, order + 1):
        of_length = counts.sum(axis=tuple(range(order - length)))
        total = of_length.sum(axis=-1, keepdims=True)
        kinds = np.maximum((of_length > 0).sum(axis=-1, keepdims=True), 1)
        probabilities = (of_length + kinds * probabilities) / (total + kinds)
    return probabilities.astype(np.float32)


class Denominator:
    """The total log-probability of all labels under CTC and an n-gram model.

    Parameters
    ----------
    ngrams : float32 [shape=(symbols - 1,) * order]
        As `symbol_ngrams` makes them.
    start : int
        The symbol that is assumed before the first of a label.

    Raises
    ------
    ValueError
        If the order is below 3.
    """

    def __init__(self, ngrams: npt.NDArray[np.float32], *, start: int) -> None:
        if ngrams.ndim < 3:
            raise ValueError(f"the order must be at least 3, not {ngrams.ndim}")
        self._order, self._start = ngrams.ndim, start
        self._ngrams = np.ascontiguousarray(ngrams.reshape(-1, ngrams.shape[0]))
        self._log_ngrams = np.log(self._ngrams).ravel()
        self._first_context = int(np.ravel_multi_index((start - 1,) * (ngrams.ndim - 1), ngrams.shape[1:]))

    def __call__(self, logits: Any, step_counts: Any) -> Any:
        """The denominator of each row.

        Parameters
        ----------
        logits : float32 tensor [shape=(batch, steps, symbols)]
            Blank is number 0.
        step_counts : int tensor [shape=(batch,)]
            Above 0.

        Returns
        -------
        float32 tensor [shape=(batch,)]
            `log(sum over labels of P(label) * CTC(label))`, in nats; 0 or less.
        """
        counts = ops.cast(step_counts, "int32")

        @ops.custom_gradient
        def log_total(logits: Any) -> tuple[Any, Any]:
            posteriors = ops.softmax(ops.stop_gradient(logits), axis=-1)
            total, occupied = totals_and_occupancies(posteriors, counts, self._ngrams, self._first_context)
            inside = ops.arange(ops.shape(logits)[1], dtype="int32")[None, :] < counts[:, None]
            d_logits = ops.where(inside[:, :, None], occupied - posteriors, 0.0)

            def gradient(*incoming: Any, upstream: Any = None) -> Any:
                upstream = incoming[0] if upstream is None else upstream
                return upstream[:, None, None] * d_logits

            return total, gradient

        return log_total(ops.convert_to_tensor(logits))

    def label_log_probs(self, labels: Any, label_counts: Any) -> Any:
        """Log-probabilities of labels under the n-gram model.

        Parameters
        ----------
        labels : int tensor [shape=(batch, label symbols)]
            Symbol numbers from 1 on.
        label_counts : int tensor [shape=(batch,)]

        Returns
        -------
        float32 tensor [shape=(batch,)]
            In nats.
        """
        labels, width = ops.cast(labels, "int32"), self._ngrams.shape[1]
        before, length = self._order - 1, ops.shape(labels)[1]
        digits = ops.pad(ops.maximum(labels, 1), ((0, 0), (before, 0)), constant_values=self._start) - 1
        places = sum(digits[:, one : one + length] * width ** (before - one) for one in range(self._order))
        log_probs = ops.take(ops.convert_to_tensor(self._log_ngrams), places)
        inside = ops.arange(length, dtype="int32")[None, :] < ops.cast(label_counts, "int32")[:, None]
        return ops.sum(ops.where(inside, log_probs, 0.0), axis=1)
