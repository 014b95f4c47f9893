"""The names and shapes of the weights of an LSTM language model."""

from __future__ import annotations

from asr.settings.language import LstmConfig


def recurrent_name(number: int) -> str:
    """The name of a recurrent layer, from 1 on."""
    return f"recurrent_{number}"


def weight_shapes(settings: LstmConfig, count: int) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the weights; `count` pieces have a vector, the end of the sentence included."""
    gates, width = 4 * settings.units, settings.embedding
    shapes: dict[str, tuple[int, ...]] = {"vectors": (count, settings.embedding), "bias": (count,)}
    for number in range(1, settings.depth + 1):
        name = recurrent_name(number)
        shapes |= {
            f"{name}/kernel": (width, gates),
            f"{name}/recurrent_kernel": (settings.units, gates),
            f"{name}/bias": (gates,),
        }
        width = settings.units
    if settings.embedding != settings.units:
        shapes["projection"] = (settings.units, settings.embedding)
    return shapes
