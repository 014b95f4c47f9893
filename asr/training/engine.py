"""One gradient step of the model, the same on every Keras back end: loss, precision, guard, devices."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.acoustic.denominator import Denominator
from asr.acoustic.keras_layers import Dropout
from asr.acoustic.keras_model import build_model, freeze_layers, write_weights
from asr.acoustic.loss import BatchLoss, pack_targets, row_nats
from asr.acoustic.outputs import CHARACTERS, PHONES, output_slices
from asr.corpus.batching import Batch, collate
from asr.settings.commands import TrainConfig
from asr.settings.training import Precision
from asr.training.batch_shares import BatchShare
from asr.training.devices import Devices, GuardedOptimizer, resolve_precision, set_seeds, trace_once
from asr.training.distributed import Ranks

# The largest float16 is 65,504: the loss is scaled so that small gradients do not vanish, and the scale is raised again
# after this many steps.
_FLOAT16_SCALE, _FLOAT16_GROWTH = 2.0**15, 2000
_NEVER = 2**31 - 1
# An average over many steps is updated about this many times within them.
_AVERAGED = 20


@dataclass(frozen=True, slots=True)
class Step:
    """The result of a gradient step."""

    loss: float
    """nats per symbol, before the step"""
    fault: bool
    """whether the loss or a gradient was not finite; the weights are unchanged then"""
    gradient_norm: float | None = None
    """of the batch's gradient before it was clipped; None where several replicas each have a share of it"""


