"""The forward-backward pass compiled by XLA: otherwise each small operation of its loop would be a call."""

from __future__ import annotations

import tensorflow as tf

from asr.acoustic.ctc_kernels import forward_backward

_INTEGERS = tf.TensorSpec((None,), tf.int32)

# Traced once for all shapes; XLA compiles for each.
nats_and_gradient = tf.function(
    forward_backward.nats_and_gradient,
    input_signature=(
        tf.TensorSpec((None, None, None), tf.float32),
        _INTEGERS,
        tf.TensorSpec((None, None), tf.int32),
        _INTEGERS,
    ),
    jit_compile=True,
    autograph=False,
)
