"""What the Keras model and its ONNX graph must agree on, without either library."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asr.audio.features import frame_count
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.text.alphabet import steps_needed

LAYER_NORM_EPSILON = 1e-5


def step_counts(frame_counts: npt.ArrayLike, settings: ModelConfig) -> npt.NDArray[np.int32]:
    """Steps of utterances.

    Parameters
    ----------
    frame_counts : int >= 0 [any shape]
    settings : ModelConfig

    Returns
    -------
    int32 [the same shape]
        `ceil(frames / subsampling)`: halving with rounding up, again and again, comes to the same.
    """
    steps: npt.NDArray[np.int32] = -(-np.asarray(frame_counts) // settings.subsampling)
    return steps.astype(np.int32)


def count_frames(seconds: float, speed: float, features: FeatureConfig) -> int:
    """Frames of a recording of some seconds, played at a speed."""
    return frame_count(int(seconds / speed * features.sample_rate), features)


def count_steps(seconds: float, speed: float, features: FeatureConfig, model: ModelConfig) -> int:
    """Model steps of a recording of some seconds, played at a speed."""
    return int(step_counts(count_frames(seconds, speed, features), model))


def fitting_speeds(
    label: Sequence[int], seconds: float, speeds: Sequence[float], features: FeatureConfig, model: ModelConfig
) -> list[float]:
    """Those of some speeds at which a recording leaves CTC enough steps for its label.

    A fast talker's label may fit as it was recorded and no longer when it is sped up.
    """
    needed = steps_needed(label)
    return [speed for speed in speeds if count_steps(seconds, speed, features, model) >= needed]
