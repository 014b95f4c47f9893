"""Saves the model of a run: checkpoints and their timing, bundles, and batches whose loss is not finite."""

from __future__ import annotations

import io
import logging
import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np

from asr.acoustic.keras_model import read_weights
from asr.audio.features import LogMel
from asr.bundle import BUNDLE_FILES, Bundle, save_bundle
from asr.evaluation.scoring import Score
from asr.files import write_atomically
from asr.settings.commands import TrainConfig
from asr.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from asr.training.engine import Engine
from asr.training.epoch_record import EpochRecord, best_epochs
from asr.training.examples import Examples, Prepared
from asr.training.finetune import kept_decoder, kept_tagger
from asr.training.preflight import Corpus
from asr.training.provenance import git_state
from asr.training.run_folder import CHECKPOINTS, EPOCHS, NON_FINITE, epoch_file

_log = logging.getLogger(__name__)


class Saver:
    """Saves the state of one run in its folder.

    Parameters
    ----------
    run_dir : Path
    engine : Engine
    settings : TrainConfig
    corpus : Corpus
    examples : Examples
        Of the training set.
    log_mel : LogMel
        The features that the model is trained on.
    valid_names : sequence of str
        The manifests of the validation set.
    init : Bundle or None
        The bundle that the training began from.
    teacher : Bundle or None
        The bundle whose output it learnt from.
    decoder_label : str
        The decoder of validation, in a few words.
    """

    def __init__(
        self,
        run_dir: Path,
        engine: Engine,
        *,
        settings: TrainConfig,
        corpus: Corpus,
        examples: Examples,
        log_mel: LogMel,
        valid_names: Sequence[str],
        init: Bundle | None,
        teacher: Bundle | None = None,
        decoder_label: str,
    ) -> None:
        self._run_dir = run_dir
        self._engine = engine
        self._settings = settings
        self._corpus = corpus
        self._examples = examples
        self._log_mel = log_mel
        self._valid_names = valid_names
        self._init = init
        self._teacher = teacher
        self._decoder_label = decoder_label
        self._last_checkpoint = time.monotonic()
        self._warned: set[str] = set()

    def restore(self) -> Progress | None:
        """Give the engine the state of the newest checkpoint; None if there is none. Raises as `load_checkpoint`."""
        return load_checkpoint(self._run_dir / CHECKPOINTS, self._engine.variables)

    @property
    def checkpoint_due(self) -> bool:
        """Whether `training.checkpoint_minutes` have passed since the last checkpoint."""
        return time.monotonic() - self._last_checkpoint >= 60 * self._settings.training.checkpoint_minutes

    def checkpoint(self, progress: Progress) -> None:
        """Write a checkpoint.

        Raises
        ------
        OSError
            If it cannot be written; the checkpoints before are kept.
        """
        save_checkpoint(self._run_dir / CHECKPOINTS, self._engine.variables, progress)
        self._last_checkpoint = time.monotonic()

    def epoch_weights(self, history: Sequence[EpochRecord], epoch: int) -> None:
        """Keep the present weights, which are those of an epoch, while it is among the best of all so far.

        Parameters
        ----------
        history : sequence of EpochRecord
            With this epoch's record.
        epoch : int
        """
        folder, most = self._run_dir / EPOCHS, self._settings.training.keep_epochs
        best = {one.epoch for one in best_epochs(history, most)}
        if epoch in best:
            buffer = io.BytesIO()
            weights: dict[str, Any] = dict(read_weights(self._engine.model))
            np.savez(buffer, **weights)
            write_atomically(epoch_file(self._run_dir, epoch), buffer.getvalue())
        for path in folder.glob("[0-9]*.npz"):
            if path.stem.isdecimal() and int(path.stem) not in best:
                path.unlink()

    def bundle(self, name: str, score: Score, *, epoch: int, averaged: Sequence[int] = ()) -> None:
        """Save the model, with its present weights, as a bundle in the folder of the run. Other files there are kept.

        Parameters
        ----------
        name : str
            `best` or `last`.
        score : Score
            Of these weights on the validation set.
        epoch : int
            Epochs trained.
        averaged : sequence of int
            The epochs whose weights these are the mean of, if they are.
        """
        corpus, settings, init = self._corpus, self._settings, self._init
        # A model that is fine-tuned or taught keeps decoder, language model and punctuation of what it learnt from.
        source = init or self._teacher
        decoder = kept_decoder(source, corpus.alphabet, corpus.phones)
        provenance: dict[str, Any] = {
            "train": list(settings.data.train),
            "valid": list(self._valid_names),
            "train_hours": round(float(self._examples.seconds.sum()) / 3600, 3),
            "train_utterances": len(corpus.train),
            "epoch": epoch,
            **({"averaged_epochs": list(averaged)} if averaged else {}),
            "seed": settings.training.seed,
            "backend": keras.backend.backend(),
            "init": _origin(init),
            **({"teacher": _origin(self._teacher)} if self._teacher else {}),
            "git": git_state(),
            "versions": {package: metadata.version(package) for package in ("asr", "keras", "numpy")},
            "python": platform.python_version(),
        }
        rates = {
            "decoder": self._decoder_label,
            "wer": score.words.rate,
            "cer": score.characters.rate,
            "utterances": len(score.utterances),
            "note": "selected on this set, so slightly optimistic",
        }
        folder = self._run_dir / name
        others = sorted(set(os.listdir(folder)) - set(BUNDLE_FILES)) if folder.is_dir() else []
        if others and name not in self._warned:
            self._warned.add(name)
            text = "%s: kept beside the new model: %s (a model card there is of an older one: `asr card` makes it anew)"
            _log.warning(text, folder, ", ".join(others))
        save_bundle(
            folder,
            weights=read_weights(self._engine.model),
            log_mel=self._log_mel,
            normalizer=settings.normalizer,
            alphabet=corpus.alphabet,
            phones=corpus.phones,
            model=settings.model,
            decoder=decoder,
            priors=source.priors if source and source.alphabet == corpus.alphabet and source.decoder == decoder else (),
            tagger=kept_tagger(source, corpus.alphabet),
            provenance=provenance,
            error_rates={", ".join(self._valid_names): rates},
            overwrite=True,  # within the folder of the run, where a damaged bundle may be
            keep=lambda _: True,  # hours of training are not lost to a note that was put there meanwhile
        )

    def batch(self, prepared: Prepared, progress: Progress) -> Path | None:
        """Save a batch and the present weights, for `scripts/research/replay_batch.py`; returns the file."""
        path = self._run_dir / NON_FINITE / f"epoch{progress.epoch + 1}-batch{progress.batch + 1}.npz"
        batch, buffer = prepared.batch, io.BytesIO()
        weights: dict[str, Any] = {f"weights/{name}": array for name, array in read_weights(self._engine.model).items()}
        np.savez_compressed(
            buffer,
            ids=np.array([self._examples.utterances[index].id for index in prepared.indices]),
            frames=batch.frames,
            frame_counts=batch.frame_counts,
            labels=batch.labels,
            label_counts=batch.label_counts,
            **weights,
        )
        write_atomically(path, buffer.getvalue())
        return path


class NoSaver(Saver):
    """Of a rank other than the first: it saves nothing."""

    def restore(self) -> Progress | None:
        return None

    @property
    def checkpoint_due(self) -> bool:
        return False

    def checkpoint(self, progress: Progress) -> None:
        pass

    def epoch_weights(self, history: Sequence[EpochRecord], epoch: int) -> None:
        pass

    def bundle(self, name: str, score: Score, *, epoch: int, averaged: Sequence[int] = ()) -> None:
        pass

    def batch(self, prepared: Prepared, progress: Progress) -> Path | None:
        return None


def _origin(bundle: Bundle | None) -> dict[str, Any] | None:
    """What a bundle's provenance says of another bundle."""
    if bundle is None:
        return None
    return {"bundle": str(bundle.path), "files": dict(bundle.digests), "provenance": dict(bundle.provenance)}
