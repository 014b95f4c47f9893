"""Builds the acoustic network as an ONNX graph, from its weights alone: neither Keras nor a back end is needed.

A quantised graph for whole utterances keeps the weights of the large products as integers of 7 bits, with one scale a
column, and quantises the activations at run time (dynamic quantisation). The scale of activations is taken over one
whole call, so such a graph runs one utterance a call.

A quantised graph with carried state keeps the same integers, and computes in float32 with what they stand for: an
activation has no scale that could depend on how a stream is divided into blocks.

The structure of a graph is the graph without the arrays that are made of the weights. ONNX Runtime gets them from
`graph_arrays` when it loads the structure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from asr.acoustic import network
from asr.acoustic.cells import CELLS
from asr.acoustic.graph_arrays import Arithmetic, FloatWeights, graph_arrays, has_integer_products
from asr.acoustic.onnx_nodes import CONTRIBUTED, OnnxNodes
from asr.errors import ConfigError
from asr.settings.model import ModelConfig

_TO_END = int(np.iinfo(np.int64).max)
_DENSE, _QUANTIZED = ("MatMul",), ("DynamicQuantizeLinear", "MatMulInteger", "Cast", "Mul")
OPERATORS = frozenset(
    [
        *_DENSE,
        *_QUANTIZED,
        *("Add", "Concat", "Conv", "Div", "Gather", "LayerNormalization", "Less", "LogSoftmax", "Pad", "Range", "Relu"),
        *("ReduceSum", "Reshape", "Shape", "Slice", "Squeeze", "Transpose", "Unsqueeze", "Where"),
        *(cell.onnx_operator for cell in CELLS.values()),
        *(cell.onnx_quantized_operator for cell in CELLS.values() if cell.onnx_quantized_operator),
    ]
)
"""all operators that a graph of ours can hold"""

Weights = Mapping[str, npt.NDArray[np.float32]]


def export_onnx(
    weights: Weights,
    settings: ModelConfig,
    *,
    mels: int,
    symbols: int,
    phones: int = 0,
    quantized: bool = False,
    float_products: bool = False,
    structure: bool = False,
) -> bytes:
    """Build the graph of a model that runs whole utterances.

    Parameters
    ----------
    weights : mapping of str to float32 arrays
        By the names that `asr.acoustic.network.weight_shapes` gives.
    settings : ModelConfig
    mels, symbols : int > 0
        Width of a frame and of an output layer over characters, blank included.
    phones : int
        Width of the output layer over phones, if the settings ask for one.
    quantized : bool
        Compute the products of projections, and of recurrent layers whose cell has such an operator (the LSTM), in
        integers: a quarter of the size, two to three times the speed.
    float_products : bool
        Of a quantised graph, store the weights as integers only, and compute in float32 with what they stand for.
    structure : bool
        Leave out what is made of weights.

    Returns
    -------
    bytes
        An ONNX file: a graph from `frames` float32 [shape=(batch, frames, mels)] and `frame_counts` int32
        [shape=(batch,)] to `log_probs` float32 [shape=(batch, steps, total width)], natural log-probabilities, output
        after output.
    """
    layers = network.describe_network(settings, mels=mels, symbols=symbols, phones=phones)
    _check_names(weights, layers)
    products = Arithmetic.stored_integers if float_products else Arithmetic.integers
    arithmetic = products if quantized else Arithmetic.floats
    return _Graph(weights, mels, arithmetic, structure=structure).build(layers)


def export_streaming_onnx(
    weights: Weights,
    settings: ModelConfig,
    *,
    mels: int,
    symbols: int,
    phones: int = 0,
    quantized: bool = False,
    structure: bool = False,
) -> bytes:
    """Build the graph of a causal model that runs an utterance in blocks and carries its state from one to the next.

    Parameters
    ----------
    weights, settings, mels, symbols, phones
        As for `export_onnx`.
    quantized : bool
        Store the weights of projections and recurrent layers as integers of 7 bits: a quarter of the size, the same
        speed. Products are computed in float32, so that the results do not depend on the blocks.
    structure : bool
        As for `export_onnx`.

    Returns
    -------
    bytes
        An ONNX file: a graph from `frames` float32 [shape=(batch, frames, mels)], whose number of frames is a multiple
        of `settings.subsampling`, to `log_probs` float32 [shape=(batch, frames / subsampling, total width)]. For each
        tensor of its state it has an input `NAME` and an output `next_NAME` of the same shape, such as
        `recurrent_1/hidden` [shape=(batch, 1, units)]. The state before the first block is zero. With
        `settings.lookahead`, the output of a step comes `settings.delay_steps` steps late: the first so many steps mean
        nothing, and the last block needs as many steps of zeros at its end.

    Raises
    ------
    ValueError
        If the model is bidirectional.
    """
    if settings.bidirectional:
        raise ValueError("only a causal model can carry its state: train one with model.bidirectional=false")
    layers = network.describe_network(settings, mels=mels, symbols=symbols, phones=phones)
    _check_names(weights, layers)
    arithmetic = Arithmetic.stored_integers if quantized else Arithmetic.floats
    return _StreamingGraph(weights, mels, arithmetic, structure=structure).build(layers)


def _check_names(weights: Weights, layers: Sequence[network.Layer]) -> None:
    """Refuse the weights of a network with other layers, such as a Keras model with layers from elsewhere."""
    wanted = {f"{layer.name}/{name}" for layer in layers for name in layer.weight_shapes}
    others, missing = sorted(weights.keys() - wanted), sorted(wanted - weights.keys())
    if others or missing:
        found = (
            f"{', '.join(others[:5])} belong to no layer of it" if others else f"{', '.join(missing[:5])} are missing"
        )
        raise ConfigError(
            f"the weights are not those of the network that the settings describe: {found}. Bundles and their ONNX "
            "graphs hold only the layers of asr; save a model with other layers by model.save, or export it by Keras's "
            "own model.export"
        )


class _Graph(OnnxNodes):
    """A graph for whole utterances; the constants that are made of weights have the names of these."""

    def __init__(self, weights: Weights, mels: int, arithmetic: Arithmetic, *, structure: bool) -> None:
        super().__init__()
        self.weights, self.mels, self.arithmetic, self.is_structure = weights, mels, arithmetic, structure
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        self.counts = "frame_counts"
        self.inputs = [helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["batch", "frames", mels])]
        self.outputs: list[onnx.ValueInfoProto] = []

    def build(self, layers: Sequence[network.Layer]) -> bytes:
        """The serialised graph of the layers."""
        x, results, width = "frames", [], 0
        self.arrays = graph_arrays(layers, FloatWeights(self.weights), self.arithmetic)
        self.add_inputs()
        for layer in layers:
            if isinstance(layer, network.Output):
                results.append(self.add("LogSoftmax", self.dense(x, layer.name, Arithmetic.floats), axis=-1))
                width += layer.units
            else:
                x = self.layer(x, layer)
        self.add("Concat", *results, axis=-1, output="log_probs")
        log_probs = helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["batch", "steps", width])
        contributed = self.arithmetic is Arithmetic.integers
        model = self.model("acoustic_model", self.inputs, [log_probs, *self.outputs], contributed=contributed)
        content: bytes = model.SerializeToString()
        return content

    def layer(self, x: str, layer: network.Layer) -> str:
        """Add a layer that is no output; gives the name of its result."""
        match layer:
            case network.MaskPadding():
                return self.mask(x, rank=3)
            case network.AddChannel():
                return self.add("Unsqueeze", x, self.integers([1]))  # (batch, channels, time, bands)
            case network.Convolution():
                return self.convolution(x, layer)
            case network.FlattenBands():
                return self.add("Reshape", self.add("Transpose", x, perm=[0, 2, 3, 1]), self.integers([0, 0, -1]))
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
                gamma, beta = (self.weight(f"{layer.name}/{part}") for part in ("gamma", "beta"))
                return self.add("LayerNormalization", x, gamma, beta, axis=-1, epsilon=network.LAYER_NORM_EPSILON)
            case network.Dropout():
                return x
            case network.Projection():
                return self.dense(x, layer.name, self.arithmetic)
        raise TypeError(f"no ONNX operators for {layer}")

    # What a graph with carried state does otherwise.

    def add_inputs(self) -> None:
        """Declare the inputs beside the frames."""
        self.inputs.append(helper.make_tensor_value_info(self.counts, TensorProto.INT32, ["batch"]))

    def mask(self, x: str, *, rank: int) -> str:
        """Zeros past each row's end; time is the axis before the last."""
        length = self.add("Squeeze", self.add("Slice", self.add("Shape", x), *map(self.integers, ([-2], [-1]))))
        zero, one = self.integers([0]), self.integers([1])
        positions = self.add("Cast", self.add("Range", zero, length, one), to=TensorProto.INT32)
        column = self.add("Unsqueeze", self.counts, self.integers([1]))
        inside = self.add("Less", positions, column)  # (batch, time)
        inside = self.add("Unsqueeze", inside, self.integers([2] if rank == 3 else [1, 3]))
        return self.add("Where", inside, x, self.constant(np.zeros(1, np.float32)))

    def convolution(self, x: str, layer: network.Convolution) -> str:
        (before, after), (below, above) = layer.time_padding, layer.band_padding
        x = self.convolve(x, layer, pads=[before, below, after, above])
        self.count_steps(layer)
        return self.mask(x, rank=4)

    def stack_frames(self, x: str, layer: network.StackFrames) -> str:
        x = self.add("Pad", x, self.integers([0, 0, 0, 0, layer.factor - 1, 0]))
        length = self.add("Gather", self.add("Shape", x), self.integers([1]))
        steps = self.add("Div", length, self.integers([layer.factor]))
        whole = self.add("Mul", steps, self.integers([layer.factor]))
        x = self.add("Slice", x, self.integers([0]), whole, self.integers([1]))
        self.count_steps(layer)
        return self.add("Reshape", x, self.integers([0, -1, layer.factor * layer.mels]))

    def append_frames(self, x: str, layer: network.AppendFrames) -> str:
        self.counts = self.add("Add", self.counts, self.int32([layer.frames]))
        return self.add("Pad", x, self.integers([0, 0, 0, 0, layer.frames, 0]))

    def context_convolution(self, x: str, layer: network.ContextConvolution) -> str:
        return self.sum_of_steps(self.add("Pad", x, self.integers([0, layer.context, 0, 0, 0, 0])), layer)

    def drop_steps(self, x: str, layer: network.DropSteps) -> str:
        return self.slice_time(x, layer.steps, _TO_END)

    def recurrent(self, x: str, layer: network.Recurrent) -> str:
        return self.run_cell(x, layer, self.counts, [])[0]

    # Pieces of layers.

    def convolve(self, x: str, layer: network.Convolution, *, pads: Sequence[int]) -> str:
        kernel, bias = self.weight(f"{layer.name}/kernel"), self.weight(f"{layer.name}/bias")
        x = self.add("Conv", x, kernel, bias, strides=[layer.stride, layer.stride], pads=pads)
        return self.add("Relu", x)

    def slice_time(self, x: str, first: int, end: int) -> str:
        """Steps of (batch, steps, features)."""
        return self.add("Slice", x, *map(self.integers, ([first], [end], [1])))

    def sum_of_steps(self, x: str, layer: network.ContextConvolution) -> str:
        """The weighted sum of each step and the next `context` ones, of (batch, context + steps, features)."""
        total = ""
        for place in range(layer.context + 1):
            shifted = self.slice_time(x, place, place - layer.context or _TO_END)
            product = self.add("Mul", shifted, self.weight(f"{layer.name}/kernel/{place}"))
            total = self.add("Add", total, product) if total else product
        return total

    def count_steps(self, layer: network.Layer) -> None:
        """Divide the lengths of the rows by the stride of a layer, rounding up."""
        rounded = self.add("Add", self.counts, self.int32([layer.stride - 1]))
        self.counts = self.add("Div", rounded, self.int32([layer.stride]))

    def dense(self, x: str, name: str, arithmetic: Arithmetic) -> str:
        kernel, bias = f"{name}/kernel", self.weight(f"{name}/bias")
        if arithmetic is Arithmetic.floats:
            return self.add("Add", self.add("MatMul", x, self.weight(kernel)), bias)
        if arithmetic is Arithmetic.stored_integers:
            return self.add("Add", self.add("MatMul", x, self.floats_of(kernel)), bias)
        # ONNX Runtime fuses these into one operator.
        number = len(self.nodes)
        activations, scale, zero = self.add_many(
            "DynamicQuantizeLinear", x, outputs=[f"{part}_{number}" for part in ("activations", "scale", "zero")]
        )
        zeros = self.constant(np.zeros(self.arrays[f"{kernel}/scales"].shape, np.int8))
        product = self.add("MatMulInteger", activations, self.weight(kernel), zero, zeros)
        product = self.add("Cast", product, to=TensorProto.FLOAT)
        product = self.add("Mul", product, self.add("Mul", scale, self.weight(f"{kernel}/scales")))
        return self.add("Add", product, bias)

    def run_cell(
        self, x: str, layer: network.Recurrent, counts: str, initial_states: Sequence[str]
    ) -> tuple[str, list[str]]:
        """A recurrent layer: its output, and its last states [shape=(directions, batch, units)].

        Parameters
        ----------
        x : str
            (batch, steps, features)
        counts : str
            Lengths of the rows, or "" for whole rows.
        initial_states : sequence of str
            As the last states; none for zeros.
        """
        cell = CELLS[layer.cell]
        kernels = [f"{layer.name}/kernel", f"{layer.name}/recurrent_kernel"]
        x = self.add("Transpose", x, perm=[1, 0, 2])
        biases = self.weight(f"{layer.name}/bias")
        states = list(initial_states) or [""] * len(cell.states)
        quantized = has_integer_products(cell, self.arithmetic)
        operator, number = (cell.onnx_quantized_operator if quantized else None) or cell.onnx_operator, len(self.nodes)
        outputs = [f"{operator.lower()}_{number}", *(f"{state}_{number}" for state in cell.states if initial_states)]
        attributes: dict[str, Any] = {
            "hidden_size": layer.units,
            "direction": "bidirectional" if layer.directions == 2 else "forward",
            **cell.onnx_attributes,
        }
        if quantized:
            zeros = self.constant(np.zeros(self.arrays[f"{kernels[0]}/scales"].shape, np.int8))
            scales = [part for kernel in kernels for part in (self.weight(f"{kernel}/scales"), zeros)]
            attributes["domain"] = CONTRIBUTED
            peepholes = ""
            arguments = [*map(self.weight, kernels), biases, counts, *states, peepholes, *scales]
        else:
            convert = self.floats_of if self.arithmetic is Arithmetic.stored_integers else self.weight
            arguments = [*map(convert, kernels), biases, counts, *states]
        while not arguments[-1]:  # optional arguments at the end are omitted
            arguments.pop()
        self.add_many(operator, x, *arguments, outputs=outputs, **attributes)
        # (steps, directions, batch, units) to (batch, steps, directions * units)
        hidden = self.add("Transpose", outputs[0], perm=[2, 0, 1, 3])
        return self.add("Reshape", hidden, self.integers([0, 0, -1])), outputs[1:]

    # Constants.

    def weight(self, name: str) -> str:
        """A constant of `self.arrays`."""
        array = self.arrays[name]
        if self.is_structure:
            tensor = TensorProto(name=name, dims=array.shape, data_location=TensorProto.EXTERNAL)
            tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
            tensor.external_data.add(key="location", value="weights")
        else:
            tensor = numpy_helper.from_array(array, name)
        self.constants[name] = tensor
        return name

    def floats_of(self, name: str) -> str:
        """A weight that is stored as integers; made of them when the graph is loaded.

        Constants alone: ONNX Runtime computes them once. It would leave a DequantizeLinear for every call.
        """
        return self.add("Mul", self.add("Cast", self.weight(name), to=TensorProto.FLOAT), self.weight(f"{name}/scales"))

    def int32(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, np.int32))


