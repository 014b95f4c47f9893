"""Cuts recordings of any length into overlapping windows, and joins the model's outputs for them.

A recording that is no longer than a model's training utterances is one window. A longer one is cut where it is quiet.
Each window begins a little before its cut and ends a little after the next one, so that the model has context on both
sides. Where two outputs overlap, the first is used up to a step where both are blank, and the second from there on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asr.audio.load import Samples
from asr.text.alphabet import BLANK

WHOLE_SECONDS = 35.0
"""a recording up to this length is one window"""
# Lengths between cuts. Features are normalised per window: long windows mix speakers and rooms.
SHORTEST_SECONDS, LONGEST_SECONDS = 5.0, 10.0
OVERLAP_SECONDS = 1.0
"""of context beyond the cuts of a window, on either side"""
_QUIET_SECONDS = 0.2
# Digital silence, and noise in the last bits of a converter: -80 dB below full scale.
SILENCE_PEAK = 1e-4
# A seam keeps this share of the overlap away from the windows' ends, where the model has context on one side only.
_SEAM_MARGIN = 0.25
_SEAM_STEPS = 5
# A stretch ends in the first pause after the first number of seconds, or after the second without one. The stretches of
# an hour are decoded together, which is several times faster than one after the other.
_SHORTEST_STRETCH_SECONDS, _LONGEST_STRETCH_SECONDS = 15.0, 60.0
_CERTAIN = -0.05  # natural log-probability

LogProbs = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a recording that the model processes at once. Positions are in steps from the recording's start."""

    first_step: int
    """of its samples"""
    cut: int
    """first step that is not the last window's"""
    end: int
    """first step that is the next window's"""
    samples: Samples


