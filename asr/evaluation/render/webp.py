"""Pictures for the page as WebP, written by FFmpeg."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt


def encode_webp(grey: npt.NDArray[np.uint8], *, width: int, quality: int) -> bytes:
    """Write a picture in shades of grey as the content of a WebP file.

    Parameters
    ----------
    grey : uint8 [shape=(height, columns)]
        0 is black.
    width : int > 0
        The picture is scaled to this many columns.
    quality : int from 0 to 100
    """
    height = len(grey)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(grey), format="gray")
    encoder = av.CodecContext.create("libwebp", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1)
    encoder.options = {"quality": str(quality), "compression_level": "2"}
    frame = frame.reformat(width=width, height=height, format="yuv420p")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