class _StreamingGraph(_Graph):
    """A graph for blocks of whole steps: no row is padded, and layers with context read it from the state."""

    def add_inputs(self) -> None:
        """All rows are as long as the block."""

    def mask(self, x: str, *, rank: int) -> str:
        return x

    def convolution(self, x: str, layer: network.Convolution) -> str:
        """Reads an even number of frames, and the last `kernel - 1` frames of the block before."""
        context, _ = layer.time_padding
        if context:
            name, shape = f"{layer.name}/context", [layer.channels_in, context, layer.bands]
            x = self.add("Concat", self.state_input(name, shape), x, axis=2)
            last = map(self.integers, ([-context], [_TO_END], [2]))
            self.add("Slice", x, *last, output=self.state_output(name, shape))
        below, above = layer.band_padding
        return self.convolve(x, layer, pads=[0, below, 0, above])

    def stack_frames(self, x: str, layer: network.StackFrames) -> str:
        return self.add("Reshape", x, self.integers([0, -1, layer.factor * layer.mels]))

    def append_frames(self, x: str, layer: network.AppendFrames) -> str:
        """The caller appends them to the last block."""
        return x

    def context_convolution(self, x: str, layer: network.ContextConvolution) -> str:
        name, shape = f"{layer.name}/context", [layer.context, layer.width]
        x = self.add("Concat", self.state_input(name, shape), x, axis=1)
        last = map(self.integers, ([-layer.context], [_TO_END], [1]))
        self.add("Slice", x, *last, output=self.state_output(name, shape))
        return self.sum_of_steps(x, layer)

    def drop_steps(self, x: str, layer: network.DropSteps) -> str:
        """The caller drops them from what the first blocks give."""
        return x

    def recurrent(self, x: str, layer: network.Recurrent) -> str:
        names, shape = [f"{layer.name}/{state}" for state in CELLS[layer.cell].states], [1, layer.units]
        swapped = [1, 0, 2]  # ONNX has the directions before the batch
        before = [self.add("Transpose", self.state_input(name, shape), perm=swapped) for name in names]
        x, after = self.run_cell(x, layer, "", before)
        for name, state in zip(names, after, strict=True):
            self.add("Transpose", state, output=self.state_output(name, shape), perm=swapped)
        return x

    def state_input(self, name: str, shape: Sequence[int]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]))
        return name

    def state_output(self, name: str, shape: Sequence[int]) -> str:
        output = network.NEXT_STATE + name
        self.outputs.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", *shape]))
        return output
