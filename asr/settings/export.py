"""Settings of exports to other programs."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.settings.checks import ConfigEnum, at_least, between, check_settings


class ExportTarget(ConfigEnum):
    """What a model is exported to."""

    onnx = "onnx"
    onnx_stream = "onnx_stream"
    litert = "litert"
    saved_model = "saved_model"
    web = "web"


@dataclass(kw_only=True)
class ExportShapes:
    """The shapes of a graph whose shapes are fixed, as LiteRT runs it."""

    window_seconds: float = field(default=10.0, metadata=between(0.1, 600.0))
    """to=litert, bidirectional model: length of the window that is run at once; longer recordings are divided"""
    block_steps: int = field(default=8, metadata=at_least(1, at_most=1000))
    """to=litert, causal model: steps of the block that is run at once, with carried state"""

    def __post_init__(self) -> None:
        check_settings(self, "shapes")
