"""The output layers of the acoustic model: which there are, in which order, how wide each is, what its logits mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from asr.settings.decoding import BeamConfig, DecoderConfig
from asr.settings.model import ModelConfig

CHARACTERS, CHARACTERS_MMI, PHONES = "symbols", "symbols_mmi", "phones"
"""names of the layers in weights and graphs"""

PADDING_LOGIT = -1e9
"""logit of every symbol but the blank in steps past the end of a row; the blank's is 0"""


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
    """Position of each output layer on the last axis of the model's output; arguments as for `output_widths`."""
    slices, start = {}, 0
    for name, width in output_widths(settings, symbols=symbols, phones=phones).items():
        slices[name] = slice(start, start + width)
        start += width
    return slices


def decoded_output(settings: ModelConfig, decoder: DecoderConfig) -> str:
    """The name of the output layer that a resolved decoder reads."""
    if isinstance(decoder, BeamConfig):
        if decoder.pronunciations is not None and settings.phone_output:
            return PHONES
        if decoder.lm is not None and settings.mmi_output:
            return CHARACTERS_MMI
    return CHARACTERS


def log_softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Natural log-probabilities from logits, over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: npt.NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
