"""What every target builds from: the layers of a bundle's network, and their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.acoustic.network import Layer, describe_network
from asr.bundle import Bundle
from asr.errors import ConfigError
from asr.settings.export import ExportShapes, ExportTarget
from asr.settings.model import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSource:
    """A network to export.

    Parameters
    ----------
    name : str
        Of its bundle, for messages.
    weights : mapping of str to float32 arrays
    settings : ModelConfig
    shapes : ExportShapes
    hop_seconds : float
        Distance of two frames.
    mels, symbols, phones : int
        Widths of a frame, of an output layer over characters, and of the one over phones, 0 for none.
    """

    name: str
    weights: Mapping[str, npt.NDArray[np.float32]]
    settings: ModelConfig
    shapes: ExportShapes
    hop_seconds: float
    mels: int
    symbols: int
    phones: int

    @classmethod
    def of_bundle(cls, bundle: Bundle, shapes: ExportShapes) -> NetworkSource:
        """The network of a bundle."""
        return cls(
            name=str(bundle.path),
            weights=bundle.weights(),
            settings=bundle.model,
            shapes=shapes,
            hop_seconds=bundle.log_mel.settings.hop_seconds,
            mels=bundle.log_mel.settings.mels,
            symbols=bundle.alphabet.size,
            phones=bundle.phones.size if bundle.phones else 0,
        )

    @property
    def widths(self) -> dict[str, int]:
        """The widths of frames and outputs, as builders take them."""
        return {"mels": self.mels, "symbols": self.symbols, "phones": self.phones}

    @property
    def layers(self) -> list[Layer]:
        """The layers in the order of computation."""
        return describe_network(self.settings, **self.widths)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedNetwork:
    """What a target built."""

    files: Mapping[str, bytes]
    """content by path within the folder"""
    main_file: str
    """the one that the example loads; the folder itself for a file in a folder"""
    interface: str
    """Markdown: what goes in and comes out"""
    packages: Sequence[str]
    """that run it, as pip knows them"""
    imports: Sequence[str]
    """lines of Python"""
    lines: Sequence[str]
    """lines of Python from `frames` [shape=(frames, mels)] and `card` to `log_probs` [shape=(steps, total width)]"""


def refuse_bidirectional(source: NetworkSource, target: ExportTarget) -> None:
    """Refuse a network that cannot carry its state.

    Raises
    ------
    ConfigError
        Naming what can be exported instead.
    """
    if source.settings.bidirectional:
        raise ConfigError(
            f"to={target}: {source.name} is bidirectional: every step depends on all later ones, so there is no state "
            "to carry; to=onnx exports it, and `asr train model=causal` trains a model that runs in blocks"
        )
