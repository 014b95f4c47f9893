"""Runs the acoustic model over a stream of samples, window by window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asr.acoustic.runtime import AcousticModel
from asr.audio.features import Frames, LogMel
from asr.audio.load import Samples
from asr.recognition.windows import SILENCE_PEAK, LogProbs
from asr.settings.live import LiveConfig
from asr.text.alphabet import BLANK


class SampleBuffer:
    """The latest samples of a stream, by their position in it."""

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)
        self._first = 0
        self.end = 0
        """how many samples have been pushed"""
        self.sound_end = 0
        """the position after the last sample that is not silence"""

    def push(self, samples: Samples) -> None:
        """Append samples [shape=(samples,)]."""
        kept, count = self.end - self._first, len(samples)
        if kept + count > len(self._samples):
            larger = np.zeros(2 * (kept + count), np.float32)
            larger[:kept] = self._samples[:kept]
            self._samples = larger
        self._samples[kept : kept + count] = samples
        loud = np.flatnonzero(np.abs(samples) >= SILENCE_PEAK)
        if len(loud):
            self.sound_end = self.end + int(loud[-1]) + 1
        self.end += count

    def slice(self, first: int, end: int) -> Samples:
        """Samples from one position up to another one; none before those that are kept."""
        return self._samples[max(0, first - self._first) : max(0, min(end, self.end) - self._first)]

    def drop_before(self, position: int) -> None:
        """Forget samples."""
        dropped = min(position, self.end) - self._first
        if dropped > 0:
            kept = self.end - self._first - dropped
            self._samples[:kept] = self._samples[dropped : dropped + kept].copy()
            self._first += dropped


@dataclass(frozen=True, slots=True)
class StreamOutput:
    """The output of the acoustic model for the latest steps of a stream."""

    first_step: int
    log_probs: LogProbs
    """natural log-probabilities of the steps that no output covers with full right context [shape=(steps, symbols)]"""
    final: int
    """the number of them that have their full right context: later outputs begin after them"""


class StreamFrames:
    """Computes the frames of a stream, each once, when the samples under its analysis window have all come.

    Parameters
    ----------
    log_mel : LogMel
    """

    def __init__(self, log_mel: LogMel) -> None:
        self._log_mel = log_mel
        self._hop = log_mel.settings.hop_samples
        self._edge = -(-log_mel.settings.window_samples // (2 * self._hop))  # frames that an edge of samples changes
        self._count = 0

    @property
    def first_sample(self) -> int:
        """Samples before this one are no longer needed."""
        return max(0, (self._count - self._edge) * self._hop)

    def take(self, samples: SampleBuffer, *, last: bool) -> Frames:
        """The next frames, before normalisation [shape=(frames, mels)]; with `last`, all that are left."""
        settings, first = self._log_mel.settings, self._count
        end = 1 + samples.end // self._hop if last else max(0, samples.end - settings.window_samples // 2) // self._hop
        if end <= first:
            return np.zeros((0, settings.mels), np.float32)
        context = min(first, self._edge)
        block = samples.slice((first - context) * self._hop, samples.end)
        self._count = end
        return self._log_mel.log_mel(block)[context : context + end - first]


def certain_blanks(steps: int, output: slice) -> LogProbs:
    """Log-probabilities of certain blanks: the model does not run on silence, as in recordings."""
    blanks = np.full((steps, output.stop - output.start), -np.inf, np.float32)
    blanks[:, BLANK] = 0
    return blanks


class SlidingWindow:
    """A window that ends where the stream ends: left context, new samples, and right context.

    Frames are computed once. The window is normalised as an utterance is.

    Parameters
    ----------
    model : AcousticModel
    log_mel : LogMel
    subsampling : int > 0
        Frames of a step.
    output : slice
        Of the model's output layers the one that is decoded.
    settings : LiveConfig
    """

    def __init__(
        self, model: AcousticModel, log_mel: LogMel, subsampling: int, output: slice, settings: LiveConfig
    ) -> None:
        self._model, self._log_mel, self._subsampling, self._output = model, log_mel, subsampling, output
        self._hop = log_mel.settings.hop_samples
        self._new_frames = StreamFrames(log_mel)
        step_seconds = log_mel.settings.hop_seconds * subsampling
        self._left = max(1, round(settings.left_seconds / step_seconds))
        self._right = round(settings.right_seconds / step_seconds)
        self._frames: Frames = np.zeros((0, log_mel.settings.mels), np.float32)
        self._first_frame = 0
        self._next_step = 0

    @property
    def first_sample(self) -> int:
        """Samples before this one are no longer needed."""
        return self._new_frames.first_sample

    def run(self, samples: SampleBuffer, *, last: bool = False) -> StreamOutput:
        """The output for all steps from the last final one up to the end of the samples.

        Parameters
        ----------
        samples : SampleBuffer
        last : bool
            Whether the stream ends here. All steps are final then, the last one completed with silence.
        """
        self._frames = np.concatenate([self._frames, self._new_frames.take(samples, last=last)])
        scale = self._subsampling
        end_step = self._first_frame + len(self._frames)
        end_step = -(-end_step // scale) if last else end_step // scale
        first_step = max(0, self._next_step - self._left)
        frames = self._frames[first_step * scale - self._first_frame :]
        if not last:
            frames = frames[: (end_step - first_step) * scale]
        final = max(self._next_step, end_step if last else end_step - self._right)
        is_silent = samples.sound_end <= first_step * scale * self._hop
        log_probs = certain_blanks(end_step - first_step, self._output) if is_silent else self._log_probs(frames)
        output = StreamOutput(self._next_step, log_probs[self._next_step - first_step :], final - self._next_step)
        self._next_step = final
        kept = max(0, final - self._left) * scale
        self._frames, self._first_frame = self._frames[kept - self._first_frame :], kept
        return output

    def _log_probs(self, frames: Frames) -> LogProbs:
        if not len(frames):
            return certain_blanks(0, self._output)
        return self._model.run(self._log_mel.normalize(frames))[:, self._output]
