"""Averages the weights of several epochs of a run, and measures the result as the run measured its epochs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from asr.bundle import check_bundle_output, load_bundle
from asr.errors import ConfigError
from asr.evaluation.scoring import Score
from asr.files import typed_path
from asr.settings.checks import number_from_1
from asr.training.engine import Engine
from asr.training.epoch_record import EpochRecord, best_epochs
from asr.training.plan import TrainingPlan
from asr.training.preflight import read_corpus
from asr.training.provenance import check_inputs, training_inputs
from asr.training.run_folder import (
    AVERAGE,
    EPOCHS,
    HELD_OUT,
    HISTORY,
    LAST,
    PROVENANCE,
    epoch_file,
    locked,
    read_settings,
)
from asr.training.save import Saver
from asr.training.teacher import load_teacher
from asr.training.training_data import make_training_data
from asr.training.validation import make_selection, validate


@dataclass(frozen=True, slots=True)
class Average:
    """The mean of some epochs."""

    epochs: tuple[int, ...]
    bundle: Path
    score: Score
    """on the validation set of the run, with the decoder that compared its epochs"""
    best: EpochRecord
    """the best single epoch of the run"""


def average_epochs(run_dir: str | Path, epochs: str = "best:5") -> Average:
    """Write the mean of the weights of some epochs of a run as a bundle, `average` in its folder.

    Parameters
    ----------
    run_dir : str or Path
        Of a run that keeps the weights of epochs (`training.keep_epochs`).
    epochs : str
        `best:5` (the five with the lowest validation CER), `last:5`, or numbers, such as `3,4,7`.

    Raises
    ------
    ConfigError
        If there is no run, it did not keep these epochs, it is being trained, or it overfits; if what it was made of,
        such as the validation set, has changed since.
    """
    folder = typed_path(run_dir)
    settings = read_settings(folder)
    if settings is None:
        raise ConfigError(f"{folder} holds no run; give the folder of a run of `asr train`")
    if settings.training.overfit:
        raise ConfigError(
            f"{folder}: this run has no validation set: it learnt training.overfit={settings.training.overfit} "
            "utterances by heart, as a test; give a run that trained as usual"
        )
    lines = (folder / HISTORY).read_text("utf-8").splitlines() if (folder / HISTORY).exists() else []
    history = [EpochRecord(**json.loads(line)) for line in lines]
    numbers = {int(path.stem) for path in (folder / EPOCHS).glob("[0-9]*.npz") if path.stem.isdecimal()}
    kept = [one for one in history if one.epoch in numbers]
    if not kept and settings.training.keep_epochs:
        raise ConfigError(
            f"{folder}: no weights of epochs are there: a run keeps those of epochs that have a CER on the validation "
            f"set (training.keep_epochs={settings.training.keep_epochs}). It has none before its first validation, nor "
            "where the validation texts have no characters"
        )
    chosen = choose_epochs(epochs, kept, folder)
    check_bundle_output(folder / AVERAGE, overwrite=True)
    with locked(folder):
        weights = mean_weights([epoch_file(folder, epoch) for epoch in chosen])
        corpus = read_corpus(settings)
        check_inputs(folder / PROVENANCE, training_inputs(settings))
        init = load_bundle(settings.init) if settings.init else None
        teacher = load_teacher(settings)
        data = make_training_data(settings, corpus, load_bundle(folder / LAST))
        engine = Engine(settings, symbols=corpus.alphabet.size, phones=corpus.phones.size if corpus.phones else 0)
        engine.load(weights)
        selection = make_selection(settings, corpus, init or teacher)
        plan = TrainingPlan(
            data.valid,
            epochs=1,
            frames_per_second=1 / settings.features.hop_seconds,
            settings=settings.training,
        )
        score = validate(
            engine,
            data.valid,
            plan.epoch(0),
            selection=selection,
            model=settings.model,
            fixed_shapes=keras.backend.backend() != "torch",
            shown=0,
        ).score
        names = [str(folder / HELD_OUT)] if settings.data.hold_out else list(settings.data.valid)
        saver = Saver(
            folder, engine, settings=settings, corpus=corpus, examples=data.train, log_mel=data.log_mel,
            valid_names=names, init=init, teacher=teacher, decoder_label=selection.label,
        )  # fmt: skip
        saver.bundle(AVERAGE, score, epoch=chosen[-1], averaged=chosen)
    return Average(tuple(chosen), folder / AVERAGE, score, best_epochs(history, 1)[0])


def choose_epochs(text: str, kept: Sequence[EpochRecord], run_dir: Path) -> list[int]:
    """The numbers of the epochs that a text names, ascending.

    Raises
    ------
    ConfigError
        If it names none, or one that the run has not kept.
    """
    if not kept:
        raise ConfigError(
            f"{run_dir}: this run kept no weights of epochs: training.keep_epochs=5 (in a new run) keeps them"
        )
    rule, _, number = text.partition(":")
    if rule in {"best", "last"} and (count := number_from_1(number)):
        found = best_epochs(kept, count) if rule == "best" else kept[-count:]
        return sorted(one.epoch for one in found)
    numbers = [number_from_1(one.strip()) for one in text.strip("[]").split(",")]
    wanted = sorted({one for one in numbers if one is not None})
    if None in numbers:
        raise ConfigError(f"epochs must be best:5, last:5 or numbers, such as 3,4,7, not {text!r}")
    there = [one.epoch for one in kept]
    missing = [one for one in wanted if one not in there]
    if missing:
        raise ConfigError(
            f"{run_dir}: the weights of epoch {', '.join(map(str, missing))} are not kept, but those of "
            f"{', '.join(map(str, there))} are; training.keep_epochs (in a new run) keeps more"
        )
    return wanted


def mean_weights(paths: Sequence[Path]) -> dict[str, npt.NDArray[np.float32]]:
    """The mean of the weights in some files.

    Raises
    ------
    ConfigError
        If one cannot be read.
    """
    total: dict[str, npt.NDArray[np.float64]] = {}
    for path in paths:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                for name in arrays.files:
                    total[name] = total.get(name, np.zeros(())) + arrays[name].astype(np.float64)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{path} cannot be read ({error}): name other epochs") from error
    return {name: (array / len(paths)).astype(np.float32) for name, array in total.items()}
