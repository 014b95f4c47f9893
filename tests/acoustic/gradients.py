"""Gradients on whichever back end the tests run, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np


def total(outputs: Any, weights: np.ndarray) -> Any:
    """The weighted sum of some outputs, to take derivatives of."""
    return keras.ops.sum(outputs * keras.ops.convert_to_tensor(weights))


def input_gradient(function: Callable[[Any], Any], array: np.ndarray) -> np.ndarray:
    """The derivative of a scalar by an array."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(function)(array))
    tensor = keras.ops.convert_to_tensor(array)
    if backend == "torch":
        tensor.requires_grad_(True)
        function(tensor).backward()
        return tensor.grad.cpu().numpy()
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensor)
        result = function(tensor)
    return tape.gradient(result, tensor).numpy()


def layer_gradients(layer: keras.layers.Layer, inputs: Sequence[np.ndarray], direction: np.ndarray) -> list[np.ndarray]:
    """The derivatives of the sum of a layer's output times a direction, by the layer's weights."""
    backend = keras.backend.backend()
    weights = layer.trainable_variables
    if backend == "jax":
        import jax

        others = [one.value for one in layer.non_trainable_variables]

        def output_total(values: list[Any]) -> Any:
            return total(layer.stateless_call(values, others, *inputs)[0], direction)

        return [np.asarray(one) for one in jax.grad(output_total)([weight.value for weight in weights])]
    if backend == "torch":
        layer.zero_grad()
        total(layer(*inputs), direction).backward()
        return [weight.value.grad.cpu().numpy() for weight in weights]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        result = total(layer(*inputs), direction)
    return [one.numpy() for one in tape.gradient(result, [weight.value for weight in weights])]
