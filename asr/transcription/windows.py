"""Cuts long recordings where they are quiet, into windows as long as what a model was trained on."""

from __future__ import annotations

import numpy as np

from asr.audio.load import Samples

LONGEST_SECONDS = 20.0
"""no window is longer; a shorter recording is one window"""
_SHORTEST_SECONDS = 8.0
_QUIET_SECONDS = 0.2
# Digital silence and what a converter's last bits make of it: -80 dB below full scale.
_SILENCE_PEAK = 1e-4


def cut_windows(samples: Samples, sample_rate: int) -> list[tuple[int, int]]:
    """Where to cut a recording.

    Parameters
    ----------
    samples : float32 [shape=(samples,)]
    sample_rate : int > 0

    Returns
    -------
    list of (start, end)
        In samples, ascending, side by side, covering the whole recording. Each cut is in the quietest fifth of a
        second that leaves windows of 8 to 20 seconds.
    """
    longest, shortest = int(LONGEST_SECONDS * sample_rate), int(_SHORTEST_SECONDS * sample_rate)
    hop = sample_rate // 100
    windows = []
    start = 0
    while len(samples) - start > longest:
        first, last = start + shortest, min(start + longest, len(samples))
        blocks = samples[first : last - (last - first) % hop].reshape(-1, hop)
        energy = np.einsum("ij,ij->i", blocks, blocks, dtype=np.float64)
        width = int(_QUIET_SECONDS * 100)
        smooth = np.convolve(energy, np.ones(width), mode="valid")
        cut = first + (int(smooth.argmin()) + width // 2) * hop
        windows.append((start, cut))
        start = cut
    windows.append((start, len(samples)))
    return windows


def is_silent(samples: Samples) -> bool:
    """Whether no sample exceeds -80 dB of full scale: there is nothing to hear, and nothing for a model to guess at."""
    return len(samples) == 0 or float(np.abs(samples).max()) < _SILENCE_PEAK
