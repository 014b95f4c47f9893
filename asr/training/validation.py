"""Measures a model in training on the validation set: error rates, loss, and some of its texts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from tqdm import tqdm

from asr.acoustic.outputs import CHARACTERS, decoded_output, log_softmax
from asr.acoustic.steps import step_counts
from asr.bundle import Bundle
from asr.corpus.batching import PlannedBatch
from asr.decoding import Decoder, describe_decoder, make_decoder
from asr.errors import TrainingError
from asr.evaluation.scoring import Score, score
from asr.settings.commands import TrainConfig
from asr.settings.decoding import BeamConfig, GreedyConfig
from asr.settings.model import ModelConfig
from asr.text.alphabet import BLANK
from asr.training.batch_shares import rows_of
from asr.training.distributed import Ranks
from asr.training.engine import Engine
from asr.training.examples import Examples
from asr.training.finetune import kept_decoder
from asr.training.preflight import Corpus

# Hypotheses of the beam search in validation: enough to compare epochs, in a fraction of the time of a wider beam.
_BEAM_WIDTH = 8


@dataclass(frozen=True, slots=True)
class Selection:
    """The decoder that compares the epochs of a run: that of its future bundle, with a smaller beam."""

    settings: BeamConfig | GreedyConfig
    decoder: Decoder
    output: str
    """name of the output layer that it reads"""

    @property
    def label(self) -> str:
        """The decoder in a few words."""
        return describe_decoder(self.settings)


def make_selection(settings: TrainConfig, corpus: Corpus, init: Bundle | None) -> Selection:
    """The decoder of validation: that of the bundle which a run began from, with a small beam, or greedy decoding."""
    kept = kept_decoder(init, corpus.alphabet, corpus.phones)
    decoder: BeamConfig | GreedyConfig = GreedyConfig()
    if kept is not None:
        decoder = replace(kept, beam_width=min(kept.beam_width, _BEAM_WIDTH), n_best=1)
    made = make_decoder(
        corpus.alphabet,
        decoder,
        priors=init.priors if init and kept else (),
        normalizer=settings.normalizer,
        phones=corpus.phones,
    )
    return Selection(decoder, made, decoded_output(settings.model, decoder))


@dataclass(frozen=True, slots=True)
class Validated:
    """Measures of a model on the validation set."""

    score: Score
    loss: float
    """CTC loss of the output over characters, in nats per symbol"""
    blank_share: float
    """share of the steps in which the blank is the most likely symbol of that output"""
    examples: list[tuple[str, str, str]]
    """id, reference and hypothesis of some utterances, the same in every epoch"""


def validate(
    engine: Engine,
    examples: Examples,
    plan: list[PlannedBatch],
    *,
    selection: Selection,
    model: ModelConfig,
    fixed_shapes: bool,
    shown: int,
    ranks: Ranks | None = None,
) -> Validated:
    """Decode the whole validation set, and measure loss and error rates.

    Parameters
    ----------
    engine : Engine
    examples : Examples
        Of the validation set.
    plan : list of PlannedBatch
        With every utterance once.
    selection : Selection
        How to decode.
    model : ModelConfig
    fixed_shapes : bool
        Whether batches are padded to the planned shapes.
    shown : int
        About how many utterances to return as examples.
    ranks : Ranks, optional
        The processes that share the batches; each gets the measures of all.

    Raises
    ------
    TrainingError
        If a recording can no longer be read.
    """
    ranks = ranks or Ranks()
    mine = [
        _measure_batch(engine, examples, rows_of(planned, ranks), selection, model, fixed_shapes)
        for planned in tqdm(plan, "validating", unit="batch", disable=None if ranks.is_first else True, leave=False)
    ]
    # Batch after batch, so that the sums are those of a single rank but for the rounding within a batch.
    measured = [part for of_batch in zip(*ranks.gather(mine), strict=True) for part in of_batch]
    texts = [""] * len(examples.utterances)
    nats = symbols = 0.0
    blanks = all_steps = 0
    for part in measured:
        nats += part.nats
        symbols += part.symbols
        blanks += part.blanks
        all_steps += part.steps
        for index, text in part.texts.items():
            texts[index] = text
    references = [one.text or "" for one in examples.utterances]
    # Spread over the whole set.
    stride = max(1, len(texts) // max(1, shown))
    shown_rows = zip((one.id for one in examples.utterances), references, texts, strict=True)
    return Validated(
        score=score(references, texts),
        loss=nats / max(symbols, 1),
        blank_share=blanks / max(all_steps, 1),
        examples=list(itertools.islice(shown_rows, 0, None, stride))[:shown],
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    """Measures of some rows of a batch."""

    nats: float = 0.0
    symbols: float = 0.0
    blanks: int = 0
    steps: int = 0
    texts: dict[int, str] = field(default_factory=dict)
    """by the number of the utterance"""


def _measure_batch(
    engine: Engine,
    examples: Examples,
    planned: PlannedBatch,
    selection: Selection,
    model: ModelConfig,
    fixed_shapes: bool,
) -> _Measured:
    if not planned.indices:  # of a batch with fewer rows than ranks
        return _Measured()
    texts: dict[int, str] = {}
    blanks = all_steps = 0
    prepared = examples.prepare(planned, 0, fixed_shape=fixed_shapes)
    if prepared.left_out:
        raise TrainingError(f"a validation recording can no longer be read: {prepared.left_out[0]}")
    batch = prepared.batch
    logits = engine.logits(batch)
    steps = step_counts(batch.frame_counts, model)
    nats = float(engine.nats(batch, logits).sum())
    symbols = float(batch.label_counts.sum())
    found = log_softmax(logits if selection.output == CHARACTERS else engine.logits(batch, selection.output))
    rows = [one[:count] for one, count in zip(found, steps[: len(prepared.indices)], strict=False)]
    for index, hypotheses in zip(prepared.indices, selection.decoder.decode(rows), strict=True):
        texts[index] = hypotheses[0].text
    for one, count in zip(logits, steps[: len(prepared.indices)], strict=False):
        blanks += int((one[:count].argmax(axis=-1) == BLANK).sum())
        all_steps += int(count)
    return _Measured(nats, symbols, blanks, all_steps, texts)