class WindowCutter:
    """Cuts a recording that arrives block by block; the windows do not depend on the blocks.

    Parameters
    ----------
    sample_rate : int > 0
    step_samples : int > 0
        Samples of a step of the model: windows begin where a step does.
    """

    def __init__(self, sample_rate: int, step_samples: int) -> None:
        self._step = step_samples
        self._hop = sample_rate // 100
        self._whole, self._shortest, self._longest, self._overlap = (
            int(seconds * sample_rate) // step_samples * step_samples
            for seconds in (WHOLE_SECONDS, SHORTEST_SECONDS, LONGEST_SECONDS, OVERLAP_SECONDS)
        )
        self._blocks: list[Samples] = []
        self._offset = 0  # of the first sample that is kept
        self._kept = 0
        self._cut = 0

    @property
    def samples(self) -> int:
        """How many samples have been pushed."""
        return self._offset + self._kept

    def push(self, samples: Samples) -> Iterator[Window]:
        """Add the next samples [shape=(samples,)]; yields the windows that are complete."""
        self._blocks.append(samples)
        self._kept += len(samples)
        yield from self._windows(self._whole + 1 if not self._cut else self._longest + self._overlap)

    def finish(self) -> Iterator[Window]:
        """Yields the last windows."""
        if self.samples > self._whole:
            yield from self._windows(self._longest)
        if self.samples > self._cut or not self.samples:
            yield self._window(self.samples)

    def _windows(self, needed: int) -> Iterator[Window]:
        while self.samples - self._cut > needed:
            window = self._window(self._next_cut())
            self._cut = window.end * self._step
            self._drop_before(max(0, self._cut - self._overlap))
            yield window
            needed = min(needed, self._longest + self._overlap)

    def _window(self, end: int) -> Window:
        kept = self._all()
        first, last = max(0, self._cut - self._overlap), min(end + self._overlap, self.samples)
        return Window(
            first_step=first // self._step,
            cut=self._cut // self._step,
            end=-(-end // self._step),
            samples=kept[first - self._offset : last - self._offset].copy(),
        )

    def _next_cut(self) -> int:
        """The quietest position between the shortest and the longest window."""
        first = self._cut + self._shortest - self._offset
        last = self._cut + self._longest - self._offset
        blocks = self._all()[first : last - (last - first) % self._hop].reshape(-1, self._hop)
        energy = np.einsum("ij,ij->i", blocks, blocks, dtype=np.float64)
        width = int(_QUIET_SECONDS * 100)
        smooth = np.convolve(energy, np.ones(width), mode="valid")
        quietest = first + (int(smooth.argmin()) + width // 2) * self._hop
        return (self._offset + quietest) // self._step * self._step

    def _all(self) -> Samples:
        if len(self._blocks) != 1:
            self._blocks = [np.concatenate(self._blocks)] if self._blocks else [np.zeros(0, np.float32)]
        return self._blocks[0]

    def _drop_before(self, position: int) -> None:
        self._blocks = [self._all()[position - self._offset :]]
        self._kept -= position - self._offset
        self._offset = position


def is_silent(samples: Samples) -> bool:
    """Whether no sample exceeds -80 dB of full scale. The model does not run on silence: it would write noise words."""
    return len(samples) == 0 or float(np.abs(samples).max()) < SILENCE_PEAK


@dataclass(frozen=True, slots=True)
class Stretch:
    """The model's output for consecutive steps of a recording, which is decoded at once."""

    first_step: int
    """from the start of the recording"""
    log_probs: LogProbs
    """natural log-probabilities [shape=(steps, symbols)]"""


class Stitcher:
    """Joins the outputs for overlapping windows, and splits them into stretches, mostly in pauses.

    Parameters
    ----------
    step_seconds : float > 0
    """

    def __init__(self, step_seconds: float) -> None:
        self._shortest, self._longest = (
            round(one / step_seconds) for one in (_SHORTEST_STRETCH_SECONDS, _LONGEST_STRETCH_SECONDS)
        )
        self._last: Window | None = None
        self._log_probs: LogProbs | None = None
        self._from = 0
        self._parts: list[LogProbs] = []
        self._first = 0

    def push(self, window: Window, log_probs: LogProbs | None) -> Iterator[Stretch]:
        """Add the next window's log-probabilities, None if it is silent; yields the stretches that are complete."""
        seam, pauses = window.cut, False
        if self._last is not None and self._log_probs is not None:
            if log_probs is not None:
                seam, pauses = _seam(self._last, self._log_probs, window, log_probs, self._from)
            yield from self._take(seam, pauses=pauses, ends=log_probs is None)
        self._last, self._log_probs, self._from = window, log_probs, seam

    def finish(self) -> Iterator[Stretch]:
        """Yields the last stretch."""
        if self._last is not None and self._log_probs is not None:
            yield from self._take(self._last.first_step + len(self._log_probs), pauses=True, ends=True)

    def _take(self, end: int, *, pauses: bool, ends: bool) -> Iterator[Stretch]:
        """Add the last window's steps up to `end`."""
        assert self._last is not None
        assert self._log_probs is not None
        first = self._last.first_step
        part = self._log_probs[self._from - first : end - first]
        if not self._parts:
            self._first = self._from
        self._parts.append(part)
        steps = sum(map(len, self._parts))
        if ends or steps >= self._longest or (steps >= self._shortest and pauses):
            yield Stretch(self._first, np.concatenate(self._parts) if len(self._parts) > 1 else part)
            self._parts = []


def _seam(before: Window, earlier: LogProbs, after: Window, later: LogProbs, start: int) -> tuple[int, bool]:
    """The step from which the later window is used, where both outputs are blank with the highest probability; and
    whether that is certain."""
    margin = int(_SEAM_MARGIN * (after.cut - after.first_step))
    first = max(after.first_step + margin, start + 1)
    last = min(before.first_step + len(earlier), after.first_step + len(later)) - margin
    if last - first < _SEAM_STEPS:
        return max(after.cut, start), False
    blank = (
        earlier[first - before.first_step : last - before.first_step, BLANK]
        + later[first - after.first_step : last - after.first_step, BLANK]
    )
    summed = np.convolve(blank, np.ones(_SEAM_STEPS), mode="valid")
    return first + int(summed.argmax()) + _SEAM_STEPS // 2, bool(summed.max() > 2 * _SEAM_STEPS * _CERTAIN)
