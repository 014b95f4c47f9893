"""Log-probabilities in, text out. NumPy only."""

from __future__ import annotations

from asr.config import BeamConfig, DecoderConfig, GreedyConfig
from asr.decoding.beam import decode_beam
from asr.decoding.greedy import decode_greedy
from asr.decoding.hypothesis import Hypothesis, LogProbs
from asr.errors import ConfigError
from asr.text.alphabet import Alphabet

__all__ = ["Hypothesis", "decode", "decode_beam", "decode_greedy"]


def decode(log_probs: LogProbs, alphabet: Alphabet, settings: DecoderConfig) -> list[Hypothesis]:
    """Decode one utterance with the decoder that the settings are for.

    Parameters
    ----------
    log_probs : float [shape=(steps, symbols)]
        Natural log-probabilities.
    alphabet : Alphabet
    settings : GreedyConfig or BeamConfig

    Returns
    -------
    list of Hypothesis
        Best first; never empty.

    Raises
    ------
    ValueError
        If the log-probabilities are none: not finite, not normalised, or of another width than the alphabet's.
    """
    match settings:
        case GreedyConfig():
            return [decode_greedy(log_probs, alphabet)]
        case BeamConfig():
            return decode_beam(log_probs, alphabet, settings)
        case _:
            raise ConfigError(f"no decoder for {type(settings).__name__}: use GreedyConfig or BeamConfig")
