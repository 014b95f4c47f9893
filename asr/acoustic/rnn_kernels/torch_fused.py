"""Recurrences for Keras's torch back end: PyTorch's own fused LSTM and GRU (cuDNN on a GPU, oneDNN on a CPU)."""

from __future__ import annotations

from typing import Any

import torch


def lstm(inputs: Any, kernels: Any, recurrent_kernels: Any, biases: Any) -> Any:
    """LSTM; PyTorch's gates are in Keras's order."""
    outputs = []
    for direction in range(inputs.shape[0]):
        weights = _weights(kernels[direction], recurrent_kernels[direction], biases[direction])
        zeros = inputs.new_zeros((1, inputs.shape[1], recurrent_kernels.shape[1]))
        outputs.append(_run(torch.lstm, inputs[direction], (zeros, zeros), weights))
    return torch.stack(outputs)


def gru(inputs: Any, kernels: Any, recurrent_kernels: Any, biases: Any) -> Any:
    """GRU; PyTorch wants the reset gate before the update gate."""
    units = recurrent_kernels.shape[1]

    def reset_first(gates: Any) -> Any:
        update, reset, candidate = torch.split(gates, units, dim=-1)
        return torch.cat([reset, update, candidate], dim=-1)

    outputs = []
    for direction in range(inputs.shape[0]):
        parts = (kernels[direction], recurrent_kernels[direction], biases[direction])
        weights = _weights(*map(reset_first, parts))
        zeros = inputs.new_zeros((1, inputs.shape[1], units))
        outputs.append(_run(torch.gru, inputs[direction], zeros, weights))
    return torch.stack(outputs)


def _weights(kernel: Any, recurrent_kernel: Any, biases: Any) -> list[Any]:
    return [kernel.T.contiguous(), recurrent_kernel.T.contiguous(), biases[0].contiguous(), biases[1].contiguous()]


def _run(function: Any, inputs: Any, state: Any, weights: list[Any]) -> Any:
    # has_biases, num_layers, dropout, train, bidirectional, batch_first
    return function(inputs, state, weights, True, 1, 0.0, torch.is_grad_enabled(), False, True)[0]
