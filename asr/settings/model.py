"""Settings of the acoustic model, and of what runs it."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.settings.checks import ConfigEnum, at_least, between, check_settings, require


class FrontEnd(ConfigEnum):
    """How frames are subsampled to steps."""

    conv = "conv"
    stack = "stack"


class Cell(ConfigEnum):
    """The recurrent cell."""

    lstm = "lstm"
    gru = "gru"


class EngineKind(ConfigEnum):
    """What runs the acoustic model."""

    onnx = "onnx"
    onnx_float32 = "onnx_float32"
    keras = "keras"


@dataclass(kw_only=True)
class ModelConfig:
    """The acoustic model: a subsampling front end, a stack of recurrent layers, a linear layer to symbols."""

    front_end: FrontEnd = FrontEnd.conv
    """conv (strided two-dimensional convolutions) or stack (neighbouring frames concatenated)"""
    subsampling: int = field(default=4, metadata=at_least(1, at_most=64))
    """frames per step; a power of two with the conv front end"""
    channels: int = field(default=32, metadata=at_least(1, at_most=4096))
    """output channels of each convolution"""
    kernel: int = field(default=3, metadata=at_least(1, at_most=63))
    """width of each convolution, in frames and in mel bands; odd"""
    cell: Cell = Cell.lstm
    """lstm or gru"""
    bidirectional: bool = True
    """false gives a causal model, whose output for a step depends on no frame after it but those of model.lookahead"""
    lookahead: int = field(default=0, metadata=at_least(0, at_most=100))
    """causal model: a convolution after each recurrent layer reads so many later steps, so that the output comes
    model.depth times as many steps late"""
    depth: int = field(default=3, metadata=at_least(1, at_most=100))
    """number of recurrent layers"""
    units: int = field(default=256, metadata=at_least(1, at_most=16_384))
    """units per recurrent layer and direction"""
    projection: int = field(default=256, metadata=at_least(0, at_most=16_384))
    """width of the projection after the front end and after each recurrent layer; 0 for no projection"""
    layer_normalization: bool = True
    """apply layer normalisation after the front end and after each recurrent layer"""
    dropout: float = field(default=0.1, metadata=between(0.0, 1.0, high_open=True))
    """dropout rate after each recurrent layer"""
    mmi_output: bool = False
    """a second output layer for decoding with a language model, trained with training.mmi_weight; the first is used
    for everything else, such as greedy decoding"""
    phone_output: bool = False
    """add an output layer over phones, for decoding with a pronunciation lexicon and a language model; training needs
    data.lexicon"""

    def __post_init__(self) -> None:
        check_settings(self, "model")
        require(self.kernel % 2 == 1, "model.kernel", "odd", self.kernel)
        require(
            not (self.bidirectional and self.lookahead),
            "model.lookahead",
            "0 unless model.bidirectional=false: a bidirectional model reads all later steps",
            self.lookahead,
        )
        if self.front_end is FrontEnd.conv:
            require(
                self.subsampling & (self.subsampling - 1) == 0,
                "model.subsampling",
                "a power of two with model.front_end=conv",
                self.subsampling,
            )

    @property
    def outputs(self) -> int:
        """Output layers over characters."""
        return 2 if self.mmi_output else 1

    @property
    def directions(self) -> int:
        """2 for a bidirectional model, 1 for a causal one."""
        return 2 if self.bidirectional else 1

    @property
    def delay_steps(self) -> int:
        """Steps after which the output for a step is known: those that all look-aheads read together."""
        return self.depth * self.lookahead

    @property
    def convolutions(self) -> int:
        """Strided convolutions of the conv front end, each halving the time axis."""
        return self.subsampling.bit_length() - 1
