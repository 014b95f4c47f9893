"""Builds the acoustic network of TensorFlow operations, from its weights alone and without Keras.

It runs whole utterances, or blocks of one utterance with carried state, as `asr.acoustic.onnx_export` does. LiteRT
converts its functions: so matrices have two axes, and shapes are fixed where the caller's are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asr.acoustic import network
from asr.acoustic.cells import CELLS
from asr.settings.model import Cell

States = dict[str, Any]
"""tensors by name, such as `recurrent_1/hidden` [shape=(1, units)]"""

# Loops of more steps stay loops; shorter ones are unrolled, which runs faster.
_LONGEST_UNROLLED = 32


class TensorflowNetwork:
    """The layers of a network with their weights.

    Parameters
    ----------
    layers : sequence of Layer
        As `describe_network` gives them.
    weights : mapping of str to array
        Constants, or variables of TensorFlow, by the names that `weight_shapes` gives.
    """

    def __init__(self, layers: Sequence[network.Layer], weights: Mapping[str, Any]) -> None:
        self._layers, self._weights = layers, weights

    def whole(self, frames: Any, counts: Any) -> Any:
        """Log-probabilities of whole utterances.

        Parameters
        ----------
        frames : float32 tensor [shape=(batch, frames, mels)]
        counts : int32 tensor [shape=(batch,)]
            Frames of each row.

        Returns
        -------
        float32 tensor [shape=(batch, steps, total width)]
        """
        return _WholeRun(self._weights, counts).run(self._layers, frames)

    def block(self, frames: Any, states: Mapping[str, Any]) -> tuple[Any, States]:
        """Log-probabilities of the next block of an utterance, by a causal network.

        Parameters
        ----------
        frames : float32 tensor [shape=(1, frames, mels)]
            Whole steps.
        states : mapping of str to float32 tensors
            As the call for the block before gave them; zeros of the shapes of `block_states` before the first.

        Returns
        -------
        log_probs : float32 tensor [shape=(1, steps, total width)]
            Each step `settings.delay_steps` late.
        states : dict of str to float32 tensors
        """
        run = _BlockRun(self._weights, states)
        return run.run(self._layers, frames), run.after


def block_states(layers: Sequence[network.Layer]) -> dict[str, tuple[int, ...]]:
    """The shapes of the state of one utterance between two blocks, by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        match layer:
            case network.Convolution() if layer.time_padding[0]:
                shapes[f"{layer.name}/context"] = (1, layer.time_padding[0], layer.bands, layer.channels_in)
            case network.ContextConvolution():
                shapes[f"{layer.name}/context"] = (1, layer.context, layer.width)
            case network.Recurrent():
                shapes |= {f"{layer.name}/{state}": (1, layer.units) for state in CELLS[layer.cell].states}
    return shapes


