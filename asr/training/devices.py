"""Data-parallel training on several devices of one machine, with the means of each back end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import keras
import numpy as np
from keras import ops

from asr.errors import ConfigError
from asr.machine import processor_features
from asr.settings.training import Precision

# Instruction sets with products of bfloat16, and the first NVIDIA GPUs with them (Ampere).
_BFLOAT16_FEATURES = frozenset({"avx512_bf16", "amx_bf16"})
_BFLOAT16_CAPABILITY = (8, 0)


def resolve_precision(precision: Precision) -> Precision:
    """The precision of this machine and back end, for `auto`; any other as it is."""
    if precision is not Precision.auto:
        return precision
    return Precision.bfloat16 if _has_fast_bfloat16() else Precision.float32


def precision_warning(precision: Precision) -> str | None:
    """A warning about an explicit precision that is slow on this machine, or None."""
    features = processor_features()
    if precision in (Precision.float32, Precision.auto) or _gpu_capability() is not None:
        return None
    if precision is Precision.float16:
        return (
            "training.precision=float16 is for GPUs, and none is found: processors compute it slowly. "
            "training.precision=auto chooses the faster one"
        )
    if "avx2" in features and not features & _BFLOAT16_FEATURES:
        return (
            "training.precision=bfloat16: this processor has no instructions for it (avx512_bf16 or amx_bf16), and may "
            "take thirty times as long as with float32. training.precision=auto chooses the faster one"
        )
    return None


def row_multiple(precision: Precision) -> int:
    """Rows of a batch are padded to a multiple of it: cuDNN's fast LSTM kernels need 8 in float16."""
    is_fast = precision is Precision.float16 and keras.backend.backend() == "torch" and _gpu_capability() is not None
    return 8 if is_fast else 1


def _has_fast_bfloat16() -> bool:
    capability = _gpu_capability()
    if capability is not None:
        return capability >= _BFLOAT16_CAPABILITY
    # On processors XLA, which compiles all of a step on JAX, is slower with bfloat16 products than with float32.
    return keras.backend.backend() != "jax" and bool(processor_features() & _BFLOAT16_FEATURES)


def _gpu_capability() -> tuple[int, int] | None:
    """The compute capability of the first GPU that the back end trains on; None without one."""
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return torch.cuda.get_device_capability() if torch.cuda.is_available() else None
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        return tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0)) if gpus else None
    # JAX's is not asked for: float32 there.
    return None if all(one.startswith("cpu") for one in keras.distribution.list_devices()) else (0, 0)


