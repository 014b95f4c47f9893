"""Transcribes a recording that comes block by block, in slices."""

from __future__ import annotations

from collections.abc import Iterable

from asr.audio.load import Samples
from asr.audio.segment import AudioSource
from asr.recognition.pipeline import EndOfRecording, WindowOutput
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
        yield from self.push_windows((window, None) for window in self._cutter.push(samples))

    def finish(self, notes: tuple[str, ...] = ()) -> Slices[Transcript]:
        """Transcribe the rest; gives the transcript, with notes on how the recording was read."""
        yield from self.push_windows((window, None) for window in self._cutter.finish())
        return (yield from self.finish_windows(self._cutter.samples / self._rate, notes))

    def push_windows(self, windows: Iterable[tuple[Window, WindowOutput | None]]) -> Slices[None]:
        """Transcribe the next windows, instead of samples: those of the recording as `AcousticPipeline.cutter` cuts it.

        Parameters
        ----------
        windows : iterable of (Window, WindowOutput or None)
            With the output of the acoustic model where it is known.
        """
        for window, known in windows:
            output = self._pipeline.run_window(window) if known is None else known
            yield
            yield from self._decoding.push_in_slices(self._source, output)
            self.done_seconds = window.end * self._step_seconds

    def finish_windows(self, duration: float, notes: tuple[str, ...] = ()) -> Slices[Transcript]:
        """The transcript after the last window, of a recording of so many seconds."""
        yield from self._decoding.push_in_slices(self._source, EndOfRecording(duration, notes))
        yield from self._decoding.flush_in_slices()
        transcript = self._decoding.pop()
        assert isinstance(transcript, Transcript)
        return transcript