class _WholeRun:
    """One computation of whole utterances; `counts` are the lengths of the rows at the present layer."""

    def __init__(self, weights: Mapping[str, Any], counts: Any) -> None:
        import tensorflow

        self.tf, self.weights, self.counts = tensorflow, weights, counts

    def run(self, layers: Sequence[network.Layer], frames: Any) -> Any:
        """Log-probabilities, output after output."""
        x, results = frames, []
        for layer in layers:
            if isinstance(layer, network.Output):
                results.append(self.tf.nn.log_softmax(self.dense(x, layer.name), axis=-1))
            else:
                x = self.layer(x, layer)
        return self.tf.concat(results, axis=-1) if len(results) > 1 else results[0]

    def layer(self, x: Any, layer: network.Layer) -> Any:
        """The result of a layer that is no output."""
        match layer:
            case network.MaskPadding():
                return self.mask(x)
            case network.AddChannel():
                return x[..., None]
            case network.Convolution():
                return self.convolution(x, layer)
            case network.FlattenBands():
                return self.tf.reshape(x, (*self.sizes(x)[:2], layer.width))
            case network.StackFrames():
                return self.stack_frames(x, layer)
            case network.AppendFrames():
                return self.append_frames(x, layer)
            case network.ContextConvolution():
                return self.context_convolution(x, layer)
            case network.DropSteps():
                return self.drop_steps(x, layer)
            case network.Recurrent():
                return self.recurrent(x, layer)
            case network.LayerNormalization():
                return self.layer_normalization(x, layer)
            case network.Dropout():
                return x
            case network.Projection():
                return self.dense(x, layer.name)
        raise TypeError(f"no TensorFlow operations for {layer}")

    # What a computation with carried state does otherwise.

    def mask(self, x: Any) -> Any:
        """Zeros past each row's end; time is the second axis."""
        inside = self.tf.range(self.tf.shape(x)[1])[None, :] < self.counts[:, None]
        inside = self.tf.cast(inside, x.dtype)
        return x * self.tf.reshape(inside, (*self.sizes(x)[:2], *[1] * (len(x.shape) - 2)))

    def convolution(self, x: Any, layer: network.Convolution) -> Any:
        result = self.convolve(x, layer, time_padding=layer.time_padding)
        self.count_steps(layer)
        return self.mask(result)

    def stack_frames(self, x: Any, layer: network.StackFrames) -> Any:
        steps = (self.sizes(x)[1] + layer.factor - 1) // layer.factor
        x = self.tf.pad(x, [[0, 0], [0, layer.factor - 1], [0, 0]])[:, : steps * layer.factor]
        self.count_steps(layer)
        return self.tf.reshape(x, (self.sizes(x)[0], steps, layer.factor * layer.mels))

    def append_frames(self, x: Any, layer: network.AppendFrames) -> Any:
        self.counts += layer.frames
        return self.tf.pad(x, [[0, 0], [0, layer.frames], [0, 0]])

    def context_convolution(self, x: Any, layer: network.ContextConvolution) -> Any:
        return self.sum_of_steps(self.tf.pad(x, [[0, 0], [layer.context, 0], [0, 0]]), layer)

    def drop_steps(self, x: Any, layer: network.DropSteps) -> Any:
        return x[:, layer.steps :]

    def recurrent(self, x: Any, layer: network.Recurrent) -> Any:
        """Both directions; the backward one reads each row reversed by its own length, so that padding comes last."""
        results = []
        for direction in range(layer.directions):
            rows = self.reversed_rows(x) if direction else x
            zeros = [self.tf.zeros((self.sizes(x)[0], layer.units)) for _ in CELLS[layer.cell].states]
            hidden, _ = self.run_cell(rows, layer, direction, zeros)
            results.append(self.reversed_rows(hidden) if direction else hidden)
        return self.tf.concat(results, axis=-1) if len(results) > 1 else results[0]

    # Pieces of layers.

    def sizes(self, x: Any) -> list[Any]:
        """The sizes of the axes: numbers where they are fixed."""
        dynamic = self.tf.shape(x)
        return [dynamic[axis] if size is None else size for axis, size in enumerate(x.shape)]

    def reversed_rows(self, x: Any) -> Any:
        return self.tf.reverse_sequence(x, self.counts, seq_axis=1, batch_axis=0)

    def count_steps(self, layer: network.Layer) -> None:
        """Divide the lengths of the rows by the stride of a layer, rounding up."""
        self.counts = (self.counts + (layer.stride - 1)) // layer.stride

    def convolve(self, x: Any, layer: network.Convolution, *, time_padding: tuple[int, int]) -> Any:
        x = self.tf.pad(x, [[0, 0], time_padding, layer.band_padding, [0, 0]])
        kernel, bias = self.weights[f"{layer.name}/kernel"], self.weights[f"{layer.name}/bias"]
        return self.tf.nn.relu(self.tf.nn.conv2d(x, kernel, strides=layer.stride, padding="VALID") + bias)

    def layer_normalization(self, x: Any, layer: network.LayerNormalization) -> Any:
        mean = self.tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = self.tf.reduce_mean(self.tf.math.squared_difference(x, mean), axis=-1, keepdims=True)
        scale = self.tf.math.rsqrt(variance + network.LAYER_NORM_EPSILON)
        return (x - mean) * scale * self.weights[f"{layer.name}/gamma"] + self.weights[f"{layer.name}/beta"]

    def sum_of_steps(self, x: Any, layer: network.ContextConvolution) -> Any:
        """The weighted sum of each step and the next `context` ones, of (batch, context + steps, features)."""
        kernel, steps = self.weights[f"{layer.name}/kernel"], self.sizes(x)[1] - layer.context
        return self.tf.add_n([x[:, place : place + steps] * kernel[place] for place in range(layer.context + 1)])

    def dense(self, x: Any, name: str) -> Any:
        return self.product(x, self.weights[f"{name}/kernel"]) + self.weights[f"{name}/bias"]

    def product(self, x: Any, kernel: Any) -> Any:
        """All steps of all rows as one matrix, times another one."""
        batch, steps, width = self.sizes(x)
        product = self.tf.matmul(self.tf.reshape(x, (-1, width)), kernel)
        return self.tf.reshape(product, (batch, steps, kernel.shape[-1]))

    def run_cell(
        self, x: Any, layer: network.Recurrent, direction: int, states: Sequence[Any]
    ) -> tuple[Any, Sequence[Any]]:
        """One direction of a recurrent layer: its output, and its last states [shape=(batch, units)]."""
        kernel, recurrent_kernel, bias = (
            self.weights[f"{layer.name}/{part}"][direction] for part in ("kernel", "recurrent_kernel", "bias")
        )
        projected = self.product(x, kernel) + bias[0]
        step = _STEPS[layer.cell]

        def next_states(at_step: Any, states: Sequence[Any]) -> Sequence[Any]:
            recurrent = self.tf.matmul(states[0], recurrent_kernel) + bias[1]
            return step(self.tf, at_step, recurrent, states)

        batch, steps, _ = self.sizes(x)
        if isinstance(steps, int) and steps <= _LONGEST_UNROLLED:
            results = []
            for number in range(steps):
                states = next_states(projected[:, number], states)
                results.append(states[0])
            return self.tf.stack(results, axis=1), states
        rows = self.tf.transpose(projected, (1, 0, 2))
        width = (batch if isinstance(batch, int) else None, layer.units)
        array = self.tf.TensorArray("float32", steps, element_shape=width)

        def body(number: Any, array: Any, *states: Any) -> tuple[Any, ...]:
            states = tuple(next_states(rows[number], states))
            return number + 1, array.write(number, states[0]), *states

        _, array, *states = self.tf.while_loop(
            lambda number, *_: number < steps, body, (0, array, *states), maximum_iterations=steps
        )
        return self.tf.transpose(array.stack(), (1, 0, 2)), states


