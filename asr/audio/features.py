"""Log-mel features: librosa defines them, and NumPy alone computes the same wherever a model runs.

`reference_log_mel` is the definition, by librosa. `LogMel` gives the same numbers with NumPy alone, from a mel matrix
that librosa made once and the bundle keeps: importing librosa costs more than transcribing a short recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from asr.audio.load import Samples
from asr.errors import ConfigError
from asr.packages import require_packages
from asr.runs import run_starts
from asr.settings.features import FeatureConfig, Normalization

Frames = npt.NDArray[np.float32]

# Frames transformed at once: keeps the working set of an hour of audio at a few MB.
_BLOCK_FRAMES = 2048
# A band that hardly varies over an utterance (digital silence) is not scaled to deviation 1.
_SMALLEST_DEVIATION = 0.1

Count = TypeVar("Count", int, npt.NDArray[np.int64])


def frame_count(samples: Count, settings: FeatureConfig) -> Count:
    """Frames of a recording, or of each of several: one centred on every hop, from the first sample on."""
    return 1 + samples // settings.hop_samples


def mel_matrix(settings: FeatureConfig) -> Frames:
    """The triangular mel filters, by librosa.

    Parameters
    ----------
    settings : FeatureConfig

    Returns
    -------
    float32 [shape=(mels, fft_size / 2 + 1)]
        Slaney's mel scale, each filter of area 1 (Slaney, "Auditory Toolbox", 1998).

    Raises
    ------
    ConfigError
        If some band is so narrow that no bin of the transform falls into it, or if librosa is not installed.
    """
    require_packages("librosa", extra="train", purpose="making mel filters")
    from librosa import filters  # type: ignore[attr-defined]

    matrix: Frames = filters.mel(
        sr=settings.sample_rate,
        n_fft=settings.fft_size,
        n_mels=settings.mels,
        fmin=settings.fmin,
        fmax=settings.fmax,
        htk=False,
        norm="slaney",
        dtype=np.float32,
    )
    empty = int(np.count_nonzero(matrix.max(axis=1) == 0))
    if empty:
        raise ConfigError(
            f"features.mels={settings.mels} leaves {empty} bands without a frequency bin: "
            "take fewer mels or a longer features.window_seconds"
        )
    return matrix


def reference_log_mel(samples: Samples, settings: FeatureConfig) -> Frames:
    """The definition of the features, by librosa: the natural logarithm of the mel power spectrum.

    Parameters
    ----------
    samples : float32 [shape=(samples,)]
    settings : FeatureConfig

    Returns
    -------
    float32 [shape=(frames, mels)]
        Before normalisation.
    """
    import librosa

    power = librosa.feature.melspectrogram(
        y=samples,
        sr=settings.sample_rate,
        n_fft=settings.fft_size,
        hop_length=settings.hop_samples,
        win_length=settings.window_samples,
        window="hann",
        center=True,
        pad_mode="constant",
        power=2.0,
        n_mels=settings.mels,
        fmin=settings.fmin,
        fmax=settings.fmax,
        htk=False,
        norm="slaney",
        dtype=np.float32,
    )
    logarithm: Frames = np.log(np.maximum(power, settings.log_floor)).T.astype(np.float32)
    return logarithm


@dataclass(frozen=True)
class LogMel:
    """Turns samples into the model's input frames, with NumPy alone.

    Parameters
    ----------
    settings : FeatureConfig
    matrix : float32 [shape=(mels, fft_size / 2 + 1)]
        As `mel_matrix` makes it.
    mean, deviation : float32 [shape=(mels,)], optional
        Statistics of the training set, needed for `features.normalization=corpus` and `running`.
    """

    settings: FeatureConfig
    matrix: Frames
    mean: Frames | None = None
    deviation: Frames | None = None

    @classmethod
    def from_librosa(cls, settings: FeatureConfig) -> LogMel:
        """An extractor with librosa's mel filters and no statistics yet."""
        return cls(settings, mel_matrix(settings))

    def __call__(self, samples: Samples) -> Frames:
        """Normalised features.

        Parameters
        ----------
        samples : float32 [shape=(samples,)]
            At `settings.sample_rate`.

        Returns
        -------
        float32 [shape=(1 + samples // hop_samples, mels)]
        """
        return self.normalize(self.log_mel(samples))

    def log_mel(self, samples: Samples) -> Frames:
        """Features before normalisation, equal to `reference_log_mel`; shapes as in `__call__`."""
        settings = self.settings
        window_samples, hop = settings.window_samples, settings.hop_samples
        frames = frame_count(len(samples), settings)
        # Frame i is centred on sample i * hop. The transform pads the window with zeros at its end instead of on
        # both sides as librosa does, which turns the phase and leaves the power alone.
        before = settings.fft_size // 2 - (settings.fft_size - window_samples) // 2
        after = max(0, (frames - 1) * hop - before + window_samples - len(samples))
        padded = np.pad(np.asarray(samples, np.float32), (before, after))
        views = np.lib.stride_tricks.sliding_window_view(padded, window_samples)[::hop][:frames]
        phase = 2 * np.pi * np.arange(window_samples) / window_samples
        window = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
        bands, bins, weights, starts = self._filters
        result = np.zeros((frames, settings.mels), np.float32)
        for start in range(0, frames, _BLOCK_FRAMES):
            spectrum = np.fft.rfft(views[start : start + _BLOCK_FRAMES] * window, n=settings.fft_size, axis=1)
            power = spectrum.real**2 + spectrum.imag**2
            # Not a matrix product: BLAS may round a frame differently with another number of frames or threads.
            weighted = np.ascontiguousarray(power.T, np.float32)[bins] * weights[:, None]
            result[start : start + _BLOCK_FRAMES, bands] = np.add.reduceat(weighted, starts, axis=0).T
        np.maximum(result, settings.log_floor, out=result)
        return np.log(result, out=result)

    @cached_property
    def _filters(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Frames, npt.NDArray[np.intp]]:
        """The mel matrix without its zeros: the bands, the bin and weight of each entry, and where each band begins."""
        band, bins = np.nonzero(self.matrix)
        starts = run_starts(band)
        return band[starts], bins, self.matrix[band, bins], starts

    def normalize(self, log_mel: Frames, *, earlier: float = 0.0) -> Frames:
        """Shift and scale features as the settings say.

        Parameters
        ----------
        log_mel : float32 [shape=(frames, mels)]
        earlier : float >= 0
            Running normalisation: begin as if as many seconds of the same sound had gone before.

        Returns
        -------
        float32 [shape=(frames, mels)]
        """
        if self.settings.normalization is Normalization.none:
            return log_mel
        if self.settings.normalization is Normalization.running:
            running = self.running()
            running.expect(log_mel, earlier)
            return running(log_mel)
        if self.settings.normalization is Normalization.utterance:
            mean = log_mel.mean(axis=0, dtype=np.float64).astype(np.float32)
            deviation = log_mel.std(axis=0, dtype=np.float64).astype(np.float32)
        else:
            if self.mean is None or self.deviation is None:
                raise ConfigError("features.normalization=corpus needs the mean and deviation of a training set")
            mean, deviation = self.mean, self.deviation
        normalized: Frames = (log_mel - mean) / np.maximum(deviation, _SMALLEST_DEVIATION)
        return normalized

    def running(self) -> RunningNormalization:
        """A normalisation whose state is carried along a stream, for `features.normalization=running`."""
        if self.mean is None or self.deviation is None:
            raise ConfigError("features.normalization=running needs the mean and deviation of a training set")
        return RunningNormalization(self.settings, self.mean, self.deviation)


