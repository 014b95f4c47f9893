"""Names and shapes of a model's weights, from its settings alone: what a bundle must hold, without Keras."""

from __future__ import annotations

from asr.acoustic.outputs import output_widths
from asr.settings.model import Cell, FrontEnd, ModelConfig


def weight_shapes(settings: ModelConfig, *, mels: int, symbols: int, phones: int = 0) -> dict[str, tuple[int, ...]]:
    """The shape of every weight by name, equal to those of `acoustic.model.build_model`.

    Parameters
    ----------
    settings : ModelConfig
    mels, symbols : int > 0
        Width of a frame and of an output layer over characters, blank included.
    phones : int
        Width of the output layer over phones, if the settings ask for one.

    Returns
    -------
    dict of str to tuple of int
        In no particular order.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def project_and_normalize(width: int, name: str) -> int:
        if settings.projection:
            shapes[f"{name}_projection/kernel"] = (width, settings.projection)
            shapes[f"{name}_projection/bias"] = (settings.projection,)
            width = settings.projection
        if settings.layer_normalization:
            shapes[f"{name}_normalization/gamma"] = shapes[f"{name}_normalization/beta"] = (width,)
        return width

    if settings.front_end is FrontEnd.conv:
        channels, bands = 1, mels
        for number in range(1, settings.convolutions + 1):
            shapes[f"convolution_{number}/kernel"] = (settings.kernel, settings.kernel, channels, settings.channels)
            shapes[f"convolution_{number}/bias"] = (settings.channels,)
            channels, bands = settings.channels, -(-bands // 2)
        width = bands * channels
    else:
        width = settings.subsampling * mels
    width = project_and_normalize(width, "front_end")
    units, directions = settings.units, settings.directions
    gates = 4 if settings.cell is Cell.lstm else 3
    for number in range(1, settings.depth + 1):
        name = f"recurrent_{number}"
        shapes[f"{name}/kernel"] = (directions, width, gates * units)
        shapes[f"{name}/recurrent_kernel"] = (directions, units, gates * units)
        shapes[f"{name}/bias"] = (directions, 2, gates * units)
        width = project_and_normalize(directions * units, name)
    for layer, size in output_widths(settings, symbols=symbols, phones=phones).items():
        shapes[f"{layer}/kernel"], shapes[f"{layer}/bias"] = (width, size), (size,)
    return shapes
