"""Makes batches of features and labels from utterances; the augmentation differs in every epoch."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.acoustic.steps import step_counts
from asr.audio.augment import Augmenter, Variation, change_speed, dither, mask_frames
from asr.audio.features import Frames, LogMel, frame_count
from asr.audio.load import Samples
from asr.audio.readers import shared_readers
from asr.audio.segment import AudioSource, recording_key
from asr.corpus.batching import Batch, PlannedBatch, Shape, collate
from asr.corpus.manifest import Utterance
from asr.errors import AudioError, ConfigError
from asr.files import typed_path, write_atomically
from asr.settings.features import FeatureConfig, Normalization
from asr.settings.model import ModelConfig
from asr.text.alphabet import BLANK, Alphabet, steps_needed
from asr.training.teacher import Teacher

# Seeds of the generators of speeds and of companions (one per epoch), apart from those of masks (one per utterance).
_SPEEDS, _COMPANIONS = 2**31, 2**31 + 1
_ALONE = -1
_OF_NORMALIZATION = ("normalization", "prior_seconds", "memory_seconds")
"""settings that features before normalisation do not depend on"""
# Running normalisation: this share of the utterances are the beginning of a stream, and the others come later in one.
_BEGINNINGS = 0.5
# Epochs whose draws are kept: the one in training, and the next, from which batches are prepared ahead.
_EPOCHS_KEPT = 2


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch, and which of the utterances planned for it are in it."""

    batch: Batch
    indices: tuple[int, ...]
    """the utterance of each row, one after another if it has several; rows past these are empty"""
    left_out: tuple[str, ...]
    """why each of the others is missing"""
    notes: tuple[str, ...] = ()
    """other messages for the user"""


@dataclass(frozen=True, slots=True)
class Shown:
    """An utterance before and after augmentation."""

    utterance: Utterance
    changes: list[str]
    """the changes of its audio"""
    samples: Samples
    """float32 [shape=(samples,)], at the sample rate of the features"""
    before: Frames
    """float32 [shape=(frames, mels)], normalised, of the unchanged recording"""
    after: Frames
    """float32 [shape=(frames, mels)], normalised, as the network gets them: augmented and masked"""


class FeatureCache:
    """Features of clean speech on disk, by recording, speed and settings, before normalisation, as float16."""

    def __init__(self, folder: str | Path, settings: FeatureConfig) -> None:
        if settings.dither:
            raise ConfigError(
                "features.dither with data.cache_dir would freeze the noise: set one of them to 0 or null"
            )
        self._folder = typed_path(folder)
        parts = {key: str(value) for key, value in asdict(settings).items() if key not in _OF_NORMALIZATION}
        self._settings = json.dumps(parts, sort_keys=True)

    def path(self, source: AudioSource, speed: float) -> Path:
        """The file of a recording's or segment's features; a recording that has changed gets another one."""
        key = f"{recording_key(source)}\n{speed}\n{self._settings}"
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        return self._folder / digest[:2] / f"{digest}.npy"

    @staticmethod
    def read(path: Path) -> Frames | None:
        """Cached features; None if there are none or the file is damaged."""
        try:
            frames: Frames = np.load(path, allow_pickle=False).astype(np.float32)
        except (OSError, ValueError, EOFError):
            return None
        return frames

    @staticmethod
    def write(path: Path, frames: Frames) -> None:
        """Store features for later epochs."""
        buffer = io.BytesIO()
        np.save(buffer, frames.astype(np.float16))
        write_atomically(path, buffer.getvalue())


