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


def weight_shapes(settings: TaggerConfig, size: int) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the weights; `size` words and pieces have a vector."""
    gates, width = 4 * settings.units, settings.embedding + PAUSE_WIDTH
    shapes: dict[str, tuple[int, ...]] = {
        "pieces": (size, settings.embedding),
        "pauses": (PAUSE_CLASSES, PAUSE_WIDTH),
    }
    for number in range(1, settings.depth + 1):
        name = recurrent_name(number)
        shapes |= {
            f"{name}/kernel": (2, width, gates),
            f"{name}/recurrent_kernel": (2, settings.units, gates),
            f"{name}/bias": (2, 2, gates),
        }
        width = 2 * settings.units
    return shapes | {"tags/kernel": (width, WIDTH), "tags/bias": (WIDTH,)}
