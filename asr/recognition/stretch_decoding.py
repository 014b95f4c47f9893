"""Decodes the stretches of recordings in groups, and makes transcripts of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from asr.acoustic.outputs import decoded_output
from asr.audio.segment import AudioSegment, AudioSource
from asr.bundle import Bundle
from asr.decoding import Decoder, Hypothesis, Stream, decoder_kind, make_decoder
from asr.decoding.confidence import word_features
from asr.errors import AudioError, BundleError, ConfigError, LanguageModelError
from asr.recognition.joining import best_combinations
from asr.recognition.pipeline import EndOfRecording, WindowOutput
from asr.recognition.windows import Stitcher, Stretch
from asr.settings.decoding import DecoderConfig, GreedyConfig
from asr.slices import Slices, run_slices
from asr.text.transcript import Transcript, Word

# A beam search is faster on many stretches at once; greedy decoding is not, and gives its first result sooner.
_STRETCHES_AT_ONCE, _STRETCHES_AT_ONCE_BEAM = 1, 32


@dataclass
class PendingTranscript:
    """A recording whose stretches are being decoded."""

    source: AudioSource
    stretches: int = 0
    decoded: list[tuple[list[tuple[str, float]], tuple[Word, ...]]] = field(default_factory=list)
    """of each stretch its texts with their scores, best first, and the words of the first"""
    outcome: EndOfRecording | AudioError | None = None
    kept: list[Stretch] = field(default_factory=list)
    """the stretches, if they are wanted afterwards"""

    @property
    def complete(self) -> bool:
        """Whether all of it is decoded, or it cannot be read."""
        return isinstance(self.outcome, AudioError) or (
            self.outcome is not None and len(self.decoded) == self.stretches
        )


class StretchDecoder:
    """A decoder, which also makes words and confidences from its hypotheses.

    Parameters
    ----------
    bundle : Bundle
    settings : DecoderConfig
        Resolved: no `AutoConfig`.
    cores : threading.Semaphore
        Held while it decodes.
    step_seconds : float > 0
    base : StretchDecoder, optional
        As for a `Transcriber`.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: DecoderConfig,
        *,
        cores: threading.Semaphore,
        step_seconds: float,
        base: StretchDecoder | None = None,
    ) -> None:
        try:
            self._decoder: Decoder = make_decoder(
                bundle.alphabet,
                settings,
                priors=bundle.priors,
                normalizer=bundle.normalizer,
                phones=bundle.phones,
                base=None if base is None else base._decoder,
            )
        except (ConfigError, LanguageModelError) as error:
            if settings is not bundle.decoder:
                raise
            raise BundleError(f"{bundle.path}: the decoder of the bundle cannot be used: {error}") from error
        self.alphabet, self._cores, self.step_seconds = bundle.alphabet, cores, step_seconds
        self._calibration = bundle.confidence.get(decoder_kind(settings))
        self.layer = decoded_output(bundle.model, settings)
        """the name of the output layer that it reads"""
        self.output = bundle.output_for(settings)
        """where that layer lies on the last axis of the model's log-probabilities"""
        self.at_once = _STRETCHES_AT_ONCE if isinstance(settings, GreedyConfig) else _STRETCHES_AT_ONCE_BEAM
        """stretches to decode together"""
        self.core_seconds = 0.0
        """processor seconds that were spent on decoding so far"""

    def decode(self, waiting: Sequence[tuple[PendingTranscript, Stretch]]) -> None:
        """Decode stretches, and add the results to their recordings."""
        with self._cores:
            started = time.thread_time()
            run_slices(self.decode_in_slices(waiting))
            self.core_seconds += time.thread_time() - started

    def decode_in_slices(self, waiting: Sequence[tuple[PendingTranscript, Stretch]]) -> Slices[None]:
        """As `decode`, but for the cores and the seconds: they are the caller's."""
        found = yield from self._decoder.decode_in_slices([stretch.log_probs for _, stretch in waiting])
        for (pending, stretch), hypotheses in zip(waiting, found, strict=True):
            texts = [(self.alphabet.join([one.text]), one.score) for one in hypotheses]
            pending.decoded.append((texts, self.words(stretch, hypotheses[0])))
            yield

    def transcript(self, pending: PendingTranscript, end: EndOfRecording) -> Transcript:
        """The transcript of a recording whose stretches are all decoded."""
        duration = end.duration
        joined = best_combinations([texts for texts, _ in pending.decoded])
        texts = list(dict.fromkeys(self.alphabet.join(parts) for parts, _ in joined))
        # The last step may reach beyond the end.
        words = (
            replace(word, start=min(word.start, round(duration, 3)), end=min(word.end, round(duration, 3)))
            for _, words in pending.decoded
            for word in words
        )
        source = pending.source
        path, offset = (source.path, source.offset) if isinstance(source, AudioSegment) else (source, None)
        alternatives = tuple(texts[1:])
        return Transcript(str(path), texts[0], duration, joined[0][1], tuple(words), alternatives, offset, end.notes)

    def stream(self, beam_width: int) -> Stream:
        """Begin to decode a stream, with at most so many hypotheses."""
        return self._decoder.stream(beam_width)

    def end_log_prob(self, text: str) -> float | None:
        """The natural log-probability of the sentence's end after a text; None without a language model over words."""
        scores = self._decoder.language_scores(text)
        return None if scores is None else float(scores[-1])

    def complete_words(self, text: str) -> int:
        """The number of words at the beginning of a stream's text that are complete."""
        words, separator = len(self.alphabet.words(text)), self.alphabet.separator
        is_complete = self._decoder.over_words or not separator or text.endswith(separator)
        return words if is_complete else max(0, words - 1)

    def words(self, stretch: Stretch, hypothesis: Hypothesis) -> tuple[Word, ...]:
        """The words of a stretch's hypothesis, with times in the recording and confidences.

        A word lasts from its first symbol's step to the end of its last symbol's step.
        """
        spans = self.alphabet.words(hypothesis.text)
        words = [
            Word(
                hypothesis.text[start:end],
                round((stretch.first_step + hypothesis.steps[start]) * self.step_seconds, 3),
                round((stretch.first_step + hypothesis.steps[end - 1] + 1) * self.step_seconds, 3),
            )
            for start, end in spans
        ]
        if self._calibration is None:
            return tuple(words)
        language = self._decoder.language_scores(hypothesis.text)
        features = word_features(hypothesis, stretch.log_probs, language, spans=spans)
        confidences = self._calibration.confidences(features).round(3).tolist()
        return tuple(replace(word, confidence=sure) for word, sure in zip(words, confidences, strict=True))


