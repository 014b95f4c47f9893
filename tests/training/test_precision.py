"""`training.precision=auto` takes what pays on a machine, and a choice that does not is warned about."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from asr.settings.commands import TrainConfig
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.settings.training import Precision, TrainingConfig
from asr.training import devices
from asr.training.devices import precision_warning, resolve_precision
from asr.training.engine import Engine

from ..conftest import REPOSITORY

AVX2, AVX512 = {"avx2", "fma"}, {"avx2", "avx512f", "avx512_bf16"}


@pytest.fixture
def machine(monkeypatch):
    """Makes this a machine with some instructions and, maybe, a GPU."""

    def make(features: set[str], capability: tuple[int, int] | None = None) -> None:
        monkeypatch.setattr(devices, "processor_features", lambda: frozenset(features))
        monkeypatch.setattr(devices, "_gpu_capability", lambda: capability)

    return make


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="float32 is faster on JAX")
@pytest.mark.parametrize(
    ("features", "capability", "wanted"),
    [
        (AVX2, None, Precision.float32),
        (AVX512, None, Precision.bfloat16),
        ({"avx2", "amx_bf16"}, None, Precision.bfloat16),
        (set(), None, Precision.float32),
        (AVX512, (7, 5), Precision.float32),
        (AVX2, (8, 0), Precision.bfloat16),
    ],
)
def test_auto_is_bfloat16_where_there_are_instructions_for_it(machine, features, capability, wanted):
    machine(features, capability)
    assert resolve_precision(Precision.auto) is wanted
    for explicit in (Precision.float32, Precision.bfloat16, Precision.float16):
        assert resolve_precision(explicit) is explicit


def test_a_choice_that_is_slow_is_warned_about_and_no_other(machine):
    machine(AVX2)
    assert "no instructions for it (avx512_bf16 or amx_bf16)" in (precision_warning(Precision.bfloat16) or "")
    assert "is for GPUs" in (precision_warning(Precision.float16) or "")
    assert precision_warning(Precision.float32) is None
    assert precision_warning(Precision.auto) is None
    machine(AVX512)
    assert precision_warning(Precision.bfloat16) is None
    machine(AVX2, (7, 5))
    assert precision_warning(Precision.float16) is None
    machine(set())  # of an unknown processor nothing is said
    assert precision_warning(Precision.bfloat16) is None


def test_an_engine_computes_in_what_auto_stands_for(machine):
    machine(AVX2)
    settings = TrainConfig(
        features=FeatureConfig(mels=8),
        model=ModelConfig(depth=1, units=4, projection=4, channels=2),
        training=TrainingConfig(precision=Precision.auto),
    )
    dtypes = {layer.compute_dtype for layer in Engine(settings, symbols=4).model.layers}
    assert "float32" in dtypes
    assert "bfloat16" not in dtypes


def test_no_shipped_recipe_asks_for_a_precision_that_a_processor_may_lack():
    files = list(Path(REPOSITORY / "conf").rglob("*.yaml"))
    assert files
    assert not [path for path in files if "bfloat16" in path.read_text() or "float16" in path.read_text()]
    assert "precision: auto" in (REPOSITORY / "conf" / "experiment" / "finetune.yaml").read_text()
