"""The CTC loss for each back end; used by `asr.acoustic.loss`.

PyTorch has a fast one. Keras's implementation on TensorFlow and JAX leaves the gradient to automatic differentiation of
a loop, which TensorFlow runs operation by operation. Ours makes one pass over the steps, forward and backward at the
same time, and computes the gradient in closed form.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from asr.text.alphabet import BLANK


def ctc(logits: Any, step_counts: Any, labels: Any, label_counts: Any) -> Any:
    """Nats of each row; arguments as in `asr.acoustic.loss.ctc_nats`, logits in float32, every step count above 0."""
    backend = keras.backend.backend()
    if backend == "torch":
        return ops.ctc_loss(labels, logits, label_counts, step_counts, mask_index=BLANK)
    if backend == "tensorflow":
        from asr.acoustic.ctc_kernels.tensorflow_compiled import nats_and_gradient
    else:
        from asr.acoustic.ctc_kernels.forward_backward import nats_and_gradient
    arguments = [ops.cast(one, "int32") for one in (step_counts, labels, label_counts)]

    @ops.custom_gradient
    def loss(logits: Any) -> tuple[Any, Any]:
        # Without stop_gradient, eager TensorFlow would try to differentiate the compiled loop, and fail.
        nats, d_logits = nats_and_gradient(ops.stop_gradient(logits), *arguments)

        def gradient(*incoming: Any, upstream: Any = None) -> Any:
            upstream = incoming[0] if upstream is None else upstream
            return upstream[:, None, None] * d_logits

        return nats, gradient

    return loss(ops.convert_to_tensor(logits))