class Examples:
    """The utterances of the training or the validation set, as batches of features and labels.

    Parameters
    ----------
    utterances : sequence of Utterance
        With normalised texts.
    alphabet : Alphabet
    log_mel : LogMel
    model : ModelConfig
        Decides at which speeds an utterance has enough steps for its label.
    augmenter : Augmenter, optional
        None for validation data, which is not augmented.
    cache_dir : str, optional
        Folder for features of clean speech.
    seed : int
    phone_labels : sequence of lists of int, optional
        Of each utterance, for a model with an output layer over phones.
    teacher : Teacher, optional
        Whose output the batches have too.
    copies : int >= 1
        Neighbouring rows for each utterance, with different masks.
    row_multiple : int >= 1
        Empty rows are added up to a multiple of it.

    Raises
    ------
    ValueError
        If an utterance has too few steps for its label at every speed; `read_corpus` leaves none of these.
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
        teacher: Teacher | None = None,
        copies: int = 1,
        row_multiple: int = 1,
    ) -> None:
        self.utterances = utterances
        self._copies, self._row_multiple = copies, row_multiple
        self._teacher = teacher
        self.phone_labels = phone_labels
        self.seconds = np.array([utterance.duration or 0.0 for utterance in utterances])
        """duration of each utterance [shape=(utterances,)]"""
        self._alphabet = alphabet
        self._log_mel = log_mel
        self._model = model
        self._augmenter = augmenter
        self._cache = FeatureCache(cache_dir, log_mel.settings) if cache_dir else None
        self._seed = seed
        self._drawn: dict[int, npt.NDArray[np.float64]] = {}
        self._joined: dict[int, npt.NDArray[np.int64]] = {}
        self._notes: list[str] = []
        # Labels are encoded when they are needed: kept, those of many hours would take more memory than their texts.
        measures = [
            (len(label), steps_needed(label), label[0] if label else BLANK, label[-1] if label else BLANK)
            for label in map(self.own_label, range(len(utterances)))
        ]
        self._symbols, self._steps_needed, self._first_symbols, self._last_symbols = (
            np.array(measures, np.int32).reshape(-1, 4).T
        )
        self._speeds = np.array(augmenter.settings.speeds if augmenter else [1.0], float)
        fits = np.stack([self._fits(self.seconds / speed, self._steps_needed) for speed in self._speeds], axis=1)
        if not fits.any(axis=1).all():
            first = utterances[int(np.argmin(fits.any(axis=1)))]
            raise ValueError(f"{first.where}: {first.id} has too few steps for its label at every speed")
        self._fitting = fits.sum(axis=1)
        # The fitting speeds of each utterance by their positions, in order, before the others.
        self._choices = np.argsort(~fits, axis=1, kind="stable").astype(np.int16)
        # The speed of the recording if its label fits at it or at a higher one, else the highest at which it fits.
        self._own_speeds = np.minimum(1.0, np.where(fits, self._speeds, -np.inf).max(axis=1))
        self._changed_share = augmenter.settings.speed_probability if augmenter else 0.0

    def _frame_counts(self, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        samples = (seconds * self._log_mel.settings.sample_rate).astype(np.int64)
        return frame_count(samples, self._log_mel.settings)

    def _fits(self, seconds: npt.NDArray[np.float64], needed: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Whether recordings of some seconds have as many steps as needed."""
        fits: npt.NDArray[np.bool_] = step_counts(self._frame_counts(seconds), self._model) >= needed
        return fits

    def speeds(self, epoch: int) -> npt.NDArray[np.float64]:
        """The speed at which each utterance is played in an epoch [shape=(utterances,)]."""
        if epoch not in self._drawn:
            count = len(self.utterances)
            rng = np.random.default_rng([self._seed, epoch, _SPEEDS])
            draws, chances = rng.random((2, count))
            drawn = self._choices[np.arange(count), (draws * self._fitting).astype(int)]
            changed = chances < self._changed_share
            _keep(self._drawn, epoch, np.where(changed, self._speeds[drawn], self._own_speeds))
        return self._drawn[epoch]

    def companions(self, epoch: int) -> npt.NDArray[np.int64]:
        """The utterance that follows each one in the same example in an epoch, or -1 [shape=(utterances,)]."""
        if epoch not in self._joined:
            count = len(self.utterances)
            companions = np.full(count, _ALONE)
            settings = self._augmenter.settings if self._augmenter else None
            if settings and settings.join_probability:
                rng = np.random.default_rng([self._seed, epoch, _COMPANIONS])
                chances, candidates = rng.random(count), rng.integers(count, size=count)
                seconds = self.seconds / self.speeds(epoch)
                both = seconds + seconds[candidates]
                chosen = (chances < settings.join_probability) & (both <= settings.join_seconds)
                chosen &= self._fits(both, self._joined_steps_needed(np.arange(count), candidates))
                companions[chosen] = candidates[chosen]
            _keep(self._joined, epoch, companions)
        return self._joined[epoch]

    def frame_counts(self, epoch: int) -> npt.NDArray[np.int64]:
        """The frames of each utterance in an epoch, computed from its header [shape=(utterances,)]."""
        seconds = self.seconds / self.speeds(epoch)
        companions = self.companions(epoch)
        seconds += np.where(companions == _ALONE, 0, seconds[companions])
        return self._frame_counts(seconds)

    def symbol_counts(self, epoch: int) -> npt.NDArray[np.int64]:
        """The symbols of each label in an epoch [shape=(utterances,)]."""
        companions = self.companions(epoch)
        separators = self._between(np.arange(len(companions)), companions) * len(self._separator)
        joined = self._symbols[companions] + separators
        return np.asarray(self._symbols + np.where(companions == _ALONE, 0, joined), np.int64)

    def own_label(self, index: int) -> list[int]:
        """The symbols of an utterance alone."""
        return self._alphabet.encode(self.utterances[index].text or "")

    def label(self, index: int, epoch: int) -> list[int]:
        """The symbols of an utterance, and of the one that follows it in the same example."""
        label, companion = self.own_label(index), int(self.companions(epoch)[index])
        if companion == _ALONE:
            return label
        between = self._separator if self._between(np.array(index), np.array(companion)) else []
        return label + between + self.own_label(companion)

    def _phones(self, index: int, epoch: int) -> list[int]:
        """The phones of an utterance, and of the one that follows it in the same example; none without such labels."""
        if self.phone_labels is None:
            return []
        companion = int(self.companions(epoch)[index])
        return self.phone_labels[index] + ([] if companion == _ALONE else self.phone_labels[companion])

    @property
    def _separator(self) -> list[int]:
        """The symbol between the labels of two joined utterances, if the alphabet separates words."""
        return self._alphabet.encode(self._alphabet.separator)

    def _between(self, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether both of two utterances have a label, so that a separator may be needed between them."""
        return np.asarray((self._symbols[first] > 0) & (self._symbols[second] > 0))

    def _joined_steps_needed(
        self, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int32]:
        """`steps_needed` of the labels of two utterances with the separator between them."""
        left, right, separator = self._last_symbols[first], self._first_symbols[second], self._separator
        if separator:
            between = len(separator) + (left == separator[0]).astype(np.int32) + (right == separator[-1])
        else:
            between = (left == right).astype(np.int32)
        needed = self._steps_needed[first] + self._steps_needed[second]
        return np.asarray(needed + np.where(self._between(first, second), between, 0), np.int32)

    def prepare(
        self, planned: PlannedBatch, epoch: int, *, fixed_shape: bool = False, may_be_empty: bool = False
    ) -> Prepared:
        """Features and labels of some utterances, as they are in one epoch.

        Parameters
        ----------
        planned : PlannedBatch
        epoch : int
            Together with the seed and each utterance's index it decides the augmentation; the order of calls does not.
        fixed_shape : bool
            Whether to pad to the planned shape; otherwise to the longest utterance and label.
        may_be_empty : bool
            For a part of a batch: if it has no utterance, it gets one row that holds none.

        Returns
        -------
        Prepared
            A recording that can no longer be read is left out, and named in `left_out`.

        Raises
        ------
        AudioError
            If none of the recordings can be read, unless the part may be empty.
        """
        frames, labels, phones, taught, indices, left_out = [], [], [], [], [], []
        failure: AudioError | None = None
        for index in planned.indices:
            try:
                rows, label, spoken = self._frames(index, epoch), self.label(index, epoch), self._phones(index, epoch)
                steps = int(step_counts(len(rows[0]), self._model))
                if steps < max(steps_needed(label), steps_needed(spoken)):
                    # There is less audio than the header states: the CTC loss would be infinite.
                    path = self.utterances[index].audio_path
                    raise AudioError(path, f"has {steps} steps, too few for its label")
                posteriors = self._taught(index, epoch)
            except AudioError as error:
                left_out.append(str(error))
                failure = error
            else:
                frames += rows
                labels += [label] * len(rows)
                phones += [spoken] * len(rows)
                taught += [posteriors] * len(rows)
                indices += [index] * len(rows)
        if failure and not frames and not may_be_empty:
            raise failure
        is_empty = not frames
        if is_empty:
            silence = np.zeros((self._model.subsampling, self._log_mel.settings.mels), np.float32)
            frames, labels, phones = [silence], [[]], [[]]
        batch = collate(
            frames,
            labels,
            self._shape(planned, len(frames), fixed_shape=fixed_shape),
            phones=None if self.phone_labels is None else phones,
        )
        if is_empty:
            batch = replace(batch, frame_counts=np.zeros_like(batch.frame_counts))
        if self._teacher:
            batch = replace(batch, teacher=self._teacher_rows(batch, taught))
        notes, self._notes = tuple(self._notes), []
        return Prepared(batch, tuple(indices), tuple(left_out), notes)

    def _shape(self, planned: PlannedBatch, rows: int, *, fixed_shape: bool) -> Shape:
        """The least size of a batch's arrays."""
        if fixed_shape:
            return replace(planned.shape, rows=planned.shape.rows * self._copies)
        return Shape(-(-rows // self._row_multiple) * self._row_multiple, frames=0, symbols=0)

    def pad(self, batch: Batch, frames: int) -> Batch:
        """A batch whose rows are padded to so many frames, if they have fewer."""
        rows, present, mels = batch.frames.shape
        if frames <= present:
            return batch
        padded = np.zeros((rows, frames, mels), np.float32)
        padded[:, :present] = batch.frames
        teacher = batch.teacher
        if teacher is not None:
            assert self._teacher is not None
            steps = teacher.shape[1]
            teacher = np.zeros((rows, int(step_counts(frames, self._model)), self._teacher.width), np.float32)
            teacher[:, :steps] = batch.teacher
            for row in teacher:
                self._teacher.place(row[steps:], [])
        return replace(batch, frames=padded, teacher=teacher)

    def _taught(self, index: int, epoch: int) -> list[tuple[int, npt.NDArray[np.float32]]]:
        """The teacher's output for an utterance, and for the one that follows it in the same example, each with the
        step at which it begins; none without a teacher."""
        if self._teacher is None:
            return []
        companion = int(self.companions(epoch)[index])
        parts = [(0, self._teacher.posteriors(self.utterances[index].audio, self._speed(index, epoch)))]
        if companion != _ALONE:
            settings = self._log_mel.settings
            seconds = self.seconds[index] / self._speed(index, epoch)
            begins = round(seconds * settings.sample_rate / (settings.hop_samples * self._model.subsampling))
            source, speed = self.utterances[companion].audio, self._speed(companion, epoch)
            parts.append((begins, self._teacher.posteriors(source, speed)))
        self._notes += self._teacher.notes
        self._teacher.notes.clear()
        return parts

    def _teacher_rows(
        self, batch: Batch, taught: Sequence[list[tuple[int, npt.NDArray[np.float32]]]]
    ) -> npt.NDArray[np.float32]:
        """The teacher's output for the rows of a batch [shape=(batch, steps, width)]; blanks past their ends."""
        assert self._teacher is not None
        rows, longest, _ = batch.frames.shape
        counts = step_counts(batch.frame_counts, self._model)
        result = np.zeros((rows, int(step_counts(longest, self._model)), self._teacher.width), np.float32)
        for row in range(rows):
            count = int(counts[row])
            self._teacher.place(result[row, :count], taught[row] if row < len(taught) else [])
            self._teacher.place(result[row, count:], [])
        return result

    def show(self, index: int, epoch: int) -> Shown:
        """An utterance as it is in an epoch: its audio, and its features before and after augmentation.

        Raises
        ------
        AudioError
            If the recording cannot be read.
        """
        speed, source = self._speed(index, epoch), self.utterances[index].audio
        rng = np.random.default_rng([self._seed, epoch, index])
        variation = self._augmenter.draw(rng) if self._augmenter else Variation()
        samples = self._samples(index, epoch, rng, variation)
        before = self._log_mel(shared_readers().load(source, sample_rate=self._log_mel.settings.sample_rate))
        companion = int(self.companions(epoch)[index])
        names = ([f"speed {speed:g}"] if speed != 1 else []) + list(variation.names)
        if companion != _ALONE:
            names.append(f"then {self.utterances[companion].id}")
        return Shown(self.utterances[index], names, samples, before, self._frames(index, epoch)[0])

    def _speed(self, index: int, epoch: int) -> float:
        return float(self.speeds(epoch)[index])

    def _frames(self, index: int, epoch: int) -> list[Frames]:
        """The features of the rows of an utterance, which differ in their masks alone."""
        rng = np.random.default_rng([self._seed, epoch, index])
        if not self._augmenter:
            return [self._log_mel.normalize(self._unmasked(index, epoch, rng, Variation()))] * self._copies
        variation = self._augmenter.draw(rng)
        frames = self._unmasked(index, epoch, rng, variation)
        frames = self._log_mel.normalize(frames, earlier=self._earlier_seconds(rng))
        settings = self._augmenter.settings
        return [
            mask_frames(frames, settings, rng) if rng.random() < settings.mask_probability else frames
            for _ in range(self._copies)
        ]

    def _earlier_seconds(self, rng: np.random.Generator) -> float:
        """For running normalisation, how much of the stream has gone before an utterance."""
        settings = self._log_mel.settings
        if settings.normalization is not Normalization.running or rng.random() < _BEGINNINGS:
            return 0.0
        return rng.uniform(0, settings.memory_seconds)

    def _unmasked(self, index: int, epoch: int, rng: np.random.Generator, variation: Variation) -> Frames:
        """Features before normalisation and masks; from the cache if the utterance is clean and not joined."""
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
                self._notes.append(
                    f"data.cache_dir cannot be written ({error.strerror}): training continues without it"
                )
        return frames

    def _samples(self, index: int, epoch: int, rng: np.random.Generator, variation: Variation) -> Samples:
        """The samples of an utterance and of its companion, each augmented separately."""
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
        samples = change_speed(shared_readers().load(source, sample_rate=sample_rate), self._speed(index, epoch))
        return self._augmenter.apply(samples, variation, rng) if self._augmenter else samples


def _keep(cache: dict[int, Any], epoch: int, value: Any) -> None:
    """Add an epoch's value to a cache of a few epochs, and drop the one that was added first."""
    while len(cache) >= _EPOCHS_KEPT:
        del cache[next(iter(cache))]
    cache[epoch] = value


def corpus_statistics(examples: Examples, *, seed: int, most: int = 500) -> tuple[Frames, Frames]:
    """Mean and standard deviation of every mel band over a random sample of utterances, without augmentation.

    Returns
    -------
    mean, deviation : float32 [shape=(mels,)]
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(examples.utterances))[:most]
    total = squares = np.zeros(examples._log_mel.settings.mels)
    count, failure = 0, None
    for index in chosen:
        try:
            frames = examples._unmasked(index, 0, rng, Variation()).astype(np.float64)
        except AudioError as error:  # the epochs leave it out too, and name it
            failure = error
            continue
        total = total + frames.sum(axis=0)
        squares = squares + (frames**2).sum(axis=0)
        count += len(frames)
    if failure and not count:
        raise failure
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean.astype(np.float32), deviation.astype(np.float32)
