"""The output of a teacher for the utterances of a training, which the model learns to give too (distillation)."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asr.acoustic.outputs import PHONES, output_slices
from asr.acoustic.runtime import AcousticModel
from asr.audio.augment import change_speed
from asr.audio.readers import shared_readers
from asr.audio.segment import AudioSource, recording_key, split_source
from asr.bundle import Bundle, load_bundle
from asr.errors import AudioError, ConfigError
from asr.files import typed_path, write_atomically
from asr.settings.commands import TrainConfig
from asr.text.alphabet import BLANK
from asr.training.preflight import Corpus

Posteriors = npt.NDArray[np.float32]

# Codes of a byte are negative natural log-probabilities in sixteenths; the largest stands for 0.
_CODES_PER_NAT, _NEVER = 16, 255


class Teacher:
    """A bundle's posterior probabilities of recordings without augmentation.

    They are rounded to a byte each, whether they come from the cache or not: a training gives the same with an empty
    cache, a full one and none.

    Parameters
    ----------
    bundle : Bundle
    layers : sequence of slice
        Where the output layers that the model has too lie on the last axis of the bundle's output, in the model's
        order.
    delay : int >= 0
        Steps by which all is given later.
    cache_dir : str or Path, optional
        Folder for the output.
    """

    def __init__(
        self, bundle: Bundle, layers: Sequence[slice], *, delay: int = 0, cache_dir: str | Path | None = None
    ) -> None:
        self.bundle, self.delay = bundle, delay
        self._layers = layers
        self._blanks = np.cumsum([0, *(one.stop - one.start for one in layers)])
        self._cache = typed_path(cache_dir) if cache_dir else None
        self._digest = bundle.acoustic_digest
        self._engine: AcousticModel | None = None
        self.notes: list[str] = []
        """messages for the user, which the caller takes away"""

    def __getstate__(self) -> dict[str, Any]:
        """Without the engine: each process loads its own when it first needs one."""
        return self.__dict__ | {"_engine": None}

    @property
    def width(self) -> int:
        """Of all output layers together."""
        return int(self._blanks[-1])

    def posteriors(self, source: AudioSource, speed: float) -> Posteriors:
        """The probabilities of symbols at each step of a recording [shape=(steps, width)], without the delay.

        Raises
        ------
        AudioError
            If the recording cannot be read.
        """
        codes = self._codes(source, speed)
        probabilities = np.exp(codes.astype(np.float32) / -_CODES_PER_NAT)
        probabilities[codes == _NEVER] = 0
        for first, end in zip(self._blanks, self._blanks[1:], strict=False):
            probabilities[:, first:end] /= probabilities[:, first:end].sum(axis=1, keepdims=True)
        return probabilities

    def place(self, target: Posteriors, parts: Sequence[tuple[int, Posteriors]]) -> None:
        """Write the output for the recordings of an example into a row; steps beside them are certain blanks.

        Parameters
        ----------
        target : float32 [shape=(steps, width)]
            It is overwritten.
        parts : sequence of (int, float32 [shape=(steps, width)])
            For each recording, in order, the step at which it begins in the example, and its posteriors.
        """
        target[:] = 0
        target[:, self._blanks[:-1] + BLANK] = 1
        for first, posteriors in parts:
            first += self.delay
            end = min(len(target), first + len(posteriors))
            if first < end:
                target[first:end] = posteriors[: end - first]

    def _codes(self, source: AudioSource, speed: float) -> npt.NDArray[np.uint8]:
        path = None
        if self._cache:
            try:
                key = f"{self._digest}\n{recording_key(source)}\n{speed}\n{self._layers}"
            except OSError as error:
                raise AudioError(split_source(source)[0], f"cannot be read ({error.strerror})") from error
            digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
            path = self._cache / digest[:2] / f"{digest}.z"
            if (cached := self._read(path)) is not None:
                return cached
        codes = self._compute(source, speed)
        if self._cache and path:
            try:
                write_atomically(path, zlib.compress(codes.tobytes(), 1))
            except OSError as error:
                self._cache = None
                self.notes.append(
                    f"training.teacher_cache cannot be written ({error.strerror}): training continues without it"
                )
        return codes

    def _read(self, path: Path) -> npt.NDArray[np.uint8] | None:
        """Cached codes; None if there are none or the file is damaged."""
        try:
            return np.frombuffer(zlib.decompress(path.read_bytes()), np.uint8).reshape(-1, self.width)
        except (OSError, ValueError, zlib.error):
            return None

    def _compute(self, source: AudioSource, speed: float) -> npt.NDArray[np.uint8]:
        log_mel = self.bundle.log_mel
        if self._engine is None:
            self._engine = self.bundle.engine()
        samples = change_speed(shared_readers().load(source, sample_rate=log_mel.settings.sample_rate), speed)
        log_probs = self._engine.run(log_mel(samples))
        chosen = np.concatenate([log_probs[:, layer] for layer in self._layers], axis=1)
        codes: npt.NDArray[np.uint8] = np.minimum(np.rint(-_CODES_PER_NAT * chosen), _NEVER).astype(np.uint8)
        return codes


def load_teacher(settings: TrainConfig) -> Bundle | None:
    """The bundle that `training.teacher` names."""
    return load_bundle(settings.training.teacher) if settings.training.teacher else None


def make_teacher(settings: TrainConfig, corpus: Corpus, bundle: Bundle) -> Teacher:
    """The teacher of a training.

    Raises
    ------
    ConfigError
        If it has other symbols, phones, sample rate or steps, or lacks an output layer of the model.
    """
    mine, theirs = settings.features, bundle.log_mel.settings
    problems = []
    if bundle.alphabet != corpus.alphabet:
        problems.append("its alphabet is another one")
    if mine.sample_rate != theirs.sample_rate:
        problems.append(f"features.sample_rate is {theirs.sample_rate} there and {mine.sample_rate} here")
    steps = [
        features.hop_samples * model.subsampling for features, model in ((mine, settings.model), (theirs, bundle.model))
    ]
    if steps[0] != steps[1]:
        problems.append(f"a step has {steps[1]} samples there and {steps[0]} here")
    widths = {"symbols": corpus.alphabet.size, "phones": corpus.phones.size if corpus.phones else 0}
    wanted = output_slices(settings.model, **widths)
    found = output_slices(bundle.model, **(widths | {"phones": bundle.phones.size if bundle.phones else 0}))
    for name in wanted:
        if name not in found:
            problems.append(f"it has no output layer {name!r}")
        elif name == PHONES and bundle.phones != corpus.phones:
            problems.append("its phones are others")
    if problems:
        raise ConfigError(f"training.teacher={settings.training.teacher}: {'; '.join(problems)}")
    return Teacher(
        bundle,
        [found[name] for name in wanted],
        delay=settings.training.teacher_delay,
        cache_dir=settings.training.teacher_cache,
    )
