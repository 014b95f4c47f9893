"""How many frames and model steps a recording has, and whether a label fits into them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asr.audio.features import frame_count
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.text.alphabet import steps_needed


def step_counts(frame_counts: npt.ArrayLike, settings: ModelConfig) -> npt.NDArray[np.int32]:
    """Model steps of utterances.

    Parameters
    ----------
    frame_counts : int >= 0 [any shape]
    settings : ModelConfig

    Returns
    -------
    int32 [the same shape]
        `ceil(frames / subsampling)`, which repeated halving with rounding up equals.
    """
    steps: npt.NDArray[np.int32] = -(-np.asarray(frame_counts) // settings.subsampling)
    return steps.astype(np.int32)


def count_frames(seconds: float, speed: float, features: FeatureConfig) -> int:
    """Frames of a recording of so many seconds when it is played at a speed."""
    return frame_count(int(seconds / speed * features.sample_rate), features)


def count_steps(seconds: float, speed: float, features: FeatureConfig, model: ModelConfig) -> int:
    """Model steps of a recording of so many seconds when it is played at a speed."""
    return int(step_counts(count_frames(seconds, speed, features), model))


def fitting_speeds(
    label: Sequence[int], seconds: float, speeds: Sequence[float], features: FeatureConfig, model: ModelConfig
) -> list[float]:
    """Select the speeds at which a recording has enough steps for CTC to align its label.

    The label of a fast speaker may fit at the original speed and not at a higher one.

    Parameters
    ----------
    label : sequence of int
        Symbol numbers.
    seconds : float
        Length of the recording.
    speeds : sequence of float
        Factors; above 1 the recording becomes shorter.
    features : FeatureConfig
    model : ModelConfig
    """
    needed = steps_needed(label)
    return [speed for speed in speeds if count_steps(seconds, speed, features, model) >= needed]