class RecordingDecoder:
    """The work of one decoder on recordings that come window by window, in order.

    Parameters
    ----------
    decoder : StretchDecoder
    keep : bool
        Keep the stretches with each recording.
    """

    def __init__(self, decoder: StretchDecoder, *, keep: bool = False) -> None:
        self.pending: deque[PendingTranscript] = deque()
        self._decoder, self._keep = decoder, keep
        self._waiting: list[tuple[PendingTranscript, Stretch]] = []
        self._stitcher = Stitcher(decoder.step_seconds)

    def push(self, source: AudioSource, event: WindowOutput | EndOfRecording | AudioError) -> None:
        """Take the next window of a recording, or its end; decode as soon as there are enough stretches."""
        if self._add(source, event):
            self.flush()

    def push_in_slices(self, source: AudioSource, event: WindowOutput | EndOfRecording | AudioError) -> Slices[None]:
        """As `push`."""
        if self._add(source, event):
            yield from self.flush_in_slices()

    def _add(self, source: AudioSource, event: WindowOutput | EndOfRecording | AudioError) -> bool:
        """Whether there are enough stretches to decode."""
        if not self.pending or self.pending[-1].outcome is not None:
            self.pending.append(PendingTranscript(source))
            self._stitcher = Stitcher(self._decoder.step_seconds)
        pending = self.pending[-1]
        if isinstance(event, WindowOutput):
            stretches = list(self._stitcher.push(event.window, event.layer(self._decoder.output)))
        else:
            stretches = list(self._stitcher.finish()) if isinstance(event, EndOfRecording) else []
            pending.outcome = event
        pending.stretches += len(stretches)
        pending.kept += stretches if self._keep else []
        self._waiting += [(pending, one) for one in stretches]
        return len(self._waiting) >= self._decoder.at_once

    def flush(self) -> None:
        """Decode the stretches so far."""
        self._decoder.decode(self._waiting)
        self._waiting = []

    def flush_in_slices(self) -> Slices[None]:
        """As `flush`."""
        yield from self._decoder.decode_in_slices(self._waiting)
        self._waiting = []

    def finished(self) -> Iterator[Transcript | AudioError]:
        """The recordings that are decoded, each once."""
        while self.pending and self.pending[0].complete:
            yield self.pop()

    def pop(self) -> Transcript | AudioError:
        """The first recording, which must be complete."""
        pending = self.pending.popleft()
        assert pending.outcome is not None
        if isinstance(pending.outcome, AudioError):
            return pending.outcome
        return self._decoder.transcript(pending, pending.outcome)
