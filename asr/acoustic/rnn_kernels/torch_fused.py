"""Recurrences on PyTorch: its own fused LSTM and GRU, which are cuDNN's on a GPU and oneDNN's on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from asr.settings.model import Cell


def run(cell: Cell, inputs: Sequence[Any], *weights: Sequence[Any]) -> list[Any]:
    """Shapes as in the text of `asr.acoustic.rnn_kernels`."""
    outputs = []
    for rows, kernel, recurrent_kernel, biases in zip(inputs, *weights, strict=True):
        zeros = rows.new_zeros((1, rows.shape[1], recurrent_kernel.shape[0]))
        parts = [kernel.T, recurrent_kernel.T, *biases.unbind()]
        if cell is Cell.gru:
            parts = [_reset_first(part) for part in parts]
        parts = [part.to(rows.dtype).contiguous() for part in parts]
        function, state = (torch.lstm, (zeros, zeros)) if cell is Cell.lstm else (torch.gru, zeros)
        # has_biases, num_layers, dropout, train, bidirectional, batch_first
        outputs.append(function(rows, state, parts, True, 1, 0.0, torch.is_grad_enabled(), False, False)[0])
    return outputs


def _reset_first(gates: Any) -> Any:
    """PyTorch's LSTM has its gates in Keras's order; its GRU wants the reset gate before the update gate."""
    update, reset, candidate = torch.chunk(gates, 3)
    return torch.cat([reset, update, candidate])
