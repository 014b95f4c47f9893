"""Makes batches of features from utterances: what augments them is drawn anew in every epoch."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asr.acoustic.steps import count_frames, count_steps, fitting_speeds, step_counts
from asr.audio.augment import Augmenter, Variation, change_speed, dither, mask_frames
from asr.audio.features import Frames, LogMel
from asr.audio.load import Samples, load_audio
from asr.audio.segment import AudioSource, split_source
from asr.corpus.batching import Batch, PlannedBatch, collate
from asr.corpus.manifest import Utterance
from asr.errors import AudioError, ConfigError
from asr.files import typed_path, write_atomically
from asr.settings.features import FeatureConfig
from asr.settings.model import ModelConfig
from asr.text.alphabet import Alphabet, steps_needed

# Tell the generators of speeds and of companions, one an epoch, from those of masks, one an utterance.
_SPEEDS, _COMPANIONS = 2**31, 2**31 + 1
_ALONE = -1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch, and what became of the utterances that were planned for it."""

    batch: Batch
    indices: tuple[int, ...]
    """the utterance of each row; rows past these are empty"""
    left_out: tuple[str, ...]
    """why each of the others is missing"""
    notes: tuple[str, ...] = ()
    """what else a user should know"""


@dataclass(frozen=True, slots=True)
class Shown:
    """An utterance as a training hears it."""

    utterance: Utterance
    changes: list[str]
    """what was done to its sound"""
    samples: Samples
    """float32 [shape=(samples,)], at the sample rate of the features"""
    before: Frames
    """float32 [shape=(frames, mels)], normalised, of the recording as it is"""
    after: Frames
    """of what the network gets, masks and all"""


def _own_speed(speeds: Sequence[float]) -> float:
    """That of the recording, where its label fits as it also does at a higher speed, else the highest that it fits."""
    return min(1.0, max(speeds))


class FeatureCache:
    """Features of clean speech on disk, by recording, speed and settings, before normalisation, as float16."""

    def __init__(self, folder: str | Path, settings: FeatureConfig) -> None:
        if settings.dither:
            raise ConfigError(
                "features.dither with data.cache_dir would freeze the noise: set one of them to 0 or null"
            )
        self._folder = typed_path(folder)
        parts = {key: str(value) for key, value in asdict(settings).items() if key != "normalization"}
        self._settings = json.dumps(parts, sort_keys=True)

    def path(self, source: AudioSource, speed: float) -> Path:
        """Where the features of a recording or segment are kept; a recording that changes gets another path."""
        audio_path, segment = split_source(source)
        status = audio_path.stat()
        key = f"{audio_path.resolve()}\n{status.st_size}\n{status.st_mtime_ns}\n{speed}\n{self._settings}"
        if segment is not None:
            key += f"\n{segment.offset}\n{segment.duration}"
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        return self._folder / digest[:2] / f"{digest}.npy"

    @staticmethod
    def read(path: Path) -> Frames | None:
        """Cached features, or None where there are none or a file is damaged."""
        try:
            frames: Frames = np.load(path, allow_pickle=False).astype(np.float32)
        except (OSError, ValueError, EOFError):
            return None
        return frames

    @staticmethod
    def write(path: Path, frames: Frames) -> None:
        """Keep features for the next epoch."""
        buffer = io.BytesIO()
        np.save(buffer, frames.astype(np.float16))
        write_atomically(path, buffer.getvalue())


