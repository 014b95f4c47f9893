"""Makes batches of features from utterances: speed, dither and masks are drawn anew in every epoch."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from asr.acoustic.steps import step_counts
from asr.audio.augment import change_speed, dither, mask_frames
from asr.audio.features import Frames, LogMel, frame_count
from asr.audio.load import load_audio
from asr.config import AugmentConfig, FeatureConfig, ModelConfig
from asr.corpus.batching import Batch, collate
from asr.corpus.manifest import Utterance
from asr.errors import AudioError, ConfigError
from asr.files import write_atomically
from asr.text.alphabet import Alphabet, steps_needed

_log = logging.getLogger(__name__)


def count_steps(seconds: float, speed: float, features: FeatureConfig, model: ModelConfig) -> int:
    """Model steps of a recording of some seconds, played at a speed."""
    return int(step_counts(frame_count(int(seconds / speed * features.sample_rate), features), model))


def fitting_speeds(
    label: Sequence[int], seconds: float, speeds: Sequence[float], features: FeatureConfig, model: ModelConfig
) -> list[float]:
    """Those of some speeds at which a recording leaves CTC enough steps for its label.

    A fast talker's label may fit as it was recorded and no longer when it is sped up.
    """
    needed = steps_needed(label)
    return [speed for speed in speeds if count_steps(seconds, speed, features, model) >= needed]


class FeatureCache:
    """Features of clean speech on disk, by recording, speed and settings, before normalisation, as float16."""

    def __init__(self, folder: str | Path, settings: FeatureConfig) -> None:
        if settings.dither:
            raise ConfigError(
                "features.dither with data.cache_dir would freeze the noise: set one of them to 0 or null"
            )
        self._folder = Path(folder).expanduser()
        parts = {key: str(value) for key, value in asdict(settings).items() if key != "normalization"}
        self._settings = json.dumps(parts, sort_keys=True)

    def path(self, audio_path: Path, speed: float) -> Path:
        """Where the features of a recording are kept; a recording that changes gets another path."""
        status = audio_path.stat()
        key = f"{audio_path.resolve()}\n{status.st_size}\n{status.st_mtime_ns}\n{speed}\n{self._settings}"
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
    augment : AugmentConfig, optional
        None for validation data: nothing is varied.
    cache_dir : str, optional
        Folder for features of clean speech.
    seed : int
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        alphabet: Alphabet,
        log_mel: LogMel,
        model: ModelConfig,
        *,
        augment: AugmentConfig | None = None,
        cache_dir: str | None = None,
        seed: int = 0,
    ) -> None:
        self.utterances = utterances
        self.labels = [alphabet.encode(utterance.text or "") for utterance in utterances]
        self._log_mel = log_mel
        self._model = model
        self._augment = augment
        self._cache = FeatureCache(cache_dir, log_mel.settings) if cache_dir else None
        self._seed = seed
        self._speeds = [
            fitting_speeds(label, seconds, augment.speeds if augment else [1.0], log_mel.settings, model)
            for label, seconds in zip(self.labels, self.seconds, strict=True)
        ]

    @property
    def seconds(self) -> list[float]:
        """Duration of each utterance."""
        return [utterance.duration or 0.0 for utterance in self.utterances]

    def batch(self, indices: Sequence[int], epoch: int) -> Batch:
        """Features and labels of some utterances, as they are in one epoch.

        Parameters
        ----------
        indices : sequence of int
        epoch : int
            Draws the variations, together with the seed and each utterance's index: not the order of the calls.

        Returns
        -------
        Batch
            A recording that can no longer be read is left out, with a warning.

        Raises
        ------
        AudioError
            If none of the recordings can be read.
        """
        frames, labels = [], []
        failure: AudioError | None = None
        for index in indices:
            try:
                one = self._frames(index, epoch)
                steps = int(step_counts(len(one), self._model))
                if steps < steps_needed(self.labels[index]):
                    # The header promised more audio than there is: CTC would give infinity.
                    path = self.utterances[index].audio_path
                    raise AudioError(path, f"makes {steps} steps, too few for its label")
            except AudioError as error:
                _log.warning("left out of a batch: %s", error)
                failure = error
            else:
                frames.append(one)
                labels.append(self.labels[index])
        if failure and not frames:
            raise failure
        return collate(frames, labels)

    def _frames(self, index: int, epoch: int) -> Frames:
        rng = np.random.default_rng([self._seed, epoch, index])
        path = self.utterances[index].audio_path
        speed = float(rng.choice(self._speeds[index])) if self._augment else 1.0
        frames = self._log_mel.normalize(self._clean(path, speed, rng))
        return mask_frames(frames, self._augment, rng) if self._augment else frames

    def _clean(self, path: Path, speed: float, rng: np.random.Generator) -> Frames:
        place = None
        if self._cache:
            try:
                place = self._cache.path(path, speed)
            except OSError as error:
                raise AudioError(path, f"cannot be read ({error.strerror})") from error
            if (frames := self._cache.read(place)) is not None:
                return frames
        settings = self._log_mel.settings
        samples = change_speed(load_audio(path, sample_rate=settings.sample_rate), speed)
        if settings.dither and self._augment:
            samples = dither(samples, settings.dither, rng)
        frames = self._log_mel.log_mel(samples)
        if self._cache and place:
            self._cache.write(place, frames)
        return frames


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
        frames = examples._clean(examples.utterances[index].audio_path, 1.0, rng).astype(np.float64)
        total = total + frames.sum(axis=0)
        squares = squares + (frames**2).sum(axis=0)
        count += len(frames)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean.astype(np.float32), deviation.astype(np.float32)
