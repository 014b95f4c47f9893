"""Turns recordings into transcripts, with any acoustic model that gives log-probabilities."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from asr.audio.features import Frames
from asr.audio.load import Samples, load_audio
from asr.bundle import Bundle
from asr.config import AutoConfig, DecoderConfig, GreedyConfig
from asr.decoding import Decoder, Hypothesis, decoder_kind, make_decoder
from asr.decoding.confidence import word_features
from asr.errors import AudioError
from asr.text.alphabet import BLANK
from asr.transcription.windows import cut_windows, is_silent

# Files whose windows are run together: enough to find neighbours in length, few enough to show a first result soon.
# A beam search gains by more company.
_FILES_AT_ONCE, _FILES_AT_ONCE_BEAM = 8, 32


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
    confidence: float | None = None
    """the share of such words that are right; None where the bundle was not calibrated (`asr tune` does)"""


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
class HeardWindow:
    """A stretch of a recording, as the model heard it."""

    start: float
    """seconds from the start of the recording"""
    log_probs: npt.NDArray[np.float32]
    """natural log-probabilities [shape=(steps, symbols)]"""


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording, as the model heard it."""

    path: str
    duration: float
    """seconds"""
    windows: tuple[HeardWindow, ...]
    """one behind the other; silence is left out"""

    def steps(self) -> npt.NDArray[np.float32]:
        """All log-probabilities one behind the other [shape=(steps, symbols)], a sure blank for each pause."""
        if not self.windows:
            return np.zeros((0, 1), np.float32)
        pause = np.full((1, self.windows[0].log_probs.shape[1]), -np.inf, np.float32)
        pause[0, BLANK] = 0
        return np.concatenate([part for window in self.windows for part in (window.log_probs, pause)])


@dataclass(frozen=True, slots=True)
class _Prepared:
    path: str
    duration: float
    windows: tuple[tuple[float, Frames], ...]
    """when each begins, in seconds, and its frames"""


class Transcriber:
    """Transcribes recordings with a bundle.

    Parameters
    ----------
    bundle : Bundle
    decoder : DecoderConfig, optional
        The bundle's own by default.
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
        decoder = decoder or AutoConfig()
        if isinstance(decoder, AutoConfig):
            decoder = decoder.resolve(bundle.decoder)
        self._decoder = make_decoder(bundle.alphabet, decoder)
        self._calibration = bundle.confidence.get(decoder_kind(decoder))
        self._files_at_once = _FILES_AT_ONCE if isinstance(decoder, GreedyConfig) else _FILES_AT_ONCE_BEAM
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
        heard = self._hear([self._prepare("", np.asarray(samples, np.float32))])
        return self._write_down(heard)[0]

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
        remaining = self.hear_files(paths)
        while now := list(islice(remaining, self._files_at_once)):
            good = iter(self._write_down([one for one in now if isinstance(one, Heard)]))
            for one in now:
                yield one if isinstance(one, AudioError) else next(good)

    def hear_files(self, paths: Iterable[str | Path]) -> Iterator[Heard | AudioError]:
        """Run the model over recordings, in order, without decoding what it hears; as `transcribe_files` else."""
        remaining = iter(paths)
        with ThreadPoolExecutor(self._workers) as pool:

            def start_next() -> list[Future[_Prepared | AudioError]]:
                return [pool.submit(self._load, path) for path in islice(remaining, self._files_at_once)]

            ahead = start_next()
            while ahead:
                now, ahead = [future.result() for future in ahead], start_next()
                good = iter(self._hear([one for one in now if isinstance(one, _Prepared)]))
                for one in now:
                    yield one if isinstance(one, AudioError) else next(good)

    def _write_down(self, recordings: Sequence[Heard]) -> list[Transcript]:
        """Turn what the model heard into transcripts."""
        found = decode_recordings(recordings, self._decoder)
        return [self._transcript(one, hypotheses) for one, hypotheses in zip(recordings, found, strict=True)]

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
            (start / rate, log_mel(samples[start:end]))
            for start, end in cut_windows(samples, rate)
            if not is_silent(samples[start:end])
        ]
        return _Prepared(path, len(samples) / rate, tuple(windows))

    def _hear(self, recordings: Sequence[_Prepared]) -> list[Heard]:
        log_probs = iter(self._engine.log_probs([frames for one in recordings for _, frames in one.windows]))
        return [
            Heard(one.path, one.duration, tuple(HeardWindow(start, next(log_probs)) for start, _ in one.windows))
            for one in recordings
        ]

    def _transcript(self, recording: Heard, hypotheses: Sequence[Hypothesis]) -> Transcript:
        texts = list(dict.fromkeys(" ".join(one.text.split()) for one in hypotheses))
        return Transcript(
            path=recording.path,
            text=texts[0],
            duration=recording.duration,
            score=hypotheses[0].score,
            words=tuple(self._words(recording, hypotheses[0])),
            alternatives=tuple(texts[1:]),
        )

    def _words(self, recording: Heard, hypothesis: Hypothesis) -> list[Word]:
        """A word lasts from its first symbol's step to the end of its last symbol's step."""
        settings = self.bundle.log_mel.settings
        step_seconds = settings.hop_seconds * self.bundle.model.subsampling
        # When each step begins; the pause behind a window counts as one.
        begins = np.concatenate(
            [np.zeros(0)]
            + [window.start + step_seconds * np.arange(len(window.log_probs) + 1) for window in recording.windows]
        )
        words: list[Word] = []
        position = 0
        for text in hypothesis.text.split(" "):
            steps = hypothesis.steps[position : position + len(text)]
            position += len(text) + 1
            if text:
                start, end = begins[steps[0]], begins[steps[-1]] + step_seconds
                words.append(Word(text, round(float(start), 3), round(min(float(end), recording.duration), 3)))
        if self._calibration is None:
            return words
        features = word_features(hypothesis, recording.steps(), self._decoder.language_scores(hypothesis.text))
        confidences = self._calibration.confidences(features).round(3).tolist()
        return [replace(word, confidence=sure) for word, sure in zip(words, confidences, strict=True)]


def decode_recordings(recordings: Sequence[Heard], decoder: Decoder) -> list[list[Hypothesis]]:
    """The texts of recordings, best first. What is said in one window bears on the next one."""
    # Recordings of one window are many and short: they are decoded together.
    together = iter(decoder.decode([one.windows[0].log_probs for one in recordings if len(one.windows) == 1]))
    return [next(together) if len(one.windows) == 1 else _decode_windows(one, decoder) for one in recordings]


def _decode_windows(recording: Heard, decoder: Decoder) -> list[Hypothesis]:
    stream = decoder.stream()
    for window in recording.windows:
        stream.advance(window.log_probs)
        stream.pause()
    return stream.finish()
