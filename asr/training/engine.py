"""One gradient step of the model, the same on every Keras back end: loss, precision, guard, devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.acoustic.loss import CtcLoss, pack_targets, row_nats
from asr.acoustic.model import build_model
from asr.config import OptimizerConfig, Precision, TrainConfig
from asr.corpus.batching import Batch, collate
from asr.training.devices import Devices, GuardedOptimizer, trace_once

# float16 reaches no further than 65,504: small gradients are lifted, and the scale is sought anew after so many steps.
_FLOAT16_SCALE, _FLOAT16_GROWTH = 2.0**15, 2000
_NEVER = 2**31 - 1


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A linear rise from 0 to the highest rate, then half a cosine down to a share of it.

    Parameters
    ----------
    settings : OptimizerConfig
    steps : int
        Steps of the optimizer in the whole training.
    accumulate : int >= 1
        Batches of one step: Keras asks for the rate of every batch.

    Notes
    -----
    Source of the cosine: I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, without restarts.
    """

    def __init__(self, settings: OptimizerConfig, steps: int, accumulate: int = 1) -> None:
        self._settings = settings
        self._accumulate = accumulate
        self._warmup = max(1, min(settings.warmup_steps, steps // 10))
        self._steps = max(steps, self._warmup + 1)

    def __call__(self, step: Any) -> Any:
        settings = self._settings
        step = ops.cast(step // self._accumulate, "float32") + 1
        share = ops.clip((step - self._warmup) / (self._steps - self._warmup), 0.0, 1.0)
        low = settings.final_share
        decayed = low + (1 - low) * 0.5 * (1 + ops.cos(np.pi * share))
        return settings.learning_rate * ops.where(step < self._warmup, step / self._warmup, decayed)

    def get_config(self) -> dict[str, Any]:
        return {"settings": self._settings, "steps": self._steps, "accumulate": self._accumulate}


@dataclass(frozen=True, slots=True)
class Step:
    """What a gradient step came to."""

    loss: float
    """nats a symbol, before the step"""
    fault: bool
    """whether the loss or a gradient was no finite number: nothing has been learnt then"""


class Engine:
    """An acoustic model with its optimizer.

    Parameters
    ----------
    settings : TrainConfig
    symbols : int
        Width of the model's output.
    steps : int
        Steps of the optimizer in the whole training, for the schedule.

    Raises
    ------
    ConfigError
        If the back end or the machine cannot do what the settings ask for.
    """

    def __init__(self, settings: TrainConfig, *, symbols: int, steps: int) -> None:
        training, optimizer = settings.training, settings.optimizer
        self._settings = settings
        self._devices = Devices(training.devices, training.precision)
        keras.utils.clear_session()
        keras.utils.set_random_seed(training.seed)
        with self._devices.scope(), _precision(training.precision):
            self.model = build_model(settings.model, mels=settings.features.mels, symbols=symbols)
            self._adam = keras.optimizers.AdamW(
                WarmupCosine(optimizer, steps, training.accumulate),
                weight_decay=optimizer.weight_decay,
                global_clipnorm=optimizer.clip_norm / self._devices.replicas,
                gradient_accumulation_steps=training.accumulate if training.accumulate > 1 else None,
            )
            vectors = [one for one in self.model.trainable_variables if one.name in {"bias", "gamma", "beta"}]
            self._adam.exclude_from_weight_decay(var_list=vectors)
            # Keras's guard against overflow in float16 is a guard against any gradient that is not finite.
            half = training.precision is Precision.float16
            self._guard = GuardedOptimizer(
                self._adam,
                initial_scale=_FLOAT16_SCALE if half else 1.0,
                dynamic_growth_steps=_FLOAT16_GROWTH if half else _NEVER,
            )
            self._guard.build(self.model.trainable_variables)
            self.model.compile(
                optimizer=self._guard,
                loss=CtcLoss(parts=training.accumulate),
                jit_compile="auto" if keras.backend.backend() == "jax" else training.jit_compile,
                auto_scale_loss=False,
            )
            self._predict = trace_once(self.model, settings.features.mels)
            if self._devices.replicas > 1:
                # Keras looks at the shapes of the first batch it is given, and cannot see those of parts on devices.
                rows = np.zeros((training.devices, 4 * settings.model.subsampling, settings.features.mels), np.float32)
                silence = collate(list(rows), [[1]] * training.devices)
                self.model.test_on_batch([silence.frames, silence.frame_counts], pack_targets(silence, settings.model))

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(ops.convert_to_numpy(self._adam.learning_rate))

    @property
    def variables(self) -> dict[str, Any]:
        """All state: weights, seeds of dropout, the optimizer's; by number, for paths may change with the back end."""
        model_variables = [*self.model.trainable_variables, *self.model.non_trainable_variables]
        named = {f"model/{number}": variable for number, variable in enumerate(model_variables)}
        return named | {f"optimizer/{number}": variable for number, variable in enumerate(self._guard.variables)}

    def step(self, batch: Batch, step_symbols: int | None = None) -> Step:
        """Learn from a batch, unless its loss or gradients are not finite.

        Parameters
        ----------
        batch : Batch
        step_symbols : int, optional
            Label symbols of all batches of this step of the optimizer, if there are several.
        """
        targets = pack_targets(batch, self._settings.model, step_symbols)
        arrays = (batch.frames, batch.frame_counts), targets
        with self._devices.scope():
            loss = self.model.train_on_batch(*self._devices.distribute(arrays))
        loss = float(np.asarray(loss[0] if isinstance(loss, list) else loss)) / self._settings.training.accumulate
        if step_symbols is not None:
            loss *= step_symbols / max(1, int(batch.label_counts.sum()))
        return Step(loss, self._gradient_fault() or not np.isfinite(loss))

    def _gradient_fault(self) -> bool:
        if int(ops.convert_to_numpy(self._guard.step_counter)) != 0:
            return False
        if self._settings.training.precision is Precision.float16:
            # Too large a scale; the guard has halved it. Below 1 it is not the scale that is at fault.
            return float(ops.convert_to_numpy(self._guard.dynamic_scale)) < 1
        self._guard.dynamic_scale.assign(1.0)
        return True

    def logits(self, batch: Batch) -> npt.NDArray[np.float32]:
        """float32 [shape=(batch, steps, symbols)], without dropout."""
        with self._devices.scope():
            logits = np.asarray(self._predict(batch.frames, batch.frame_counts), np.float32)
        return logits[: len(batch.frames)]  # TensorFlow's replicas predict the whole batch each

    def nats(self, batch: Batch, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The CTC loss of every row of a batch [shape=(batch,)]."""
        targets = pack_targets(batch, self._settings.model)
        return np.asarray(ops.convert_to_numpy(row_nats(targets, ops.convert_to_tensor(logits))), np.float32)


@contextmanager
def _precision(precision: Precision) -> Iterator[None]:
    """Layers made in this block compute in that type and keep float32 weights."""
    before = keras.config.dtype_policy()
    mixed = {Precision.bfloat16: "mixed_bfloat16", Precision.float16: "mixed_float16"}
    keras.config.set_dtype_policy(mixed.get(precision, "float32"))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
