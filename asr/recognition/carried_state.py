"""Runs a causal acoustic model over a stream of samples, block by block, with the state of the blocks before."""

from __future__ import annotations

import numpy as np

from asr.acoustic.runtime import CausalAcousticModel, State
from asr.audio.features import Frames, LogMel
from asr.recognition.sliding_window import SampleBuffer, StreamFrames, StreamOutput, certain_blanks
from asr.recognition.windows import LogProbs
from asr.settings.features import Normalization

# In digital silence the model stops after so long, and begins again with the next sound.
_SILENCE_SECONDS = 1.0


class CarriedState:
    """A causal model over a stream: each frame is computed, normalised and run once.

    The output of a step is final when the frames that the model looks ahead to have come. For the steps after it there
    is provisional output, as if the stream ended here.

    Parameters
    ----------
    model : CausalAcousticModel
    log_mel : LogMel
        Its normalisation is none, by the corpus, or running.
    subsampling : int > 0
        Frames of a step.
    output : slice
        Of the model's output layers the one that is decoded.
    """

    def __init__(self, model: CausalAcousticModel, log_mel: LogMel, subsampling: int, output: slice) -> None:
        self._model, self._subsampling, self._output = model, subsampling, output
        settings = log_mel.settings
        is_running = settings.normalization is Normalization.running
        self._normalize = log_mel.running() if is_running else log_mel.normalize
        self._frames = StreamFrames(log_mel)
        self._waiting: Frames = np.zeros((0, settings.mels), np.float32)  # of a step that is not complete
        self._step_samples = settings.hop_samples * subsampling
        self._silence = round(_SILENCE_SECONDS * settings.sample_rate)
        self._state: State | None = None
        self._run_steps = 0
        self._next_step = 0

    @property
    def first_sample(self) -> int:
        """Samples before this one are no longer needed."""
        return self._frames.first_sample

    def run(self, samples: SampleBuffer, *, last: bool = False) -> StreamOutput:
        """The output for all steps from the last final one up to the end of the samples; as of `SlidingWindow.run`."""
        frames = np.concatenate([self._waiting, self._normalize(self._frames.take(samples, last=last))])
        count = -(-len(frames) // self._subsampling) if last else len(frames) // self._subsampling
        block, self._waiting = np.split(frames, [count * self._subsampling])
        begins = self._run_steps * self._step_samples
        self._run_steps += count
        if samples.sound_end <= begins - self._silence:
            final = self._end_sound()
            blanks = self._run_steps - self._next_step - len(final)
            final, ahead = np.concatenate([final, certain_blanks(blanks, self._output)]), final[:0]
        else:
            final, self._state = self._step(block, self._state, last=last)
            ahead = final[:0] if last else self._step(frames[:0], self._state, last=True)[0]
        output = StreamOutput(self._next_step, np.concatenate([final, ahead]), len(final))
        self._next_step += len(final)
        return output

    def _step(self, frames: Frames, state: State | None, *, last: bool) -> tuple[LogProbs, State]:
        log_probs, state = self._model.step(frames, state, last=last)
        return log_probs[:, self._output], state

    def _end_sound(self) -> LogProbs:
        """The output for the last steps of the sound; the next sound begins with a new state."""
        if self._state is None:
            return certain_blanks(0, self._output)
        state, self._state = self._state, None
        return self._step(np.zeros((0, self._waiting.shape[1]), np.float32), state, last=True)[0]
