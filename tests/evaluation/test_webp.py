from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from asr.evaluation.render.webp import encode_webp


@pytest.mark.parametrize(
    ("height", "columns", "width"),
    [(80, 700, 700), (81, 701, 701), (81, 9001, 4000), (20, 1, 1), (1, 1, 1), (257, 60_001, 4000)],
)
def test_a_picture_has_the_size_and_the_shades_that_pillow_reads(height, columns, width):
    shades = np.outer(np.linspace(0.2, 1, height), np.linspace(0, 1, columns))
    grey = (255 * shades).astype(np.uint8)
    picture = Image.open(io.BytesIO(encode_webp(grey, width=width, quality=45)))
    assert picture.format == "WEBP"
    assert picture.size == (width, height)
    expected = np.asarray(Image.fromarray(grey).resize((width, height))).astype(float)
    assert np.abs(np.asarray(picture.convert("L")) - expected).max() < 12


def test_a_lower_quality_makes_a_smaller_file(rng):
    grey = rng.integers(0, 256, (80, 400)).astype(np.uint8)
    small, large = (len(encode_webp(grey, width=400, quality=quality)) for quality in (20, 80))
    assert small < 0.7 * large
