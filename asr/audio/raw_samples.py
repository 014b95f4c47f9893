"""Samples without a container, as clients of live recognition send them: PCM, and the two codecs of telephony."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from asr.audio.load import Samples
from asr.errors import AudioError

G711_RATE = 8000
"""Hz"""
_KINDS = {2: "<i2", 4: "<i4"}


def decode_pcm(content: bytes, *, width: int = 2, channels: int = 1) -> Samples:
    """Signed little-endian whole numbers as samples of one channel, the mean of all.

    Parameters
    ----------
    content : bytes
    width : int
        Bytes of a number: 2 or 4.
    channels : int > 0

    Returns
    -------
    float32 [shape=(samples,)]
        Full scale is 1.

    Raises
    ------
    AudioError
        If the width is another one, or the content ends within a sample.
    """
    if width not in _KINDS:
        raise AudioError("samples", f"have {width} bytes: it must be 2 or 4")
    if len(content) % (width * channels):
        raise AudioError(
            "samples", f"end within one: {len(content)} bytes are no multiple of {width} bytes and {channels} channels"
        )
    numbers = np.frombuffer(content, _KINDS[width])
    samples = numbers.astype(np.float32) / np.float32(1 << (8 * width - 1))
    return samples if channels == 1 else samples.reshape(-1, channels).mean(axis=1, dtype=np.float32)


def decode_ulaw(content: bytes) -> Samples:
    """µ-law of ITU-T G.711 as samples; full scale is 1."""
    return _decode(content, _ulaw_table())


def decode_alaw(content: bytes) -> Samples:
    """A-law of ITU-T G.711 as samples; full scale is 1."""
    return _decode(content, _alaw_table())


def _decode(content: bytes, table: npt.NDArray[np.int16]) -> Samples:
    return table[np.frombuffer(content, np.uint8)].astype(np.float32) / np.float32(1 << 15)


@cache
def _ulaw_table() -> npt.NDArray[np.int16]:
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = code >> 4 & 7, (code & 15).astype(np.int32)
    size = ((mantissa << 3) + 132 << exponent) - 132
    return np.where(code & 128, -size, size).astype(np.int16)


@cache
def _alaw_table() -> npt.NDArray[np.int16]:
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    size = np.where(exponent, (mantissa << 4) + 264 << np.maximum(exponent - 1, 0), (mantissa << 4) + 8)
    return np.where(code & 128, size, -size).astype(np.int16)
