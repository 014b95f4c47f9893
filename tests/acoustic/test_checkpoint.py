"""Checkpoints and bundles that earlier versions wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asr.acoustic.keras_model import read_weights
from asr.acoustic.network import weight_shapes
from asr.bundle import load_bundle
from asr.corpus.batching import collate
from asr.settings.commands import TrainConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.training.checkpoints import load_checkpoint
from asr.training.engine import Engine

FIXTURES = Path(__file__).parent / "fixtures"


def test_a_checkpoint_of_an_earlier_version_is_resumed():
    """Written after three steps, before the network was described as a list of layers; a checkpoint has no names."""
    model = ModelConfig(depth=2, units=4, projection=3, channels=2, mmi_output=True)
    engine = Engine(TrainConfig(model=model, features=FeatureConfig(mels=8)), symbols=5, average_steps=2)
    progress = load_checkpoint(FIXTURES / "checkpoint", engine.variables)
    assert progress is not None
    assert progress.batches == 3
    with np.load(FIXTURES / "checkpoint_logits.npz") as expected:
        frames, logits = expected["frames"], expected["logits"]
    batch = collate([frames[0], frames[1, :17]], [[1, 2, 4], [3]])
    found = np.concatenate([engine.logits(batch, output) for output in ("symbols", "symbols_mmi")], axis=-1)
    for row, steps in enumerate((6, 5)):
        np.testing.assert_allclose(found[row, :steps], logits[row, :steps], atol=1e-5)


@pytest.mark.parametrize("name", ["en", "live", "small", "tiny"])
def test_a_shipped_bundle_has_the_weights_of_the_network(name):
    bundle = load_bundle(name)
    phones = bundle.phones.size if bundle.phones else 0
    mels, symbols = bundle.log_mel.settings.mels, bundle.alphabet.size
    shapes = weight_shapes(bundle.model, mels=mels, symbols=symbols, phones=phones)
    assert {key: array.shape for key, array in bundle.weights().items()} == shapes


def test_a_shipped_bundle_becomes_a_keras_model():
    bundle = load_bundle("tiny")
    for name, array in read_weights(bundle.keras_model()).items():
        np.testing.assert_array_equal(array, bundle.weights()[name])
