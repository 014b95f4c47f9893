"""Turns recordings into transcripts, with any acoustic model that gives log-probabilities."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from asr.audio.features import Frames
from asr.audio.load import Samples, load_audio
from asr.bundle import Bundle
from asr.config import DecoderConfig, GreedyConfig
from asr.decoding import Hypothesis, make_decoder
from asr.errors import AudioError
from asr.transcription.windows import cut_windows, is_silent

# Files whose windows are run together: enough to find neighbours in length, few enough to show a first result soon.
_FILES_AT_ONCE = 8


class AcousticModel(Protocol):
    """What a transcriber needs of a model."""

    def log_probs(self, utterances: Sequence[Frames]) -> list[npt.NDArray[np.float32]]:
        """(frames, mels) each to natural log-probabilities (steps, symbols) each."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word and when it is said, in seconds from the start of the recording."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in a recording."""

    path: str
    """"" for samples from memory"""
    text: str
    duration: float
    """seconds"""
    score: float
    """natural log-probability that the decoder gave"""
    words: tuple[Word, ...]
    alternatives: tuple[str, ...]
    """further texts, best first, if the decoder was asked for more than one"""


@dataclass(frozen=True, slots=True)
class _Window:
    start: int
    """in samples"""
    frames: Frames | None
    """None for silence"""


@dataclass(frozen=True, slots=True)
class _Prepared:
    path: str
    duration: float
    windows: tuple[_Window, ...]


class Transcriber:
    """Transcribes recordings with a bundle.

    Parameters
    ----------
    bundle : Bundle
    decoder : DecoderConfig, optional
        Greedy by default.
    channel : str
        "mix" or the number of a channel, from 1.
    workers : int >= 0
        Processor cores to use; 0 for all.
    engine : AcousticModel, optional
        Another way to run the model; ONNX Runtime on the bundle's graph by default.

    Examples
    --------
    >>> from asr import load_bundle, Transcriber
    >>> transcriber = Transcriber(load_bundle("en"))
    >>> transcript = transcriber.transcribe("interview.wav")  # doctest: +SKIP
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        decoder: DecoderConfig | None = None,
        channel: str = "mix",
        workers: int = 0,
        engine: AcousticModel | None = None,
    ) -> None:
        self.bundle = bundle
        self._decoder = make_decoder(bundle.alphabet, decoder or GreedyConfig())
        self._channel = channel
        self._workers = workers or os.cpu_count() or 1
        self._engine = engine or bundle.engine(workers=workers)

    def transcribe(self, path: str | Path) -> Transcript:
        """Transcribe one recording of any length.

        Raises
        ------
        AudioError
            If it cannot be read.
        """
        (result,) = self.transcribe_files([path])
        if isinstance(result, AudioError):
            raise result
        return result

    def transcribe_samples(self, samples: Samples) -> Transcript:
        """Transcribe float32 samples [shape=(samples,)] at the rate of `bundle.log_mel.settings.sample_rate`."""
        return self._finish([self._prepare("", np.asarray(samples, np.float32))])[0]

    def transcribe_files(self, paths: Iterable[str | Path]) -> Iterator[Transcript | AudioError]:
        """Transcribe recordings in order.

        Parameters
        ----------
        paths : iterable of str or Path

        Yields
        ------
        Transcript or AudioError
            One for each path: an unreadable file does not keep the rest back.
        """
        remaining = iter(paths)
        with ThreadPoolExecutor(self._workers) as pool:

            def start_next() -> list[Future[_Prepared | AudioError]]:
                return [pool.submit(self._load, path) for path in islice(remaining, _FILES_AT_ONCE)]

            ahead = start_next()
            while ahead:
                now, ahead = [future.result() for future in ahead], start_next()
                good = iter(self._finish([one for one in now if isinstance(one, _Prepared)]))
                for one in now:
                    yield one if isinstance(one, AudioError) else next(good)

    def _load(self, path: str | Path) -> _Prepared | AudioError:
        settings = self.bundle.log_mel.settings
        try:
            samples = load_audio(path, sample_rate=settings.sample_rate, channel=self._channel)
        except AudioError as error:
            return error
        return self._prepare(str(path), samples)

    def _prepare(self, path: str, samples: Samples) -> _Prepared:
        log_mel = self.bundle.log_mel
        rate = log_mel.settings.sample_rate
        windows = [
            _Window(start, None if is_silent(samples[start:end]) else log_mel(samples[start:end]))
            for start, end in cut_windows(samples, rate)
        ]
        return _Prepared(path, len(samples) / rate, tuple(windows))

    def _finish(self, recordings: Sequence[_Prepared]) -> list[Transcript]:
        frames = [window.frames for one in recordings for window in one.windows if window.frames is not None]
        texts = iter(self._decoder.decode(self._engine.log_probs(frames)))
        transcripts = []
        for recording in recordings:
            decoded = [(window.start, next(texts)) for window in recording.windows if window.frames is not None]
            transcripts.append(self._join(recording, decoded))
        return transcripts

    def _join(self, recording: _Prepared, decoded: list[tuple[int, list[Hypothesis]]]) -> Transcript:
        words: list[Word] = []
        # The likeliest combinations of the windows' texts: windows are independent, so scores add up.
        combinations: list[tuple[float, tuple[str, ...]]] = [(0.0, ())]
        for start, hypotheses in decoded:
            words += self._words(hypotheses[0], start, recording.duration)
            longer = [
                (score + hypothesis.score, (*parts, hypothesis.text))
                for score, parts in combinations
                for hypothesis in hypotheses
            ]
            most = max(len(hypotheses), len(combinations))
            combinations = sorted(longer, key=lambda combination: -combination[0])[:most]
        texts = list(dict.fromkeys(" ".join(" ".join(parts).split()) for _, parts in combinations))
        return Transcript(
            path=recording.path,
            text=texts[0],
            duration=recording.duration,
            score=combinations[0][0],
            words=tuple(words),
            alternatives=tuple(texts[1:]),
        )

    def _words(self, hypothesis: Hypothesis, start: int, duration: float) -> list[Word]:
        """A word lasts from its first symbol's step to the end of its last symbol's step."""
        settings = self.bundle.log_mel.settings
        step_seconds = settings.hop_seconds * self.bundle.model.subsampling
        offset = start / settings.sample_rate
        words = []
        position = 0
        for text in hypothesis.text.split(" "):
            steps = hypothesis.steps[position : position + len(text)]
            position += len(text) + 1
            if text:
                begin = min(offset + steps[0] * step_seconds, duration)
                words.append(
                    Word(text, round(begin, 3), round(min(offset + (steps[-1] + 1) * step_seconds, duration), 3))
                )
        return words
