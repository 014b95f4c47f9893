"""The engine of a training, with the weights that it starts from."""

from __future__ import annotations

import logging

from asr.acoustic.keras_model import read_weights
from asr.bundle import Bundle
from asr.settings.commands import TrainConfig
from asr.training.distributed import Ranks
from asr.training.engine import Engine
from asr.training.finetune import initial_weights
from asr.training.preflight import Corpus
from asr.training.training_data import TrainingData, make_denominators

_log = logging.getLogger(__name__)


def make_engine(
    settings: TrainConfig,
    corpus: Corpus,
    data: TrainingData,
    *,
    average_steps: float,
    init: Bundle | None,
    teacher: Bundle | None = None,
    ranks: Ranks | None = None,
) -> Engine:
    """An engine with random weights, those of a bundle, or what fits of a teacher's; arguments as for `Engine`."""
    engine = Engine(
        settings,
        symbols=corpus.alphabet.size,
        phones=corpus.phones.size if corpus.phones else 0,
        average_steps=average_steps,
        denominators=make_denominators(settings, corpus, data.train) or None,
        ranks=ranks,
    )
    if init:
        weights, message = initial_weights(init, read_weights(engine.model), corpus.alphabet, corpus.phones)
        engine.load(weights)
        _log.info("starting from %s: %s", init.path, message)
    elif teacher:
        weights, theirs = read_weights(engine.model), teacher.weights()
        kept = {name for name, array in weights.items() if name in theirs and theirs[name].shape == array.shape}
        engine.load(weights | {name: theirs[name] for name in kept})
        _log.info("teacher %s: %d of %d arrays of weights start as its own", teacher.path, len(kept), len(weights))
    return engine
