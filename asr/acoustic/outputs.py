"""The output layers of the acoustic model: which there are, in which order, and how wide each is."""

from __future__ import annotations

from asr.settings.model import ModelConfig

CHARACTERS, CHARACTERS_MMI, PHONES = "symbols", "symbols_mmi", "phones"
"""names of the layers, as weights and graphs have them"""


def output_widths(settings: ModelConfig, *, symbols: int, phones: int = 0) -> dict[str, int]:
    """The width of each output layer, in the order in which the model concatenates them.

    Parameters
    ----------
    settings : ModelConfig
    symbols : int
        Characters, blank included.
    phones : int
        Phones, blank included.
    """
    widths = {CHARACTERS: symbols}
    if settings.mmi_output:
        widths[CHARACTERS_MMI] = symbols
    if settings.phone_output:
        widths[PHONES] = phones
    return widths


def output_slices(settings: ModelConfig, *, symbols: int, phones: int = 0) -> dict[str, slice]:
    """Where each output layer lies on the last axis of the model's output; arguments as for `output_widths`."""
    slices, start = {}, 0
    for name, width in output_widths(settings, symbols=symbols, phones=phones).items():
        slices[name] = slice(start, start + width)
        start += width
    return slices
