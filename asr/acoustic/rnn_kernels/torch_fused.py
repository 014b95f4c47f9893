"""Recurrences on PyTorch: its own fused cells, which are cuDNN's on a GPU and oneDNN's on a CPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch

from asr.acoustic.cells import CELLS
from asr.settings.model import Cell


def run(cell: Cell, inputs: Sequence[Any], *weights: Sequence[Any]) -> list[Any]:
    """Arguments and result as in the docstring of `asr.acoustic.rnn_kernels`."""
    row, directions = CELLS[cell], []
    fused, order = getattr(torch, row.fused_name), row.reordered(row.fused_gates)
    for rows, kernel, recurrent_kernel, biases in zip(inputs, *weights, strict=True):
        zeros = rows.new_zeros((1, rows.shape[1], recurrent_kernel.shape[0]))
        parts = [kernel.T, recurrent_kernel.T, *biases.unbind()]
        if order != sorted(order):
            parts = [_reordered(part, order) for part in parts]
        parts = [part.to(rows.dtype).contiguous() for part in parts]
        state = zeros if len(row.states) == 1 else (zeros,) * len(row.states)
        # has_biases, num_layers, dropout, train, bidirectional, batch_first
        directions.append(partial(fused, rows, state, parts, True, 1, 0.0, torch.is_grad_enabled(), False, False))
    if len(directions) == 2 and inputs[0].is_cuda:
        return _side_by_side(*directions)
    return [direction()[0] for direction in directions]


def _side_by_side(first: Callable[[], Any], second: Callable[[], Any]) -> list[Any]:
    """Compute two recurrences on a GPU at the same time: one uses a small part of it."""
    main, side = torch.cuda.current_stream(), _side_stream()
    side.wait_stream(main)
    with torch.cuda.stream(side):
        second_output = second()[0]
    first_output = first()[0]
    main.wait_stream(side)
    second_output.record_stream(main)
    return [first_output, second_output]


@cache
def _side_stream() -> Any:
    # The weights are Keras's, one array each; cuDNN copies them together, which takes next to no time.
    warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk of memory")
    return torch.cuda.Stream()


def _reordered(part: Any, order: Sequence[int]) -> Any:
    """A kernel [shape=(gates * units, columns)] or bias [shape=(gates * units,)] with its gates in another order."""
    gates = torch.chunk(part, len(order))
    return torch.cat([gates[gate] for gate in order])
