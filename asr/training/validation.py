"""Measures a model in training on the validation set: error rates, loss, and some of its texts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from tqdm import tqdm

from asr.acoustic.outputs import log_softmax
from asr.acoustic.steps import step_counts
from asr.corpus.batching import PlannedBatch
from asr.decoding import make_decoder
from asr.errors import TrainingError
from asr.evaluation.scoring import Score, score
from asr.settings.decoding import GreedyConfig
from asr.settings.model import ModelConfig
from asr.text.alphabet import BLANK, Alphabet
from asr.training.engine import Engine
from asr.training.examples import Examples

DECODER = GreedyConfig()
"""the decoder of validation: without beam search and language model, so that the network alone is measured"""


@dataclass(frozen=True, slots=True)
class Validated:
    """Measures of a model on the validation set."""

    score: Score
    loss: float
    """CTC loss in nats per symbol"""
    blank_share: float
    """share of the steps in which the blank is the most likely symbol"""
    examples: list[tuple[str, str, str]]
    """id, reference and hypothesis of some utterances, the same in every epoch"""


def validate(
    engine: Engine,
    examples: Examples,
    plan: list[PlannedBatch],
    *,
    alphabet: Alphabet,
    model: ModelConfig,
    fixed_shapes: bool,
    shown: int,
) -> Validated:
    """Decode the whole validation set, and measure loss and error rates.

    Parameters
    ----------
    engine : Engine
    examples : Examples
        Of the validation set.
    plan : list of PlannedBatch
        With every utterance once.
    alphabet : Alphabet
    model : ModelConfig
    fixed_shapes : bool
        Whether batches are padded to the planned shapes.
    shown : int
        About how many utterances to return as examples.

    Raises
    ------
    TrainingError
        If a recording can no longer be read.
    """
    decoder = make_decoder(alphabet, DECODER)
    texts = [""] * len(examples.utterances)
    nats = symbols = 0.0
    blanks = all_steps = 0
    for planned in tqdm(plan, "validating", unit="batch", disable=None, leave=False):
        prepared = examples.prepare(planned, 0, fixed_shape=fixed_shapes)
        if prepared.left_out:
            raise TrainingError(f"a validation recording can no longer be read: {prepared.left_out[0]}")
        batch = prepared.batch
        logits = engine.logits(batch)
        steps = step_counts(batch.frame_counts, model)
        nats += float(engine.nats(batch, logits).sum())
        symbols += float(batch.label_counts.sum())
        for index, one, count in zip(prepared.indices, log_softmax(logits), steps, strict=False):
            texts[index] = decoder.decode([one[:count]])[0][0].text
            blanks += int((one[:count].argmax(axis=-1) == BLANK).sum())
            all_steps += int(count)
    references = [one.text or "" for one in examples.utterances]
    # Spread over the whole set.
    stride = max(1, len(texts) // max(1, shown))
    rows = zip((one.id for one in examples.utterances), references, texts, strict=True)
    return Validated(
        score=score(references, texts),
        loss=nats / max(symbols, 1),
        blank_share=blanks / max(all_steps, 1),
        examples=list(itertools.islice(rows, 0, None, stride))[:shown],
    )
