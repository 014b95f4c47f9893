"""Recurrences on PyTorch: its own fused cells, which are cuDNN's on a GPU and oneDNN's on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from asr.acoustic.cells import CELLS
from asr.settings.model import Cell


def run(cell: Cell, inputs: Sequence[Any], *weights: Sequence[Any]) -> list[Any]:
    """Arguments and result as in the docstring of `asr.acoustic.rnn_kernels`."""
    row, outputs = CELLS[cell], []
    fused, order = getattr(torch, row.fused_name), row.reordered(row.fused_gates)
    for rows, kernel, recurrent_kernel, biases in zip(inputs, *weights, strict=True):
        zeros = rows.new_zeros((1, rows.shape[1], recurrent_kernel.shape[0]))
        parts = [kernel.T, recurrent_kernel.T, *biases.unbind()]
        if order != sorted(order):
            parts = [_reordered(part, order) for part in parts]
        parts = [part.to(rows.dtype).contiguous() for part in parts]
        state = zeros if len(row.states) == 1 else (zeros,) * len(row.states)
        # has_biases, num_layers, dropout, train, bidirectional, batch_first
        outputs.append(fused(rows, state, parts, True, 1, 0.0, torch.is_grad_enabled(), False, False)[0])
    return outputs


def _reordered(part: Any, order: Sequence[int]) -> Any:
    """A kernel [shape=(gates * units, columns)] or bias [shape=(gates * units,)] with its gates in another order."""
    gates = torch.chunk(part, len(order))
    return torch.cat([gates[gate] for gate in order])
