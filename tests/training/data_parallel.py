"""Run by test_devices.py in a process of its own: trains on one and two virtual devices, writes losses and weights."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

backend, folder = sys.argv[1], Path(sys.argv[2])
os.environ["KERAS_BACKEND"] = backend
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
if backend == "jax":
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
else:
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import numpy as np  # noqa: E402

from asr.acoustic.keras_model import read_weights  # noqa: E402
from asr.corpus.batching import Batch  # noqa: E402
from asr.settings.commands import TrainConfig  # noqa: E402
from asr.settings.features import FeatureConfig  # noqa: E402
from asr.settings.model import ModelConfig  # noqa: E402
from asr.settings.training import OptimizerConfig, TrainingConfig  # noqa: E402
from asr.training.engine import Engine  # noqa: E402


def train(devices: int) -> dict[str, Any]:
    settings = TrainConfig(
        features=FeatureConfig(mels=8),
        model=ModelConfig(depth=1, units=8, projection=8, channels=2, dropout=0.0),
        optimizer=OptimizerConfig(learning_rate=0.01, warmup_steps=0),
        training=TrainingConfig(devices=devices),
    )
    engine = Engine(settings, symbols=5)
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(4):
        batch = Batch(
            rng.standard_normal((4, 40, 8)).astype(np.float32),
            np.array([40, 31, 22, 0], np.int32),
            rng.integers(1, 5, (4, 5)).astype(np.int32),
            np.array([5, 1, 3, 0], np.int32),
        )
        step = engine.step(batch)
        assert not step.fault
        losses.append(step.loss)
    logits = engine.logits(batch)
    assert len(logits) == 4, logits.shape
    return {"losses": losses, "logits": logits, **read_weights(engine.model)}


for count in (1, 2):
    np.savez(folder / f"{count}.npz", **train(count))
