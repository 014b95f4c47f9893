"""Trains the LSTM language model."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from asr.files import typed_path, write_atomically
from asr.language.neural import NeuralHeader
from asr.language.piece_text import PieceText
from asr.settings.commands import LmConfig
from asr.training.language_data import PieceBatch, PieceFeed, first_sentences, sentence_batches
from asr.training.language_network import build_language_model, language_model_weights, piece_loss
from asr.training.run_folder import disk_errors_explained, locked
from asr.training.stop import StopRequest
from asr.training.text_run import OnStep, TextTraining, begin_text_run, check_text_run

_log = logging.getLogger(__name__)

WEIGHTS, GRAPH = "weights.npz", "language_model.onnx"
"""of a finished run: its weights in float32, and the file that `NeuralLanguageModel` loads"""
_VALIDATION_PIECES = 16_384
_MAY_CHANGE = ("run_dir", "log", "output", "overwrite", "valid")


@dataclass(frozen=True, slots=True)
class Prediction:
    """How well sentences are predicted, each from the state of a new sentence."""

    nats: float
    """sum over all pieces and ends of sentences"""
    words: int
    sentences: int

    @property
    def perplexity(self) -> float:
        """Of a word, where the end of a sentence counts as one; as of n-gram models."""
        return math.exp(self.nats / max(1, self.words + self.sentences))


class LanguageModelTraining(TextTraining):
    """A network in training.

    Parameters
    ----------
    run_dir : Path
        Gets checkpoints and the history; an earlier run there is resumed.
    text : PieceText
    settings : LmConfig
    """

    def __init__(self, run_dir: Path, text: PieceText, settings: LmConfig) -> None:
        training, self._text = settings.training, text
        self._feed = PieceFeed(text.part(held_out=False), text.pieces, training)
        self._valid = first_sentences(text.part(held_out=True), text.pieces, words=training.valid_words)
        super().__init__(
            run_dir,
            training,
            build=lambda: build_language_model(settings.network, count=text.pieces.count, dropout=training.dropout),
            loss=piece_loss,
            steps=self._feed.batches * training.epochs,
            lowest_rate=0.005,
        )

    def _plan(self, epoch: int) -> list[partial[PieceBatch]]:
        text, starts = self._feed.epoch(epoch)
        return [partial(self._feed.batch, text, some) for some in starts]

    def _measure(self) -> tuple[float, dict[str, float]]:
        found = self.validate()
        return found.nats / max(1, len(self._valid)), {"valid_perplexity": found.perplexity}

    def _report(self, lines: Sequence[dict[str, float]]) -> None:
        record = self.progress.history[-1]
        _log.info(
            "epoch %d: %d steps in %.0f s, %.3f nats a piece; held-out texts %.3f, perplexity of a word %.1f",
            *(record.epoch, record.batches, record.train_seconds, record.train_loss or math.nan),
            *(record.valid_loss, lines[-1]["valid_perplexity"]),
        )

    def validate(self) -> Prediction:
        """Predict the held-out sentences."""
        nats = 0.0
        for batch in sentence_batches(self._valid, most=_VALIDATION_PIECES):
            self.network.reset_metrics()
            loss = float(self.network.test_on_batch(batch.network_inputs, batch.targets))
            nats += loss * int(batch.counts.sum())
        return Prediction(nats, self._text.words(self._valid), int(np.count_nonzero(self._valid == 0)))


def train_language_model(
    text: PieceText,
    settings: LmConfig,
    stop: StopRequest,
    *,
    on_step: OnStep = lambda step, share, loss: None,
) -> Prediction | None:
    """Train an LSTM language model, or resume its training, and write it to the folder of the run.

    Parameters
    ----------
    text : PieceText
    settings : LmConfig
        With a `run_dir`.
    stop : StopRequest
    on_step : callable
        Called with the number of the step, the share of the training that is done, and the loss in nats per piece.

    Returns
    -------
    Prediction or None
        On the held-out sentences; None if a signal stopped the training.

    Raises
    ------
    ConfigError
        If the folder holds a run with other settings, or of another text.
    OutputError
        If the folder holds something else.
    """
    run_dir = typed_path(settings.run_dir or "")
    inputs = {"texts": [{"name": ", ".join(text.provenance.get("texts", ["text"])), "sha256": text.digest}]}
    check_text_run(run_dir, settings, may_change=_MAY_CHANGE, inputs=inputs)
    with locked(run_dir), disk_errors_explained(run_dir):
        begin_text_run(run_dir, settings, inputs)
        training = LanguageModelTraining(run_dir, text, settings)
        training.run(stop, on_step)
        if not training.finished:
            return None
        found = training.validate()
        weights = language_model_weights(training.network)
        content = io.BytesIO()
        np.savez(content, **weights)  # type: ignore[arg-type]  # NumPy's stubs know no other names
        write_atomically(run_dir / WEIGHTS, content.getvalue())
        # Imported late: the weights are saved, whatever is missing here.
        from asr.language.neural_export import export_language_model

        provenance = dict(text.provenance) | {
            "words": text.words(text.numbers),
            "trained_pieces": sum(one.utterances for one in training.progress.history) * settings.training.window,
            "held_out_perplexity": round(found.perplexity, 3),
        }
        header = NeuralHeader(settings.network, text.pieces, provenance)
        write_atomically(run_dir / GRAPH, export_language_model(weights, header))
        return found
