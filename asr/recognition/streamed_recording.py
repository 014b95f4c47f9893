"""Transcribes a recording that comes block by block, in slices."""

from __future__ import annotations

from collections.abc import Iterator

from asr.audio.load import Samples
from asr.audio.segment import AudioSource
from asr.recognition.pipeline import EndOfRecording
from asr.recognition.stretch_decoding import RecordingDecoder
from asr.recognition.transcriber import Transcriber
from asr.recognition.windows import Window
from asr.slices import Slices
from asr.text.transcript import Transcript, Word


class StreamedRecording:
    """The work of a transcriber on one recording, in the caller's thread. The text is that of the whole recording.

    Parameters
    ----------
    transcriber : Transcriber
    source : str, Path or AudioSegment
        What the transcript says that it is of.
    """

    def __init__(self, transcriber: Transcriber, source: AudioSource = "") -> None:
        self._pipeline, self._source = transcriber.pipeline, source
        self._rate, self._step_seconds = transcriber.bundle.log_mel.settings.sample_rate, transcriber.step_seconds
        self._decoding = RecordingDecoder(transcriber.stretch_decoder)
        self._cutter = self._pipeline.cutter()
        self.done_seconds = 0.0
        """seconds of the recording that the acoustic model has processed"""

    def decoded(self, first: int) -> list[tuple[str, tuple[Word, ...]]]:
        """The text and the words of each stretch that is decoded so far, from the stretch of a number, from 0."""
        if not self._decoding.pending:
            return []
        return [(texts[0][0], words) for texts, words in self._decoding.pending[0].decoded[first:]]

    def push(self, samples: Samples) -> Slices[None]:
        """Transcribe the next samples [shape=(samples,)], at the rate of the bundle, as far as they allow."""
        yield from self._run(self._cutter.push(samples))

    def finish(self, notes: tuple[str, ...] = ()) -> Slices[Transcript]:
        """Transcribe the rest; gives the transcript, with notes on how the recording was read."""
        yield from self._run(self._cutter.finish())
        yield from self._decoding.push_in_slices(self._source, EndOfRecording(self._cutter.samples / self._rate, notes))
        yield from self._decoding.flush_in_slices()
        transcript = self._decoding.pop()
        assert isinstance(transcript, Transcript)
        return transcript

    def _run(self, windows: Iterator[Window]) -> Slices[None]:
        for window in windows:
            output = self._pipeline.run_window(window)
            yield
            yield from self._decoding.push_in_slices(self._source, output)
            self.done_seconds = window.end * self._step_seconds
