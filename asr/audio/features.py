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
        Statistics of the training set, needed for `features.normalization=corpus`.
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
        bands, starts = np.unique(band, return_index=True)
        return bands, bins, self.matrix[band, bins], starts

    def normalize(self, log_mel: Frames) -> Frames:
        """Shift and scale features as the settings say.

        Parameters
        ----------
        log_mel : float32 [shape=(frames, mels)]

        Returns
        -------
        float32 [shape=(frames, mels)]
        """
        if self.settings.normalization is Normalization.none:
            return log_mel
        if self.settings.normalization is Normalization.utterance:
            mean = log_mel.mean(axis=0, dtype=np.float64).astype(np.float32)
            deviation = log_mel.std(axis=0, dtype=np.float64).astype(np.float32)
        else:
            if self.mean is None or self.deviation is None:
                raise ConfigError("features.normalization=corpus needs the mean and deviation of a training set")
            mean, deviation = self.mean, self.deviation
        normalized: Frames = (log_mel - mean) / np.maximum(deviation, _SMALLEST_DEVIATION)
        return normalized
