"""The search for the text of one segment of a stream."""

from __future__ import annotations

import numpy as np

from asr.decoding import Hypothesis
from asr.recognition.sliding_window import StreamOutput
from asr.recognition.stretch_decoding import StretchDecoder
from asr.recognition.windows import LogProbs, Stretch
from asr.text.transcript import Word


class SegmentSearch:
    """Decodes the steps of a segment as they come: the final ones once, the provisional ones in a copy of the search.

    Parameters
    ----------
    decoder : StretchDecoder
    beam_width : int > 0
    first_step : int >= 0
        Of the segment, in the stream.
    """

    def __init__(self, decoder: StretchDecoder, beam_width: int, first_step: int) -> None:
        self._decoder, self._width = decoder, beam_width
        self.first_step = first_step
        self._stream = decoder.stream(beam_width)
        self._ahead = self._stream
        self._final: list[LogProbs] = []
        self._provisional: LogProbs | None = None
        self.final_end = first_step
        """the first step that is not final"""
        self.best = Hypothesis("", 0.0, ())
        """the best text if the stream goes on; its steps count from `first_step`"""
        self.last_symbol = -1
        """the step of its last symbol, or of that of an unfinished word which is not in the text; -1 for none"""

    def add(self, output: StreamOutput) -> None:
        """Take the latest output of the acoustic model; of steps before the segment nothing is used."""
        skipped = max(0, self.first_step - output.first_step)
        final, provisional = output.log_probs[skipped : output.final], output.log_probs[max(skipped, output.final) :]
        if len(final):
            self._stream.advance(final)
            self._final.append(final)
            self.final_end += len(final)
        self._ahead, self._provisional = self._stream.copy(), provisional
        self._ahead.advance(provisional)
        self.best, self.last_symbol = self._ahead.best(), self._ahead.last_step

    @property
    def settled(self) -> str:
        """The beginning of the text that nothing changes."""
        return self._stream.settled

    @property
    def end_step(self) -> int:
        """The first step that is not known at all."""
        return self.final_end + (0 if self._provisional is None else len(self._provisional))

    def finish(self) -> tuple[Hypothesis, tuple[Word, ...]]:
        """The text of the segment if it ends here, and its words with their times in the stream."""
        (hypothesis, *_) = self._ahead.finish()
        return hypothesis, self._decoder.words(Stretch(self.first_step, self._log_probs()), hypothesis)

    def after(self, step: int) -> SegmentSearch:
        """The search for a segment that begins at a later step, with what is known from there on."""
        search = SegmentSearch(self._decoder, self._width, step)
        known = self._log_probs()[step - self.first_step :]
        search.add(StreamOutput(step, known, max(0, self.final_end - step)))
        return search

    def _log_probs(self) -> LogProbs:
        blocks = self._final if self._provisional is None else [*self._final, self._provisional]
        if not blocks:
            return np.zeros((0, 0), np.float32)
        return np.concatenate(blocks)
