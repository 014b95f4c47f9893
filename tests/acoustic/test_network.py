"""The description of the network, against what its builders make of it."""

from __future__ import annotations

import pytest

from asr.acoustic.keras_model import build_model, read_weights
from asr.acoustic.network import weight_shapes

from .test_keras_model import VARIANTS, small


@pytest.mark.parametrize(
    "settings",
    [*VARIANTS, small(mmi_output=True, depth=3), small(subsampling=8, channels=5), small(projection=0)],
    ids=lambda one: f"{one.front_end}-{one.cell}-{one.bidirectional}-{one.subsampling}-{one.outputs}",
)
@pytest.mark.parametrize("mels", [12, 13])
def test_names_and_shapes_are_those_of_the_keras_model(settings, mels):
    model = build_model(settings, mels=mels, symbols=6)
    expected = {name: array.shape for name, array in read_weights(model).items()}
    assert weight_shapes(settings, mels=mels, symbols=6) == expected