class Examples:
    """The utterances of one part of the data, as batches of features and labels.

    Parameters
    ----------
    utterances : sequence of Utterance
        With normalised texts.
    alphabet : Alphabet
    log_mel : LogMel
    model : ModelConfig
        Decides which speeds leave an utterance steps enough for its label.
    augmenter : Augmenter, optional
        None for validation data: nothing is varied.
    cache_dir : str, optional
        Folder for features of clean speech.
    seed : int
    phone_labels : sequence of lists of int, optional
        Of each utterance, for a model with an output layer over phones.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        alphabet: Alphabet,
        log_mel: LogMel,
        model: ModelConfig,
        *,
        augmenter: Augmenter | None = None,
        cache_dir: str | None = None,
        seed: int = 0,
        phone_labels: Sequence[list[int]] | None = None,
    ) -> None:
        self.utterances = utterances
        self.labels = [alphabet.encode(utterance.text or "") for utterance in utterances]
        self.phone_labels = phone_labels
        self._log_mel = log_mel
        self._model = model
        self._augmenter = augmenter
        self._cache = FeatureCache(cache_dir, log_mel.settings) if cache_dir else None
        self._seed = seed
        self._alphabet = alphabet
        self._drawn: tuple[int, npt.NDArray[np.float64]] = (-1, np.array([]))
        self._joined: tuple[int, npt.NDArray[np.int64]] = (-1, np.array([], np.int64))
        self._notes: list[str] = []
        speeds = augmenter.settings.speeds if augmenter else [1.0]
        self._speeds = [
            fitting_speeds(label, seconds, speeds, log_mel.settings, model)
            for label, seconds in zip(self.labels, self.seconds, strict=True)
        ]
        self._changed_share = augmenter.settings.speed_probability if augmenter else 0.0

    @property
    def seconds(self) -> list[float]:
        """Duration of each utterance."""
        return [utterance.duration or 0.0 for utterance in self.utterances]

    def speeds(self, epoch: int) -> npt.NDArray[np.float64]:
        """The speed at which each utterance is played in one epoch [shape=(utterances,)]."""
        if self._drawn[0] != epoch:
            rng = np.random.default_rng([self._seed, epoch, _SPEEDS])
            draws, chances = rng.random((2, len(self.utterances)))
            speeds = [
                fit[int(draw * len(fit))] if chance < self._changed_share else _own_speed(fit)
                for fit, draw, chance in zip(self._speeds, draws, chances, strict=True)
            ]
            self._drawn = epoch, np.array(speeds)
        return self._drawn[1]

    def companions(self, epoch: int) -> npt.NDArray[np.int64]:
        """The utterance that follows each one in the same example in one epoch, or -1 [shape=(utterances,)]."""
        if self._joined[0] != epoch:
            count = len(self.utterances)
            companions = np.full(count, _ALONE)
            settings, features = self._augmenter.settings if self._augmenter else None, self._log_mel.settings
            if settings and settings.join_probability:
                rng = np.random.default_rng([self._seed, epoch, _COMPANIONS])
                chances, candidates = rng.random(count), rng.integers(count, size=count)
                seconds = np.array(self.seconds) / self.speeds(epoch)
                fit = seconds + seconds[candidates] <= settings.join_seconds
                for index in np.flatnonzero((chances < settings.join_probability) & fit).tolist():
                    other = int(candidates[index])
                    steps = count_steps(seconds[index] + seconds[other], 1.0, features, self._model)
                    if steps >= steps_needed(self._joined_label(index, other)):
                        companions[index] = other
            self._joined = epoch, companions
        return self._joined[1]

    def frame_counts(self, epoch: int) -> npt.NDArray[np.int64]:
        """The frames that each utterance makes in one epoch, by its header [shape=(utterances,)]."""
        seconds = np.array(self.seconds) / self.speeds(epoch)
        companions = self.companions(epoch)
        seconds += np.where(companions == _ALONE, 0, seconds[companions])
        return np.array([count_frames(one, 1.0, self._log_mel.settings) for one in seconds])

    def lengths(self, epochs: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Frames and symbols of every utterance in each of the first epochs, side by side [shape=(lengths,)]."""
        frames = [self.frame_counts(epoch) for epoch in range(epochs)]
        symbols = [[len(self.label(index, epoch)) for index in range(len(self.labels))] for epoch in range(epochs)]
        return np.concatenate(frames), np.concatenate(symbols)

    def label(self, index: int, epoch: int) -> list[int]:
        """The symbols of an utterance, and of the one that follows it in the same example."""
        companion = int(self.companions(epoch)[index])
        return self.labels[index] if companion == _ALONE else self._joined_label(index, companion)

    def _phones(self, index: int, epoch: int) -> list[int]:
        """The phones of an utterance, and of the one that follows it in the same example; none without such labels."""
        if self.phone_labels is None:
            return []
        companion = int(self.companions(epoch)[index])
        return self.phone_labels[index] + ([] if companion == _ALONE else self.phone_labels[companion])

    def _joined_label(self, first: int, second: int) -> list[int]:
        parts = [self.labels[index] for index in (first, second)]
        between = self._alphabet.encode(self._alphabet.separator) if all(parts) else []
        return parts[0] + between + parts[1]

    def prepare(self, planned: PlannedBatch, epoch: int, *, fixed_shape: bool = False) -> Prepared:
        """Features and labels of some utterances, as they are in one epoch.

        Parameters
        ----------
        planned : PlannedBatch
        epoch : int
            Draws the variations, together with the seed and each utterance's index: not the order of the calls.
        fixed_shape : bool
            Whether to pad to the planned shape, or to the longest alone.

        Returns
        -------
        Prepared
            A recording that can no longer be read is left out, and said.

        Raises
        ------
        AudioError
            If none of the recordings can be read.
        """
        frames, labels, phones, indices, left_out = [], [], [], [], []
        failure: AudioError | None = None
        for index in planned.indices:
            try:
                one, label, spoken = self._frames(index, epoch), self.label(index, epoch), self._phones(index, epoch)
                steps = int(step_counts(len(one), self._model))
                if steps < max(steps_needed(label), steps_needed(spoken)):
                    # The header promised more audio than there is: CTC would give infinity.
                    path = self.utterances[index].audio_path
                    raise AudioError(path, f"makes {steps} steps, too few for its label")
            except AudioError as error:
                left_out.append(str(error))
                failure = error
            else:
                frames.append(one)
                labels.append(label)
                phones.append(spoken)
                indices.append(index)
        if failure and not frames:
            raise failure
        batch = collate(
            frames,
            labels,
            planned.shape if fixed_shape else None,
            phones=None if self.phone_labels is None else phones,
        )
        notes, self._notes = tuple(self._notes), []
        return Prepared(batch, tuple(indices), tuple(left_out), notes)

    def show(self, index: int, epoch: int) -> Shown:
        """What a training hears of an utterance in an epoch, for ears and eyes.

        Raises
        ------
        AudioError
            If the recording cannot be read.
        """
        speed, source = self._speed(index, epoch), self.utterances[index].audio
        rng = np.random.default_rng([self._seed, epoch, index])
        variation = self._augmenter.draw(rng) if self._augmenter else Variation()
        samples = self._samples(index, epoch, rng, variation)
        before = self._log_mel(load_audio(source, sample_rate=self._log_mel.settings.sample_rate))
        companion = int(self.companions(epoch)[index])
        names = ([f"speed {speed:g}"] if speed != 1 else []) + variation.names
        if companion != _ALONE:
            names.append(f"then {self.utterances[companion].id}")
        return Shown(self.utterances[index], names, samples, before, self._frames(index, epoch))

    def _speed(self, index: int, epoch: int) -> float:
        return float(self.speeds(epoch)[index])

    def _frames(self, index: int, epoch: int) -> Frames:
        rng = np.random.default_rng([self._seed, epoch, index])
        if not self._augmenter:
            return self._log_mel.normalize(self._unmasked(index, epoch, rng, Variation()))
        variation = self._augmenter.draw(rng)
        frames = self._log_mel.normalize(self._unmasked(index, epoch, rng, variation))
        settings = self._augmenter.settings
        return mask_frames(frames, settings, rng) if rng.random() < settings.mask_probability else frames

    def _unmasked(self, index: int, epoch: int, rng: np.random.Generator, variation: Variation) -> Frames:
        """Features before normalisation and masks; those of one clean utterance may come from the cache."""
        place = None
        if self._cache and not variation.names and self.companions(epoch)[index] == _ALONE:
            utterance = self.utterances[index]
            try:
                place = self._cache.path(utterance.audio, self._speed(index, epoch))
            except OSError as error:
                raise AudioError(utterance.audio_path, f"cannot be read ({error.strerror})") from error
            if (frames := self._cache.read(place)) is not None:
                return frames
        frames = self._log_mel.log_mel(self._samples(index, epoch, rng, variation))
        if self._cache and place:
            try:
                self._cache.write(place, frames)
            except OSError as error:
                self._cache = None
                self._notes.append(f"data.cache_dir cannot be written ({error.strerror}): going on without it")
        return frames

    def _samples(self, index: int, epoch: int, rng: np.random.Generator, variation: Variation) -> Samples:
        """What is heard of an utterance and, each at a level and in surroundings of its own, of its companion."""
        samples = self._alone(index, epoch, rng, variation)
        companion = int(self.companions(epoch)[index])
        if self._augmenter and companion != _ALONE:
            other = self._alone(companion, epoch, rng, self._augmenter.draw(rng))
            samples = np.concatenate([samples, self._augmenter.change_level(other, rng)])
        if self._log_mel.settings.dither and self._augmenter:
            samples = dither(samples, self._log_mel.settings.dither, rng)
        return samples

    def _alone(self, index: int, epoch: int, rng: np.random.Generator, variation: Variation) -> Samples:
        source, sample_rate = self.utterances[index].audio, self._log_mel.settings.sample_rate
        samples = change_speed(load_audio(source, sample_rate=sample_rate), self._speed(index, epoch))
        return self._augmenter.apply(samples, variation, rng) if self._augmenter else samples


def corpus_statistics(examples: Examples, *, seed: int, most: int = 500) -> tuple[Frames, Frames]:
    """Mean and standard deviation of every mel band over a random sample of utterances, clean and unnormalised.

    Returns
    -------
    mean, deviation : float32 [shape=(mels,)]
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(examples.utterances))[:most]
    total = squares = np.zeros(examples._log_mel.settings.mels)
    count = 0
    for index in chosen:
        frames = examples._unmasked(index, 0, rng, Variation()).astype(np.float64)
        total = total + frames.sum(axis=0)
        squares = squares + (frames**2).sum(axis=0)
        count += len(frames)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean.astype(np.float32), deviation.astype(np.float32)
