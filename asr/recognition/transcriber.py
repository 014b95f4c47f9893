"""Turns recordings into transcripts, with any acoustic model that gives log-probabilities."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Literal, overload

from asr.acoustic.runtime import AcousticModel, CausalAcousticModel
from asr.audio.features import Frames
from asr.audio.load import Samples
from asr.audio.readers import Readers
from asr.audio.segment import AudioSource
from asr.bundle import Bundle
from asr.errors import AudioError
from asr.machine import available_cores
from asr.recognition.acoustic_output import AcousticOutput
from asr.recognition.pipeline import AcousticPipeline, EndOfRecording, FrameBuffer, Progress, WindowOutput
from asr.recognition.stretch_decoding import RecordingDecoder, StretchDecoder
from asr.recognition.windows import Stitcher, Stretch
from asr.settings.decoding import AutoConfig, DecoderConfig
from asr.settings.features import Normalization
from asr.text.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Recognition:
    """All results of one pass of the network over a recording."""

    transcripts: tuple[Transcript, ...]
    """of every decoder"""
    acoustic_output: AcousticOutput
    """the output layer that the first decoder reads"""
    frames: Frames | None
    """log-mel frames of the whole recording before normalisation [shape=(frames, mels)], if they were asked for"""


class Transcriber:
    """Transcribes recordings with a bundle. Close it, or use a `with` block, to end its processes.

    Without that they end when it is no longer used. Any number of threads may use it at once.

    Parameters
    ----------
    bundle : Bundle
    decoder : DecoderConfig, optional
        The bundle's own by default.
    channel : str
        "mix" or the number of a channel, from 1.
    track : int > 0, optional
        The number of an audio track, from 1; the default one of each recording by default.
    workers : int >= 0
        Processor cores to use; 0 for all.
    engine : AcousticModel, optional
        Another way to run the model; ONNX Runtime on the bundle's graph by default.
    readers : Readers, optional
        Those that read the recordings; processes of its own by default.
    base : Transcriber, optional
        Another one of the same bundle, whose decoder has no hot words: with some of its words as hot words, this one
        is made in a tenth of the time. It has no effect on the texts.

    Examples
    --------
    >>> from asr import load_bundle, Transcriber
    >>> with Transcriber(load_bundle("en")) as transcriber:
    ...     transcript = transcriber.transcribe("data/samples/422-122949-0004.opus")
    >>> transcript.words[2].text, transcript.duration
    ('whatever', 6.985)
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        decoder: DecoderConfig | None = None,
        channel: str = "mix",
        track: int | None = None,
        workers: int = 0,
        engine: AcousticModel | None = None,
        readers: Readers | None = None,
        base: Transcriber | None = None,
    ) -> None:
        self.bundle = bundle
        decoder = decoder or AutoConfig()
        if isinstance(decoder, AutoConfig):
            decoder = decoder.resolve(bundle.decoder)
        workers = workers or available_cores()
        cores = threading.Semaphore(workers)
        self.stretch_decoder: StretchDecoder = StretchDecoder(
            bundle,
            decoder,
            cores=cores,
            step_seconds=self.step_seconds,
            base=None if base is None else base.stretch_decoder,
        )
        self._readers, self._owns_readers = readers or Readers(), readers is None
        self.engine: AcousticModel = engine or bundle.engine()
        """what runs the acoustic model"""
        self.pipeline = AcousticPipeline(
            bundle,
            self.engine,
            self._readers,
            cores=cores,
            workers=workers,
            channel=channel,
            track=track,
        )
        """what runs it over recordings"""
        self._is_closed = False

    def __enter__(self) -> Transcriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that read recordings, unless the caller gave them. A second call does nothing."""
        self._is_closed = True
        if self._owns_readers:
            self._readers.close()

    @cached_property
    def causal_engine(self) -> CausalAcousticModel | None:
        """What runs the model over a stream with carried state; None if that is impossible: a bidirectional model needs
        later steps, and normalisation by the utterance later frames."""
        normalization = self.bundle.log_mel.settings.normalization
        if self.bundle.model.bidirectional or normalization is Normalization.utterance:
            return None
        # The bundle's own graph is loaded once.
        return self.engine if isinstance(self.engine, CausalAcousticModel) else self.bundle.causal_engine()

    @property
    def step_seconds(self) -> float:
        """Seconds of a step of the model."""
        return self.bundle.log_mel.settings.hop_seconds * self.bundle.model.subsampling

    @property
    def decoding_core_seconds(self) -> float:
        """Processor seconds that were spent on decoding so far."""
        return self.stretch_decoder.core_seconds

    def transcribe(self, path: AudioSource) -> Transcript:
        """Transcribe one recording of any length, or a segment of one.

        Raises
        ------
        AudioError
            If it cannot be read.
        """
        (result,) = self.transcribe_files([path], errors="raise")
        return result

    def transcribe_samples(self, samples: Samples) -> Transcript:
        """Transcribe samples [shape=(samples,)] at the rate of `bundle.log_mel.settings.sample_rate`.

        Raises
        ------
        AudioError
            If they are not floating-point numbers of one channel, full scale being 1, or one is NaN or infinite.
        """
        decoding = RecordingDecoder(self.stretch_decoder)
        for event in self.pipeline.run_samples(samples):
            decoding.push("", event)
        decoding.flush()
        transcript = decoding.pop()
        assert isinstance(transcript, Transcript)
        return transcript

    @overload
    def transcribe_files(
        self, paths: Iterable[AudioSource], *, errors: Literal["raise"], progress: Progress | None = None
    ) -> Iterator[Transcript]: ...

    @overload
    def transcribe_files(
        self, paths: Iterable[AudioSource], *, errors: Literal["return"] = "return", progress: Progress | None = None
    ) -> Iterator[Transcript | AudioError]: ...

    def transcribe_files(
        self,
        paths: Iterable[AudioSource],
        *,
        errors: Literal["raise", "return"] = "return",
        progress: Progress | None = None,
    ) -> Iterator[Transcript] | Iterator[Transcript | AudioError]:
        """Transcribe recordings in order.

        Parameters
        ----------
        paths : iterable of str, Path or AudioSegment
        errors : "return" or "raise"
            Whether the error of a recording that cannot be read takes its place among the results, or is raised.
        progress : callable, optional
            See `Progress`.

        Returns
        -------
        iterator of Transcript or AudioError
            One for each path, as soon as it is there.

        Raises
        ------
        AudioError
            With errors="raise", at the first recording that cannot be read.
        ValueError
            If `errors` is anything else.
        """
        if errors not in ("raise", "return"):
            raise ValueError(f"errors={errors!r}: it must be 'raise' or 'return'")
        results = self._transcripts(paths, progress)
        return _raising(results) if errors == "raise" else results

    def _transcripts(
        self, paths: Iterable[AudioSource], progress: Progress | None
    ) -> Iterator[Transcript | AudioError]:
        decoding = RecordingDecoder(self.stretch_decoder)
        for source, event in self._events(paths, progress):
            decoding.push(source, event)
            yield from decoding.finished()
        decoding.flush()
        yield from decoding.finished()

    def recognize_files(
        self,
        paths: Iterable[AudioSource],
        *,
        others: Sequence[Transcriber] = (),
        frame_seconds: float = 0.0,
        progress: Progress | None = None,
    ) -> Iterator[Recognition | AudioError]:
        """Transcribe recordings in order with several decoders, and keep the network's output.

        The network runs once over each recording, whatever the number of decoders; every text is the one that
        `transcribe_files` gives.

        Parameters
        ----------
        paths : iterable of str, Path or AudioSegment
        others : sequence of Transcriber
            Of the same bundle: their decoders decode too. They read no files and run no network.
        frame_seconds : float >= 0
            Recordings up to this length get their log-mel frames.
        progress : callable, optional
            See `Progress`.

        Yields
        ------
        Recognition or AudioError
            One for each path.
        """
        decodings = [
            RecordingDecoder(self.stretch_decoder, keep=True),
            *(RecordingDecoder(one.stretch_decoder) for one in others),
        ]
        frames: deque[FrameBuffer] = deque()
        is_new = True
        for source, event in self._events(paths, progress):
            if is_new:
                frames.append(FrameBuffer(self.bundle, frame_seconds))
            is_new = not isinstance(event, WindowOutput)
            if isinstance(event, WindowOutput):
                frames[-1].push(event)
            for one in decodings:
                one.push(source, event)
            yield from self._recognitions(decodings, frames)
        for one in decodings:
            one.flush()
        yield from self._recognitions(decodings, frames)

    def _recognitions(
        self, decodings: Sequence[RecordingDecoder], frames: deque[FrameBuffer]
    ) -> Iterator[Recognition | AudioError]:
        """The recordings that every decoder has finished."""
        while all(one.pending and one.pending[0].complete for one in decodings):
            kept = tuple(decodings[0].pending[0].kept)
            buffer = frames.popleft()
            results = [one.pop() for one in decodings]
            transcripts = tuple(one for one in results if not isinstance(one, AudioError))
            if len(transcripts) < len(results):
                yield next(one for one in results if isinstance(one, AudioError))
                continue
            first = transcripts[0]
            output = AcousticOutput(first.path, first.duration, kept, first.notes, self.stretch_decoder.layer)
            yield Recognition(transcripts, output, buffer.frames())

    def run_model_on_files(
        self, paths: Iterable[AudioSource], *, progress: Progress | None = None
    ) -> Iterator[AcousticOutput | AudioError]:
        """Run the acoustic model over recordings, in order, without decoding; arguments as in `transcribe_files`."""
        stitcher, stretches = Stitcher(self.step_seconds), list[Stretch]()
        for source, event in self._events(paths, progress):
            if isinstance(event, WindowOutput):
                stretches += stitcher.push(event.window, event.layer(self.stretch_decoder.output))
                continue
            if isinstance(event, EndOfRecording):
                stretches += stitcher.finish()
                layer = self.stretch_decoder.layer
                yield AcousticOutput(str(source), event.duration, tuple(stretches), event.notes, layer)
            else:
                yield event
            stitcher, stretches = Stitcher(self.step_seconds), []

    def run_model_on_samples(self, samples: Samples) -> AcousticOutput:
        """Run the acoustic model over samples; arguments and errors as in `transcribe_samples`."""
        stitcher, stretches, duration = Stitcher(self.step_seconds), list[Stretch](), 0.0
        for event in self.pipeline.run_samples(samples):
            if isinstance(event, WindowOutput):
                stretches += stitcher.push(event.window, event.layer(self.stretch_decoder.output))
            else:
                duration = event.duration
        stretches += stitcher.finish()
        return AcousticOutput("", duration, tuple(stretches), layer=self.stretch_decoder.layer)

    def _events(
        self, paths: Iterable[AudioSource], progress: Progress | None
    ) -> Iterator[tuple[AudioSource, WindowOutput | EndOfRecording | AudioError]]:
        if self._is_closed:
            raise RuntimeError("this Transcriber is closed")
        return self.pipeline.run_files(paths, progress)


def _raising(results: Iterator[Transcript | AudioError]) -> Iterator[Transcript]:
    for result in results:
        if isinstance(result, AudioError):
            raise result
        yield result
