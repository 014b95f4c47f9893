"""Trains the tagger."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from asr.bundle.store import load_bundle
from asr.errors import ConfigError
from asr.files import typed_path, write_atomically
from asr.punctuation.tagger import FREQUENT, TaggerHeader, agree_on_cases, choose_tags, read_tagger_file
from asr.punctuation.tagger_export import export_tagger
from asr.punctuation.tagger_import import read_tagger
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
from asr.settings.tagger import TaggerConfig, TextBatchConfig
from asr.training.curves import draw_tagger_curves
from asr.training.held_out import TRAIN, VALID, paragraphs_by_part
from asr.training.provenance import text_inputs
from asr.training.recogniser_errors import Confusions, read_confusions
from asr.training.run_folder import CURVES, disk_errors_explained, locked
from asr.training.stop import StopRequest
from asr.training.tagger_data import (
    DEFAULT_PAUSE_SHARES,
    IGNORED,
    PAUSE_KINDS,
    CorpusBuilder,
    TextBatch,
    TextCorpus,
    TextFeed,
    make_features,
    pause_kinds,
    rare_words,
    validation_windows,
)
from asr.training.tagger_network import build_tagger, set_tagger_weights, tag_loss, tagger_weights
from asr.training.tagger_tuning import f1_score, tune_biases
from asr.training.text_run import OnStep, TextTraining, begin_text_run, check_text_run, is_without_record

TAGGER = "punctuation.onnx"
"""the file of a run that `asr transcribe punctuation=` takes"""
_LEAST_TO_TUNE = 20_000
"""words of validation texts: of fewer, the best biases are chance"""
_MAY_CHANGE = ("run_dir", "log")


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
    is_held_out: bool = True
    """False if the texts are too small to hold any out: these are training texts then"""


F1_SCORES = tuple(name for name in TaggerScores.__slots__ if name not in ("loss", "is_held_out"))
"""their names"""


class TaggerTraining(TextTraining):
    """A network in training.

    Parameters
    ----------
    run_dir : Path
        Gets checkpoints and the history; an earlier run there is resumed.
    corpus, valid : TextCorpus
    features : Features
    settings : TrainTextConfig
    pause_shares : float array
        As `TextFeed` takes them.
    errors : Confusions, optional
        As `TextFeed` takes them.
    start : Start, optional
        Weights to begin with, and their network.
    """

    def __init__(
        self,
        run_dir: Path,
        corpus: TextCorpus,
        valid: TextCorpus,
        features: Features,
        settings: TrainTextConfig,
        *,
        pause_shares: npt.NDArray[np.float64],
        errors: Confusions | None = None,
        start: Start | None = None,
    ) -> None:
        training, self._batches, self._valid = settings.training, settings.batches, valid
        feed = partial(TextFeed, features=features, pause_shares=pause_shares, seed=training.seed)
        self._frequent = features.vocabulary[:FREQUENT]
        self._feed = feed(corpus, settings=settings.batches, errors=errors)
        self._valid_feed = feed(valid, settings=TextBatchConfig(noise=0.0))
        self._windows = lru_cache(2)(self._feed.batches)
        super().__init__(
            run_dir,
            training,
            build=lambda: begin_network(settings, features.size, start),
            loss=tag_loss,
            steps=sum(len(self._windows(epoch)) for epoch in range(training.epochs)),
            lowest_rate=0.01,
        )

    def _plan(self, epoch: int) -> list[partial[TextBatch]]:
        return [
            partial(self._feed.batch, windows, width, seed=(self._training.seed, epoch, place))
            for place, (windows, width) in enumerate(self._windows(epoch))
        ]

    def _measure(self) -> tuple[float, dict[str, float]]:
        scores = self.validate()
        return scores.loss, {f"valid_{name}": value for name, value in as_dict(scores).items()}

    def _report(self, lines: Sequence[Mapping[str, float]]) -> None:
        f1 = [{name: one.get(f"valid_{name}", math.nan) for name in F1_SCORES} for one in lines]
        draw_tagger_curves(self.run_dir / CURVES, self.progress.history[-len(f1) :], f1)

    def validate(self) -> TaggerScores:
        """Measure on the validation texts, without noise and pauses."""
        logits, truth = self._valid_logits()
        words = len(truth)
        loss = float(ops.convert_to_numpy(tag_loss(truth[None], ops.convert_to_tensor(logits[None])))) if words else 0.0
        return score_tags(truth, likeliest_tags(logits), loss=loss)

    def finish(self) -> tuple[dict[str, npt.NDArray[np.float32]], TaggerScores]:
        """The weights, with biases for the highest F1 on the validation texts where these are long, and the scores."""
        logits, truth = self._valid_logits()
        groups = rare_words(self._valid, self._valid_windows(), self._frequent)
        biases = tune_biases(logits, truth, groups, ignored=IGNORED) if len(truth) >= _LEAST_TO_TUNE else np.float32(0)
        weights = tagger_weights(self.network)
        weights["tags/bias"] = weights["tags/bias"] + biases
        tags = choose_tags(agree_on_cases(groups, logits + biases))
        found = np.stack([tags.marks, tags.cases, tags.breaks], axis=1)
        loss = float(ops.convert_to_numpy(tag_loss(truth[None], ops.convert_to_tensor(logits[None]))))
        return weights, score_tags(truth, found, loss=loss)

    def _valid_windows(self) -> list[tuple[int, int]]:
        return list(validation_windows(self._valid, self._batches.window, self._training.valid_words))

    def _valid_logits(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Logits [shape=(words, WIDTH)] and targets [shape=(words, 3)] of the validation texts."""
        windows = self._valid_windows()
        size = max(1, self._batches.words // self._batches.window)
        logits, truth = [], []
        for start in range(0, len(windows), size):
            some = np.array(windows[start : start + size], np.int32)
            batch = self._valid_feed.batch(some, self._batches.window, seed=(0,), clean=True)
            found = self.network.predict_on_batch(batch.network_inputs)
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


def as_dict(scores: TaggerScores) -> Mapping[str, float]:
    """The F1 scores by name."""
    return {name: getattr(scores, name) for name in F1_SCORES}


@dataclass(frozen=True, slots=True)
class Start:
    """What a training begins from."""

    weights: Mapping[str, npt.NDArray[np.float32]]
    header: TaggerHeader


def read_start(settings: TrainTextConfig) -> Start:
    """The model that `init` names.

    Raises
    ------
    ConfigError
        If it has none, or one of another language, or if the settings ask for another network.
    LanguageModelError
        If the file is damaged.
    """
    name = str(settings.init)
    content = read_tagger_file(name) if typed_path(name).is_file() else load_bundle(name).tagger_content()
    if content is None:
        raise ConfigError(f"init={name}: this bundle has no model of punctuation")
    start = Start(*read_tagger(content, name))
    if start.header.language != settings.language:
        raise ConfigError(
            f"init={name} is a model for the language {start.header.language}, and language={settings.language}"
        )
    if settings.network not in (TaggerConfig(), start.header.settings):
        raise ConfigError(f"init={name} has a network of its own: leave out network.*")
    return start


def begin_network(settings: TrainTextConfig, size: int, start: Start | None) -> keras.Model:
    """The network, with fresh weights or those of a start."""
    shape = start.header.settings if start else settings.network
    network = build_tagger(shape, size=size, dropout=settings.training.dropout)
    if start is not None:
        set_tagger_weights(network, start.weights)
    return network


def read_corpora(
    texts: Sequence[str | Path], held_out: float, *, known: Spellings | None = None, may_divide: bool = True
) -> tuple[TextCorpus, TextCorpus, Spellings]:
    """The documents of texts for training and for validation, and the spellings of the former.

    The texts are read three times: their words take much more memory than the arrays. Arguments as of
    `paragraphs_by_part`.

    Raises
    ------
    ConfigError
        If there is nothing to train on.
    """
    documents = paragraphs_by_part(texts, held_out, may_divide=may_divide)
    spellings = Spellings.count(one for part, one in documents() if part == TRAIN)
    if known is not None:
        spellings = known.joined(spellings)
    builders = {TRAIN: CorpusBuilder(spellings), VALID: CorpusBuilder(spellings)}
    for part, document in documents():
        if part in builders:
            builders[part].add(document)
    if not builders[TRAIN].documents:
        raise ConfigError(
            "the texts hold no document to train on: one paragraph a line, an empty line between documents"
        )
    return builders[TRAIN].corpus(), builders[VALID].corpus(), spellings


def train_tagger(
    texts: Sequence[str | Path],
    settings: TrainTextConfig,
    stop: StopRequest,
    *,
    on_step: OnStep = lambda step, share, loss: None,
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
        On the validation texts, or on training texts where there are none; None if a signal stopped the training.

    Raises
    ------
    ConfigError
        If the folder holds a run with other settings or of other texts, or the texts nothing to train on.
    OutputError
        If the folder holds something else.
    """
    run_dir = typed_path(settings.run_dir or "")
    check_text_run(run_dir, settings, may_change=_MAY_CHANGE)  # before anything is read
    errors = read_confusions(settings.confusions) if settings.confusions else None
    fixed = read_spellings(settings.spellings) if settings.spellings else Spellings({}, frozenset(), frozenset())
    shares = pause_shares(settings.pauses) if settings.pauses else DEFAULT_PAUSE_SHARES
    start = read_start(settings) if settings.init else None
    inputs = text_inputs(settings, texts)
    check_text_run(run_dir, settings, may_change=_MAY_CHANGE, inputs=inputs)
    with locked(run_dir), disk_errors_explained(run_dir):
        corpus, valid, spellings = read_corpora(
            texts,
            settings.batches.held_out,
            known=start.header.spellings if start else None,
            may_divide=not is_without_record(run_dir),  # earlier versions did not
        )
        is_held_out = bool(valid.documents)
        valid = valid if is_held_out else corpus.first()
        network = start.header.settings if start else settings.network
        spellings = spellings.joined(fixed)
        features = start.header.features if start else make_features(corpus, network)
        begin_text_run(run_dir, settings, inputs)
        training = TaggerTraining(
            run_dir, corpus, valid, features, settings, pause_shares=shares, errors=errors, start=start
        )
        training.run(stop, on_step)
        if not training.finished:
            return None
        weights, scores = training.finish()
        provenance: dict[str, Any] = {
            "texts": [Path(one).name for one in texts],
            **({"init": start.header.provenance} if start else {}),
            "words": len(corpus.words),
            "trained_words": sum(one.batches for one in training.progress.history) * settings.batches.words,
        }
        if is_held_out:
            provenance["validation_f1"] = {name: round(value, 4) for name, value in as_dict(scores).items()}
        header = TaggerHeader(network, features.vocabulary, spellings, settings.language, provenance)
        write_atomically(run_dir / TAGGER, export_tagger(weights, header))
        return replace(scores, is_held_out=is_held_out)


def read_spellings(path: str) -> Spellings:
    """Words that are written in one way only, from a file with one a line.

    Raises
    ------
    ConfigError
        If it cannot be read, or a line is no word with a capital.
    """
    try:
        lines = typed_path(path).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"spellings={path}: {getattr(error, 'strerror', None) or error}") from error
    forms = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    for number, form in forms:
        if [one.written for one in read_words(form)] != [form] or form == form.lower():
            raise ConfigError(f"spellings={path}, line {number}: a word with a capital is wanted, not {form!r}")
    return Spellings({}, frozenset(), frozenset(), {form.lower(): form for _, form in forms})


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
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
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
