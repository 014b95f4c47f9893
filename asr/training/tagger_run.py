"""Trains the tagger: one loop with checkpoints, from which it resumes exactly."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.errors import ConfigError, OutputError
from asr.files import typed_path, write_atomically
from asr.punctuation.tagger import TaggerHeader, choose_tags
from asr.punctuation.tagger_export import export_tagger
from asr.punctuation.word_numbers import PAUSE_CLASSES, Features, pause_classes
from asr.punctuation.written_tags import (
    CASES,
    COMMA,
    EXCLAMATION_MARK,
    FULL_STOP,
    MARKS,
    NO_BREAK,
    QUESTION_MARK,
    SENTENCE,
    Spellings,
    read_words,
)
from asr.settings.commands import TrainTextConfig
from asr.settings.tagger import TaggerConfig, TaggerTrainingConfig, TextBatchConfig
from asr.settings.yaml_text import from_yaml, to_yaml
from asr.training.checkpoints import Progress, load_checkpoint, save_checkpoint
from asr.training.curves import draw_tagger_curves
from asr.training.devices import set_seeds
from asr.training.epoch_record import EpochRecord
from asr.training.recogniser_errors import Confusions, read_confusions
from asr.training.run_folder import (
    CHECKPOINTS,
    CONFIG,
    CURVES,
    HISTORY,
    disk_errors_explained,
    flat_settings,
    locked,
)
from asr.training.stop import StopRequest
from asr.training.tagger_data import (
    DEFAULT_PAUSE_SHARES,
    IGNORED,
    PAUSE_KINDS,
    TRAIN,
    VALID,
    TextBatch,
    TextCorpus,
    TextFeed,
    make_corpus,
    make_features,
    pause_kinds,
    read_parts,
    validation_windows,
)
from asr.training.tagger_network import build_tagger, tag_loss, tagger_weights
from asr.training.tagger_tuning import f1_score, tune_biases

TAGGER = "punctuation.onnx"
"""the file of a run that `asr transcribe punctuation=` takes"""


@dataclass(frozen=True, slots=True)
class TaggerScores:
    """Measures on the validation texts, from the likeliest tag of each word."""

    loss: float
    """nats per word"""
    full_stop: float
    comma: float
    question_mark: float
    sentences: float
    """F1 scores of marks, and of the ends of sentences"""
    case: float
    """F1 score of words with capitals, but for the first of each sentence"""


@dataclass(frozen=True)
class _Rates:
    """The learning rate: a linear warm-up, then half a cosine over the whole training."""

    training: TaggerTrainingConfig

    def __call__(self, step: int, share: float) -> float:
        settings = self.training
        warm_up = min(1.0, (step + 1) / max(1, settings.warmup_steps))
        return settings.learning_rate * max(0.01, 0.5 + 0.5 * math.cos(math.pi * min(1.0, share))) * warm_up


class TaggerTraining:
    """A network in training.

    Parameters
    ----------
    run_dir : Path
        Gets checkpoints and the history; an earlier run there is resumed.
    corpus, valid : TextCorpus
    features : Features
    network, batches, training : settings
    pause_shares : float array
        As `TextFeed` takes them.
    errors : Confusions, optional
        As `TextFeed` takes them.
    """

    def __init__(
        self,
        run_dir: Path,
        corpus: TextCorpus,
        valid: TextCorpus,
        features: Features,
        *,
        network: TaggerConfig,
        batches: TextBatchConfig,
        training: TaggerTrainingConfig,
        pause_shares: npt.NDArray[np.float64],
        errors: Confusions | None = None,
    ) -> None:
        self.run_dir, self._training, self._batches = run_dir, training, batches
        self._feed = TextFeed(corpus, features, batches, pause_shares=pause_shares, seed=training.seed, errors=errors)
        self._valid = valid
        self._valid_feed = TextFeed(
            valid, features, TextBatchConfig(noise=0.0), pause_shares=pause_shares, seed=training.seed
        )
        keras.utils.clear_session()
        set_seeds(training.seed)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16" if training.bfloat16 else "float32")
        try:
            self.network = build_tagger(network, size=features.size, dropout=training.dropout)
        finally:
            keras.config.set_dtype_policy(before)
        self._adam = keras.optimizers.AdamW(
            training.learning_rate,
            weight_decay=training.weight_decay,
            global_clipnorm=training.clip_norm,
            beta_2=0.98,
        )
        self._adam.build(self.network.trainable_variables)
        self.network.compile(optimizer=self._adam, loss=tag_loss, jit_compile=False)
        self._plans: dict[int, list[tuple[npt.NDArray[np.int32], int]]] = {}
        self.steps = sum(len(self._plan(epoch)) for epoch in range(training.epochs))
        self._rates = _Rates(training)
        checkpoints = run_dir / CHECKPOINTS
        checkpoints.mkdir(parents=True, exist_ok=True)
        self.progress = load_checkpoint(checkpoints, self._variables) or Progress()

    @property
    def _variables(self) -> dict[str, Any]:
        parts = {
            "model": [*self.network.trainable_variables, *self.network.non_trainable_variables],
            "optimizer": self._adam.variables,
        }
        return {f"{part}/{number}": one for part, variables in parts.items() for number, one in enumerate(variables)}

    def _plan(self, epoch: int) -> list[tuple[npt.NDArray[np.int32], int]]:
        if epoch not in self._plans:
            if len(self._plans) > 1:
                self._plans.clear()
            self._plans[epoch] = self._feed.batches(epoch)
        return self._plans[epoch]

    @property
    def finished(self) -> bool:
        if self._training.minutes is not None:
            return self._share >= 1
        return self.progress.epoch >= self._training.epochs

    @property
    def _share(self) -> float:
        """The share of the training that is done."""
        if self._training.minutes is None:
            return self.progress.batches / max(1, self.steps)
        seconds = self.progress.seconds + sum(one.train_seconds for one in self.progress.history)
        return seconds / (60 * self._training.minutes)

    def run(
        self, stop: StopRequest, *, on_step: Callable[[int, float, float], None] = lambda step, share, loss: None
    ) -> None:
        """Train until the end, or until a signal arrives; what was done is in a checkpoint then."""
        while not self.finished and stop.signal is None:
            self._run_epoch(stop, on_step)
            if stop.signal is None:
                self._end_epoch()
            self._save()

    def _run_epoch(self, stop: StopRequest, on_step: Callable[[int, float, float], None]) -> None:
        progress = self.progress
        saved = started = time.monotonic()
        before = progress.seconds
        for batch in self._prepared(progress.epoch, progress.batch):
            self._adam.learning_rate = self._rates(progress.batches, self._share)
            self.network.reset_metrics()  # before Keras 3.15, the loss would be the mean over all batches so far
            arrays = [batch.features, batch.pauses, batch.counts]
            loss = float(self.network.train_on_batch(arrays, batch.targets))
            words = int(batch.counts.sum())
            progress.batch, progress.batches = progress.batch + 1, progress.batches + 1
            progress.nats, progress.symbols = progress.nats + loss * words, progress.symbols + words
            progress.utterances += len(batch.counts)
            progress.seconds = before + time.monotonic() - started
            on_step(progress.batches, self._share, loss)
            if stop.signal is not None or (self._training.minutes is not None and self.finished):
                return
            if time.monotonic() - saved > 60 * self._training.checkpoint_minutes:
                self._save()
                saved = time.monotonic()

    def _prepared(self, epoch: int, first: int) -> Iterator[TextBatch]:
        """The batches of an epoch from one on; the next is made while the present one is trained on."""
        plan = self._plan(epoch)[first:]
        with ThreadPoolExecutor(1) as pool:

            def make(place: int) -> TextBatch:
                windows, width = plan[place]
                return self._feed.batch(windows, width, seed=(self._training.seed, epoch, first + place))

            following = pool.submit(make, 0) if plan else None
            for place in range(len(plan)):
                assert following is not None
                batch = following.result()
                if place + 1 < len(plan):
                    following = pool.submit(make, place + 1)
                yield batch

    def _end_epoch(self) -> None:
        progress, started = self.progress, time.monotonic()
        scores = self.validate()
        record = EpochRecord(
            epoch=progress.epoch + 1,
            train_loss=progress.mean_loss,
            valid_loss=scores.loss,
            learning_rate=float(ops.convert_to_numpy(self._adam.learning_rate)),
            batches=progress.batch,
            utterances=progress.utterances,
            train_seconds=progress.seconds,
            valid_seconds=time.monotonic() - started,
        )
        earlier = read_history(self.run_dir)[: len(progress.history)]
        progress.history.append(record)
        line = {name: value for name, value in record.as_dict().items() if value is not None}
        lines = [*earlier, line | {f"valid_{name}": value for name, value in as_dict(scores).items()}]
        content = "".join(json.dumps(one) + "\n" for one in lines)
        write_atomically(self.run_dir / HISTORY, content.encode("utf-8"))
        f1 = [{name: one.get(f"valid_{name}", math.nan) for name in as_dict(scores)} for one in lines]
        draw_tagger_curves(self.run_dir / CURVES, progress.history[-len(f1) :], f1)
        progress.next_epoch()

    def _save(self) -> None:
        save_checkpoint(self.run_dir / CHECKPOINTS, self._variables, self.progress)

    def validate(self) -> TaggerScores:
        """Measure on the validation texts, without noise and pauses."""
        logits, truth = self._valid_logits()
        words = len(truth)
        loss = float(ops.convert_to_numpy(tag_loss(truth[None], ops.convert_to_tensor(logits[None])))) if words else 0.0
        return score_tags(truth, likeliest_tags(logits), loss=loss)

    def finish(self) -> tuple[dict[str, npt.NDArray[np.float32]], TaggerScores]:
        """The weights, with biases for the highest F1 on the validation texts, and the scores with these."""
        logits, truth = self._valid_logits()
        biases = tune_biases(logits, truth, ignored=IGNORED)
        weights = tagger_weights(self.network)
        weights["tags/bias"] = weights["tags/bias"] + biases
        tags = choose_tags(logits + biases)
        found = np.stack([tags.marks, tags.cases, tags.breaks], axis=1)
        loss = float(ops.convert_to_numpy(tag_loss(truth[None], ops.convert_to_tensor(logits[None]))))
        return weights, score_tags(truth, found, loss=loss)

    def _valid_logits(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Logits [shape=(words, WIDTH)] and targets [shape=(words, 3)] of the validation texts."""
        windows = list(validation_windows(self._valid, self._batches.window, self._training.valid_words))
        size = max(1, self._batches.words // self._batches.window)
        logits, truth = [], []
        for start in range(0, len(windows), size):
            some = np.array(windows[start : start + size], np.int32)
            batch = self._valid_feed.batch(some, self._batches.window, seed=(0,), clean=True)
            found = self.network.predict_on_batch([batch.features, batch.pauses, batch.counts])
            inside = batch.targets[..., 0] != IGNORED
            logits.append(np.asarray(ops.convert_to_numpy(found), np.float32)[inside])
            truth.append(batch.targets[inside])
        return np.concatenate(logits), np.concatenate(truth)


def likeliest_tags(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Marks, cases and breaks [shape=(..., 3)] from logits [shape=(..., WIDTH)]."""
    parts = np.split(logits, np.cumsum((len(MARKS), CASES)), axis=-1)
    return np.stack([part.argmax(axis=-1) for part in parts], axis=-1)


def score_tags(
    truth: npt.NDArray[np.integer[Any]], found: npt.NDArray[np.integer[Any]], *, loss: float
) -> TaggerScores:
    """F1 scores of tags [shape=(words, 3)]; `IGNORED` cases are not counted."""
    known = truth[:, 1] != IGNORED
    return TaggerScores(
        loss=loss,
        full_stop=f1_score(truth[:, 0] == FULL_STOP, found[:, 0] == FULL_STOP),
        comma=f1_score(truth[:, 0] == COMMA, found[:, 0] == COMMA),
        question_mark=f1_score(truth[:, 0] == QUESTION_MARK, found[:, 0] == QUESTION_MARK),
        sentences=f1_score(truth[:, 2] != NO_BREAK, found[:, 2] != NO_BREAK),
        case=f1_score(truth[known, 1] != 0, found[known, 1] != 0),
    )


def read_history(run_dir: Path) -> list[dict[str, float]]:
    """The epochs of a run, as its history has them."""
    path = run_dir / HISTORY
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def as_dict(scores: TaggerScores) -> Mapping[str, float]:
    """The F1 scores by name."""
    return {name: getattr(scores, name) for name in TaggerScores.__slots__ if name != "loss"}


def train_tagger(
    texts: Sequence[str | Path],
    settings: TrainTextConfig,
    stop: StopRequest,
    *,
    on_step: Callable[[int, float, float], None] = lambda step, share, loss: None,
) -> TaggerScores | None:
    """Train a tagger on texts, or resume its training, and write it to the folder of the run.

    Parameters
    ----------
    texts : sequence of str or Path
        One paragraph a line, an empty line between documents; plain or compressed.
    settings : TrainTextConfig
        With a `run_dir`.
    stop : StopRequest
    on_step : callable
        Called with the number of the step, the share of the training that is done, and the loss in nats per word.

    Returns
    -------
    TaggerScores or None
        On the validation texts; None if a signal stopped the training.

    Raises
    ------
    ConfigError
        If the folder holds a run with other settings, or the texts nothing to train on.
    OutputError
        If the folder holds something else.
    """
    run_dir = typed_path(settings.run_dir or "")
    _check_folder(run_dir, settings)
    errors = read_confusions(settings.confusions) if settings.confusions else None
    with locked(run_dir), disk_errors_explained(run_dir):
        parts = read_parts(texts, settings.batches.held_out)
        spellings = Spellings.count(parts[TRAIN])
        corpus = make_corpus(parts[TRAIN], spellings)
        valid = make_corpus(parts[VALID] or parts[TRAIN][:1], spellings)
        del parts
        features = make_features(corpus, settings.network)
        shares = pause_shares(settings.pauses) if settings.pauses else DEFAULT_PAUSE_SHARES
        write_atomically(run_dir / CONFIG, to_yaml(settings).encode("utf-8"))
        training = TaggerTraining(
            run_dir,
            corpus,
            valid,
            features,
            network=settings.network,
            batches=settings.batches,
            training=settings.training,
            pause_shares=shares,
            errors=errors,
        )
        training.run(stop, on_step=on_step)
        if not training.finished:
            return None
        weights, scores = training.finish()
        provenance = {
            "texts": [Path(one).name for one in texts],
            "words": len(corpus.words),
            "trained_words": sum(one.batches for one in training.progress.history) * settings.batches.words,
            "validation_f1": {name: round(value, 4) for name, value in as_dict(scores).items()},
        }
        header = TaggerHeader(settings.network, features.vocabulary, spellings, settings.language, provenance)
        write_atomically(run_dir / TAGGER, export_tagger(weights, header))
        return scores


def _check_folder(run_dir: Path, settings: TrainTextConfig) -> None:
    """Refuse the folder of something else, and that of a run with other settings."""
    path = run_dir / CONFIG
    if path.exists():
        earlier = replace(
            from_yaml(TrainTextConfig, path.read_text("utf-8"), str(path)), run_dir=None, log=settings.log
        )
        before, now = flat_settings(earlier), flat_settings(replace(settings, run_dir=None))
        changed = [f"{name} is {before[name]} there and {now[name]} here" for name in now if before[name] != now[name]]
        if changed:
            raise ConfigError(
                f"{run_dir} holds a run with other settings: {'; '.join(changed)}; choose another run_dir"
            )
    elif run_dir.is_dir() and any(not name.startswith(".") for name in os.listdir(run_dir)):
        raise OutputError(run_dir, "the folder is not empty and holds no run: choose another run_dir")


def pause_shares(paths: Sequence[str]) -> npt.NDArray[np.float64]:
    """How often each class of pause is behind words of aligned texts, as `TextFeed` takes it.

    Parameters
    ----------
    paths : sequence of str
        JSON that `asr align` wrote for texts with punctuation: a document, a list of them, or one a line.

    Raises
    ------
    ConfigError
        If a file is something else.
    """
    counts = np.full((PAUSE_KINDS, PAUSE_CLASSES), 0.5)
    counts[:, 0] = 0.0
    for path in paths:
        try:
            content = typed_path(path).read_text("utf-8")
            documents = [json.loads(line) for line in content.splitlines()] if "\n{" in content else json.loads(content)
            for one in documents if isinstance(documents, list) else [documents]:
                add_pauses(counts, one["words"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"pauses={path}: not JSON that `asr align` wrote ({error})") from error
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def add_pauses(counts: npt.NDArray[np.float64], words: Sequence[Mapping[str, Any]]) -> None:
    """Add the pauses between the words of an aligned text, with their marks."""
    for one, after in pairwise(words):
        read, following = read_words(one["text"]), read_words(after["text"])
        if not read or not following:
            continue
        mark = read[-1].mark
        ends = mark in (FULL_STOP, QUESTION_MARK, EXCLAMATION_MARK) and following[0].written[0].isupper()
        kind = pause_kinds(np.array([mark]), np.array([SENTENCE if ends else NO_BREAK]))
        pause = pause_classes([max(0.0, after["start"] - one["end"])])
        counts[kind[0], pause[0]] += 1
        if ends:
            counts[-1, pause[0]] += 0.1  # utterances seldom span paragraphs, whose pauses are no shorter
