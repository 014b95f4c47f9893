"""Cuts recordings of any length into overlapping windows, and makes what a model heard in each of them one again.

A recording that is no longer than a model's training utterances is one window. A longer one is cut where it is quiet;
each window begins a little before its cut and ends a little behind the next, so that the model knows what goes on
around, and of what it says twice, one version is taken up to a step where both hear nothing, the other from there on.
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
# Lengths between cuts. The features of a window are normalised by what it holds: long ones mix speakers and rooms.
SHORTEST_SECONDS, LONGEST_SECONDS = 5.0, 10.0
OVERLAP_SECONDS = 1.0
"""that a window reaches beyond its cuts, on either side"""
_QUIET_SECONDS = 0.2
# Digital silence and what a converter's last bits make of it: -80 dB below full scale.
_SILENCE_PEAK = 1e-4
# A seam keeps this part of the overlap away from the windows' ends, where the model knows only one side.
_SEAM_MARGIN = 0.25
_SEAM_STEPS = 5
# A decoder begins anew in the first pause after so many seconds, or after so many without one: the stretches of an hour
# are then decoded together, which is several times faster than one behind the other.
_ENOUGH_SECONDS, _TOO_MUCH_SECONDS = 15.0, 60.0
_SURELY = -0.05  # natural log-probability

LogProbs = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a recording that a model hears in one piece. Positions are in steps of the model from its start."""

    first_step: int
    """of its samples"""
    cut: int
    """what comes before this is the last window's"""
    end: int
    """what comes from here on is the next window's"""
    samples: Samples


class WindowCutter:
    """Cuts a recording that comes block by block; how it comes makes no difference.

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
        """How many have come."""
        return self._offset + self._kept

    def push(self, samples: Samples) -> Iterator[Window]:
        """Take the next samples [shape=(samples,)]; give the windows that are certain now."""
        self._blocks.append(samples)
        self._kept += len(samples)
        yield from self._windows(self._whole + 1 if not self._cut else self._longest + self._overlap)

    def finish(self) -> Iterator[Window]:
        """Give the last windows."""
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
        """Where it is quietest, between the shortest and the longest window."""
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
    """Whether no sample exceeds -80 dB of full scale: there is nothing to hear, and nothing for a model to guess at."""
    return len(samples) == 0 or float(np.abs(samples).max()) < _SILENCE_PEAK


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive steps of a recording, as the model heard them."""

    first_step: int
    """from the start of the recording"""
    log_probs: LogProbs
    """natural log-probabilities [shape=(steps, symbols)]"""


class Stitcher:
    """Joins what a model heard in overlapping windows, and parts it again where a decoder may well begin anew.

    Parameters
    ----------
    step_seconds : float > 0
    """

    def __init__(self, step_seconds: float) -> None:
        self._enough, self._too_much = (round(one / step_seconds) for one in (_ENOUGH_SECONDS, _TOO_MUCH_SECONDS))
        self._last: Window | None = None
        self._log_probs: LogProbs | None = None
        self._from = 0
        self._parts: list[LogProbs] = []
        self._first = 0

    def push(self, window: Window, log_probs: LogProbs | None) -> Iterator[Stretch]:
        """Take the next window's log-probabilities, None if it is silent; give the stretches that are complete now."""
        seam, pauses = window.cut, False
        if self._last is not None and self._log_probs is not None:
            if log_probs is not None:
                seam, pauses = _seam(self._last, self._log_probs, window, log_probs, self._from)
            yield from self._take(seam, pauses=pauses, ends=log_probs is None)
        self._last, self._log_probs, self._from = window, log_probs, seam

    def finish(self) -> Iterator[Stretch]:
        """Give the last stretch."""
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
        if ends or steps >= self._too_much or (steps >= self._enough and pauses):
            yield Stretch(self._first, np.concatenate(self._parts) if len(self._parts) > 1 else part)
            self._parts = []


def _seam(before: Window, earlier: LogProbs, after: Window, later: LogProbs, start: int) -> tuple[int, bool]:
    """The step from which on the later window is heard, where both are surest that there is no symbol; and whether they
    are sure of it."""
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
    return first + int(summed.argmax()) + _SEAM_STEPS // 2, bool(summed.max() > 2 * _SEAM_STEPS * _SURELY)
