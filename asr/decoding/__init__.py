"""Decoders: log-probabilities in, text out, with NumPy only."""

from __future__ import annotations

from asr.decoding.decoder import BeamDecoder, Decoder, Stream, decoder_kind, describe_decoder, make_decoder
from asr.decoding.greedy import decode_greedy
from asr.decoding.hypothesis import Hypothesis

__all__ = [
    "BeamDecoder",
    "Decoder",
    "Hypothesis",
    "Stream",
    "decode_greedy",
    "decoder_kind",
    "describe_decoder",
    "make_decoder",
]
