"""The acoustic network, described once as a list of layers that each builder turns into a model of its own.

The builders are `keras_model.build_model` (for training), `onnx_export.export_onnx` and
`onnx_export.export_streaming_onnx` (for inference). This module needs none of their libraries.
"""

from __future__ import annotations

from dataclasses import dataclass

from asr.acoustic.cells import CELLS
from asr.acoustic.outputs import output_widths
from asr.settings.model import Cell, FrontEnd, ModelConfig

LAYER_NORM_EPSILON = 1e-5

NEXT_STATE = "next_"
"""prefix of the outputs of a graph with carried state that hold the state after a block"""

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer of the network. Unless a subclass says otherwise: (batch, time, features) to the same shape."""

    name: str

    @property
    def weight_shapes(self) -> Shapes:
        """Shape of each weight, by its name within the layer."""
        return {}

    @property
    def stride(self) -> int:
        """Input frames for each output frame; a rest counts as a whole one."""
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPadding(Layer):
    """Sets all frames past an utterance's end to zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddChannel(Layer):
    """(batch, time, bands) to (batch, time, bands, 1)."""

    bands: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution(Layer):
    """Convolution over time and bands with stride 2 in both, then ReLU.

    (batch, time, bands, channels in) to (batch, ceil(time / 2), ceil(bands / 2), channels). Both axes are padded with
    `kernel - 1` zeros: half on each side; a causal one has those of the time axis before the first frame, so that
    output `t` sees no input after `2 * t`. Output frames past an utterance's end are zero.
    """

    kernel: int
    bands: int
    """of the input"""
    channels_in: int
    channels: int
    causal: bool

    @property
    def weight_shapes(self) -> Shapes:
        return {"kernel": (self.kernel, self.kernel, self.channels_in, self.channels), "bias": (self.channels,)}

    @property
    def stride(self) -> int:
        return 2

    @property
    def time_padding(self) -> tuple[int, int]:
        """Zeros before the first frame and after the last."""
        return (self.kernel - 1, 0) if self.causal else self.band_padding

    @property
    def band_padding(self) -> tuple[int, int]:
        """Zeros below the lowest band and above the highest."""
        return self.kernel // 2, self.kernel // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FlattenBands(Layer):
    """(batch, time, bands, channels) to (batch, time, bands * channels)."""

    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFrames(Layer):
    """(batch, frames, mels) to (batch, ceil(frames / factor), factor * mels); zeros complete the last."""

    factor: int
    mels: int

    @property
    def stride(self) -> int:
        return self.factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection(Layer):
    """Linear layer: (batch, steps, inputs) to (batch, steps, units)."""

    inputs: int
    units: int

    @property
    def weight_shapes(self) -> Shapes:
        return {"kernel": (self.inputs, self.units), "bias": (self.units,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNormalization(Layer):
    """Normalises the features of each step, with epsilon `LAYER_NORM_EPSILON`.

    Source: J. Ba et al., "Layer normalization", 2016.
    """

    width: int

    @property
    def weight_shapes(self) -> Shapes:
        return {"gamma": (self.width,), "beta": (self.width,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrent(Layer):
    """(batch, steps, inputs) to (batch, steps, directions * units).

    Each direction has a bias for the inputs and one for the recurrent product. Gates are in the order of
    `CELLS[cell].gates`.
    """

    cell: Cell
    inputs: int
    units: int
    directions: int

    @property
    def weight_shapes(self) -> Shapes:
        width = len(CELLS[self.cell].gates) * self.units
        return {
            "kernel": (self.directions, self.inputs, width),
            "recurrent_kernel": (self.directions, self.units, width),
            "bias": (self.directions, 2, width),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendFrames(Layer):
    """Appends zeros to every row: the frames that the last steps look ahead to."""

    frames: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextConvolution(Layer):
    """Sum over the present and the `context` steps before it, each feature with weights of its own; zeros come before
    the first step.

    It makes a look-ahead of a model whose output comes as many steps late. Sources: row convolution in D. Amodei et
    al., "Deep Speech 2", ICML 2016; between LSTMs, V. Peddinti et al., "Low latency acoustic modeling using temporal
    convolution and LSTMs", IEEE Signal Processing Letters 25(3), 2018.
    """

    context: int
    width: int

    @property
    def weight_shapes(self) -> Shapes:
        return {"kernel": (self.context + 1, self.width)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSteps(Layer):
    """Leaves out the first steps of every row, which were computed before what they look ahead to was there."""

    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout(Layer):
    """In training, sets a share `rate` of the features to zero; nothing in inference."""

    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Projection):
    """Linear layer to symbols. All outputs read the same input; their results are concatenated in their order."""


FRONT_END = (AddChannel, Convolution, FlattenBands, StackFrames)
"""kinds of layers that reduce frames to steps; a front end from elsewhere replaces all of them"""


def describe_network(settings: ModelConfig, *, mels: int, symbols: int, phones: int = 0) -> list[Layer]:
    """The layers of the network, in the order of computation.

    Parameters
    ----------
    settings : ModelConfig
    mels : int > 0
        Width of a frame.
    symbols : int > 0
        Width of an output layer over characters, blank included.
    phones : int
        Width of the output layer over phones, blank included, if the settings ask for one.

    Returns
    -------
    list of Layer
        Names are unique. A weight is called `layer/weight`, as bundles and Keras models have it.
    """
    layers: list[Layer] = [MaskPadding(name="mask_padding")]
    if settings.lookahead:
        # The output for a step is computed so many steps later: so the network is causal, and its states begin with the
        # first frame, whether it runs over an utterance or over blocks of a stream.
        layers.append(AppendFrames(name="append_frames", frames=settings.delay_steps * settings.subsampling))
    if settings.front_end is FrontEnd.conv:
        channels, width = 1, mels
        layers.append(AddChannel(name="add_channel", bands=mels))
        for number in range(1, settings.convolutions + 1):
            layers.append(
                Convolution(
                    name=f"convolution_{number}",
                    kernel=settings.kernel,
                    bands=width,
                    channels_in=channels,
                    channels=settings.channels,
                    causal=not settings.bidirectional,
                )
            )
            channels, width = settings.channels, -(-width // 2)
        width *= channels
        layers.append(FlattenBands(name="flatten_bands", width=width))
    else:
        width = settings.subsampling * mels
        layers.append(StackFrames(name="stack_frames", factor=settings.subsampling, mels=mels))

    def project_and_normalize(width: int, name: str) -> int:
        if settings.projection:
            layers.append(Projection(name=f"{name}_projection", inputs=width, units=settings.projection))
            width = settings.projection
        if settings.layer_normalization:
            layers.append(LayerNormalization(name=f"{name}_normalization", width=width))
        return width

    width = project_and_normalize(width, "front_end")
    for number in range(1, settings.depth + 1):
        recurrent = Recurrent(
            name=f"recurrent_{number}",
            cell=settings.cell,
            inputs=width,
            units=settings.units,
            directions=settings.directions,
        )
        layers.append(recurrent)
        width = project_and_normalize(settings.directions * settings.units, recurrent.name)
        if settings.lookahead:
            context = ContextConvolution(name=f"{recurrent.name}_context", context=settings.lookahead, width=width)
            layers.append(context)
        layers.append(Dropout(name=f"dropout_{number}", rate=settings.dropout))
    if settings.lookahead:
        layers.append(DropSteps(name="drop_steps", steps=settings.delay_steps))
    for name, size in output_widths(settings, symbols=symbols, phones=phones).items():
        layers.append(Output(name=name, inputs=width, units=size))
    return layers


def weight_shapes(settings: ModelConfig, *, mels: int, symbols: int, phones: int = 0) -> Shapes:
    """Shape of every weight by name, such as `recurrent_1/kernel`; arguments as for `describe_network`."""
    layers = describe_network(settings, mels=mels, symbols=symbols, phones=phones)
    return {f"{layer.name}/{name}": shape for layer in layers for name, shape in layer.weight_shapes.items()}
