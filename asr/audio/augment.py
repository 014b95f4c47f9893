"""Augmentation of training utterances: pure functions of samples or frames, and the class that applies them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from asr.audio.features import Frames
from asr.audio.load import Samples, resample
from asr.audio.readers import shared_readers
from asr.audio.segment import AudioSource, split_source
from asr.errors import AudioError
from asr.settings.augment import AugmentConfig

# Spectral exponents of synthesised noise, from white (0) to brown (2); level of the direct sound over a simulated tail.
_COLOURS, _DIRECT_DB, _FIRST_REFLECTION_SECONDS = (0.0, 2.0), (-3.0, 12.0), (0.002, 0.02)
_TELEPHONE_RATE, _TELEPHONE_LOWEST, _TELEPHONE_HIGHEST, _MU = 8000, 300.0, 3400.0, 255.0
# Decoded recordings of noise and of rooms that a process keeps.
_KEPT_RECORDINGS = 32


def change_speed(samples: Samples, speed: float) -> Samples:
    """Change the speed, and the pitch with it.

    Parameters
    ----------
    samples : float32 [shape=(samples,)]
    speed : float > 0
        1.1 makes the recording a tenth faster.

    Returns
    -------
    float32 [shape=(about samples / speed,)]

    Notes
    -----
    Source: T. Ko et al., "Audio Augmentation for Speech Recognition", Interspeech 2015.
    """
    return resample(samples, speed, 1.0)


def dither(samples: Samples, deviation: float, rng: np.random.Generator) -> Samples:
    """Add white noise of a standard deviation (full scale is 1) to float32 samples [shape=(samples,)]."""
    noisy: Samples = samples + deviation * rng.standard_normal(len(samples), np.float32)
    return noisy


def change_gain(samples: Samples, gain_db: float) -> Samples:
    """Change the level of float32 samples [shape=(samples,)] by some dB."""
    louder: Samples = samples * np.float32(10 ** (gain_db / 20))
    return louder


def coloured_noise(count: int, exponent: float, rng: np.random.Generator) -> Samples:
    """Noise whose power falls with frequency.

    Parameters
    ----------
    count : int > 0
        Samples.
    exponent : float
        Power goes with 1 / frequency ** exponent: 0 is white, 1 pink, 2 brown.
    rng : numpy.random.Generator

    Returns
    -------
    float32 [shape=(count,)]
        Of no particular level.

    Notes
    -----
    Source: J. Timmer, M. Koenig, "On generating power law noise", Astronomy and Astrophysics 300, 1995.
    """
    bins = count // 2 + 1
    spectrum = rng.standard_normal(bins) + 1j * rng.standard_normal(bins)
    spectrum *= np.maximum(np.arange(bins), 1) ** (-exponent / 2)
    spectrum[0] = 0
    return np.fft.irfft(spectrum, n=count).astype(np.float32)


def add_noise(samples: Samples, noise: Samples, snr_db: float, rng: np.random.Generator) -> Samples:
    """Mix noise into speech.

    Parameters
    ----------
    samples : float32 [shape=(samples,)]
    noise : float32 [shape=(any,)]
        From a random point on; repeated if it is shorter than the speech.
    snr_db : float
        Mean power of the speech over that of the noise, in dB.
    rng : numpy.random.Generator

    Returns
    -------
    float32 [shape=(samples,)]
        Silence, and a noise that is silent, leave the samples as they are.
    """
    if len(noise) > len(samples):
        start = int(rng.integers(0, len(noise) - len(samples) + 1))
        chosen = noise[start : start + len(samples)]
    else:
        start = int(rng.integers(0, max(1, len(noise))))
        chosen = np.resize(np.roll(noise, -start), len(samples))
    powers = [float(np.mean(np.square(one, dtype=np.float64))) for one in (samples, chosen)]
    if min(powers) <= 0:
        return samples
    mixed: Samples = samples + chosen * np.float32(np.sqrt(powers[0] / powers[1] / 10 ** (snr_db / 10)))
    return mixed


def simulate_response(reverb_seconds: float, sample_rate: int, rng: np.random.Generator) -> Samples:
    """Simulate the impulse response of a room.

    Parameters
    ----------
    reverb_seconds : float > 0
        Time in which the reverberation falls by 60 dB.
    sample_rate : int
        Hz.
    rng : numpy.random.Generator
        Draws the tail, its delay, and its level against the direct sound.

    Returns
    -------
    float32 [shape=(about reverb_seconds * sample_rate,)]
        The direct sound, 1, comes first; after a pause of 2 to 20 ms a decaying tail of noise.

    Notes
    -----
    Source: J.-D. Polack's statistical model ("La transmission de l'energie sonore dans les salles", 1988), the direct
    sound 3 dB below to 12 dB above the tail.
    """
    times = np.arange(max(1, int(reverb_seconds * sample_rate))) / sample_rate
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / reverb_seconds)
    tail[times < rng.uniform(*_FIRST_REFLECTION_SECONDS)] = 0
    energy = float(np.sum(tail**2))
    if energy > 0:
        tail *= np.sqrt(10 ** (-rng.uniform(*_DIRECT_DB) / 10) / energy)
    tail[0] = 1
    return tail.astype(np.float32)


def reverberate(samples: Samples, response: Samples) -> Samples:
    """Convolve speech with the impulse response of a room.

    Parameters
    ----------
    samples : float32 [shape=(samples,)]
    response : float32 [shape=(any,)]
        Impulse response; everything before its highest peak, the direct sound, is removed, so that the speech is
        not shifted in time.

    Returns
    -------
    float32 [shape=(samples,)]
        With the power of `samples`; the tail past the end is cut.
    """
    response = response[int(np.argmax(np.abs(response))) :]
    size = 1 << (len(samples) + len(response) - 2).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    wet = np.fft.irfft(spectrum, size)[: len(samples)]
    power = float(np.mean(wet**2))
    if power > 0:
        wet *= np.sqrt(float(np.mean(np.square(samples, dtype=np.float64))) / power)
    return wet.astype(np.float32)


def telephone(samples: Samples, sample_rate: int) -> Samples:
    """Simulate an old telephone line.

    Parameters
    ----------
    samples : float32 [shape=(samples,)]
    sample_rate : int
        Hz.

    Returns
    -------
    float32 [shape=(samples,)]
        300 to 3400 Hz, at 8 kHz, in 8 bits of mu-law.

    Notes
    -----
    Source: ITU-T G.711 (mu-law, its continuous curve) and G.712 (the band).
    """
    line = resample(samples, sample_rate, _TELEPHONE_RATE)
    spectrum = np.fft.rfft(line)
    frequencies = np.fft.rfftfreq(len(line), 1 / _TELEPHONE_RATE)
    spectrum[(frequencies < _TELEPHONE_LOWEST) | (frequencies > _TELEPHONE_HIGHEST)] = 0
    line = np.clip(np.fft.irfft(spectrum, len(line)), -1, 1)
    curve = np.sign(line) * np.log1p(_MU * np.abs(line)) / np.log1p(_MU)
    curve = np.round(curve * 127) / 127
    line = np.sign(curve) * np.expm1(np.abs(curve) * np.log1p(_MU)) / _MU
    received = resample(line.astype(np.float32), _TELEPHONE_RATE, sample_rate)
    return np.pad(received, (0, max(0, len(samples) - len(received))))[: len(samples)]


def mask_frames(frames: Frames, settings: AugmentConfig, rng: np.random.Generator) -> Frames:
    """SpecAugment: set bands of mels and spans of frames to 0, the mean of normalised features.

    Parameters
    ----------
    frames : float32 [shape=(frames, mels)]
        Normalised; not changed.
    settings : AugmentConfig
    rng : numpy.random.Generator

    Returns
    -------
    float32 [shape=(frames, mels)]

    Notes
    -----
    Source: D. Park et al., "SpecAugment", Interspeech 2019, section 2, without time warping.
    """
    frames = frames.copy()
    count, mels = frames.shape
    widest = min(settings.frequency_mask_mels, mels)
    longest = min(settings.time_mask_frames, int(settings.time_mask_share * count))
    for _ in range(settings.frequency_masks):
        width = int(rng.integers(0, widest + 1))
        start = int(rng.integers(0, mels - width + 1))
        frames[:, start : start + width] = 0
    for _ in range(settings.time_masks):
        length = int(rng.integers(0, longest + 1))
        start = int(rng.integers(0, count - length + 1))
        frames[start : start + length] = 0
    return frames


@dataclass(frozen=True, slots=True)
class Variation:
    """The variations that are applied to the samples of an utterance."""

    names: tuple[str, ...] = ()
    """keys of `VARIATIONS`, in the order in which they are applied"""


@dataclass(frozen=True)
class Augmenter:
    """Draws and applies the variations of samples in `VARIATIONS`.

    Parameters
    ----------
    settings : AugmentConfig
    sample_rate : int
        Hz.
    noises, responses : sequences of Path or AudioSegment
        Recordings of noise, and impulse responses of rooms; where there are none they are synthesised.
    """

    settings: AugmentConfig
    sample_rate: int
    noises: Sequence[AudioSource] = ()
    responses: Sequence[AudioSource] = ()

    def draw(self, rng: np.random.Generator) -> Variation:
        """Draw the variations of one utterance."""
        draws = rng.random(len(VARIATIONS))  # one for each, so that no setting changes the draws of the others
        return Variation(
            tuple(
                name
                for drawn, (name, (probability, _)) in zip(draws, VARIATIONS.items(), strict=True)
                if drawn < getattr(self.settings, probability)
            )
        )

    def apply(self, samples: Samples, variation: Variation, rng: np.random.Generator) -> Samples:
        """Samples [shape=(samples,)] after augmentation, as many as before.

        Raises
        ------
        AudioError
            If a recording of noise or of a room cannot be read.
        """
        for name in variation.names:
            _, change = VARIATIONS[name]
            samples = change(self, samples, rng)
        return samples

    def change_level(self, samples: Samples, rng: np.random.Generator) -> Samples:
        """Samples [shape=(samples,)] whose level is changed by a drawn amount."""
        return change_gain(samples, _between(self.settings.gain_db, rng))

    def _add_room(self, samples: Samples, rng: np.random.Generator) -> Samples:
        if self.responses:
            response = _recording(self.responses[int(rng.integers(len(self.responses)))], self.sample_rate)
        else:
            response = simulate_response(_between(self.settings.reverb_seconds, rng), self.sample_rate, rng)
        return reverberate(samples, response)

    def _add_noise(self, samples: Samples, rng: np.random.Generator) -> Samples:
        if self.noises:
            noise = _recording(self.noises[int(rng.integers(len(self.noises)))], self.sample_rate)
        else:
            noise = coloured_noise(len(samples), _between(_COLOURS, rng), rng)
        return add_noise(samples, noise, _between(self.settings.noise_snr_db, rng), rng)

    def _telephone(self, samples: Samples, rng: np.random.Generator) -> Samples:
        return telephone(samples, self.sample_rate)


VARIATIONS: dict[str, tuple[str, Callable[[Augmenter, Samples, np.random.Generator], Samples]]] = {
    "room": ("reverb_probability", Augmenter._add_room),
    "noise": ("noise_probability", Augmenter._add_noise),
    "telephone": ("telephone_probability", Augmenter._telephone),
    "level": ("gain_probability", Augmenter.change_level),
}
"""each variation of samples, in the order of application: the setting with its probability, and its function"""


def _between(bounds: Sequence[float], rng: np.random.Generator) -> float:
    low, high = bounds
    return rng.uniform(low, high)


@lru_cache(maxsize=_KEPT_RECORDINGS)
def _recording(source: AudioSource, sample_rate: int) -> Samples:
    samples = shared_readers().load(source, sample_rate=sample_rate)
    if not samples.any():
        raise AudioError(split_source(source)[0], "is silent: it is neither a noise nor an impulse response")
    return samples
