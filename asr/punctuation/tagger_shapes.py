"""The names and shapes of the tagger's weights."""

from __future__ import annotations

from asr.punctuation.word_numbers import PAUSE_CLASSES
from asr.punctuation.written_tags import WIDTH
from asr.settings.tagger import TaggerConfig

PAUSE_WIDTH = 16
"""width of the vector of a class of pauses"""


def recurrent_name(number: int) -> str:
    """The name of a recurrent layer, from 1 on."""
    return f"recurrent_{number}"


def layer_units(settings: TaggerConfig) -> list[int]:
    """The units of each direction of the recurrent layers, from the first on."""
    return [settings.units] * settings.depth + [settings.top_units] * (settings.top_units > 0)


def tag_units(settings: TaggerConfig) -> list[int]:
    """The units of each direction of the layers that the tags are read from: the last ones."""
    return layer_units(settings)[settings.depth - 1 :]


def weight_shapes(settings: TaggerConfig, size: int) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the weights; `size` words and pieces have a vector."""
    width = settings.embedding + PAUSE_WIDTH
    shapes: dict[str, tuple[int, ...]] = {
        "pieces": (size, settings.embedding),
        "pauses": (PAUSE_CLASSES, PAUSE_WIDTH),
    }
    for number, units in enumerate(layer_units(settings), start=1):
        name, gates = recurrent_name(number), 4 * units
        shapes |= {
            f"{name}/kernel": (2, width, gates),
            f"{name}/recurrent_kernel": (2, units, gates),
            f"{name}/bias": (2, 2, gates),
        }
        width = 2 * units
    return shapes | {"tags/kernel": (2 * sum(tag_units(settings)), WIDTH), "tags/bias": (WIDTH,)}
