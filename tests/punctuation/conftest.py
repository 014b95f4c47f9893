"""A tagger with random weights, which is as good as a trained one for what does not depend on what it learned."""

from __future__ import annotations

import numpy as np
import pytest

from asr.punctuation.tagger import Tagger, TaggerHeader
from asr.punctuation.tagger_export import export_tagger
from asr.punctuation.tagger_shapes import weight_shapes
from asr.punctuation.written_tags import Spellings
from asr.settings.tagger import TaggerConfig

VOCABULARY = ("the", "and", "he", "said", "i", "yes", "no", "ann")
SPELLINGS = Spellings({"mcdonald": "McDonald"}, frozenset({"usa"}), frozenset({"etc"}))


def random_weights(settings: TaggerConfig, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = weight_shapes(settings, size)
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def header() -> TaggerHeader:
    settings = TaggerConfig(vocabulary=len(VOCABULARY), buckets=50, embedding=12, units=16)
    return TaggerHeader(settings, VOCABULARY, SPELLINGS)


@pytest.fixture(scope="session")
def tagger_content(header: TaggerHeader) -> bytes:
    return export_tagger(random_weights(header.settings, header.features.size), header)


@pytest.fixture(scope="session")
def tagger(tagger_content: bytes) -> Tagger:
    return Tagger(tagger_content, "random")