class Devices:
    """The devices that share every batch; with a single one, nothing is done.

    Parameters
    ----------
    count : int >= 1
    precision : Precision
        Of the large products, which the devices must support.

    Raises
    ------
    ConfigError
        If there are fewer devices, the back end cannot train on several, or they do not support the precision.
    """

    def __init__(self, count: int, precision: Precision) -> None:
        self._backend = keras.backend.backend()
        self._count = count
        self._distribution: Any = None
        self._strategy: Any = None
        if self._backend == "torch":
            _check_torch(precision)
        if count == 1:
            return
        if self._backend == "jax":
            found = keras.distribution.list_devices()
            self._check_count(len(found))
            self._distribution = keras.distribution.DataParallel(devices=found[:count], auto_shard_dataset=False)
        elif self._backend == "tensorflow":
            import tensorflow as tf

            kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
            logical = tf.config.list_logical_devices(kind)
            self._check_count(len(logical))
            self._strategy = tf.distribute.MirroredStrategy(
                [one.name for one in logical[:count]],
                cross_device_ops=tf.distribute.ReductionToOneDevice() if kind == "CPU" else None,
            )
        else:
            raise ConfigError(
                "training.devices above 1 needs KERAS_BACKEND=jax or tensorflow: on PyTorch, training.processes trains "
                "on several devices, with a process for each"
            )

    @property
    def replicas(self) -> int:
        """Copies of the model that get a part of each batch, as on TensorFlow; on JAX the model gets whole batches.

        Each divides its loss by the label symbols of the whole batch, and TensorFlow adds the losses up.
        `GuardedOptimizer` gives each the same share of the whole gradient, which is clipped to that share of the norm.
        """
        return self._count if self._strategy else 1

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Variables made and steps taken in this block are distributed over the devices."""
        scope = self._distribution or self._strategy
        with scope.scope() if scope else nullcontext():
            yield

    def distribute(self, arrays: Any) -> Any:
        """The arrays of a batch, their rows divided equally among the devices."""
        if not self._strategy:
            return arrays
        import tensorflow as tf

        def split(array: Any) -> Any:
            parts = np.split(array, self._count)
            make = self._strategy.experimental_distribute_values_from_function
            return make(lambda context: tf.convert_to_tensor(parts[context.replica_id_in_sync_group]))

        return tuple(tuple(map(split, one)) if isinstance(one, tuple) else split(one) for one in arrays)

    def _check_count(self, found: int) -> None:
        if found < self._count:
            raise ConfigError(f"training.devices={self._count}, but {self._backend} finds {found} on this machine")


def trace_once(model: keras.Model, mels: int, *, targets: str = "int32") -> Callable[[Any, Any], Any]:
    """Make TensorFlow trace a compiled model once for all shapes; on other back ends, do nothing.

    By default Keras traces the first shape separately, and that graph rounds slightly differently: a resumed run,
    which begins with another batch, would differ from the uninterrupted one.

    Parameters
    ----------
    model : keras.Model
    mels : int > 0
        Width of a frame.
    targets : str
        The type of the array that the loss gets: float32 with the output of a teacher.

    Returns
    -------
    callable
        From frames and frame counts to logits, without dropout.
    """
    if keras.backend.backend() != "tensorflow" or model.distribute_strategy.num_replicas_in_sync > 1:
        predict: Callable[[Any, Any], Any] = lambda frames, counts: model.predict_on_batch([frames, counts])  # noqa: E731
        return predict
    import tensorflow as tf

    frames = tf.TensorSpec((None, None, mels), tf.float32)
    counts, labels = tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, None), targets)

    def compiled(function: Callable[..., Any], *signature: Any) -> Callable[..., Any]:
        traced: Callable[..., Any] = tf.function(
            function, input_signature=signature, jit_compile=model.jit_compile, autograph=False
        )
        return traced

    step = compiled(lambda *arrays: model.train_step((arrays[:2], arrays[2])), frames, counts, labels)

    def train_function(batches: Iterator[Any]) -> Any:
        inputs, batch_targets, _ = next(batches)
        return step(*inputs, batch_targets)

    model.train_function = train_function
    return compiled(lambda *arrays: model(arrays, training=False), frames, counts)


class GuardedOptimizer(keras.optimizers.LossScaleOptimizer):  # type: ignore[misc]
    """Keras's guard against gradients that are not finite, applied to the sum of the gradients of all replicas.

    By default, Keras on TensorFlow checks and clips the gradients of each replica before it adds them up, which differs
    from training on one device.

    Parameters
    ----------
    *args, **kwargs
        As Keras's.
    sum_gradients : callable, optional
        Adds up the gradients of several processes.
    """

    def __init__(
        self, *args: Any, sum_gradients: Callable[[Sequence[Any]], list[Any]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._sum_gradients = sum_gradients

    def build(self, var_list: Any) -> None:
        self.gradient_norm = self.add_variable(
            shape=(), dtype="float32", initializer="zeros", aggregation="none", name="gradient_norm"
        )
        """of the last step, before it was clipped; 0 with several replicas"""
        super().build(var_list)

    def stateless_apply(self, optimizer_variables: Any, grads: Any, trainable_variables: Any) -> Any:
        """As Keras's; JAX's steps take the values of variables and return new ones."""
        places = {id(variable): place for place, variable in enumerate(self.variables)}
        scale = optimizer_variables[places[id(self.dynamic_scale)]]
        weights, values = super().stateless_apply(optimizer_variables, grads, trainable_variables)
        values = list(values)
        values[places[id(self.gradient_norm)]] = ops.sqrt(_sum_of_squares(grads)) / scale
        return weights, values

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        replicas = 1
        if self._sum_gradients is not None:
            grads = self._sum_gradients(grads)
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            context = tf.distribute.get_replica_context()
            replicas = context.num_replicas_in_sync if context else 1
            if replicas > 1:
                total = context.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
                # TensorFlow adds the replicas' updates up once more.
                grads = [one / context.num_replicas_in_sync for one in total]
        if replicas == 1:
            self.gradient_norm.assign(ops.sqrt(_sum_of_squares(grads)) / self.dynamic_scale)
        super().apply(grads, trainable_variables)

    def check_finite(self, grads: Any) -> Any:
        """Whether all gradients are finite, by their sum of squares: one pass where Keras makes five."""
        return ops.isfinite(_sum_of_squares(grads))


def _sum_of_squares(grads: Any) -> Any:
    return ops.sum(ops.stack([ops.sum(ops.square(one)) for one in grads if one is not None]))


def _check_torch(precision: Precision) -> None:
    """Check that PyTorch's fused LSTM, which has no fallback on older processors, supports the precision."""
    import torch

    if precision is Precision.float32 or torch.cuda.is_available():
        return
    dtype = getattr(torch, precision.value)
    try:
        layer = torch.nn.LSTM(16, 16, dtype=dtype)
        layer(torch.zeros(4, 2, 16, dtype=dtype, requires_grad=True))[0].sum().backward()
    except RuntimeError as error:
        raise ConfigError(
            f"training.precision={precision}: PyTorch has no LSTM of that type for this processor ({error}); "
            "use training.precision=float32"
        ) from error


def set_seeds(seed: int) -> None:
    """Seed Python, NumPy and the back end, as `keras.utils.set_random_seed` does.

    On PyTorch and JAX, that function of Keras imports TensorFlow where it is installed, which takes seconds. Keras's
    own generator is left: `keras.utils.clear_session` resets it.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        keras.utils.set_random_seed(seed)
        return
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if backend == "torch":
        import torch

        torch.manual_seed(seed)
