"""Recognises speech while it is spoken: samples in, events out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.audio.load import Samples, StreamResampler
from asr.bundle import Bundle
from asr.errors import ConfigError
from asr.punctuation.text_writer import TextWriter
from asr.recognition.carried_state import CarriedState
from asr.recognition.endpointing import Endpointer
from asr.recognition.live_events import Final, LiveEvent, Partial, SpeechEnded, SpeechStarted
from asr.recognition.live_writing import LiveWriter
from asr.recognition.partial_text import PartialText
from asr.recognition.pipeline import check_samples
from asr.recognition.segment_search import SegmentSearch
from asr.recognition.shared import shared_transcriber
from asr.recognition.sliding_window import SampleBuffer, SlidingWindow
from asr.recognition.streamed_recording import StreamedRecording
from asr.recognition.transcriber import Transcriber
from asr.settings.decoding import DecoderConfig
from asr.settings.live import LiveConfig
from asr.text.transcript import Word

# A segment's audio begins this long before its first symbol, where there is so much: words begin before their symbols.
_LEAD_SECONDS = 0.5
# A segment without words moves its beginning forward when it is so long, and keeps the second number.
_EMPTY_SECONDS, _KEPT_SECONDS = 3.0, 1.0
# The last word is complete when its last symbol is so old: the next symbol would have come.
_COMPLETE_SECONDS = 0.1
_QUIET_SECONDS = 0.1


class Session:
    """Recognises a stream of samples with any bundle. One thread at a time may use it.

    How the stream is divided into blocks changes nothing: the events depend on the samples alone.

    Parameters
    ----------
    bundle : Bundle, Transcriber, str or Path
        A loaded bundle, its folder, or the name of one that ships. The sessions of one `Transcriber` share its model.
    sample_rate : int > 0, optional
        Hz of the samples that are pushed; that of the bundle by default.
    decoder : DecoderConfig, optional
        The bundle's own by default; a `Transcriber` has its own.
    live : LiveConfig, optional
    writer : TextWriter, optional
        Attaches to every final event its text as people write it.

    Raises
    ------
    AudioError
        If the sample rate is too low for speech.
    BundleError
        If a bundle cannot be loaded.
    ConfigError
        If the bundle of the second pass has another sample rate.

    Notes
    -----
    The acoustic model runs every `live.interval_seconds`: a bidirectional one over a window that ends where the stream
    ends, a causal one over what is new, with its state. Steps with enough context after them (`live.right_seconds`, or
    the causal model's look-ahead) go into a beam search that carries its state; those after them into a copy of it,
    from which partial texts are read. At an endpoint, a second pass transcribes the samples of the segment again as a
    recording; a causal bundle has one only if `live.second_bundle` names the model for it.

    Examples
    --------
    >>> import asr
    >>> from asr.audio.load import load_audio
    >>> samples = load_audio("data/samples/422-122949-0004.opus", sample_rate=16000)
    >>> session = asr.Session("en")
    >>> for start in range(0, len(samples), 1600):
    ...     for event in session.push(samples[start : start + 1600]):
    ...         if event.type == "final":
    ...             print(event.text)
    he honours whatever he recognizes in himself
    >>> session.finish()[-1].text
    'such morality equals self glorification'
    """

    def __init__(
        self,
        bundle: str | Path | Bundle | Transcriber = "en",
        *,
        sample_rate: int | None = None,
        decoder: DecoderConfig | None = None,
        live: LiveConfig | None = None,
        writer: TextWriter | None = None,
    ) -> None:
        self._writer = None if writer is None else LiveWriter(writer)
        self._transcriber = bundle if isinstance(bundle, Transcriber) else shared_transcriber(bundle, decoder)
        self._live = live or LiveConfig()
        self._decoder = self._transcriber.stretch_decoder
        log_mel, subsampling = self._transcriber.bundle.log_mel, self._transcriber.bundle.model.subsampling
        self._rate = log_mel.settings.sample_rate
        self._step_seconds = self._transcriber.step_seconds
        self._step_samples = log_mel.settings.hop_samples * subsampling
        self._interval = self._steps(self._live.interval_seconds) * self._step_samples
        self._resampler = StreamResampler(sample_rate or self._rate, self._rate)
        self._samples = SampleBuffer()
        causal = self._transcriber.causal_engine
        self._window = (
            CarriedState(causal, log_mel, subsampling, self._decoder.output)
            if causal
            else SlidingWindow(self._transcriber.engine, log_mel, subsampling, self._decoder.output, self._live)
        )
        self._second = self._second_pass()
        self._endpointer = Endpointer(self._live.endpoint, self._decoder.end_log_prob)
        self._search = SegmentSearch(self._decoder, self._live.beam_width, 0)
        self._shown = _Shown()
        self._segment = 0
        self._is_finished = False

    @property
    def position(self) -> float:
        """Seconds of the stream that have been pushed."""
        return self._samples.end / self._rate

    @property
    def missing_seconds(self) -> float:
        """Seconds of the stream that must come before the acoustic model runs again."""
        return (self._interval - self._samples.end % self._interval) / self._rate

    def push(self, samples: npt.NDArray[np.floating] | npt.NDArray[np.int16]) -> list[LiveEvent]:
        """Recognise the next samples.

        Parameters
        ----------
        samples : float [shape=(samples,)], full scale being 1, or int16
            At the session's sample rate; any number of them.

        Returns
        -------
        list of SpeechStarted, Partial, SpeechEnded, Final
            In order; often none.

        Raises
        ------
        AudioError
            If they are not numbers of one channel, or one is NaN or infinite. The session can go on.
        RuntimeError
            After `finish`.
        """
        return _events(self.push_in_slices(samples))

    def push_in_slices(self, samples: npt.NDArray[np.floating] | npt.NDArray[np.int16]) -> Iterator[LiveEvent | None]:
        """As `push`: the events one by one, and None after each small piece of work."""
        if self._is_finished:
            raise RuntimeError("this Session is finished")
        values = np.asarray(samples)
        if values.dtype == np.int16:
            values = values.astype(np.float32) / 32768
        yield from self._take(self._resampler.push(check_samples(values)))

    def finish(self) -> list[LiveEvent]:
        """Recognise what is left; the session ends. A second call gives no events."""
        return _events(self.finish_in_slices())

    def finish_in_slices(self) -> Iterator[LiveEvent | None]:
        """As `finish`: the events one by one, and None after each small piece of work."""
        if self._is_finished:
            return
        yield from self._take(self._resampler.finish())
        self._is_finished = True
        yield from self._advance(last=True)

    def _take(self, samples: Samples) -> Iterator[LiveEvent | None]:
        start = 0
        while start < len(samples):
            end = start + self._interval - self._samples.end % self._interval
            self._samples.push(samples[start:end])
            start = end
            if self._samples.end % self._interval == 0:
                yield from self._advance()

    def _advance(self, *, last: bool = False) -> Iterator[LiveEvent | None]:
        """Recognise what has come since the last call."""
        search = self._search
        search.add(self._window.run(self._samples, last=last))
        yield None
        spans = self._decoder.alphabet.words(search.best.text)
        if spans:
            yield from self._with_words(spans, last=last)
        else:
            yield from self._withdraw()
            if search.final_end - search.first_step > self._steps(_EMPTY_SECONDS):
                self._search = search.after(search.final_end - self._steps(_KEPT_SECONDS))
        self._samples.drop_before(min(self._window.first_sample, self._search.first_step * self._step_samples))

    def _with_words(self, spans: Sequence[tuple[int, int]], *, last: bool) -> Iterator[LiveEvent | None]:
        """The events for the best text; `spans` are its words."""
        search = self._search
        text, steps = search.best.text, search.best.steps
        first, end = search.first_step + steps[spans[0][0]], search.first_step + steps[spans[-1][1] - 1] + 1
        last_symbol = search.first_step + search.last_symbol
        silence = (search.end_step - last_symbol - 1) * self._step_seconds
        words = [text[start:stop] for start, stop in spans]
        growing = silence < _COMPLETE_SECONDS and not last
        # An unfinished word over phones is not in the text.
        complete = words[:-1] if growing and last_symbol < end else words
        yield from self._show(complete, growing, first * self._step_seconds)
        length = (last_symbol + 1 - first) * self._step_seconds
        if last or self._endpointer.ends(text.strip(), silence=silence, length=length):
            yield from self._end_segment(first, last_symbol + 1, last=last)

    def _show(self, words: Sequence[str], growing: bool, start: float) -> list[LiveEvent]:
        """The events for the words of the best text that are complete."""
        shown, join = self._shown, self._decoder.alphabet.join
        settled = 0 if self._second else self._decoder.complete_words(self._search.settled)
        shown.words.update(words, growing=growing, settled=settled)
        text, characters = join(shown.words.words), len(join(shown.words.words[:settled]))
        if (text, characters) == (shown.text, shown.settled):
            return []
        events: list[LiveEvent] = []
        if shown.start is None:
            shown.start = round(start, 3)
            events.append(SpeechStarted(shown.start))
        shown.text, shown.settled = text, characters
        return [*events, Partial(self._segment, text, characters, shown.start)]

    def _withdraw(self) -> list[LiveEvent]:
        """The events for a segment whose words have all turned out to be none."""
        shown, self._shown = self._shown, _Shown()
        if shown.start is None:
            return []
        return [Partial(self._segment, "", 0, shown.start), SpeechEnded(shown.start)]

    def _end_segment(self, first: int, end: int, *, last: bool) -> Iterator[LiveEvent | None]:
        """End the segment; its first symbol is at the step `first`, its last one before the step `end`."""
        search = self._search
        cut = search.end_step if last else self._quietest(end, search.end_step)
        begin = max(search.first_step, first - self._steps(_LEAD_SECONDS))
        if self._second:
            samples = self._samples.slice(begin * self._step_samples, cut * self._step_samples)
            recording = StreamedRecording(self._second)
            yield from recording.push(samples)
            transcript = yield from recording.finish()
            text, words = transcript.text, _later(transcript.words, begin * self._step_seconds)
        else:
            hypothesis, words = search.finish()
            text = self._decoder.alphabet.join([hypothesis.text])
        if not text:
            yield from self._withdraw()
        else:
            if self._shown.start is None:
                yield SpeechStarted(round(first * self._step_seconds, 3))
            times = round(begin * self._step_seconds, 3), round(min(cut * self._step_seconds, self.position), 3)
            yield SpeechEnded(words[-1].end)
            final = Final(self._segment, text, *times, words)
            yield final if self._writer is None else self._writer.write(final)
            self._segment += 1
        self._search, self._shown = search.after(cut), _Shown()

    def _second_pass(self) -> Transcriber | None:
        """What decodes complete segments again; None if nothing does."""
        live, first = self._live, self._transcriber
        if not live.second_pass:
            return None
        if live.second_bundle is None:
            return first if first.causal_engine is None else None
        second = shared_transcriber(live.second_bundle, None)
        rate = second.bundle.log_mel.settings.sample_rate
        if rate != self._rate:
            raise ConfigError(
                f"live.second_bundle={live.second_bundle} is for {rate} Hz, and {first.bundle.path} for {self._rate} Hz"
            )
        return second

    def _quietest(self, first: int, end: int) -> int:
        """The step between two others at which the samples are quietest."""
        samples = self._samples.slice(first * self._step_samples, end * self._step_samples)
        energy = np.square(samples, dtype=np.float64).reshape(-1, self._step_samples).sum(axis=1)
        width = min(len(energy), self._steps(_QUIET_SECONDS))
        return first + int(np.convolve(energy, np.ones(width), mode="valid").argmin()) + width // 2

    def _steps(self, seconds: float) -> int:
        return max(1, round(seconds / self._step_seconds))


@dataclass
class _Shown:
    """What the events have said of a segment so far."""

    words: PartialText = field(default_factory=PartialText)
    text: str = ""
    settled: int = 0
    start: float | None = None
    """None before the first words"""


def _events(work: Iterator[LiveEvent | None]) -> list[LiveEvent]:
    return [event for event in work if event is not None]


def _later(words: Sequence[Word], seconds: float) -> tuple[Word, ...]:
    return tuple(
        replace(word, start=round(word.start + seconds, 3), end=round(word.end + seconds, 3)) for word in words
    )