class Engine:
    """An acoustic model with its optimizer.

    Parameters
    ----------
    settings : TrainConfig
    symbols, phones : int
        Width of the model's output layers over characters and over phones.
    average_steps : float
        Steps of the optimizer over which `averaged` averages the weights; 0 for none.
    denominators : mapping of str to Denominator, optional
        For lattice-free MMI, by the name of the output.
    ranks : Ranks, optional
        The processes that share every batch; this one alone by default.

    Raises
    ------
    ConfigError
        If the back end or the machine does not support the settings.
    """

    def __init__(
        self,
        settings: TrainConfig,
        *,
        symbols: int,
        phones: int = 0,
        average_steps: float = 0.0,
        denominators: Mapping[str, Denominator] | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self._ranks = ranks or Ranks()
        precision = resolve_precision(settings.training.precision)
        settings = replace(settings, training=replace(settings.training, precision=precision))
        training, optimizer = settings.training, settings.optimizer
        self._settings = settings
        self._outputs = output_slices(settings.model, symbols=symbols, phones=phones)
        self._devices = Devices(training.devices, training.precision)
        keras.utils.clear_session()
        set_seeds(training.seed)
        with self._devices.scope(), _precision(training.precision):
            self.model = build_model(settings.model, mels=settings.features.mels, symbols=symbols, phones=phones)
            freeze_layers(self.model, settings.frozen_layers)
            self._adam = keras.optimizers.AdamW(
                optimizer.learning_rate,
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
                sum_gradients=self._ranks.sum_gradients if self._ranks.count > 1 else None,
            )
            self._guard.build(self.model.trainable_variables)
            for layer in self.model.layers:
                layer.supports_jit = True  # training.jit_compile decides
            self.model.compile(
                optimizer=self._guard,
                loss=BatchLoss(
                    training.accumulate,
                    denominators,
                    settings.mmi_weight,
                    self._outputs,
                    training.teacher_weight if training.teacher else None,
                    training.consistency_weight,
                ),
                jit_compile="auto" if keras.backend.backend() == "jax" else training.jit_compile,
                auto_scale_loss=False,
            )
            self._dropouts = [layer for layer in self.model.layers if isinstance(layer, Dropout)]
            targets = "float32" if training.teacher else "int32"
            self._predict = trace_once(self.model, settings.features.mels, targets=targets)
            self._average_steps = average_steps
            starts = [_copied(one) for one in self._weights] if average_steps else []
            self._averages = [keras.Variable(one, trainable=False) for one in starts]
            if self._devices.replicas > 1:
                # Keras builds the metrics from the shapes of the first batch, and cannot do so from parts on devices.
                rows = np.zeros((training.devices, 4 * settings.model.subsampling, settings.features.mels), np.float32)
                labels = [[1]] * training.devices
                silence = collate(list(rows), labels, phones=labels if PHONES in self._outputs else None)
                if training.teacher:
                    shape = (training.devices, 4, sum(one.stop - one.start for one in self._outputs.values()))
                    silence = replace(silence, teacher=np.zeros(shape, np.float32))
                self.model.test_on_batch([silence.frames, silence.frame_counts], pack_targets(silence, settings.model))

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(ops.convert_to_numpy(self._adam.learning_rate))

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        with self._devices.scope():
            self._adam.learning_rate = rate

    @property
    def _weights(self) -> list[Any]:
        return list(self.model.trainable_variables)

    @property
    def variables(self) -> dict[str, Any]:
        """All state: weights, seeds of dropout, optimizer; by number, because paths differ between back ends."""
        parts = {
            "model": [*self.model.trainable_variables, *self.model.non_trainable_variables],
            "optimizer": [one for one in self._guard.variables if one is not self._guard.gradient_norm],
            "average": self._averages,
        }
        return {f"{part}/{number}": one for part, variables in parts.items() for number, one in enumerate(variables)}

    def step(self, batch: Batch, step_symbols: int | None = None, *, share: BatchShare | None = None) -> Step:
        """Learn from a batch, unless its loss or gradients are not finite.

        Parameters
        ----------
        batch : Batch
            The rows of this rank.
        step_symbols : int, optional
            Label symbols of all batches of this step of the optimizer, if there are several.
        share : BatchShare, optional
            What this rank has of the batch, if there are several ranks.
        """
        symbols = share.symbols if share else int(batch.label_counts.sum())
        total = symbols if share and step_symbols is None else step_symbols
        targets = pack_targets(batch, self._settings.model, total)
        if share:
            for layer in self._dropouts:
                layer.rows_of_batch = share.rows, share.own_rows
        arrays = (batch.frames, batch.frame_counts), targets
        self.model.reset_metrics()  # before Keras 3.15, the loss would be the mean over all batches so far
        with self._devices.scope():
            loss = self.model.train_on_batch(*self._devices.distribute(arrays))
        loss = float(np.asarray(loss[0] if isinstance(loss, list) else loss)) / self._settings.training.accumulate
        loss = sum(self._ranks.gather(loss))
        if step_symbols is not None:
            loss *= step_symbols / max(1, symbols)
        fault = self._gradient_fault() or not np.isfinite(loss)
        if self._averages and not fault:
            self._average()
        norm = float(ops.convert_to_numpy(self._guard.gradient_norm)) if self._devices.replicas == 1 else None
        return Step(loss, fault, norm)

    def _average(self) -> None:
        """Update the averages with the weights; with a larger share in the first steps.

        An average over many steps is not updated after each: that would take a tenth of the time without a gain.
        """
        batches, parts = int(ops.convert_to_numpy(self._adam._iterations)), self._settings.training.accumulate
        if batches % parts:
            return
        every = max(1, int(self._average_steps / _AVERAGED))
        times, rest = divmod(batches // parts, every)
        if rest:
            return
        share = min(1.0, max(every / self._average_steps, 9 / (10 + times) if self._average_steps > 1 else 1.0))
        with self._devices.scope():
            for average, weight in zip(self._averages, self._weights, strict=True):
                average.assign(average + share * (weight - average))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """In this block the model has the averages of its weights, if averages are kept."""
        kept = [_copied(one) for one in self._weights] if self._averages else []
        try:
            self._assign([_copied(one) for one in self._averages])
            yield
        finally:
            self._assign(kept)

    def load(self, weights: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Replace the initial weights by these, named as by `read_weights`."""
        with self._devices.scope():
            write_weights(self.model, weights)
            for average, weight in zip(self._averages, self._weights, strict=False):
                average.assign(_copied(weight))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of the values of all variables."""
        return {name: np.array(ops.convert_to_numpy(one)) for name, one in self.variables.items()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Give the variables the values of `state`."""
        for name, variable in self.variables.items():
            variable.assign(state[name])

    def digest(self) -> bytes:
        """A hash of the values of all variables."""
        found = hashlib.sha256()
        for one in self.variables.values():
            found.update(np.ascontiguousarray(ops.convert_to_numpy(one)).tobytes())
        return found.digest()

    def _assign(self, values: Sequence[npt.NDArray[np.float32]]) -> None:
        with self._devices.scope():
            for weight, value in zip(self._weights, values, strict=False):
                weight.assign(value)

    def _gradient_fault(self) -> bool:
        if int(ops.convert_to_numpy(self._guard.step_counter)) != 0:
            return False
        if self._settings.training.precision is Precision.float16:
            # The scale was too large, and the guard halved it. Below 1, the scale is not the cause.
            return float(ops.convert_to_numpy(self._guard.dynamic_scale)) < 1
        self._guard.dynamic_scale.assign(1.0)
        return True

    def logits(self, batch: Batch, output: str = CHARACTERS) -> npt.NDArray[np.float32]:
        """float32 [shape=(batch, steps, symbols)] of an output, without dropout; the characters' by default."""
        with self._devices.scope():
            logits = np.asarray(self._predict(batch.frames, batch.frame_counts), np.float32)
        return logits[
            : len(batch.frames), :, self._outputs[output]
        ]  # TensorFlow's replicas predict the whole batch each

    def nats(self, batch: Batch, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The CTC loss of every row of a batch [shape=(batch,)]."""
        targets = pack_targets(replace(batch, phones=None, teacher=None), self._settings.model)
        return np.asarray(ops.convert_to_numpy(row_nats(targets, ops.convert_to_tensor(logits))), np.float32)


def _copied(variable: Any) -> npt.NDArray[np.float32]:
    """A copy of a variable's value: on some back ends NumPy would share its memory."""
    return np.array(ops.convert_to_numpy(variable), np.float32)


@contextmanager
def _precision(precision: Precision) -> Iterator[None]:
    """Layers made in this block compute in that type, with float32 weights."""
    before = keras.config.dtype_policy()
    mixed = {Precision.bfloat16: "mixed_bfloat16", Precision.float16: "mixed_float16"}
    keras.config.set_dtype_policy(mixed.get(precision, "float32"))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
