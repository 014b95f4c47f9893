"""Rounds the weights of the large products to integers of 7 bits, with one scale a column.

Seven bits, not eight: processors without instructions for integer dot products (AVX2 without VNNI) add pairs of
products up in 16 bits, which 8 bits overflow, and results would depend on the machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asr.acoustic import network

_LARGEST_INTEGER = 64  # 2 x 255 x 64 still fits 16 bits


def quantize_columns(kernel: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Integers and scales [shape=(..., columns)] of a matrix [shape=(..., rows, columns)].

    The products of integers and scales give the same integers and scales again.
    """
    scales = np.maximum(np.abs(kernel).max(axis=-2), np.finfo(np.float32).tiny) / np.float32(_LARGEST_INTEGER)
    return np.rint(kernel / scales[..., None, :]).astype(np.int8), scales.astype(np.float32)


def names_of_large_products(layers: Sequence[network.Layer]) -> list[str]:
    """The names of the weights that a quantised graph keeps as integers: of projections and recurrent layers."""
    names: list[str] = []
    for layer in layers:
        if isinstance(layer, network.Recurrent):
            names += [f"{layer.name}/kernel", f"{layer.name}/recurrent_kernel"]
        elif isinstance(layer, network.Projection) and not isinstance(layer, network.Output):
            names.append(f"{layer.name}/kernel")
    return names