class RunningNormalization:
    """Normalises the frames of a stream, each with the mean and deviation of those up to it.

    The statistics of the training set count as `prior_seconds`, and earlier frames fade within `memory_seconds`, in
    steps of a second. Frames of digital silence do not count: the gap in a stream says nothing of the speaker. How the
    stream is divided into blocks changes no bit.

    Parameters
    ----------
    settings : FeatureConfig
    mean, deviation : float32 [shape=(mels,)]
        Of the training set.
    """

    def __init__(self, settings: FeatureConfig, mean: Frames, deviation: Frames) -> None:
        self._silence = float(np.log(settings.log_floor)) + _SMALLEST_DEVIATION
        frames_per_second = 1 / settings.hop_seconds
        self._second = max(1, round(frames_per_second))
        self._fading = float(np.exp(-self._second * settings.hop_seconds / settings.memory_seconds))
        mean = mean.astype(np.float64)
        squares = np.square(deviation, dtype=np.float64) + mean**2
        # Rows of sums: frames, the sum of their values, and that of the squares, side by side.
        self._prior = np.concatenate([[1.0], mean, squares]) * (settings.prior_seconds * frames_per_second)
        self._sums = np.zeros_like(self._prior)
        self._position = 0
        self._frames_per_second = frames_per_second

    def expect(self, log_mel: Frames, seconds: float) -> None:
        """Begin as if so many seconds of a sound had gone before.

        Parameters
        ----------
        log_mel : float32 [shape=(frames, mels)]
        seconds : float >= 0
        """
        rows = self._rows(log_mel)
        if seconds and (count := rows[:, 0].sum()):
            self._sums = self._sums + rows.sum(axis=0) * (seconds * self._frames_per_second / count)

    def __call__(self, log_mel: Frames) -> Frames:
        """The next frames of the stream [shape=(frames, mels)], normalised."""
        rows, parts, start = self._rows(log_mel), [], 0
        while start < len(rows):
            end = min(len(rows), start + self._second - self._position % self._second)
            # One after another, from the sums so far: as it would be frame by frame.
            sums = np.add.accumulate(np.concatenate([self._sums[None], rows[start:end]]), axis=0)[1:]
            self._sums = sums[-1]
            self._position += end - start
            if self._position % self._second == 0:
                self._sums = self._sums * self._fading
            parts.append(sums)
            start = end
        if not parts:
            return log_mel
        totals = np.concatenate(parts) + self._prior
        counts, values, squares = np.split(totals, [1, 1 + log_mel.shape[1]], axis=1)
        mean = values / counts
        deviation = np.sqrt(np.maximum(squares / counts - mean**2, 0))
        return ((log_mel - mean) / np.maximum(deviation, _SMALLEST_DEVIATION)).astype(np.float32)

    def _rows(self, log_mel: Frames) -> npt.NDArray[np.float64]:
        """What each frame adds to the sums [shape=(frames, 1 + 2 * mels)]."""
        values = log_mel.astype(np.float64)
        counted = (log_mel.max(axis=1, initial=-np.inf) > self._silence)[:, None]
        rows: npt.NDArray[np.float64] = np.concatenate([np.ones((len(values), 1)), values, values**2], axis=1)
        return np.where(counted, rows, 0.0)
