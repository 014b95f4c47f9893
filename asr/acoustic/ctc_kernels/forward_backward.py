"""The CTC loss and its gradient in one pass over the steps.

Source: A. Graves et al., "Connectionist Temporal Classification", ICML 2006, section 4.1, in logarithms. The backward
variables are the forward variables of the reversed row, so that one recursion over a batch of twice the size computes
both.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from asr.text.alphabet import BLANK

# Stands for the logarithm of zero; sums and differences of a few of them are finite.
_LOG_ZERO = -1e30
# A smaller log-probability means that a label has no path: it does not fit its steps.
_NO_PATH = -1e29


def nats_and_gradient(logits: Any, step_counts: Any, labels: Any, label_counts: Any) -> tuple[Any, Any]:
    """The loss of each row, and its derivative by the logits.

    Parameters
    ----------
    logits : float32 tensor [shape=(batch, steps, symbols)]
    step_counts : int32 tensor [shape=(batch,)]
        Above 0.
    labels : int32 tensor [shape=(batch, label symbols)]
    label_counts : int32 tensor [shape=(batch,)]

    Returns
    -------
    nats : float32 tensor [shape=(batch,)]
        Infinite for a label that does not fit its steps.
    d_logits : float32 tensor [shape=(batch, steps, symbols)]
        0 past a row's end; NaN in a row whose loss is infinite.
    """
    batch, steps, symbols = ops.shape(logits)
    width = 2 * ops.shape(labels)[1] + 1
    # A label with blanks between its symbols and at its ends.
    places = ops.arange(width, dtype="int32")[None, :]
    symbol_at = ops.take(labels, ops.maximum(places[0] - 1, 0) // 2, axis=1)
    extended = ops.where(places % 2 == 1, symbol_at, BLANK)
    counts = 2 * label_counts + 1
    log_probs = ops.log_softmax(logits, axis=-1)
    positions = ops.arange(steps, dtype="int32")[None, :]

    # From here on, twice the rows: forward and reversed.
    backwards = _reversed_indices(positions, step_counts)
    backwards_places = _reversed_indices(places, counts)
    both_extended = ops.concatenate([extended, _take(extended, backwards_places)], axis=0)
    both_steps, both_counts = ops.tile(step_counts, [2]), ops.tile(counts, [2])
    reversed_log_probs = _take_rows(log_probs, backwards)
    emitted = _take_symbols(ops.concatenate([log_probs, reversed_log_probs], axis=0), both_extended)
    inside = places < both_counts[:, None]
    emitted = ops.where(inside[:, None, :], emitted, _LOG_ZERO)

    # A path may skip the blank between two symbols, unless they are equal.
    two_before = ops.pad(both_extended, ((0, 0), (2, 0)))[:, :-2]
    may_skip = (places % 2 == 1) & (places > 1) & (both_extended != two_before)

    def step(forward: Any, now: Any) -> tuple[Any, Any]:
        emitted_now, running = now[:, :-1], now[:, -1:] > 0
        one = ops.pad(forward, ((0, 0), (1, 0)), constant_values=_LOG_ZERO)[:, :-1]
        two = ops.pad(forward, ((0, 0), (2, 0)), constant_values=_LOG_ZERO)[:, :-2]
        two = ops.where(may_skip, two, _LOG_ZERO)
        most = ops.maximum(ops.maximum(forward, one), two)
        total = most + ops.log(ops.exp(forward - most) + ops.exp(one - most) + ops.exp(two - most))
        forward = ops.where(running, ops.maximum(total + emitted_now, _LOG_ZERO), forward)
        return forward, forward

    emitted = ops.transpose(emitted, (1, 0, 2))
    start = ops.where(places < 2, emitted[0], _LOG_ZERO)
    # One tensor: on TensorFlow, `keras.ops.scan` over a tuple needs a length that is a constant.
    running = ops.transpose(ops.cast(positions < both_steps[:, None], "float32"))[:, :, None]
    _, later = ops.scan(step, start, ops.concatenate([emitted, running], axis=-1)[1:])
    variables = ops.transpose(ops.concatenate([start[None], later], axis=0), (1, 0, 2))

    forward = variables[:batch]
    backward = _take_rows(variables[batch:], backwards)
    backward = ops.take_along_axis(backward, backwards_places[:, None, :], axis=2)
    through = forward + backward - ops.transpose(emitted, (1, 0, 2))[:batch]
    # The paths through any one step are all paths; the first step is used.
    log_total = ops.logsumexp(through[:, 0], axis=-1)
    fits = log_total > _NO_PATH
    nats = ops.where(fits, -log_total, float("inf"))

    share = ops.exp(ops.minimum(through - log_total[:, None, None], 0.0))
    share = ops.where((through > _NO_PATH) & inside[:batch, None, :], share, 0.0)
    expected = ops.matmul(share, ops.cast(extended[:, :, None] == ops.arange(symbols, dtype="int32"), "float32"))
    d_logits = ops.where((positions < step_counts[:, None])[:, :, None], ops.exp(log_probs) - expected, 0.0)
    return nats, ops.where(fits[:, None, None], d_logits, float("nan"))


def _reversed_indices(positions: Any, counts: Any) -> Any:
    """(1, length) and (batch,) to indices (batch, length) that reverse each row by its own length."""
    counts = counts[:, None]
    return ops.where(positions < counts, counts - 1 - positions, positions)


def _take(rows: Any, indices: Any) -> Any:
    """Gather entries of (batch, length) by indices (batch, length)."""
    return ops.take_along_axis(rows, indices, axis=1)


def _take_rows(rows: Any, indices: Any) -> Any:
    """Gather rows of (batch, length, width) by indices (batch, length)."""
    return ops.take_along_axis(rows, indices[:, :, None], axis=1)


def _take_symbols(log_probs: Any, extended: Any) -> Any:
    """Gather from (batch, steps, symbols) the symbols (batch, width) of each row: (batch, steps, width)."""
    return ops.take_along_axis(log_probs, extended[:, None, :], axis=2)