class _BlockRun(_WholeRun):
    """One computation of a block of whole steps: no row is padded, and layers with context read it from the state."""

    def __init__(self, weights: Mapping[str, Any], states: Mapping[str, Any]) -> None:
        super().__init__(weights, None)
        self.before = states
        self.after: States = {}

    def mask(self, x: Any) -> Any:
        return x

    def convolution(self, x: Any, layer: network.Convolution) -> Any:
        x = self.with_context(x, f"{layer.name}/context", layer.time_padding[0])
        return self.convolve(x, layer, time_padding=(0, 0))

    def stack_frames(self, x: Any, layer: network.StackFrames) -> Any:
        batch, frames, _ = self.sizes(x)
        return self.tf.reshape(x, (batch, frames // layer.factor, layer.factor * layer.mels))

    def append_frames(self, x: Any, layer: network.AppendFrames) -> Any:
        """The caller appends them to the last block."""
        return x

    def context_convolution(self, x: Any, layer: network.ContextConvolution) -> Any:
        return self.sum_of_steps(self.with_context(x, f"{layer.name}/context", layer.context), layer)

    def drop_steps(self, x: Any, layer: network.DropSteps) -> Any:
        """The caller drops them from what the first blocks give."""
        return x

    def recurrent(self, x: Any, layer: network.Recurrent) -> Any:
        names = [f"{layer.name}/{state}" for state in CELLS[layer.cell].states]
        x, states = self.run_cell(x, layer, 0, [self.before[name] for name in names])
        self.after |= dict(zip(names, states, strict=True))
        return x

    def with_context(self, x: Any, name: str, context: int) -> Any:
        """Preceded by the last entries of the block before."""
        if not context:
            return x
        x = self.tf.concat([self.before[name], x], axis=1)
        self.after[name] = x[:, self.sizes(x)[1] - context :]
        return x


def _lstm_step(tf: Any, projected: Any, recurrent: Any, states: Sequence[Any]) -> Sequence[Any]:
    input_gate, forget_gate, candidate, output_gate = tf.split(projected + recurrent, 4, axis=-1)
    memory = tf.sigmoid(forget_gate) * states[1] + tf.sigmoid(input_gate) * tf.tanh(candidate)
    return tf.sigmoid(output_gate) * tf.tanh(memory), memory


def _gru_step(tf: Any, projected: Any, recurrent: Any, states: Sequence[Any]) -> Sequence[Any]:
    update_gate, reset_gate, candidate = tf.split(projected, 3, axis=-1)
    recurrent_update, recurrent_reset, recurrent_candidate = tf.split(recurrent, 3, axis=-1)
    update_gate = tf.sigmoid(update_gate + recurrent_update)
    candidate = tf.tanh(candidate + tf.sigmoid(reset_gate + recurrent_reset) * recurrent_candidate)
    return (update_gate * states[0] + (1 - update_gate) * candidate,)


_STEPS: Mapping[Cell, Callable[[Any, Any, Any, Sequence[Any]], Sequence[Any]]] = {
    Cell.lstm: _lstm_step,
    Cell.gru: _gru_step,
}
"""the next states from the products of the input and of the states, as in `asr.acoustic.rnn_kernels.cell_steps`"""
