"""The arrays of a graph that `onnx_export` builds, made of the weights by NumPy alone.

A graph may be kept without them, and get them when it is loaded: that needs neither the package `onnx` nor its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from asr.acoustic import network
from asr.acoustic.cells import CELLS, CellDescription
from asr.acoustic.quantize import quantize_columns

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


class Arithmetic(Enum):
    """What a graph computes the large products in."""

    floats = "float32"
    integers = "integers of 8 bits"
    stored_integers = "float32, of weights that are stored as integers of 7 bits"


class Weights(Protocol):
    """The weights of a network, by the names that `asr.acoustic.network.weight_shapes` gives."""

    def __getitem__(self, name: str, /) -> Floats:
        """A weight in float32."""

    def integers(self, name: str) -> tuple[npt.NDArray[np.int8], Floats]:
        """A weight of a large product as `quantize_columns` gives it."""


class FloatWeights:
    """Weights that are kept in float32."""

    def __init__(self, arrays: Mapping[str, Floats]) -> None:
        self._arrays = arrays

    def __getitem__(self, name: str, /) -> Floats:
        return self._arrays[name]

    def integers(self, name: str) -> tuple[npt.NDArray[np.int8], Floats]:
        """See `Weights`."""
        return quantize_columns(self._arrays[name])


def graph_arrays(layers: Iterable[network.Layer], weights: Weights, arithmetic: Arithmetic) -> dict[str, Array]:
    """All arrays of a graph that are made of weights, by the names that the graph has for them."""
    arrays: dict[str, Array] = {}
    for layer in layers:
        arrays.update(
            (f"{layer.name}/{name}", np.ascontiguousarray(array)) for name, array in _of(layer, weights, arithmetic)
        )
    return arrays


def has_integer_products(cell: CellDescription, arithmetic: Arithmetic) -> bool:
    """Whether a graph computes the products of a cell in integers."""
    return arithmetic is Arithmetic.integers and cell.onnx_quantized_operator is not None


def _of(layer: network.Layer, weights: Weights, arithmetic: Arithmetic) -> Iterable[tuple[str, Array]]:
    """The arrays of a layer."""

    def weight(name: str) -> Floats:
        return weights[f"{layer.name}/{name}"]

    def integers(name: str) -> tuple[npt.NDArray[np.int8], Floats]:
        return weights.integers(f"{layer.name}/{name}")

    match layer:
        case network.LayerNormalization():
            yield from ((name, weight(name)) for name in ("gamma", "beta"))
        case network.Convolution():
            yield "kernel", weight("kernel").transpose(3, 2, 0, 1)
            yield "bias", weight("bias")
        case network.ContextConvolution():
            yield from ((f"kernel/{place}", row) for place, row in enumerate(weight("kernel")))
        case network.Projection():
            yield "bias", weight("bias")
            if arithmetic is Arithmetic.floats or isinstance(layer, network.Output):
                yield "kernel", weight("kernel")
                return
            kernel, scales = integers("kernel")
            yield "kernel", kernel
            yield "kernel/scales", scales if arithmetic is Arithmetic.integers else scales[..., None, :]
        case network.Recurrent():
            cell = CELLS[layer.cell]
            order = cell.reordered(cell.onnx_gates)
            bias = _reordered(weight("bias"), order)
            yield "bias", bias.reshape(len(bias), -1)
            for name in ("kernel", "recurrent_kernel"):
                if has_integer_products(cell, arithmetic):
                    kernel, scales = (_reordered(part, order) for part in integers(name))
                elif arithmetic is Arithmetic.stored_integers:
                    kernel, scales = (_reordered(part, order) for part in integers(name))
                    kernel, scales = kernel.swapaxes(-2, -1), scales[..., None]
                else:
                    yield name, _reordered(weight(name), order).swapaxes(-2, -1)
                    continue
                yield name, kernel
                yield f"{name}/scales", scales


def _reordered(array: Array, order: list[int]) -> Array:
    """With the columns of the gates in another order."""
    gates = np.split(array, len(order), axis=-1)
    return np.concatenate([gates[gate] for gate in order], axis=-1)
